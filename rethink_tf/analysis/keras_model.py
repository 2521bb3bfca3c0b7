"""Examples as `keras.Model.fit` takes them, in a fixed order, and a model's outputs as logits."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rethink_tf.data.label_file import as_labels
from rethink_tf.errors import DivergedError, RequestError

_SUM = 0.02  # largest error of a sum of probabilities in 16 bits


_CHANNELS = (1, 3)


class ArrayExamples:
    """Examples in arrays; an example's identity is its position."""

    def __init__(self, x: Any, y: Any, batch_size: int):
        if y is None:
            raise RequestError("y: expected the labels that are learnt, received none")
        self.x = keras.tree.map_structure(np.asarray, x)
        self.given = as_labels("y", y)
        self.index = np.arange(len(self.given))
        self.batch_size = batch_size
        for array in keras.tree.flatten(self.x):
            if array.shape[:1] != self.given.shape:
                raise RequestError(
                    f"x: expected arrays of {len(self.given):,} rows, one for each label, received "
                    f"shape {list(array.shape)}"
                )

    def batches(self) -> Iterator[tuple[Any, np.ndarray]]:
        """(inputs, positions) of all examples."""
        for start in range(0, len(self.given), self.batch_size):
            places = np.arange(start, min(start + self.batch_size, len(self.given)))
            yield keras.tree.map_structure(lambda a, p=places: a[p], self.x), places

    @property
    def shows_images(self) -> bool:
        """Whether the examples are images."""
        return isinstance(self.x, np.ndarray) and _is_image(self.x.shape[1:])

    def images(self, positions: np.ndarray) -> list[np.ndarray]:
        """The images at some positions."""
        return list(self.x[positions])


class IndexedExamples:
    """Examples in a tf.data.Dataset of (x, y, index), in ascending order of index."""

    def __init__(self, data: tf.data.Dataset, batch_size: int):
        spec = data.element_spec
        plain = isinstance(spec, tuple) and len(spec) == 3
        if not (plain and all(isinstance(part, tf.TensorSpec) for part in spec[1:])):
            raise RequestError(
                "x: expected a tf.data.Dataset of (x, y, index), y and index dense tensors, "
                f"received elements {spec!s:.200}"
            )
        if data.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise RequestError("x: expected a finite tf.data.Dataset, received a repeated one")
        if not spec[2].dtype.is_integer or spec[2].shape.rank not in (0, 1):
            raise RequestError(
                f"x: expected an integer index of shape [] or [B], received {spec[2]}"
            )
        self.data = data.batch(batch_size) if spec[2].shape.rank == 0 else data
        rows = [(y.numpy(), index.numpy()) for _, y, index in self.data]
        if not rows:
            raise RequestError("x: expected examples, received none")
        given, index = (np.concatenate(column) for column in zip(*rows, strict=True))
        order = np.argsort(index, kind="stable")
        self.index = index[order].astype(np.int64)
        if (np.diff(self.index) == 0).any():
            twice = int(self.index[1:][np.diff(self.index) == 0][0])
            raise RequestError(f"x: expected every index once, received {twice} twice")
        self.given = as_labels("y", given)[order]

    def batches(self) -> Iterator[tuple[Any, np.ndarray]]:
        """(inputs, positions) of all examples."""
        for x, y, index in self.data:
            places = np.searchsorted(self.index, index.numpy())
            places = np.minimum(places, len(self.index) - 1)
            if not np.array_equal(self.index[places], index.numpy()):
                raise RequestError("x: expected the same examples in each pass, received others")
            if not np.array_equal(as_labels("y", y.numpy()), self.given[places]):
                raise RequestError("x: expected the same labels in each pass, received others")
            yield x, places

    @property
    def shows_images(self) -> bool:
        """Whether the examples are images."""
        spec = self.data.element_spec[0]
        return isinstance(spec, tf.TensorSpec) and _is_image(tuple(spec.shape[1:]))

    def images(self, positions: np.ndarray) -> list[np.ndarray]:
        """The images at some positions; one pass over the data."""
        wanted, by_index = set(self.index[positions].tolist()), {}
        for x, _, index in self.data:
            for row, identity in enumerate(index.numpy().tolist()):
                if identity in wanted:
                    by_index[identity] = x[row].numpy()
        return [by_index[identity] for identity in self.index[positions].tolist()]


def _is_image(shape: tuple[int | None, ...]) -> bool:
    """Whether the shape of an example is one of [H, W] or [H, W, 1 or 3]."""
    return len(shape) == 2 or (len(shape) == 3 and shape[2] in _CHANNELS)


def gives_logits(model: Any, asked: bool | None) -> bool:
    """Whether a model's outputs are logits: as asked, or by its last activation.

    Raises:
        RequestError: the last activation does not tell.
    """
    if asked is not None:
        return bool(asked)
    name = _last_activation(model)
    units = model.output_shape[-1] if name is not None else None
    if name == "linear":
        return True
    if (name == "softmax" and units != 1) or (name == "sigmoid" and units == 1):
        return False
    what = f"ends in {name} of {units} units" if name else "does not show its last activation"
    raise RequestError(
        f"from_logits: {model.name} {what}, which does not tell logits from probabilities; type "
        "from_logits=True or from_logits=False"
    )


def _last_activation(model: Any) -> str | None:
    """`softmax`, `sigmoid`, `linear`; None where the last layer has another or shows none."""
    outputs = getattr(model, "outputs", None)
    if not outputs or len(outputs) != 1:
        return None
    layer = outputs[0]._keras_history.operation
    if isinstance(layer, keras.Model):
        return _last_activation(layer)
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    known = {getattr(keras.activations, n): n for n in ("softmax", "sigmoid", "linear")}
    activation = getattr(layer, "activation", None)
    return known.get(activation) if callable(activation) else None


def as_logits(outputs: Any, count: int, given_logits: bool, epoch: int) -> tuple[np.ndarray, bool]:
    """A batch's outputs as logits float64 [B, K], and whether each row sums to 1.

    One output is the logit, or the probability, of class 1 of two.
    """
    shapes = [list(np.shape(each)) for each in keras.tree.flatten(outputs)]
    values = np.asarray(outputs, np.float64) if len(shapes) == 1 else None
    if values is None or values.ndim not in (1, 2) or len(values) != count:
        raise RequestError(
            f"expected a model with one output [B, classes], of {count} rows for a batch of "
            f"{count}, received {' and '.join(map(str, shapes))}"
        )
    if not np.isfinite(values).all():
        raise DivergedError(f"the model's outputs after epoch {epoch} are NaN or infinite")
    single = values.ndim == 1 or values.shape[1] == 1
    if single:
        values = values.reshape(count, 1)
        values = np.hstack([0 * values if given_logits else 1 - values, values])
    low, sums = values.min(), values.sum(axis=1)
    if given_logits:
        ones = low >= 0 and not single and bool(np.abs(sums - 1).max() < _SUM)
        return values, ones
    if low < -_SUM or np.abs(sums - 1).max() > _SUM:
        raise RequestError(
            "from_logits: expected probabilities, each row summing to 1, received outputs from "
            f"{low:.3g} with sums {sums.min():.3g} to {sums.max():.3g}; type from_logits=True "
            "for logits"
        )
    # A 0 is a probability too small for the precision of the outputs.
    return np.log(np.maximum(values, np.finfo(np.float32).tiny)), False

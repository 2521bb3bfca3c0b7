"""The logits of a functional network: removes its last softmax or sigmoid, and nothing else.

What is left is compared with the network as given. A layer that is used elsewhere too keeps its
activation there. Importing this module loads no Keras.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from rethink_tf.errors import RequestError

KINDS = ("softmax", "sigmoid")
_UNSURE = 1e-3  # probabilities nearer to 0 and 1 have too few digits for a logit
_TOLERANCE = 1e-3  # largest difference of logits or probabilities in float32
_COARSE = 0.02  # largest difference of probabilities computed in 16 bits


def removed(model, images: np.ndarray, name: str):
    """A model up to its last activation.

    Args:
        model: built; of one output.
        images: [B, H, W, C], on which both forms must be the same function.
        name: of the model, for messages.

    Returns:
        The model without the activation and the activation's name; None where none is seen, or
        where a softmax cannot be taken away alone.

    Raises:
        RequestError: a sigmoid ends the model and cannot be taken away alone.
    """
    if not getattr(model, "outputs", None):
        return None
    given = np.asarray(model(images, training=False))
    cut = _cut(model, 0)
    if cut is None:
        return None
    without, kind, undo = cut
    logits = without(images, training=False)
    if logits.shape == given.shape and _same(given, logits, kind):
        return without, kind
    undo()
    if kind == "softmax":  # the logarithm of its outputs can be used in place of logits
        return None
    raise RequestError(
        f"--model: expected a model that gives logits, without the last {kind}; the last layer of "
        f"{name} ends in a {kind} that cannot be removed alone, such as one in a layer used twice"
    )


def _cut(model, index: int) -> tuple[Any, str, Callable[[], None]] | None:
    """The model whose one output is output `index` before its activation; how to undo it."""
    import keras

    operation, node_index, inner_index = model.outputs[index]._keras_history
    node = operation._inbound_nodes[node_index]
    if isinstance(operation, keras.Model) and getattr(operation, "outputs", None):
        cut = _cut(operation, inner_index)
        if cut is None:
            return None
        inner, kind, undo = cut
        if inner is operation:  # changed in place
            return model, kind, undo
        logits = inner(*node.arguments.args, **node.arguments.kwargs)
        return keras.Model(_inputs(model), logits), kind, undo
    activations = {getattr(keras.activations, kind): kind for kind in KINDS}
    activation = getattr(operation, "activation", None)
    own = activations.get(activation) if callable(activation) else None
    named = type(operation).__name__.lower()
    if isinstance(operation, keras.layers.Activation) or named in KINDS:
        own = own or (named if named in KINDS else None)
        if own is None:
            return None
        # The layer itself is not changed, since it may be used elsewhere in the model.
        return keras.Model(_inputs(model), node.input_tensors[0]), own, lambda: None
    if own is None:
        return None

    def restore():
        operation.activation = activation

    operation.activation = keras.activations.linear
    return model, own, restore


def _inputs(model):
    """The inputs of a functional or sequential model, in the form in which it is called."""
    return (getattr(model, "_functional", None) or model)._inputs_struct


def _same(given: np.ndarray, logits, kind: str) -> bool:
    """Whether the activation of the logits is what was given, also as a difference of logits."""
    import keras

    half = keras.backend.standardize_dtype(logits.dtype) != "float32"
    again = getattr(keras.activations, kind)(logits)
    given, again = given.astype(np.float64), np.asarray(again).astype(np.float64)
    if not np.abs(given - again).max() <= (_COARSE if half else _TOLERANCE):
        return False
    sure = (given > _UNSURE) & (given < 1 - _UNSURE)
    sure &= (again > 0) & (again < 1)
    if half or not sure.any():
        return True
    difference = _logit(given[sure]) - _logit(again[sure])
    return bool(np.abs(difference).max() <= _TOLERANCE)


def _logit(probabilities: np.ndarray) -> np.ndarray:
    return np.log(probabilities) - np.log1p(-probabilities)

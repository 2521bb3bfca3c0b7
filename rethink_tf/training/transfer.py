"""Transfer to other images: the parent's weights below a new last layer, trained or frozen.

Frozen, all but the last layer is a fixed function of each image: it is computed once, for all
images, and the last layer alone is trained on these features by the ordinary steps.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from rethink_tf import models
from rethink_tf.audit.reference_input import ReferenceFeatures
from rethink_tf.audit.seal import Seal, sample_offsets
from rethink_tf.config.run_config import RunConfig
from rethink_tf.corruptions import pixels
from rethink_tf.corruptions.image_checksum import image_words, image_words_tf
from rethink_tf.data.streaming import read
from rethink_tf.data.types import Table
from rethink_tf.errors import RequestError, StorageError
from rethink_tf.runs import checkpoint, pretrained
from rethink_tf.runs.pretrained import Parent
from rethink_tf.storage import content_hash
from rethink_tf.training.evaluation import MARK, left_of
from rethink_tf.training.seal_checks import Inputs, Pass, Sealed, compare, inputs_differ, refuse

FEATURE_BATCH = 500


@dataclasses.dataclass(frozen=True)
class Learner:
    """What is trained, and on what.

    Attributes:
        build: makes the model; to be called within the strategy's scope.
        train, test: Tables of images, or of features [N, 1, 1, D] of these images.
        input_size: height and width that the model sees.
        preprocess: turns their images into the input of the model.
        sealed: the seals of these Tables.
    """

    build: Callable
    train: Table
    test: Table
    input_size: int
    preprocess: Callable
    sealed: Sealed


def learner(
    config: RunConfig,
    parent: Parent | None,
    train: Table,
    test: Table,
    preprocess: Callable,
    *,
    sealed: Sealed,
    build: Callable,
    say: Callable[[str], None],
) -> Learner:
    """The model of a run and its data: the network on images, or its last layer on features.

    Args:
        config: resolved.
        parent: of the run, if any.
        train, test: Tables of images, audited.
        preprocess: of the images.
        sealed: the seals of the images.
        build: (config, channels, num_classes) -> keras.Model with freshly drawn weights.
        say: takes lines for the reader.

    Raises:
        RequestError, StorageError: see `parent_weights`; a setting has no effect.
        AuditError: the images that features were computed of are not the sealed ones.
    """
    channels, classes = train.images.shape[-1], train.num_classes
    if parent is None:
        own = config, channels, classes
        return Learner(lambda: build(*own), train, test, config.input_size, preprocess, sealed)
    weights = parent_weights(parent, build, say)

    def moved() -> Any:
        model = build(config, channels, classes)
        if weights is not None:
            _copy(weights, model)
        return model

    if config.freeze == "none":
        return Learner(moved, train, test, config.input_size, preprocess, sealed)
    return _on_features(config, moved(), parent, train, test, preprocess, sealed, say)


def _on_features(
    config: RunConfig,
    model: Any,
    parent: Parent,
    train: Table,
    test: Table,
    preprocess: Callable,
    sealed: Sealed,
    say: Callable[[str], None],
) -> Learner:
    """The last layer of a frozen model, on the features that it gives of the images.

    Args:
        model: with the parent's weights.
        config, parent, train, test, preprocess, sealed, say: see `learner`.
    """
    if parent.run_dir is None:
        _take_statistics(model, _sealed_inputs(train, preprocess, sealed))
    head = last_layer(model)
    coupled = config.weight_decay and config.optimizer != "adamw"
    if coupled and head.kernel_regularizer is None:
        raise RequestError(
            f"--weight_decay: expected 0, since the last layer of "
            f"{content_hash.shown(config.model)} has none and all else is frozen; received "
            f"{config.weight_decay}"
        )
    tables = [
        _features_of(model, train, preprocess, sealed.train, sealed.train_inputs),
        _features_of(model, test, preprocess, sealed.test, sealed.test_inputs),
    ]
    (train_table, train_seal), (test_table, test_seal) = tables
    say(
        f"features of {train.num_examples + test.num_examples:,} images computed, once: "
        f"{head.input.shape[-1]} numbers each"
    )
    features = Sealed(
        train_seal,
        test_seal,
        ReferenceFeatures(train_table.images),
        ReferenceFeatures(test_table.images),
        "none",
    )
    return Learner(_head_builder(head, model), train_table, test_table, 1, as_it_is, features)


def as_it_is(images: Any) -> Any:
    """Features reach the last layer unchanged, as float32."""
    return tf.cast(images, tf.float32)


def last_layer(model: Any) -> Any:
    """The dense layer that gives the logits.

    Raises:
        RequestError: the network does not end in a dense layer.
    """
    import keras

    if not getattr(model, "outputs", None):  # a subclassed model has no graph of layers
        raise RequestError(
            "--init_from: expected a functional or sequential network that ends in a dense layer, "
            f"received {type(model).__name__}, whose last layer cannot be told"
        )
    head = model.outputs[0]._keras_history.operation
    if not isinstance(head, keras.layers.Dense) or len(head.input.shape) != 2:
        raise RequestError(
            "--init_from: expected a network that ends in a dense layer, received one that ends "
            f"in {type(head).__name__}"
        )
    return head


def parent_weights(
    parent: Parent, build: Callable, say: Callable[[str], None]
) -> list[np.ndarray] | None:
    """The parent's weights (`model.weights`), checked; None where they are freshly drawn.

    Raises:
        RequestError: they are not there.
        StorageError: they are not those that the parent's summary and the configuration name.
    """
    if parent.run_dir is None:
        return None
    model = build(parent.config, parent.image_shape[-1], parent.num_classes)
    saved = pretrained.stored(parent, say)
    if "all" in saved:
        pairs = [(model.variables, saved["all"])]
    else:
        others = saved["others"][: len(model.non_trainable_variables)]
        pairs = [(model.trainable_variables, saved["trainable"])]
        pairs.append((model.non_trainable_variables, others))
    for variables, arrays in pairs:
        shapes = [tuple(v.shape) for v in variables], [a.shape for a in arrays]
        if shapes[0] != shapes[1]:
            raise StorageError(
                f"{parent.run_dir}: expected weights of "
                f"{content_hash.shown(parent.config.model)}, found arrays of other shapes; "
                "move its folder away and train it again"
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array.astype(variable.dtype))
    known = checkpoint.weights_hash(v.numpy() for v in model.variables)
    if known != parent.weights_hash:
        raise StorageError(
            f"{parent.run_dir}: expected weights of hash {parent.weights_hash} after epoch "
            f"{parent.epoch}, found {known}; move its folder away and train it again"
        )
    return [v.numpy() for v in model.weights]


def _copy(weights: list[np.ndarray], model: Any) -> None:
    """Gives a model the parent's weights, all but the last layer's."""
    own = {id(v) for v in last_layer(model).weights}
    for variable, array in zip(model.weights, weights, strict=True):
        if id(variable) not in own:
            variable.assign(array)


def _take_statistics(model: Any, seen: Any) -> None:
    """Batch-norm statistics of a network that was never trained, from one batch, once.

    The 0 and 1 that they are drawn with normalise nothing: a WRN-28-1 then gives features of some
    hundreds, on which nothing can be trained. A trained parent's statistics stay as they are, and
    so do those of layers that are frozen or called as in inference.
    """
    layers = [x for x in models.layers_of(model) if hasattr(x, "moving_variance") and x.trainable]
    averages = [(v, x.momentum) for x in layers for v in (x.moving_mean, x.moving_variance)]
    before = [value.numpy() for value, _ in averages]

    def after(content: float) -> list[np.ndarray]:
        """The averages after one pass, before which they were all `content`."""
        for value, _ in averages:
            value.assign(tf.fill(value.shape, tf.constant(content, value.dtype)))
        model(seen, training=True)
        return [value.numpy() for value, _ in averages]

    if not layers:
        return
    rows = zip(averages, before, after(0.0), after(MARK), strict=True)
    for (value, momentum), old, new, marked in rows:
        # All zeros: the layer was called as in inference and gathered nothing.
        value.assign(new / (1 - left_of(marked, momentum)) if new.any() else old)


def _batches(table: Table) -> Iterator[Any]:
    """Images of a Table in order, FEATURE_BATCH at a time, with the words that a stream brings."""
    rows = np.arange(table.num_examples)
    if table.streamed:
        yield from read(table.images.sealed_batches(rows, FEATURE_BATCH))
    else:
        for start in range(0, len(rows), FEATURE_BATCH):
            yield (tf.constant(table.images[start : start + FEATURE_BATCH]),)


def _sealed_inputs(table: Table, preprocess: Any, sealed: Sealed) -> Any:
    """What the model sees of the first batch of the training Table, which must be sealed."""
    images, *sent = next(_batches(table))
    index = sealed.train.index[: len(images)]
    words = image_words_tf(images, tf.constant(index)).numpy()
    columns = (sealed.train.label_words[: len(images)], words, *(x.numpy() for x in sent))
    where = "the images for batch-norm statistics of the network that was not trained"
    refuse(compare(where, sealed.train.first(len(images)), Pass(*columns), {}))
    inputs, shown = preprocess(images), sample_offsets(len(images))
    got = tf.gather(inputs, shown).numpy()
    refuse(inputs_differ(f"of {where}", sealed.train, sealed.train_inputs, shown, got))
    return inputs


def _features_of(
    model: Any, table: Table, preprocess: Any, seal: Seal, reference: Inputs
) -> tuple[Table, Seal]:
    """The Table with each image's input of the last layer in its place, float32 [N, 1, 1, D].

    Every image must be the sealed one. The seal of the features is that of the very array that was
    computed of these images.
    """
    import keras

    trunk = keras.Model(model.inputs, last_layer(model).input)

    @tf.function
    def features_and_checks(images: Any, index: Any) -> Any:
        with tf.device(pixels.accelerator()):
            inputs = preprocess(images)
            features = tf.cast(trunk(inputs, training=False), tf.float32)
            shown = tf.gather(inputs, sample_offsets(images.shape[0]))
            return features, shown, image_words_tf(images, index)

    refuse(seal.columns(table))
    where = f"the images of the {seal.split} set that features are computed of"
    features_of_batches, columns, probed, start = [], [], [], 0
    for images, *sent in _batches(table):
        index = tf.constant(table.index[start : start + len(images)])
        features, shown, words = features_and_checks(images, index)
        probed.append((start + sample_offsets(len(images)), shown.numpy()))
        features_of_batches.append(features.numpy())
        columns.append([words.numpy(), *(x.numpy() for x in sent)])
        start += len(images)
    words = [np.concatenate(column) for column in zip(*columns, strict=True)]
    refuse(compare(where, seal, Pass(seal.label_words, *words), {}))
    for rows, inputs in probed:
        refuse(inputs_differ(f"of {where}", seal, reference, rows, inputs))
    features = np.concatenate(features_of_batches)[:, None, None]
    sealed = seal.with_words(image_words(features, seal.index))
    return dataclasses.replace(table, images=features), sealed


def _head_builder(head: Any, whole: Any) -> Callable:
    """Makes models of the last layer alone, with the weights that it has now; `whole` is its own
    model, of which it says the same."""
    import keras

    facts = {
        name: getattr(whole, name, None) for name in ("rethink_conversions", "rethink_scaling")
    }
    settings, weights = head.get_config(), head.get_weights()
    inputs = (1, 1, head.input.shape[-1])

    def build() -> Any:
        layer = type(head).from_config(settings)
        x = keras.Input(inputs)
        model = keras.Model(x, layer(keras.layers.Flatten()(x)))
        layer.set_weights(weights)
        for name, value in facts.items():
            setattr(model, name, value)
        return model

    return build

"""The logits of anyone's model: the last activation goes, all else stays the same function."""

import re
import sys

import numpy as np
import pytest

from rethink_tf import models
from rethink_tf.errors import RequestError
from rethink_tf.models.custom import name as custom_models

SHAPE, CLASSES = (8, 8, 1), 10
IMAGES = 3 * np.random.default_rng(2).standard_normal((6, *SHAPE)).astype(np.float32)

MODELS = """
import keras
from keras import layers

def shared_sigmoid(shape, classes):
    i = keras.Input(shape)
    sigmoid = layers.Activation("sigmoid")
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(i)
    gate = sigmoid(layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))
    x = layers.Multiply()([x, layers.Reshape((1, 1, 4))(gate)])
    return keras.Model(i, sigmoid(layers.Dense(classes)(layers.Flatten()(x))))

def shared_softmax(shape, classes):
    softmax = layers.Softmax()
    x = i = keras.Input(shape)
    x = softmax(layers.Dense(classes)(layers.Flatten()(x)))
    return keras.Model(i, softmax(layers.Dense(classes)(3 * x)))

def shared_in_inner(shape, classes):
    sigmoid = layers.Activation("sigmoid")
    x = j = keras.Input(shape)
    x = sigmoid(layers.Dense(5)(layers.Flatten()(x)))
    inner = keras.Model(j, sigmoid(layers.Dense(classes)(x)))
    i = keras.Input(shape)
    return keras.Model(i, inner(i))

def second_output(shape, classes):
    j = keras.Input(shape)
    x = layers.Flatten()(j)
    first = layers.Dense(classes, "sigmoid")(x)
    inner = keras.Model(j, [first, layers.Dense(classes, "sigmoid")(layers.Dense(7)(first))])
    i = keras.Input(shape)
    return keras.Model(i, inner(i)[1])

def output_of_dict(shape, classes):
    j = keras.Input(shape)
    x = layers.Dense(6, "sigmoid")(layers.Flatten()(j))
    inner = keras.Model(j, {"a": x, "b": keras.ops.sigmoid(layers.Dense(classes)(x))})
    i = keras.Input(shape)
    return keras.Model(i, inner(i)["b"])

def two_paths(shape, classes):
    parts = [keras.Input((n,)) for n in (3, 64)]
    joined = layers.Dense(classes)(layers.Concatenate()(parts))
    inner = keras.Model(parts, layers.Activation("sigmoid")(joined))
    x = i = keras.Input(shape)
    x = layers.Flatten()(x)
    return keras.Model(i, inner([layers.Dense(3)(x), x]))

def head_used_twice(shape, classes):
    x = i = keras.Input(shape)
    head = layers.Dense(classes, "KIND")
    x = layers.Dense(classes)(layers.Flatten()(x))
    return keras.Model(i, head(head(x)))

def sigmoid_twice(shape, classes):
    return head_used_twice(shape, classes)

def softmax_twice(shape, classes):
    x = i = keras.Input(shape)
    head = layers.Dense(classes, "softmax")
    x = layers.Dense(classes)(layers.Flatten()(x))
    return keras.Model(i, head(head(x)))

class Doubled(keras.Model):
    def call(self, images, training=None):
        return super().call(images, training=training) / 2

def own_call(shape, classes):
    x = i = keras.Input(shape)
    return Doubled(i, layers.Dense(classes, "sigmoid")(layers.Flatten()(x)))

def dict_output(shape, classes):
    i = keras.Input(shape)
    return keras.Model(i, {"logits": layers.Dense(classes)(layers.Flatten()(i))})

def dict_softmax(shape, classes):
    i = keras.Input(shape)
    return keras.Model(i, {"p": layers.Dense(classes, "softmax")(layers.Flatten()(i))})

class Listed(keras.Model):
    def __init__(self, classes):
        super().__init__()
        self.flat, self.head = layers.Flatten(), layers.Dense(classes)

    def call(self, images):
        return [self.head(self.flat(images))]

def listed(shape, classes):
    return Listed(classes)

def two_of_dict(shape, classes):
    i = keras.Input(shape)
    x = layers.Flatten()(i)
    return keras.Model(i, {"logits": layers.Dense(classes)(x), "features": x})

class Nothing(Listed):
    def call(self, images):
        super().call(images)
        return "nothing"

def nothing(shape, classes):
    return Nothing(classes)
""".replace("KIND", "sigmoid")


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "ends.py").write_text(MODELS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ends", raising=False)
    monkeypatch.chdir(tmp_path)


def both(name):
    """What the model as given and the model as used say of the same images, at equal weights."""
    used = models.build(custom_models.resolved(f"ends:{name}"), SHAPE, CLASSES)
    given = getattr(sys.modules["ends"], name)(SHAPE, CLASSES)
    given(IMAGES)
    assert [w.shape for w in given.get_weights()] == [w.shape for w in used.get_weights()]
    given.set_weights(used.get_weights())
    return used, given(IMAGES), np.asarray(used(IMAGES))


def logit(p):
    return np.log(p) - np.log1p(-p)


@pytest.mark.parametrize(
    "name", ["shared_sigmoid", "shared_in_inner", "second_output", "output_of_dict", "two_paths"]
)
def test_a_last_sigmoid_goes_and_nothing_else(name, own, tensorflow):
    used, given, logits = both(name)
    assert "activation, sigmoid, is removed" in str(used.rethink_conversions)
    given = np.asarray(given).astype(np.float64)
    sure = (given > 1e-3) & (given < 1 - 1e-3)
    assert sure.any() and np.abs(logit(given) - logits)[sure].max() < 1e-3
    assert logits.min() < 0, "no sigmoid is left"


def test_a_shared_softmax_goes_where_it_ends_the_model_only(own, tensorflow):
    used, given, logits = both("shared_softmax")
    assert "activation, softmax, is removed" in str(used.rethink_conversions)
    given, expected = np.log(given), logits - np.log(np.exp(logits).sum(1, keepdims=True))
    assert np.abs(given - expected).max() < 1e-4


def test_a_sigmoid_that_cannot_go_alone_is_refused(own, tensorflow):
    for name in ("sigmoid_twice", "own_call"):
        with pytest.raises(RequestError, match="cannot be removed alone"):
            both(name)


def test_a_softmax_that_cannot_go_alone_stays_and_its_logarithm_is_taken(own, tensorflow):
    used, given, logits = both("softmax_twice")
    assert "is used as logits" in str(used.rethink_conversions)
    assert np.abs(np.log(given) - logits).max() < 1e-4


@pytest.mark.parametrize(
    "name, words",
    [
        (
            "dict_output",
            "used; its outputs are",
        ),
        ("dict_softmax", "last activation, softmax, is"),
        ("listed", "its outputs are used"),
    ],
)
def test_the_only_tensor_of_a_dict_or_list_is_taken(name, words, own, tensorflow):
    used, given, logits = both(name)
    assert re.search(words, str(used.rethink_conversions))
    (given,) = given.values() if isinstance(given, dict) else given
    if name == "dict_softmax":
        logits = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.abs(np.asarray(given) - logits).max() < 1e-5


def test_several_tensors_and_no_tensor_are_named(own, tensorflow):
    with pytest.raises(RequestError, match="one output, .*gives 2 in a dict: logits, features$"):
        both("two_of_dict")
    with pytest.raises(RequestError, match="nothing gives str$|fails in training"):
        both("nothing")

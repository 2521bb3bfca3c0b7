"""Models that scale their images themselves: found, said, and given pixels where asked for."""

import re
import sys

import class_folders
import numpy as np
import pytest

from rethink_tf import models
from rethink_tf.config import run_config
from rethink_tf.config.run_config import RunConfig
from rethink_tf.models.custom import name as custom_models
from rethink_tf.models.custom import rescaling
from rethink_tf.plotting import style as pictures
from rethink_tf.training import input_pipeline

MODELS = """
import keras
from keras import layers

def end(x):
    return layers.Dense(2)(layers.Flatten()(x))

def rescaled(shape, classes):
    return keras.Sequential([layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(classes)])

def nested(shape, classes):
    norm = layers.Normalization(mean=[1.0] * shape[2], variance=[4.0] * shape[2])
    inner = keras.Sequential([layers.RandomFlip(), norm])
    return keras.Sequential([layers.Input(shape), inner, layers.Flatten(), layers.Dense(classes)])

def divided(shape, classes):
    x = images = keras.Input(shape)
    return keras.Model(images, layers.Dense(classes)(layers.Flatten()((x - 127.5) / 127.5)))

class Own(keras.Model):
    def __init__(self, classes):
        super().__init__()
        self.scaling, self.arrival = layers.Rescaling(1 / 255), layers.Flatten()
        self.last = layers.Dense(classes)

    def call(self, images):
        return self.last(self.arrival(self.scaling(images)))

def own(shape, classes):
    return Own(classes)

class InCall(keras.Model):
    def __init__(self, classes):
        super().__init__()
        self.flat, self.hidden = layers.Flatten(), layers.Dense(16, "relu")
        self.head = layers.Dense(classes, "softmax")

    def call(self, x, training=None):
        return self.head(self.hidden(self.flat(keras.ops.cast(x, "float32") / 255.0)))

def in_call(shape, classes):
    return InCall(classes)

def times(shape, classes):
    i = keras.Input(shape)
    return keras.Model(i, layers.Dense(classes)(layers.Flatten()(i * (1 / 255.0))))

def in_lambda(shape, classes):
    return keras.Sequential(
        [keras.Input(shape), layers.Lambda(lambda x: x / 127.5 - 1), layers.Flatten(),
         layers.Dense(classes)]
    )

class Quiet(layers.Layer):
    def call(self, x):
        return keras.ops.where(keras.ops.max(x) > 1.5, x * 0.01, x)

def in_layer(shape, classes):
    return keras.Sequential([keras.Input(shape), Quiet(), layers.ZeroPadding2D(),
                             layers.Conv2D(3, 3), layers.Flatten(), layers.Dense(classes)])

def minus_means(shape, classes):
    i = keras.Input(shape)
    x = layers.BatchNormalization()(layers.Conv2D(3, 3)(i - 120.0))
    return keras.Model(i, layers.Dense(classes)(layers.Flatten()(x)))

class Patches(layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(64, 32), initializer="glorot_uniform")

    def call(self, x):
        return keras.ops.reshape(x, (-1, 64)) / 255 @ self.kernel

def in_own_weights(shape, classes):
    return keras.Sequential([keras.Input(shape), Patches(), layers.Dense(classes)])

class Plain(Patches):
    def call(self, x):
        return keras.ops.reshape(x, (-1, 64)) @ self.kernel

def own_weights(shape, classes):
    return keras.Sequential([keras.Input(shape), Plain(), layers.Dense(classes)])

class Standardised(keras.layers.Layer):
    def call(self, x):
        x = x - keras.ops.mean(x, axis=(1, 2, 3), keepdims=True)
        return x / keras.ops.std(x, axis=(1, 2, 3), keepdims=True)

def standardised(shape, classes):
    return keras.Sequential([keras.Input(shape), Standardised(), layers.Flatten(),
                             layers.Dense(classes)])

def altered(shape, classes):
    return keras.Sequential([
        keras.Input(shape), layers.RandomFlip(), layers.RandomRotation(0.1), layers.Dropout(0.5),
        layers.AveragePooling2D(2), layers.ZeroPadding2D(3), layers.Resizing(9, 9),
        layers.Permute((2, 1, 3)), layers.Conv2D(3, 3), layers.Flatten(), layers.Dense(classes)])

def later(shape, classes):
    x = images = keras.Input(shape)
    x = layers.Rescaling(0.5)(layers.Conv2D(2, 3)(x))
    return keras.Model(images, layers.Dense(classes)(layers.Flatten()(x)))
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "scaling.py").write_text(MODELS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "scaling", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(spec, preprocess):
    built = models.build(custom_models.resolved(str(spec)), (8, 8, 1), 2)
    return models.conversions(built, preprocess)[1:]


@pytest.mark.parametrize(
    "name, layer",
    [
        ("rescaled", "times 1/255"),
        ("nested", "times 0.5, minus 0.5"),
        ("divided", "times 1/127.5, minus 1"),
        ("in_call", "times 1/255"),
        ("times", "times 1/255"),
        ("in_lambda", "times 1/127.5, minus 1"),
        ("in_layer", "times 1/100"),
        ("minus_means", "minus 120"),
    ],
)
def test_a_model_that_scales_is_named_and_what_to_type(name, layer, own, tensorflow):
    assert said(f"scaling:{name}", "standardise") == [
        f"it scales its images itself ({layer}), but gets images that are scaled "
        "already, each image to mean 0 and standard deviation 1; for pixels from 0 "
        "to 255 type --preprocess=none"
    ]
    assert said(f"scaling:{name}", "none") == [
        f"it scales its images itself ({layer}) and gets pixels from 0 to 255"
    ]


def test_a_file_that_scales_is_named(own, tensorflow):
    import scaling

    scaling.nested((8, 8, 1), 2).save(own / "net.keras")
    (words,) = said(own / "net.keras", "inception")
    assert re.search(r"\(times 0\.5, minus 0\.5\), .*scaled already, at -1 to 1", words)
    assert "at -1 to 1; " in words


def test_layers_of_any_name_stay_what_they_are(own, tensorflow):
    built = models.build(custom_models.resolved("scaling:own"), (8, 8, 1), 2)
    images = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 1)).astype(np.float32)
    kernel = built.last.kernel.numpy()
    assert np.allclose(built(images), images.reshape(3, -1) / 255 @ kernel, atol=1e-5)
    assert models.conversions(built, "none")[1:] == [
        "it scales its images itself (times 1/255) and gets pixels from 0 to 255"
    ]


def test_what_keeps_the_level_of_the_images_is_no_scaling(own, tensorflow):
    for name in ("later", "standardised", "altered", "own_weights"):
        assert said(f"scaling:{name}", "standardise") == [], name


def test_scaling_within_code_that_has_the_weights_shows_in_the_outputs(own, tensorflow):
    (words,) = said("scaling:in_own_weights", "standardise")
    assert re.search(r"its outputs differ by 0\.00\d+ between standardised images", words)
    assert words.endswith("for pixels from 0 to 255 type --preprocess=none")


def test_looking_for_it_changes_nothing_of_a_model(own, tensorflow):
    import scaling

    model = scaling.minus_means((8, 8, 1), 2)
    before = [w.copy() for w in model.get_weights()]
    assert rescaling.own_scaling(model, (8, 8, 1)) is not None
    assert all(map(np.array_equal, before, model.get_weights()))
    assert not any("call" in vars(layer) for layer in [model, *models.layers_of(model)])


def test_every_preprocessing_has_words():
    words = [rescaling.what_it_gets("it scales", kind) for kind in run_config.PREPROCESSING]
    assert len(set(words)) == len(words) == 4


def resolved(**fields):
    return run_config.resolve(
        RunConfig(model="mlp_1x512", dataset="digits", examples=100, **fields)
    )


@pytest.mark.parametrize("pixels", ["original", "gaussian"])
def test_without_preprocessing_pixels_stay_as_they_are(pixels, tensorflow):
    source = input_pipeline.load(resolved(preprocess="none", pixels=pixels), say=lambda _: None)
    train, _, checks = input_pipeline.corrupt(source)
    seen = source.preprocess(train.images).numpy()
    assert seen.dtype == np.float32 and np.array_equal(seen, train.images)
    assert seen.max() > 200
    assert (checks[-1].name, checks[-1].passed) == ("channel_normed", True)


def test_no_preprocessing_is_a_run_of_its_own():
    assert run_config.run_id(resolved(preprocess="none")) != run_config.run_id(resolved())


def test_a_picture_of_pixels_is_drawn_from_0_to_255():
    true, images = np.array([0]), np.full([1, 4, 4, 1], 51.0)
    figure = pictures.sample_grid({"a": (images, true)}, true, plain=True)
    assert float(figure.axes[0].images[0].get_array().max()) == pytest.approx(0.2)
    assert pictures.CAPTION_PLAIN in [text.get_text() for text in figure.texts]
    figure = pictures.sample_grid({"a": (images, true)}, true)
    assert pictures.CAPTION in [text.get_text() for text in figure.texts]


def test_the_models_of_the_other_tests_scale_nothing(own, tensorflow):
    class_folders.write_models(own, "plain_models")
    assert said("plain_models:dense", "standardise") == []

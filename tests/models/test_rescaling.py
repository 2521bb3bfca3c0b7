"""Models that scale their images themselves: found, said, and given pixels where asked for."""

import sys

import class_folders
import numpy as np
import pytest

from rethink_tf import models
from rethink_tf.config import run_config
from rethink_tf.config.run_config import RunConfig
from rethink_tf.models.custom import name as foreign_models
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
    built = models.build(foreign_models.resolved(str(spec)), (8, 8, 1), 2)
    return models.arrival(built, preprocess)[1:]


@pytest.mark.parametrize(
    "name, layer",
    [("rescaled", "Rescaling"), ("nested", "Normalization"), ("divided", "a division")],
)
def test_a_model_that_scales_is_named_and_what_to_type(name, layer, own, tensorflow):
    assert said(f"scaling:{name}", "standardise") == [
        f"it scales its images itself ({layer}), but gets them scaled already, each at mean 0 and "
        "deviation 1; for pixels from 0 to 255 type --preprocess=none"
    ]
    assert said(f"scaling:{name}", "none") == [
        f"it scales its images itself ({layer}) and gets pixels from 0 to 255"
    ]


def test_a_file_that_scales_is_named(own, tensorflow):
    import scaling

    scaling.nested((8, 8, 1), 2).save(own / "net.keras")
    (words,) = said(own / "net.keras", "inception")
    assert words.startswith("it scales its images itself (Normalization), but gets them scaled")
    assert "at -1 to 1; " in words


def test_layers_of_any_name_stay_what_they_are(own, tensorflow):
    built = models.build(foreign_models.resolved("scaling:own"), (8, 8, 1), 2)
    images = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 1)).astype(np.float32)
    kernel = built.last.kernel.numpy()
    assert np.allclose(built(images), images.reshape(3, -1) / 255 @ kernel, atol=1e-5)
    assert models.arrival(built, "none")[1:] == [
        "it scales its images itself (Rescaling) and gets pixels from 0 to 255"
    ]


def test_scaling_behind_weights_is_none_of_the_images(own, tensorflow):
    import scaling

    assert rescaling.found(scaling.later((8, 8, 1), 2)) is None
    assert said("scaling:later", "standardise") == []


def test_every_preprocessing_has_words():
    words = [rescaling.what_it_gets("Rescaling", kind) for kind in run_config.PREPROCESSING]
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

"""Images brought to another network's channels and size: pinned, and against TensorFlow."""

import dataclasses

import numpy as np
import pytest

from rethink_tf.config import run_config
from rethink_tf.config.run_config import RunConfig
from rethink_tf.data import registry as datasets
from rethink_tf.data import types
from rethink_tf.data.resize import resized, with_channels
from rethink_tf.errors import RequestError
from rethink_tf.runs import pretrained

DRAW = np.random.default_rng(0)


def test_grey_becomes_colour_by_repetition():
    grey = np.array([[[[7], [250]], [[0], [255]]]], np.uint8)
    colour = with_channels(grey, 3)
    assert colour.dtype == np.uint8 and colour.shape == (1, 2, 2, 3)
    for channel in range(3):
        np.testing.assert_array_equal(colour[..., channel], grey[..., 0])
    assert with_channels(grey, 1) is grey


def test_colour_becomes_grey_by_luma():
    pixels = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [9, 9, 9]], np.uint8)
    grey = with_channels(pixels.reshape(1, 1, 5, 3), 1)
    assert grey.dtype == np.uint8
    assert grey.ravel().tolist() == [76, 150, 29, 255, 9]


@pytest.mark.parametrize("have, wanted", [(2, 3), (4, 1), (1, 2)])
def test_other_channels_are_refused(have, wanted):
    with pytest.raises(RequestError, match=f"received {have} for a network of {wanted}$"):
        with_channels(np.zeros([1, 2, 2, have], np.uint8), wanted)


def test_two_positions_become_four_and_four_become_two():
    image = np.array([0, 100], np.uint8).reshape(1, 1, 2, 1).repeat(2, axis=1)
    assert resized(image, 4)[0, :, :, 0].tolist() == [[0, 25, 75, 100]] * 4
    ramp = np.array([0, 80, 160, 240], np.uint8).reshape(1, 1, 4, 1).repeat(4, axis=1)
    # Weights 3, 3, 1 of 7: what shrinks is averaged.
    assert resized(ramp, 2)[0, :, :, 0].tolist() == [[57, 183]] * 2
    assert resized(ramp, 4) is ramp


@pytest.mark.parametrize("shape, size", [((28, 28, 1), 32), ((32, 32, 3), 28), ((9, 14, 3), 16)])
def test_it_is_tensorflows_antialiased_bilinear(shape, size, tensorflow):
    images = DRAW.integers(0, 256, [1003, *shape], dtype=np.uint8)  # more than one block
    found = resized(images, size)
    assert found.dtype == np.uint8 and found.shape == (1003, size, size, shape[-1])
    reference = tensorflow.image.resize(images, [size, size], antialias=True).numpy()
    assert np.abs(found - reference).max() < 0.501


def test_a_flat_image_stays_flat():
    for value in (0, 17, 255):
        assert (resized(np.full([2, 28, 28, 3], value, np.uint8), 32) == value).all()


# In a run


def of_cifar10(**fields):
    """A transfer from freshly drawn weights for CIFAR-10's images."""
    wanted = dict.fromkeys(run_config.OF_THE_PARENT) | {
        "model": "mlp_1x512",
        "freeze": "all_but_last",
    }
    child = RunConfig(init_from="random:cifar10", **wanted | fields)
    return run_config.resolve(pretrained.adopt(child, "no runs"))


@pytest.fixture
def sets(monkeypatch):
    """Two coloured sets and a grey one in place of those on disk."""

    def split(name, shape, high):
        images = DRAW.integers(0, high, [40, *shape], dtype=np.uint8)
        labels = np.arange(40, dtype=np.int32) % 10
        return types.Split(name, np.arange(40), images, labels, 10)

    made = {}
    for name, high in (("cifar10", 50), ("cifar100", 256), ("fashion_mnist", 256)):
        shape = datasets.DATASETS[name].image_shape
        made[name] = split("train", shape, high), split("test", shape, high)
    monkeypatch.setattr(datasets, "load", lambda name, **_: made[name])
    return made


def test_a_runs_images_are_brought_to_the_parents_input(sets, tensorflow):
    from rethink_tf.training import input_pipeline

    grey = sets["fashion_mnist"][0].images
    source = input_pipeline.load(of_cifar10(dataset="fashion_mnist"))
    np.testing.assert_array_equal(source.train.images, np.repeat(grey, 3, axis=-1))
    same_size = input_pipeline.load(of_cifar10(dataset="cifar100"))
    kept = sets["cifar100"][1].images[:, 2:30, 2:30]
    np.testing.assert_array_equal(same_size.test.images, kept)


def test_its_own_moments_make_the_noise_and_the_parents_the_norm(sets, tensorflow):
    from rethink_tf.training import input_pipeline

    norm = {"dataset": "fashion_mnist", "input_size": 32, "preprocess": "channel_norm"}
    source = input_pipeline.load(of_cifar10(**norm, pixels="gaussian"))
    assert source.train.images.shape == source.test.images.shape == (40, 32, 32, 3)
    assert source.train.images.dtype == np.uint8
    grey, colour = sets["fashion_mnist"][0].images, sets["cifar10"][0].images
    np.testing.assert_allclose(source.moments.mean, [grey.mean()] * 3)
    np.testing.assert_allclose(source.norm[0], colour.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(source.norm[1], colour.std(axis=(0, 1, 2)))
    _, _, checks = input_pipeline.corrupt(source)
    assert (checks[-1].name, checks[-1].passed) == ("channel_normed", True)


def test_a_crop_needs_room(tensorflow):
    from rethink_tf.training import input_pipeline

    # Fine-tuned, since what is frozen is not augmented at all.
    own = dataclasses.replace(of_cifar10(dataset="mnist"), freeze="none", augment="crop")
    with pytest.raises(
        RequestError, match="^--augment=crop: expected images of 32x32, .*resized to 28 "
    ):
        input_pipeline._window(np.zeros([1, 28, 28, 1], np.uint8), own, pretrained.load_parent(own))
    whole = np.zeros([1, 32, 32, 3], np.uint8)
    assert input_pipeline._window(whole, own, pretrained.load_parent(own)) is whole

"""Flip and rotation (Table 4): angles, flips, what they depend on, and the pixels they give."""

import numpy as np
import pytest
from scipy import ndimage, stats

from rethink_tf.corruptions import threefry
from rethink_tf.data import pipeline

SIDE = 21
IMAGES = np.random.default_rng(0).integers(0, 256, [6, SIDE, SIDE, 3], dtype=np.uint8)
INDEX = np.arange(6)
DEGREES = pipeline.MAX_ROTATION_DEGREES


def turned(images=IMAGES, index=INDEX, **changes):
    kinds = {"size": images.shape[1], "seed": 0, "epoch": 1} | changes
    return pipeline.flip_rotate(images, index, **kinds).numpy()


def force(monkeypatch, tf, *, flip, turn):
    """Every image is flipped or not, and turned by the angle of the word `turn`."""

    def bits_tf(seed, stream, split, index, epoch):
        assert stream == threefry.Stream.AUGMENT and split == threefry.SplitId.TRAIN
        return tuple(tf.fill([len(index)], tf.constant(word, tf.uint32)) for word in (flip, turn))

    monkeypatch.setattr(threefry, "bits_tf", bits_tf)


def smooth():
    """A smooth picture, rows unlike columns: a wrong turn is a wrong value."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    picture = 120 + 60 * np.sin(5 * x + y) + 50 * np.cos(3 * y - x)
    return np.repeat(picture[None, :, :, None], 2, axis=0).astype(np.float32)


@pytest.fixture(scope="module")
def measured(tensorflow):
    """(flipped, degrees) of 3,000 examples: linear ramps show both exactly."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    ramps = np.broadcast_to(np.stack([x, y], -1), [3000, SIDE, SIDE, 2])
    got = turned(ramps, np.arange(3000), seed=5, epoch=2).astype(np.float64)
    m = SIDE // 2
    of_x, of_y = got[:, m, m + 1] - got[:, m, m - 1], got[:, m + 1, m] - got[:, m - 1, m]
    degrees = np.rad2deg(np.arctan2(of_x[:, 1], of_y[:, 1]))
    np.testing.assert_allclose(got[:, m, m], m, atol=1e-3)  # about the centre
    return of_x[:, 0] < 0, degrees


@pytest.mark.parametrize("flip", [0, 1])
def test_without_an_angle_only_the_flip_is_left(flip, monkeypatch, tensorflow):
    force(monkeypatch, tensorflow, flip=flip, turn=2**31)
    got = turned()
    assert got.dtype == np.float32
    expected = IMAGES[:, :, ::-1] if flip else IMAGES
    np.testing.assert_array_equal(got, expected)
    assert (got != IMAGES).any() == bool(flip)


@pytest.mark.parametrize("size", [21, 15])
@pytest.mark.parametrize("turn, degrees", [(0, -25), (2**32 - 1, 25), (3 * 2**30, 12.5)])
def test_a_rotation_is_scipy_s(turn, degrees, size, monkeypatch, tensorflow):
    force(monkeypatch, tensorflow, flip=0, turn=turn)
    picture = smooth()
    got = turned(picture, np.arange(2), size=size)
    assert got.shape == (2, size, size, 1)
    rotate = {"axes": (1, 2), "reshape": False, "order": 1, "mode": "reflect"}
    expected = ndimage.rotate(picture, degrees, **rotate)
    other_way = ndimage.rotate(picture, -degrees, **rotate)
    border = (SIDE - size) // 2
    cut = slice(border, SIDE - border)
    inner = slice(3, -3)  # where the two may differ is the rim
    np.testing.assert_allclose(
        got[:, inner, inner], expected[:, cut, cut][:, inner, inner], atol=0.01
    )
    assert np.abs(got - other_way[:, cut, cut]).max() > 10


def test_what_lies_outside_is_reflected_not_black(monkeypatch, tensorflow):
    force(monkeypatch, tensorflow, flip=0, turn=0)
    images = np.full([1, SIDE, SIDE, 1], 77, np.uint8)
    np.testing.assert_allclose(turned(images, np.arange(1)), 77, atol=1e-4)


def test_half_of_the_images_are_flipped(measured):
    flipped, degrees = measured
    assert abs(flipped.mean() - 0.5) < 5 * 0.5 / np.sqrt(3000)
    apart = degrees[flipped].mean() - degrees[~flipped].mean()
    assert abs(apart) < 5 * 2 * DEGREES / np.sqrt(3 * 3000)  # the two are independent


def test_angles_are_uniform_within_25_degrees(measured):
    _, degrees = measured
    assert DEGREES == 25
    assert 24.5 < degrees.max() <= 25.001 and -25.001 <= degrees.min() < -24.5
    assert stats.kstest(degrees, "uniform", args=(-25, 50)).pvalue > 1e-6


def test_flip_and_angle_are_those_of_the_two_words(measured):
    words = threefry.bits(5, threefry.Stream.AUGMENT, threefry.SplitId.TRAIN, np.arange(3000), 2)
    flipped, degrees = measured
    np.testing.assert_array_equal(flipped, words[0] % 2 == 1)
    np.testing.assert_allclose(degrees, words[1] / 2**32 * 50 - 25, atol=2e-3)


def test_it_depends_on_seed_epoch_and_index_only(tensorflow):
    whole = turned()
    np.testing.assert_array_equal(turned(), whole)
    order = np.array([4, 0, 5, 2, 1, 3])
    np.testing.assert_array_equal(turned(IMAGES[order], INDEX[order]), whole[order])
    np.testing.assert_array_equal(turned(IMAGES[2:3], INDEX[2:3])[0], whole[2])
    for changed in ({"seed": 1}, {"epoch": 2}, {"index": INDEX + 6}):
        other = turned(**changed)
        assert (np.abs(other - whole).reshape(6, -1).max(axis=1) > 1).all(), changed


def test_an_image_is_turned_alike_at_every_place_in_a_batch(tensorflow):
    images, index = np.repeat(IMAGES, 100, axis=0), np.arange(600)
    whole = turned(images, index)
    for size in (23, 9):  # with TensorFlow's own cosine, 3 and 2 of the 600 differed
        for start in range(0, 600, size):
            part = turned(images[start : start + size], index[start : start + size])
            np.testing.assert_array_equal(part, whole[start : start + size])


def test_cosine_and_sine_are_right_and_the_same_at_every_place_in_a_batch(tensorflow):
    angles = np.deg2rad(np.linspace(-DEGREES, DEGREES, 4001)).astype(np.float32)
    whole = [v.numpy() for v in pipeline.cosine_sine(tensorflow.constant(angles))]
    for got, exact in zip(whole, (np.cos, np.sin), strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, exact(angles.astype(np.float64)), rtol=0, atol=6e-8)
    for step in (1, 7, 13):
        for start in range(0, 300, step):
            part = pipeline.cosine_sine(tensorflow.constant(angles[start : start + step]))
            for got, expected in zip(part, whole, strict=True):
                np.testing.assert_array_equal(got, expected[start : start + step])


def test_eager_and_compiled_are_equal(tensorflow):
    tf = tensorflow
    compiled = tf.function(
        lambda images, index, epoch: pipeline.flip_rotate(
            images, index, size=16, seed=0, epoch=epoch
        )
    )
    for epoch in (1, 7):
        got = compiled(tf.constant(IMAGES), tf.constant(INDEX), tf.constant(epoch, tf.int64))
        assert got.shape == (6, 16, 16, 3)
        np.testing.assert_array_equal(got, turned(size=16, epoch=epoch))


def test_the_name_of_the_augmentation_chooses_it(tensorflow):
    kinds = {"size": 15, "seed": 0, "epoch": 1}
    got = pipeline.augmented(IMAGES, INDEX, augment="flip_rotate", **kinds)
    np.testing.assert_array_equal(got, pipeline.flip_rotate(IMAGES, INDEX, **kinds))
    plain = pipeline.augmented(IMAGES, INDEX, augment="none", **kinds)
    np.testing.assert_array_equal(plain, IMAGES[:, 3:18, 3:18])

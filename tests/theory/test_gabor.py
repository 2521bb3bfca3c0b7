"""The Gabor bank: orientation, pooling, and what is said where scikit-image is missing."""

import sys

import numpy as np
import pytest

from rethink_tf.errors import RequestError
from rethink_tf.theory.kernels import features, gabor


def stripes(angle, frequency=0.2, size=28):
    y, x = np.mgrid[:size, :size]
    wave = np.cos(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle)))
    return np.round(127.5 * (1 + wave)).astype(np.uint8)[..., None]


def test_stripes_answer_the_filter_of_their_own_direction(tensorflow):
    pytest.importorskip("skimage")
    angles = np.pi * np.arange(4) / 4
    images = np.stack([stripes(angle) for angle in angles])
    found = gabor.responses(images, frequencies=(0.2,), orientations=4, cell=4)
    assert found.shape == (4, 7 * 7 * 4) == (4, gabor.dimensions((28, 28, 1), (0.2,), 4, 4))
    assert found.dtype == np.float32
    by_filter = found.reshape(4, 7, 7, 4)[:, 2:5, 2:5].mean(axis=(1, 2))
    np.testing.assert_array_equal(by_filter.argmax(axis=1), np.arange(4))
    assert (by_filter.max(axis=1) > 3 * np.sort(by_filter, axis=1)[:, -2]).all()


def test_brightness_alone_answers_nothing_within(tensorflow):
    pytest.importorskip("skimage")
    flat = gabor.responses(np.full((1, 28, 28, 1), 200, np.uint8), frequencies=(0.35,), cell=2)
    assert abs(flat.reshape(14, 14, -1)[5:9, 5:9]).max() < 1e-4
    assert len(gabor.bank((0.2, 0.35), 5)) == 10


def test_without_scikit_image_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.filters", None)
    with pytest.raises(RequestError, match=r"install -e '.\[theory\]'"):
        gabor.bank()


def test_sizes_are_known_beforehand():
    assert features.dimensions("pixels", (28, 28, 1)) == 784
    assert features.dimensions("gabor", (28, 28, 1)) == 14 * 14 * 24
    assert gabor.dimensions((5, 6, 3), (0.1,), 2, 4) == 2 * 2 * 3 * 2
    images = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
    np.testing.assert_allclose(features.pixels(images)[1], np.arange(4, 8) / np.float32(255))

"""Random convolutional features against a plain computation, patch by patch."""

import numpy as np
import pytest

from rethink_tf.errors import RequestError
from rethink_tf.theory.kernels import random_conv
from rethink_tf.theory.kernels.random_conv import Layout

LAYOUT = Layout(patch=4, cells=2, bias=0.5, zca=0.1)
SHAPE = (12, 11, 3)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (30, *SHAPE), dtype=np.uint8)


@pytest.fixture(scope="module")
def white(images):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(random_conv, "WHITENING_PATCHES", 2000)
        return random_conv.whitening(images, LAYOUT, seed=3)


def plain(image, whitened, white):
    """The features of one image by loops, from the whitened unit filters."""
    sums = np.zeros((2, 2, 2, len(whitened)))
    counts = np.zeros((2, 2, 1))
    for row in range(9):
        for column in range(8):
            patch = image[row : row + 4, column : column + 4].astype(np.float64).ravel()
            patch = (patch - patch.mean()) / np.sqrt(patch.var() + 10)
            z = whitened @ ((patch - white.mean) @ white.matrix)
            for i in (i for i, (a, b) in enumerate([(0, 5), (4, 9)]) if a <= row < b):
                for j in (j for j, (a, b) in enumerate([(0, 4), (4, 8)]) if a <= column < b):
                    sums[0, i, j] += np.maximum(0, z - 0.5)
                    sums[1, i, j] += np.maximum(0, -z - 0.5)
                    counts[i, j] += 1
    return (sums / counts).ravel()


def test_features_are_the_averages_of_rectified_responses_of_whitened_patches(images, white):
    weights = random_conv.filters(images, LAYOUT, white, 0, 7, seed=3)
    drawn = random_conv._drawn(images, LAYOUT, np.arange(7), 0, 3)
    whitened = (drawn - white.mean) @ white.matrix
    whitened /= np.linalg.norm(whitened, axis=1, keepdims=True)
    found = random_conv.on_host(images[:5], weights, LAYOUT)
    assert found.shape == (5, LAYOUT.features(7)) == (5, 56) and found.dtype == np.float32
    expected = np.stack([plain(image, whitened, white) for image in images[:5]])
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert 0.02 < (found > 0.01).mean() < 1


def test_whitening_makes_patches_white(images, white):
    sample = random_conv._drawn(images, LAYOUT, np.arange(2000), 1, 3)
    covariance = np.cov((sample - white.mean) @ white.matrix, rowvar=False)
    values = np.linalg.eigvalsh(np.cov(sample, rowvar=False))
    np.testing.assert_allclose(
        np.linalg.eigvalsh(covariance), np.sort(values / (values + 0.1)), atol=1e-9
    )
    np.testing.assert_allclose(white.matrix, white.matrix.T, atol=1e-9)


def test_a_filter_is_the_same_whatever_their_number_and_a_seeds_own(images, white):
    all_of_them = random_conv.filters(images, LAYOUT, white, 0, 9, seed=3)
    later = random_conv.filters(images, LAYOUT, white, 4, 9, seed=3)
    np.testing.assert_allclose(later, all_of_them[:, 4:], rtol=1e-5, atol=1e-6)
    other = random_conv.filters(images, LAYOUT, white, 4, 9, seed=4)
    assert abs(other - later).max() > 0.1


@pytest.mark.parametrize("cells", [1, 2, 3, 8])
def test_cells_cover_all_positions_and_average(cells):
    pool = random_conv.pooling(SHAPE, Layout(patch=4, cells=cells))
    assert pool.shape == (cells**2, 72)
    np.testing.assert_allclose(pool.sum(axis=1), 1, rtol=1e-6)
    assert (pool > 0).any(axis=0).all()
    assert len(set((pool > 0).sum(axis=1))) == 1


def test_patches_larger_than_the_image_allows_are_refused():
    with pytest.raises(
        RequestError, match=r"--patch: expected at most 10 for 2x2 cells.*received 11"
    ):
        Layout(patch=11).positions(SHAPE)


def test_the_number_of_threads_changes_nothing(images, white):
    weights = random_conv.filters(images, LAYOUT, white, 0, 5, seed=3)
    one, three = (random_conv.on_host(images, weights, LAYOUT, threads=n) for n in (1, 3))
    np.testing.assert_array_equal(one, three)


def test_chunks_of_filters_change_nothing(images, white, monkeypatch):
    weights = random_conv.filters(images, LAYOUT, white, 0, 7, seed=3)
    whole = random_conv.on_host(images, weights, LAYOUT)
    monkeypatch.setattr(random_conv, "CHUNK", 3)  # the last has one filter
    np.testing.assert_allclose(random_conv.on_host(images, weights, LAYOUT), whole, atol=1e-6)


def test_the_device_gives_the_same(images, white, tensorflow):
    weights = random_conv.filters(images, LAYOUT, white, 0, 7, seed=3)
    host = random_conv.on_host(images, weights, LAYOUT)
    device = random_conv.on_device(images, weights, LAYOUT, device="/CPU:0")
    np.testing.assert_allclose(device, host, atol=2e-5)


def test_progress_comes_now_and_then_and_at_the_end(images, white, monkeypatch):
    weights, seen = random_conv.filters(images, LAYOUT, white, 0, 5, seed=3), []
    monkeypatch.setattr(random_conv, "LOOK_SECONDS", 1e-4)
    many = np.repeat(images, 30, axis=0)
    random_conv.on_host(many, weights, LAYOUT, threads=2, progress=seen.append)
    assert seen == sorted(seen) and seen[-1] == 900 and len(seen) > 1
    assert random_conv.on_host(images[:0], weights, LAYOUT, threads=2).shape == (0, 40)


def test_an_interrupt_does_not_wait_for_the_images_that_are_left(images, white, monkeypatch):
    weights = random_conv.filters(images, LAYOUT, white, 0, 5, seed=3)
    many, done, real = np.repeat(images, 200, axis=0), [], random_conv.normalised

    def normalised(patches):
        done.append(1)
        return real(patches)

    monkeypatch.setattr(random_conv, "normalised", normalised)
    monkeypatch.setattr(random_conv, "LOOK_SECONDS", 0.01)

    def interrupt(_count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        random_conv.on_host(many, weights, LAYOUT, threads=2, progress=interrupt)
    assert 0 < len(done) < len(many)


def test_an_error_in_one_thread_ends_all(images, white, monkeypatch):
    weights = random_conv.filters(images, LAYOUT, white, 0, 5, seed=3)

    def normalised(patches):
        raise ValueError("no patch")

    monkeypatch.setattr(random_conv, "normalised", normalised)
    with pytest.raises(ValueError, match="no patch"):
        random_conv.on_host(images, weights, LAYOUT, threads=3)

"""Choices of preprocessing for linear regression on images: functions of training and test images.

Each takes uint8 images [N, H, W, C] and [M, H, W, C] and a seed, and gives float64 features [N, D]
and [M, D]. What is fitted is fitted to the training images.
"""

import numpy as np
from threadpoolctl import threadpool_limits

RANDOM_FEATURES = 4000
PATCHES, SIDE, POOLS = 300, 5, 2
WHITENING = 0.1  # added to the variances, whose mean is 1


def _flat(images) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float64)


def standardised(images: np.ndarray) -> np.ndarray:
    """Each image to mean 0 and deviation 1 (the paper's Appendix A): float64 [N, D]."""
    x = _flat(images)
    x -= x.mean(axis=1, keepdims=True)
    return x / np.maximum(x.std(axis=1, keepdims=True), x.shape[1] ** -0.5)


def _pixels(train, test, seed):
    return _flat(train) / 255, _flat(test) / 255


def _standardised(train, test, seed):
    return standardised(train), standardised(test)


def _about_grey(train, test, seed):
    """Pixels less one half. (Less their means, the images would leave no constant to fit.)"""
    return tuple(part - 0.5 for part in _pixels(train, test, seed))


def _constant_added(train, test, seed):
    """Pixels and a large constant: an intercept that costs next to no norm."""
    pairs = (
        (part, np.full([len(part), 1], 10.0 * part.shape[1] ** 0.5))
        for part in _pixels(train, test, seed)
    )
    return tuple(np.hstack(pair) for pair in pairs)


def _whitened(train, test, seed):
    """Standardised images, their second moments over the training set evened out (ZCA)."""
    x, seen = _standardised(train, test, seed)
    _, singular, vectors = np.linalg.svd(x, full_matrices=False)
    level = WHITENING * np.square(x).mean()
    # Directions in which no training image varies are scaled by 1 / sqrt(level).
    gain = 1 / np.sqrt(singular**2 / len(x) + level) - 1 / np.sqrt(level)
    return tuple(part / np.sqrt(level) + (part @ vectors.T) * gain @ vectors for part in (x, seen))


def _edges(train, test, seed):
    """Absolute differences of neighbouring pixels, across and down."""

    def differences(images):
        images = images.astype(np.float64) / 255
        parts = (np.abs(np.diff(images, axis=axis)) for axis in (1, 2))
        return np.hstack([part.reshape(len(images), -1) for part in parts])

    return differences(train), differences(test)


def _random_relu(train, test, seed):
    """max(<v, x>, 0) for random directions v, of standardised images."""
    x, seen = _standardised(train, test, seed)
    directions = np.random.default_rng(seed).standard_normal([x.shape[1], RANDOM_FEATURES])
    return tuple(np.maximum(part @ directions, 0) for part in (x, seen))


def _random_patches(train, test, seed, progress=lambda share: None):
    """Responses to random patches of the training images, rectified on both sides, then pooled."""
    draw = np.random.default_rng(seed)
    windows = _windows(standardised(train).reshape(train.shape))
    count, down, across = windows.shape[:3]
    chosen = [draw.integers(limit, size=PATCHES) for limit in (count, down, across)]
    filters = _contrast(windows[tuple(chosen)].reshape(PATCHES, -1)).T

    def responses(images, before):
        windows, pooled = _windows(standardised(images).reshape(images.shape)), []
        for window in windows:
            pooled.append(_pooled(window, filters))
            progress((before + len(pooled)) / (len(train) + len(test)))
        return np.stack(pooled)

    # The products of one image are small: the threads of BLAS would mostly wait for each other.
    with threadpool_limits(1, "blas"):
        return responses(train, 0), responses(test, len(train))


def _windows(images: np.ndarray) -> np.ndarray:
    """All patches, without a copy: [N, H', W', C, SIDE, SIDE]."""
    return np.lib.stride_tricks.sliding_window_view(images, (SIDE, SIDE), axis=(1, 2))


def _contrast(patches: np.ndarray) -> np.ndarray:
    """Patches [P, D] less their mean, to length 1; flat ones become zero."""
    patches = patches - patches.mean(axis=1, keepdims=True)
    return patches / np.maximum(np.linalg.norm(patches, axis=1, keepdims=True), 0.1)


def _pooled(windows: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """One image's pooled responses: [H', W', C, SIDE, SIDE] -> [POOLS * POOLS * 2 * PATCHES]."""
    down, across = windows.shape[:2]
    responses = _contrast(windows.reshape(down * across, -1)) @ filters
    responses = np.hstack([np.maximum(responses, 0), np.maximum(-responses, 0)])
    grid = responses.reshape(down, across, -1)
    rows = np.array_split(grid, POOLS, axis=0)
    cells = [cell for row in rows for cell in np.array_split(row, POOLS, axis=1)]
    return np.concatenate([cell.mean(axis=(0, 1)) for cell in cells])


CHOICES = {
    "pixels": _pixels,
    "pixels less 1/2": _about_grey,
    "pixels and a constant": _constant_added,
    "images standardised": _standardised,
    "whitened": _whitened,
    "edges": _edges,
    "random ReLU features": _random_relu,
    "random patches, pooled": _random_patches,
}
# These functions take `progress`, which gets the finished share of the images.
LONG = ("random patches, pooled",)

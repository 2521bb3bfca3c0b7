"""Gabor features: the magnitudes of a bank's responses, averaged over cells of the image.

The kernels are scikit-image's; the paper says "Gabor filters" and no more, so the bank is ours.
"""

from collections.abc import Callable

import numpy as np

from rethink_tf.errors import RequestError

FREQUENCIES = (0.1, 0.2, 0.35)  # cycles per pixel
ORIENTATIONS = 8
CELL = 2  # pixels, the side of a pooling cell
BATCH = 500


def bank(frequencies=FREQUENCIES, orientations: int = ORIENTATIONS) -> list[np.ndarray]:
    """The complex kernels of all frequencies and orientations, each without its mean.

    Raises:
        RequestError: scikit-image is not installed.
    """
    try:
        from skimage.filters import gabor_kernel
    except ImportError:
        raise RequestError(
            "--features=gabor: expected scikit-image, it is not installed; type "
            "pip install -e '.[theory]'"
        ) from None
    filters = []
    for frequency in frequencies:
        for k in range(orientations):
            kernel = gabor_kernel(frequency, theta=np.pi * k / orientations)
            # Without this, low frequencies would measure brightness.
            kernel = kernel - kernel.mean()
            filters.append(kernel / np.sqrt((np.abs(kernel) ** 2).sum()))
    return filters


def dimensions(
    image_shape: tuple[int, int, int],
    frequencies=FREQUENCIES,
    orientations: int = ORIENTATIONS,
    cell: int = CELL,
) -> int:
    """The number of features of an image."""
    height, width, channels = image_shape
    return -(-height // cell) * -(-width // cell) * channels * len(frequencies) * orientations


def responses(
    images: np.ndarray,
    frequencies=FREQUENCIES,
    orientations: int = ORIENTATIONS,
    cell: int = CELL,
    progress: Callable[[float], object] = lambda share: None,
) -> np.ndarray:
    """Magnitudes of the responses of each channel over 255, averaged over cells.

    Args:
        images: uint8 or float32 [n, height, width, channels].
        frequencies: in cycles per pixel, above 0 and at most 0.5.
        orientations: how many, evenly from 0 to 180 degrees.
        cell: side of a cell in pixels; cells at the border may be smaller.
        progress: gets the share of the images that is done.

    Returns:
        float32 [n, `dimensions`].
    """
    import tensorflow as tf

    n, height, width, channels = images.shape
    kernels = bank(frequencies, orientations)
    side = max(max(kernel.shape) for kernel in kernels)
    filters = np.zeros((side, side, 1, 2 * len(kernels)), np.float32)
    for i, kernel in enumerate(kernels):
        top, left = ((side - size) // 2 for size in kernel.shape)
        place = slice(top, top + kernel.shape[0]), slice(left, left + kernel.shape[1])
        filters[*place, 0, i] = kernel.real
        filters[*place, 0, len(kernels) + i] = kernel.imag

    @tf.function
    def of_batch(batch):
        batch = tf.transpose(tf.cast(batch, tf.float32) / 255, [0, 3, 1, 2])
        planes = tf.reshape(batch, [-1, height, width, 1])
        real, imaginary = tf.split(tf.nn.conv2d(planes, filters, 1, "SAME"), 2, axis=-1)
        size = tf.sqrt(real**2 + imaginary**2)
        # At the border, SAME averages only existing pixels.
        return tf.nn.avg_pool2d(size, cell, cell, "SAME")

    out = np.empty(
        (n, dimensions((height, width, channels), frequencies, orientations, cell)), np.float32
    )
    for start in range(0, n, BATCH):
        part = images[start : start + BATCH]
        out[start : start + BATCH] = of_batch(part).numpy().reshape(len(part), -1)
        progress(min(start + BATCH, n) / n)
    return out

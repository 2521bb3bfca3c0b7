"""Features of images that fit into memory: pixels and a Gabor bank. FEATURES is the registry."""

from collections.abc import Callable

import numpy as np

from rethink_tf.theory.kernels import gabor

STREAMED = ("random_conv",)  # computed in parts (`random_conv.py`), never all in memory


def pixels(images: np.ndarray, progress=lambda share: None) -> np.ndarray:
    """All pixels of each image over 255: [n, height, width, channels] -> float32 [n, d]."""
    flat = images.reshape(len(images), -1).astype(np.float32)
    flat /= 255
    return flat


FEATURES: dict[str, Callable[..., np.ndarray]] = {"pixels": pixels, "gabor": gabor.responses}


def dimensions(name: str, image_shape: tuple[int, int, int], **settings) -> int:
    """The number of features of an image, without computing them."""
    if name == "gabor":
        return gabor.dimensions(image_shape, **settings)
    return int(np.prod(image_shape))

"""Converts images to a network's input: number of channels, height and width.

The result is uint8 like the input, so that it is corrupted and audited like all images. It is
computed in NumPy, so that it is the same on every device.
"""

import numpy as np

from rethink_tf.errors import RequestError

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_BLOCK = 1000


def with_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """Grey to colour by repetition, colour to grey by luma (ITU-R BT.601), rounded.

    Args:
        images: uint8 [N, H, W, C], or `streaming.StreamedImages`, which stay as they are.
        channels: 1 or 3.

    Returns:
        uint8 [N, H, W, channels]; `images` itself if it has that number.

    Raises:
        RequestError: from or to another number than 1 and 3; grey ones of a streamed set.
    """
    have = images.shape[-1]
    if have == channels:
        return images
    if not isinstance(images, np.ndarray):
        raise RequestError(
            "--init_from: expected a network of colour images for a streamed set, received one of "
            f"{channels} channel{'s'[: channels > 1]}"
        )
    if (have, channels) == (1, 3):
        return np.repeat(images, 3, axis=-1)
    if (have, channels) == (3, 1):
        blocks = [np.rint(images[s] @ np.array(_LUMA)[:, None]) for s in _slices(len(images))]
        return np.concatenate(blocks).astype(np.uint8)
    raise RequestError(
        f"--init_from: expected images of {channels} channels or of 1 or 3, which can be turned "
        f"into each other; received {have} for a network of {channels}"
    )


def resized(images: np.ndarray, size: int) -> np.ndarray:
    """The whole image at another size: bilinear, averaging where it shrinks, rounded.

    The weights are those of `tf.image.resize(..., antialias=True)`.

    Args:
        images: uint8 [N, H, W, C].
        size: new height and width.

    Returns:
        uint8 [N, size, size, C]; `images` itself where it is of that size.
    """
    if images.shape[1:3] == (size, size):
        return images
    rows, columns = (_weights(length, size) for length in images.shape[1:3])
    blocks = []
    for part in _slices(len(images)):
        block = np.einsum("sh,nhwc->nswc", rows, images[part], optimize=True)
        block = np.einsum("tw,nswc->nstc", columns, block, optimize=True)
        blocks.append(np.rint(block).astype(np.uint8))
    return np.concatenate(blocks)


def _weights(length: int, size: int) -> np.ndarray:
    """What each old position gives to each new one: float64 [size, length], rows of sum 1."""
    scale = length / size
    centre = (np.arange(size)[:, None] + 0.5) * scale
    distance = np.abs(np.arange(length)[None] + 0.5 - centre) / max(scale, 1.0)
    weights = np.maximum(1 - distance, 0)
    return weights / weights.sum(axis=1, keepdims=True)


def _slices(count: int):
    return [slice(start, start + _BLOCK) for start in range(0, count, _BLOCK)]

"""One 64-bit word for each (example, image). Passes over the images are compared by these words.

An image's bytes are read as 8-byte words, padded with zeros, times fixed odd numbers and summed
modulo 2**64; that sum is multiplied by an odd number of the example's identity. So a sum of words
betrays a changed image, one that is missing or comes twice, and images exchanged between examples.
The NumPy and the TensorFlow functions give the same bits. This is against mistakes, not against
somebody who looks for a collision.
"""

import functools
from typing import Any

import numpy as np

_OFFSET = 0x1B873593CC9E2D51  # so that the word of a black image is not 0
_BY_INDEX = 0x3C6EF372FE94F82A  # even, so that the factor of every index is odd


@functools.cache
def _factors_up_to(power: int) -> np.ndarray:
    """Odd numbers of the positions up to 2**power, scattered over 64 bits (splitmix64): int64."""
    with np.errstate(over="ignore"):
        z = (np.arange(1 << power, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        factors = ((z ^ (z >> np.uint64(31))) | np.uint64(1)).view(np.int64)
    factors.flags.writeable = False
    return factors


def factors(count: int) -> np.ndarray:
    """The fixed odd numbers of the first `count` words: int64 [count]."""
    return _factors_up_to(max(count - 1, 1).bit_length())[:count]


def _of_index(index: np.ndarray) -> np.ndarray:
    return np.asarray(index, np.int64) * _BY_INDEX + 1


def image_words(images: np.ndarray, index: np.ndarray) -> np.ndarray:
    """One word for each example, over its identity and its image's bytes.

    Args:
        images: [N, ...] of any dtype of 1, 2, 4 or 8 bytes, uint8 or float32 as a rule.
        index: integer [N], identities.

    Returns:
        int64 [N].
    """
    flat = np.ascontiguousarray(images).reshape(len(images), -1).view(np.uint8)
    if flat.shape[1] % 8:
        flat = np.pad(flat, [(0, 0), (0, -flat.shape[1] % 8)])
    words = flat.view(np.int64)
    with np.errstate(over="ignore"):
        return (words @ factors(words.shape[1]) + _OFFSET) * _of_index(index)


def bytes_word(data: bytes, index: int) -> int:
    """The word of a file's bytes, for an example of this identity."""
    padded = data.ljust(-(-len(data) // 8) * 8, b"\0")
    words = np.frombuffer(padded, np.int64)
    # The length is added, since zeros at the end change no sum.
    with np.errstate(over="ignore"):
        total = words @ factors(len(words)) + np.int64(_OFFSET) + np.int64(len(data))
        return int((np.array([total]) * _of_index(np.array([index])))[0])


def image_words_tf(images: Any, index: Any) -> Any:
    """`image_words` in TensorFlow: [B, H, W, C] and integer [B] in, int64 [B] out.

    The static shape of `images` but B is known.
    """
    import tensorflow as tf

    count = int(np.prod(images.shape[1:]))
    size = images.dtype.size
    each = 8 // size
    flat = tf.reshape(images, [-1, count])
    if count % each:
        flat = tf.pad(flat, [[0, 0], [0, -count % each]])
    words = flat
    if size < 8:
        words = tf.bitcast(tf.reshape(flat, [-1, -(-count // each), each]), tf.int64)
    elif images.dtype != tf.int64:
        words = tf.bitcast(flat, tf.int64)
    summed = tf.reduce_sum(words * tf.constant(factors(-(-count // each))), axis=1)
    return (summed + _OFFSET) * (tf.cast(index, tf.int64) * _BY_INDEX + 1)


def checksum(words: np.ndarray) -> int:
    """The sum of words, modulo 2**64, as a signed number."""
    with np.errstate(over="ignore"):
        return int(np.sum(words, dtype=np.int64))


def wrapped(number: int) -> int:
    """A whole number modulo 2**64, as a signed number."""
    return (number + 2**63) % 2**64 - 2**63

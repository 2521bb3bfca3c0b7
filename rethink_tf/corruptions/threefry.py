"""Counter-based random bits: Threefry-2x32 with 20 rounds (Salmon et al., SC 2011).

Every draw names its stream, its split and its example, so it depends on nothing else: not on the
batch, the order, the epoch, the replica or the framework. The NumPy and the TensorFlow functions
give the same bits (eager, graph and XLA), and both give the known answers of Random123.
TensorFlow's own stateless float generators are no substitute: they give other values under XLA.
"""

import enum
from typing import Any

import numpy as np

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_MASK = 0xFFFFFFFF


class Stream(enum.IntEnum):
    """One stream per kind of randomness; a number is never reused, or old runs would change."""

    LABEL = 1
    PIXELS = 2
    GAUSS = 3
    ORDER = 4
    AUGMENT = 5
    SUBSET = 6
    PIXEL_CHOICE = 7
    FILTERS = 20
    PROBE = 30


class SplitId(enum.IntEnum):
    """The part of the data set that a draw is for: training and test noise differ."""

    TRAIN = 0
    TEST = 1


def _rounds(x0: Any, x1: Any, keys: Any, rotate: Any, as_word: Any) -> tuple[Any, Any]:
    """Twenty rounds; `keys` are the three key words, `as_word` makes an addend of an int."""
    x0, x1 = x0 + keys[0], x1 + keys[1]
    for group in range(5):
        for distance in _ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = rotate(x1, distance) ^ x0
        x0 = x0 + keys[(group + 1) % 3]
        x1 = x1 + keys[(group + 2) % 3] + as_word(group + 1)
    return x0, x1


def threefry2x32(
    key: tuple[int, int], c0: np.ndarray, c1: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Threefry-2x32-20 in NumPy.

    Args:
        key: two words, each 0 to 2**32 - 1.
        c0, c1: uint32 arrays of shapes that broadcast together: the counter.

    Returns:
        Two uint32 arrays of the broadcast shape.
    """
    c0, c1 = np.broadcast_arrays(np.asarray(c0, np.uint32), np.asarray(c1, np.uint32))
    shape = c0.shape
    keys = [np.array([k & _MASK], np.uint32) for k in (*key, key[0] ^ key[1] ^ _PARITY)]

    def rotate(x: Any, distance: int) -> Any:
        return (x << np.uint32(distance)) | (x >> np.uint32(32 - distance))

    # At least one dimension, since NumPy warns about overflow of scalars but not of arrays.
    x0, x1 = _rounds(c0.reshape(-1), c1.reshape(-1), keys, rotate, np.uint32)
    return x0.reshape(shape), x1.reshape(shape)


def threefry2x32_tf(key: tuple[int, int], c0: Any, c1: Any) -> tuple[Any, Any]:
    """`threefry2x32` in TensorFlow: uint32 tensors in and out, bit-equal everywhere."""
    import tensorflow as tf

    keys = [tf.constant(k & _MASK, tf.uint32) for k in (*key, key[0] ^ key[1] ^ _PARITY)]

    def rotate(x: Any, distance: int) -> Any:
        return tf.bitwise.bitwise_or(
            tf.bitwise.left_shift(x, tf.constant(distance, tf.uint32)),
            tf.bitwise.right_shift(x, tf.constant(32 - distance, tf.uint32)),
        )

    class Word:
        """Gives uint32 tensors the `^` that TensorFlow reserves for logical operands."""

        def __init__(self, value: Any) -> None:
            self.value = value

        def __add__(self, other: Any) -> "Word":
            return Word(self.value + (other.value if isinstance(other, Word) else other))

        def __xor__(self, other: Any) -> "Word":
            return Word(tf.bitwise.bitwise_xor(self.value, other.value))

    # The first addition broadcasts: tf.broadcast_to has no GPU kernel for uint32.
    x0, x1 = Word(tf.cast(c0, tf.uint32)), Word(tf.cast(c1, tf.uint32))
    x0, x1 = _rounds(
        x0, x1, keys, lambda x, d: Word(rotate(x.value, d)), lambda i: tf.constant(i, tf.uint32)
    )
    return x0.value, x1.value


def stream_key(seed: int, stream: Stream, split: SplitId) -> tuple[int, int]:
    """The key of one stream: (seed, stream and split). Seeds are 0 to 2**32 - 1."""
    if not 0 <= seed <= _MASK:
        raise ValueError(f"seed: expected 0 to {_MASK}, received {seed}")
    return seed, int(stream) | int(split) << 16


def bits(
    seed: int, stream: Stream, split: SplitId, index: Any, counter: Any = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Two random words for each example.

    Args:
        seed: 0 to 2**32 - 1.
        stream: what the draw is for.
        split: which part of the data set the examples belong to.
        index: integer array, the examples' identities, 0 to 2**32 - 1.
        counter: integer or array that broadcasts against `index`: the number of the draw.

    Returns:
        Two uint32 arrays of the broadcast shape.
    """
    index = np.asarray(index).astype(np.uint32)
    return threefry2x32(
        stream_key(seed, stream, split), index, np.asarray(counter).astype(np.uint32)
    )


def bits_tf(
    seed: int, stream: Stream, split: SplitId, index: Any, counter: Any = 0
) -> tuple[Any, Any]:
    """`bits` in TensorFlow: integer tensors in, two uint32 tensors out."""
    import tensorflow as tf

    index = tf.cast(tf.convert_to_tensor(index), tf.uint32)
    counter = tf.cast(tf.convert_to_tensor(counter), tf.uint32)
    return threefry2x32_tf(stream_key(seed, stream, split), index, counter)


def permutation(
    seed: int, stream: Stream, split: SplitId, count: int, counter: int = 0
) -> np.ndarray:
    """A permutation of range(count), int32 [count]: the stable order of 64 random bits each."""
    high, low = bits(seed, stream, split, np.arange(count), counter)
    keys = high.astype(np.uint64) << np.uint64(32) | low
    return np.argsort(keys, kind="stable").astype(np.int32)

"""Which examples a class-balanced part of a data set has. Imports no TensorFlow."""

import numpy as np

from rethink_tf.corruptions import threefry


def rows(index: np.ndarray, labels: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """The rows of `registry.take`: int64 [count], ascending.

    Args:
        index: int64 [N], identities of the training examples.
        labels: int32 [N], their classes.
        count: 1 to N.
        seed: 0 to 2**32 - 1.
    """

    def keys(counter):
        high, low = threefry.bits(
            seed, threefry.Stream.SUBSET, threefry.SplitId.TRAIN, index, counter
        )
        return high.astype(np.uint64) << np.uint64(32) | low

    # The first of each class, then the second of each class, and so on, as cards are dealt.
    return np.sort(np.lexsort((keys(1), rank_in_class(labels, keys(0))))[:count])


def rank_in_class(labels: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The rank of each example among those of its class, from 0, by ascending key: int64 [N]."""
    sizes = np.bincount(labels)
    rank = np.empty(len(labels), np.int64)
    rank[np.lexsort((keys, labels))] = np.arange(len(labels)) - np.repeat(
        np.cumsum(sizes) - sizes, sizes
    )
    return rank

"""Labels that the tests of checks share: classes of unequal size, and their honest corruption."""

import numpy as np

from rethink_tf.corruptions import labels as corruptions

K, N = 10, 5000
INDEX = np.arange(N, dtype=np.int64)
# Classes of unequal size, as in digits: 400 to 600.
SIZES = np.array([400, 420, 450, 480, 500, 510, 520, 550, 570, 600])
TRUE = np.random.default_rng(0).permutation(np.repeat(np.arange(K), SIZES)).astype(np.int32)
# As CIFAR-100: at p = 1 about 5 of each class go to each other, too few for `uniformity`.
MANY = np.random.default_rng(0).permutation(np.repeat(np.arange(100), 500)).astype(np.int32)


def honest(probability=1.0, seed=0, noise="uniform", true=TRUE):
    return noisy(true, probability, true.max() + 1, seed, noise)


def true_labels(n, k, seed=0):
    return np.random.default_rng(seed).integers(0, k, n)


def noisy(true, p, k, seed=0, noise="uniform"):
    return corruptions.corrupt_labels(
        true, np.arange(len(true)), probability=p, num_classes=k, seed=seed, noise=noise
    )

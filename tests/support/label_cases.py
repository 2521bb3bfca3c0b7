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
        true, np.arange(len(true)), corrupt=p, num_classes=k, seed=seed, label_noise=noise
    )


def honest_sets(count, classes, sizes, seed=0):
    """Honest labels of all kinds: (name, true, given, arguments of `audit.labels`).

    True labels at random, of unequal classes, sorted or in turn; noise of a stated kind, or of a
    rate for each class, or to some classes more than to others.
    """
    rng = np.random.default_rng(seed)
    for trial in range(count):
        k, n = classes[trial % len(classes)], sizes[trial // len(classes) % len(sizes)]
        order = ("random", "skewed", "sorted", "skewed sorted", "in turn")[trial % 7 % 5]
        true = rng.choice(k, n, p=rng.dirichlet(np.full(k, 1 if "skewed" in order else 1e6)))
        true = np.arange(n) % k if order == "in turn" else np.sort(true) if "so" in order else true
        kinds = ("uniform", "exclude_true", "pair_flip", "by class", "uneven")
        noise, p = str(rng.choice(kinds)), float(rng.choice([0.01, 0.1, 0.3, 0.5, 0.9, 1.0]))
        options = {"num_classes": k}
        index = np.sort(rng.choice(3 * n, n, replace=False)) if trial % 2 else None
        if noise in kinds[:3]:
            given = noisy(true, p, k, trial, noise)
            options |= {"p": p, "noise": noise}
        else:
            some = min(k - 1, 20)
            share = rng.dirichlet(np.full(some, 0.5 if noise == "uneven" else 1e6))
            step = rng.choice(some, n, p=share) if noise == "uneven" else rng.integers(0, k - 1, n)
            rate = rng.random(k)[true] if noise == "by class" else p
            given = np.where(rng.random(n) < rate, (true + 1 + step) % k, true)
        if index is not None:  # in an order of its own, which the index undoes
            mixed = rng.permutation(n)
            true, given, options["index"] = true[mixed], given[mixed], index[mixed]
        yield f"{k} classes, {n} {order}, {noise} at {p}", true, given, options

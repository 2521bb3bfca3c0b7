"""The bandwidth of the gaussian kernel, chosen on a held-out part of the training set.

    rethink-tf bandwidth --dataset=cifar10

The test set has no part in it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rethink_tf.corruptions import threefry
from rethink_tf.corruptions.threefry import SplitId, Stream
from rethink_tf.errors import RequestError
from rethink_tf.theory.kernels import interpolate as kernels
from rethink_tf.theory.kernels import minimum_norm
from rethink_tf.theory.kernels.gram import Kernel

FACTORS = tuple(2.0**k for k in range(-4, 5))  # multiples of 1 / (median squared distance)
SAMPLE = 1000


def median_squared_distance(x: np.ndarray) -> float:
    """The median of |x_i - x_j|^2 over pairs of the first SAMPLE rows of [n, d]."""
    x = x[:SAMPLE].astype(np.float64)
    squares = (x**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * x @ x.T
    return float(np.median(distances[np.triu_indices(len(x), 1)]))


def held_out(n: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions to solve for, and `count` positions to measure on: a random division of n."""
    order = threefry.permutation(seed, Stream.SUBSET, SplitId.TRAIN, n, counter=2)
    return np.sort(order[count:]), np.sort(order[:count])


def errors(
    features: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    *,
    gammas: list[float],
    ridges: list[float],
    count: int,
    seed: int,
    interpolate: Callable = kernels.interpolate,
    **options: Any,
) -> Iterator[tuple[float, float, float | None, float | None]]:
    """Yields (gamma, ridge, error on the held-out part, relative residual) of each pair.

    Both are None where the kernel matrix is not positive definite in its precision.

    Args:
        features: float32 [n, d], of training examples.
        labels: int [n], as given.
        num_classes: K.
        gammas, ridges: all pairs are tried.
        count: how many examples are held out.
        seed: which.
        interpolate, options: `kernels.interpolate` and its arguments.
    """
    fit, measured = held_out(len(features), count, seed)
    targets = minimum_norm.one_hot(labels[fit], num_classes)
    for gamma in gammas:
        for ridge in ridges:
            kernel = Kernel("gaussian", gamma)
            try:
                found = interpolate(
                    features[fit], features[measured], targets, kernel, ridge=ridge, **options
                )
            except RequestError:  # the kernel is too smooth for this precision
                yield gamma, ridge, None, None
                continue
            error = minimum_norm.errors(found.predicted, labels[measured])
            yield gamma, ridge, error, found.residuals[-1]

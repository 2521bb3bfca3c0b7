"""Sharpness by perturbation: how much weight noise leaves the training accuracy nearly unchanged.

As in Jiang et al., "Fantastic generalization measures and where to find them" (2020): the largest
sigma at which the mean training accuracy under normal noise with standard deviation sigma on every
weight is at most 0.1 below that of the weights themselves. Sharpness is 1 / sigma. In the second
form the standard deviation depends on the weight, sigma * sqrt(w^2 + 0.001^2), so rescaling does
not matter. Batch-norm statistics do not change. Imports NumPy alone.
"""

import functools
from collections.abc import Callable

import numpy as np

DROP = 0.1
EPSILON = 1e-3
HALVINGS = 12  # bisections of a range of 10**10: sigma is found to a factor of 1.006
LOWEST, HIGHEST = 1e-8, 1e2


def largest_sigma(
    weights: list[np.ndarray],
    accuracy: Callable[[list[np.ndarray]], float],
    *,
    relative: bool,
    draws: int,
    seed: int,
    progress: Callable[[float], object] = lambda share: None,
) -> float:
    """The largest sigma by bisection of its logarithm, with the same noise at each sigma.

    Args:
        weights: float32 arrays.
        accuracy: of given weights, a fraction from 0 to 1.
        relative: noise in proportion to each weight.
        draws: of the noise, over which the accuracy is a mean.
        seed: of the noise.
        progress: gets the share that is done, after each draw.

    Returns:
        sigma, from 1e-8 to 100; at its ends where the bound lies beyond.
    """
    least, done = accuracy(weights) - DROP, 0

    def bears(sigma: float) -> bool:
        nonlocal done
        draw, total = np.random.default_rng(seed), 0.0
        for _ in range(draws):
            total += accuracy([w + np.float32(sigma) * _noise(draw, w, relative) for w in weights])
            done += 1
            progress(done / (draws * (HALVINGS + 1)))
        return total / draws >= least

    low, high = np.log10(LOWEST), np.log10(HIGHEST)
    if bears(HIGHEST):
        return HIGHEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if bears(10**middle) else (low, middle)
    return float(10**low)


def _noise(draw, weight: np.ndarray, relative: bool) -> np.ndarray:
    noise = draw.standard_normal(weight.shape, np.float32)
    return noise * np.sqrt(weight**2 + np.float32(EPSILON**2)) if relative else noise


def _half(progress, half: int, share: float) -> None:
    progress((half + share) / 2)


def measure(weights, accuracy, *, draws: int, seed: int, progress=lambda share: None) -> dict:
    """`sigma` and `sigma_relative`, and `sharpness` and `sharpness_relative`, 1 over them."""
    measures = {}
    for half, (name, relative) in enumerate((("", False), ("_relative", True))):
        sigma = largest_sigma(
            weights,
            accuracy,
            relative=relative,
            draws=draws,
            seed=seed,
            progress=functools.partial(_half, progress, half),
        )
        measures[f"sigma{name}"], measures[f"sharpness{name}"] = sigma, 1 / sigma
    return measures

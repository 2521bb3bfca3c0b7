"""The norm of the least-norm solution and its test error, by preprocessing (section 5).

The paper's point: the norm does not tell which solution predicts. Everything is float64.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from rethink_tf.corruptions import labels as corruptions
from rethink_tf.data import registry as datasets
from rethink_tf.data import types
from rethink_tf.errors import RequestError
from rethink_tf.theory import preprocessing
from rethink_tf.theory.kernels import memory

RANK = 1e-10  # eigenvalues of the Gram matrix below this part of the largest count as zero
EXACT = 1e-6  # relative residual below which a solution counts as interpolating


def solve(features: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Least-norm coefficients on the span of the examples, by the Gram matrix.

    Args:
        features: float64 [n, D].
        targets: float64 [n, K].

    Returns:
        alpha [n, K] (w = features' alpha); ||w||; the relative residual, which is not 0 where the
        Gram matrix has no full rank.
    """
    return _on_span(*_spectrum(features), targets)


def _spectrum(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues [n], ascending, and eigenvectors [n, n] of the Gram matrix: what takes long."""
    return np.linalg.eigh(features @ features.T)


def _on_span(values, vectors, targets) -> tuple[np.ndarray, float, float]:
    """What `solve` returns, of the Gram matrix' eigenvalues and eigenvectors."""
    kept = values > RANK * values[-1]
    inverse = np.where(kept, 1 / np.where(kept, values, 1), 0)
    parts = vectors.T @ targets
    alpha = vectors @ (inverse[:, None] * parts)
    norm = float(np.sqrt((inverse[:, None] * parts**2).sum()))
    residual = float(np.linalg.norm(parts[~kept]) / np.linalg.norm(targets))
    return alpha, norm, residual


def require(examples: int, train: types.Split) -> None:
    """Refuses more examples than there are (RequestError)."""
    if examples > train.num_examples:
        raise RequestError(
            f"--choice_images: expected at most the {train.num_examples} training images, "
            f"received {examples}"
        )


def choices(
    train: types.Split,
    test: types.Split,
    *,
    examples: int = 1000,
    seed: int = 0,
    say: Callable[[str], None] = print,
    progress: Callable[[str, float], object] = lambda stage, share: None,
) -> list[dict[str, Any]]:
    """Norm and test error of the least-norm solution, for each choice of preprocessing.

    Features are scaled so that the mean of ||x||^2 over the training examples is 1: a norm says
    something only beside the length of what it multiplies.

    Args:
        train, test: the examples; a class-balanced part of `train` is taken.
        examples: n.
        seed: of the part taken, of random features, of random labels.
        say: takes a line for each choice.
        progress: gets a choice that takes long and the share of it that is done.

    Returns:
        One dict each: `name`, `dimensions`, `norm`, `norm_random` (of the solution for random
        labels), `norm_unscaled`, `test_error`, `train_error`, `residual`. Choices with fewer
        dimensions than examples do not interpolate and are marked by `residual` above 0.

    Raises:
        RequestError: more examples than there are, or than fit into memory.
    """
    from rethink_tf.theory.kernels.minimum_norm import (
        one_hot,  # imports SciPy, which a report does not need
    )

    require(examples, train)
    parts = _memory(examples, test.num_examples, train.image_shape)
    memory.require(parts, memory.available(), "type a smaller --choice_images")
    part = datasets.take(train, examples, seed=seed)
    given = corruptions.corrupt_labels(
        part.labels, part.index, corrupt=1.0, num_classes=part.num_classes, seed=seed
    )
    targets, drawn = (one_hot(labels, part.num_classes) for labels in (part.labels, given))
    measured = []
    for name, function in preprocessing.CHOICES.items():
        shown = {"progress": functools.partial(progress, name)}
        shown = shown if name in preprocessing.LONG else {}
        x, seen = function(part.images, test.images, seed, **shown)
        choice = {"name": name, **_solved(x, seen, part.labels, test.labels, targets, drawn)}
        measured.append(choice)
        residual = choice["residual"]
        note = "" if residual < EXACT else f"; does not interpolate, residual {residual:.2g}"
        say(
            f"{name}: norm {choice['norm']:.1f}, test error {100 * choice['test_error']:.2f}%{note}"
        )
    return measured


def _solved(
    x: np.ndarray,
    seen: np.ndarray,
    labels: np.ndarray,
    test_labels: np.ndarray,
    targets: np.ndarray,
    drawn: np.ndarray,
) -> dict[str, Any]:
    """What `choices` says of features [n, d] and [m, d], for true and for random targets [n, k]."""
    scale = np.sqrt(np.square(x).sum(axis=1).mean())
    x, seen = x / scale, seen / scale
    spectrum = _spectrum(x)  # shared by both types of labels
    alpha, norm, residual = _on_span(*spectrum, targets)
    w = x.T @ alpha
    errors = [
        float(np.mean((inputs @ w).argmax(axis=1) != known))
        for inputs, known in ((x, labels), (seen, test_labels))
    ]
    return {
        "dimensions": x.shape[1],
        "norm": norm,
        "norm_random": _on_span(*spectrum, drawn)[1],
        "norm_unscaled": norm / float(scale),
        "test_error": errors[1],
        "train_error": errors[0],
        "residual": residual,
    }


def _memory(n: int, m: int, image_shape) -> dict[str, int]:
    """Bytes at the peak of `choices`: features of the widest choice, their Gram and its vectors."""
    widest = max(preprocessing.RANDOM_FEATURES, 2 * int(np.prod(image_shape)))
    return {"features": 4 * (n + m) * widest * 8, "Gram matrix and eigenvectors": 4 * n * n * 8}


def rank_correlation(results: list[dict[str, Any]]) -> float:
    """Spearman's correlation of norm and test error over the choices that interpolate."""
    from scipy.stats import spearmanr

    exact = [choice for choice in results if choice["residual"] < EXACT]
    if len(exact) < 3:
        return float("nan")
    return float(spearmanr(*([c[k] for c in exact] for k in ("norm", "test_error"))).statistic)

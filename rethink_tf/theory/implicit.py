"""SGD finds the minimum norm; and the norm does not tell which solution predicts (section 5).

    python -m rethink_tf.theory.implicit --dataset=cifar10

Linear regression on fewer images than pixels has many solutions without error. SGD from zero never
leaves the span of the images, so it ends at the one of least norm (equation 3), the pseudo-inverse
solution; from elsewhere it keeps what its start had outside of that span. Everything is float64.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from rethink_tf import corruptions, datasets
from rethink_tf.errors import RequestError
from rethink_tf.theory import preprocessing

RECORDED = 60  # points of a curve, evenly spaced in log steps
RANK = 1e-10  # singular values below this part of the largest count as zero


def one_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Targets 0 and 1: float64 [N, K]."""
    return np.eye(num_classes)[labels]


def minimum_norm(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The least-norm solution of x w = y, by the pseudo-inverse: [n, d], [n, K] -> [d, K]."""
    return np.linalg.lstsq(x, y, rcond=RANK)[0]


def descend(
    x: np.ndarray,
    y: np.ndarray,
    start: np.ndarray,
    *,
    steps: int,
    batch: int = 10,
    rate: float | None = None,
    seed: int = 0,
) -> dict[str, list[float]]:
    """SGD on the halved mean squared error, watched by its distance to the least-norm solution.

    Args:
        x: float64 [n, d], y: float64 [n, K].
        start: float64 [d, K], the first weights.
        steps: how many.
        batch: examples a step, without replacement within an epoch.
        rate: constant learning rate; default 1 / max ||x_i||^2, with which no batch can diverge.
        seed: of the order.

    Returns:
        Lists over the recorded steps: `steps`; `distance` ||w - w*|| / ||w*||; `residual`
        ||x w - y|| / ||y||; `norm` ||w||; `outside` ||w - P w||, P the projection on the span of
        the examples, which no step can change.
    """
    best = minimum_norm(x, y)
    span = np.linalg.qr(x.T)[0]
    rate = 1 / np.square(x).sum(axis=1).max() if rate is None else rate
    marks = np.unique(np.round(np.geomspace(1, steps, RECORDED)).astype(int))
    draw, w, order = np.random.default_rng(seed), start.copy(), np.empty(0, int)
    curves = {key: [] for key in ("steps", "distance", "residual", "norm", "outside")}

    def record(step):
        curves["steps"].append(int(step))
        curves["distance"].append(float(np.linalg.norm(w - best) / np.linalg.norm(best)))
        curves["residual"].append(float(np.linalg.norm(x @ w - y) / np.linalg.norm(y)))
        curves["norm"].append(float(np.linalg.norm(w)))
        curves["outside"].append(float(np.linalg.norm(w - span @ (span.T @ w))))

    record(0)
    for step in range(1, steps + 1):
        if len(order) < batch:
            order = draw.permutation(len(x))
        rows, order = order[:batch], order[batch:]
        w -= rate / len(rows) * (x[rows].T @ (x[rows] @ w - y[rows]))
        if step in marks:
            record(step)
    return curves


def sgd(
    train: datasets.Split, *, examples: int = 100, steps: int = 20_000, batch: int = 10, seed=0
) -> dict[str, Any]:
    """SGD from zero and from elsewhere, on standardised images with their true labels.

    Args:
        train: the examples, of which a class-balanced part is taken.
        examples: n, less than the number of pixels.
        steps, batch, seed: see `descend`; the other start is normal, as long as the solution.

    Returns:
        `examples`, `dimensions`, `condition` of x x', `minimum_norm`, `zero` and `elsewhere` (see
        `descend`), `limit`: the distance at which the second must end.
    """
    dimensions = int(np.prod(train.image_shape))
    if not 2 <= examples < dimensions:
        raise RequestError(
            f"--images: expected from 2 to {dimensions - 1}, fewer images than pixels, "
            f"received {examples}"
        )
    part = datasets.take(train, examples, seed=seed)
    x = preprocessing.standardised(part.images)
    y = one_hot(part.labels, part.num_classes)
    best, singular = minimum_norm(x, y), np.linalg.svd(x, compute_uv=False)
    elsewhere = np.random.default_rng(seed).standard_normal(best.shape)
    elsewhere *= np.linalg.norm(best) / np.linalg.norm(elsewhere)
    kinds = {"steps": steps, "batch": min(batch, examples), "seed": seed}
    curves = {
        "zero": descend(x, y, np.zeros_like(best), **kinds),
        "elsewhere": descend(x, y, elsewhere, **kinds),
    }
    return {
        "examples": examples,
        "dimensions": dimensions,
        "batch": kinds["batch"],
        "condition": float((singular[0] / singular[-1]) ** 2),
        "minimum_norm": float(np.linalg.norm(best)),
        "limit": curves["elsewhere"]["outside"][0] / float(np.linalg.norm(best)),
        **curves,
    }


def solve(features: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Least-norm coefficients on the span of the examples, by the Gram matrix.

    Args:
        features: float64 [n, D].
        targets: float64 [n, K].

    Returns:
        alpha [n, K] (w = features' alpha); ||w||; the relative residual, which is not 0 where the
        Gram matrix has no full rank.
    """
    values, vectors = np.linalg.eigh(features @ features.T)
    kept = values > RANK * values[-1]
    inverse = np.where(kept, 1 / np.where(kept, values, 1), 0)
    parts = vectors.T @ targets
    alpha = vectors @ (inverse[:, None] * parts)
    norm = float(np.sqrt((inverse[:, None] * parts**2).sum()))
    residual = float(np.linalg.norm(parts[~kept]) / np.linalg.norm(targets))
    return alpha, norm, residual


def choices(
    train: datasets.Split,
    test: datasets.Split,
    *,
    examples: int = 1000,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Norm and test error of the least-norm solution, for each choice of preprocessing.

    Features are scaled so that the mean of ||x||^2 over the training examples is 1: a norm says
    something only beside the length of what it multiplies.

    Args:
        train, test: the examples; a class-balanced part of `train` is taken.
        examples: n.
        seed: of the part taken, of random features, of random labels.
        say: takes a line for each choice.

    Returns:
        One dict each: `name`, `dimensions`, `norm`, `norm_random` (of the solution for random
        labels), `norm_unscaled`, `test_error`, `train_error`, `residual`. Choices with fewer
        dimensions than examples interpolate nothing and are marked by `residual` above 0.
    """
    part = datasets.take(train, min(examples, train.num_examples), seed=seed)
    given = corruptions.corrupt_labels(
        part.labels, part.index, probability=1.0, num_classes=part.num_classes, seed=seed
    )
    targets, drawn = (one_hot(labels, part.num_classes) for labels in (part.labels, given))
    found = []
    for name, function in preprocessing.CHOICES.items():
        x, seen = function(part.images, test.images, seed)
        scale = np.sqrt(np.square(x).sum(axis=1).mean())
        x, seen = x / scale, seen / scale
        alpha, norm, residual = solve(x, targets)
        w = x.T @ alpha
        errors = [
            float(np.mean((inputs @ w).argmax(axis=1) != labels))
            for inputs, labels in ((x, part.labels), (seen, test.labels))
        ]
        found.append(
            {
                "name": name,
                "dimensions": x.shape[1],
                "norm": norm,
                "norm_random": solve(x, drawn)[1],
                "norm_unscaled": norm / float(scale),
                "test_error": errors[1],
                "train_error": errors[0],
                "residual": residual,
            }
        )
        say(f"{name}: norm {norm:.1f}, test error {100 * errors[1]:.2f}%")
    return found


def rank_correlation(found: list[dict[str, Any]]) -> float:
    """Spearman's correlation of norm and test error over the choices that interpolate."""
    from scipy.stats import spearmanr

    exact = [choice for choice in found if choice["residual"] < 1e-6]
    if len(exact) < 3:
        return float("nan")
    return float(spearmanr(*([c[k] for c in exact] for k in ("norm", "test_error"))).statistic)


def run(
    train: datasets.Split,
    test: datasets.Split,
    *,
    examples: int = 100,
    steps: int = 20_000,
    choice_examples: int = 1000,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """The experiment: `sgd` (which see), `choices` and their `rank_correlation`; plain values."""
    curves = sgd(train, examples=examples, steps=steps, seed=seed)
    for name in ("zero", "elsewhere"):
        ends = curves[name]
        say(
            f"SGD from {name}: distance to the least-norm solution {ends['distance'][-1]:.2e}, "
            f"residual {ends['residual'][-1]:.2e} after {ends['steps'][-1]:,} steps"
        )
    found = choices(train, test, examples=choice_examples, seed=seed, say=say)
    return {
        "experiment": "implicit",
        "seed": seed,
        "sgd": curves,
        "choice_examples": min(choice_examples, train.num_examples),
        "choices": found,
        "rank_correlation": rank_correlation(found),
    }


if __name__ == "__main__":
    from rethink_tf import theory_commands

    sys.exit(theory_commands.start("implicit"))

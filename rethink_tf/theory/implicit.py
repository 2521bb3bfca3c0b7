"""SGD finds the minimum norm; and the norm does not tell which solution predicts (section 5).

    rethink-tf implicit --dataset=cifar10

Linear regression on fewer images than pixels has many solutions without error. SGD from zero never
leaves the span of the images, so it ends at the one of least norm (equation 3), the pseudo-inverse
solution; from elsewhere it keeps what its start had outside of that span. Everything is float64.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from rethink_tf.data import registry as datasets
from rethink_tf.data import types
from rethink_tf.errors import RequestError
from rethink_tf.theory import norm_choices, preprocessing

RECORDED = 60  # points of a curve, evenly spaced in the logarithm of the step
RANK = 1e-10  # singular values below this part of the largest count as zero
FITTED = 1e-2  # relative residual of SGD above which it is printed that it did not fit
# For matrices of few examples, the threads of BLAS would mostly wait for each other.
_one_thread = threadpool_limits.wrap(limits=1, user_api="blas")


def sizes(num_train: int) -> dict[str, int]:
    """The numbers of images that `run` takes of a set of `num_train` where none are asked for.

    Small sets mostly have small images, which span few dimensions: more could not be fitted.
    """
    return {
        "examples": min(100, max(10, num_train // 100), num_train),
        "choice_examples": min(1000, max(50, num_train // 30), num_train),
    }


def minimum_norm(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The least-norm solution of x w = y, by the pseudo-inverse: [n, d], [n, K] -> [d, K]."""
    return np.linalg.lstsq(x, y, rcond=RANK)[0]


@_one_thread
def descend(
    x: np.ndarray,
    y: np.ndarray,
    start: np.ndarray,
    *,
    steps: int,
    batch: int = 10,
    rate: float | None = None,
    seed: int = 0,
    progress: Callable[[float], object] = lambda share: None,
) -> dict[str, list[float]]:
    """SGD on the halved mean squared error, watched by its distance to the least-norm solution.

    Args:
        x: float64 [n, d], y: float64 [n, K].
        start: float64 [d, K], the first weights.
        steps: how many.
        batch: examples a step, without replacement within an epoch.
        rate: constant learning rate; default 1 / max ||x_i||^2, with which no batch can diverge.
        seed: of the order.
        progress: gets the share of the steps that is done, now and then.

    Returns:
        Lists over the recorded steps: `steps`; `distance` ||w - w*|| / ||w*||; `residual`
        ||x w - y|| / ||y||; `norm` ||w||; `outside` ||w - P w||, P the projection on the span of
        the examples, which no step can change.
    """
    best = minimum_norm(x, y)
    _, singular, vectors = np.linalg.svd(x, full_matrices=False)
    span = vectors[singular > RANK * singular[0]].T  # repeated images add no direction
    rate = 1 / np.square(x).sum(axis=1).max() if rate is None else rate
    marks = set(np.round(np.geomspace(1, steps, RECORDED)).astype(int).tolist())
    draw, w, order = np.random.default_rng(seed), start.copy(), np.empty(0, int)
    curves: dict[str, list[Any]] = {
        key: [] for key in ("steps", "distance", "residual", "norm", "outside")
    }

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
        if step % 100 == 0:
            progress(step / steps)
    return curves


@_one_thread
def sgd(
    train: types.Split,
    *,
    examples: int = 100,
    steps: int = 20_000,
    batch: int = 10,
    seed: int = 0,
    progress: Callable[[str, float], object] = lambda stage, share: None,
) -> dict[str, Any]:
    """SGD from zero and from elsewhere, on standardised images with their true labels.

    Args:
        train: the examples, of which a class-balanced part is taken.
        examples: n, less than the number of pixels.
        steps, batch, seed: see `descend`; the other start is normal, as long as the solution.
        progress: gets a stage and the share of it that is done, now and then.

    Returns:
        `examples`, `dimensions`, `rank` and `condition` of x x' (None where it has no full rank),
        `minimum_norm`, `least_residual` (of the least-norm solution: above 0 where no weights fit
        the labels), `zero` and `elsewhere` (see `descend`), `limit`: the distance at which the
        second must end.
    """
    from rethink_tf.theory.kernels.minimum_norm import (
        one_hot,  # imports SciPy, which the list of a sweep does not need
    )

    dimensions = int(np.prod(train.image_shape))
    most = min(dimensions - 1, train.num_examples)
    if not 2 <= examples <= most:
        raise RequestError(
            f"--images: expected from 2 to {most}, fewer images than pixels, received {examples}"
        )
    part = datasets.take(train, examples, seed=seed)
    x = preprocessing.standardised(part.images)
    if not x.any():
        raise RequestError(f"--images: expected images that vary, all {examples} are constant")
    y = one_hot(part.labels, part.num_classes)
    best, singular = minimum_norm(x, y), np.linalg.svd(x, compute_uv=False)
    elsewhere = np.random.default_rng(seed).standard_normal(best.shape)
    elsewhere *= np.linalg.norm(best) / np.linalg.norm(elsewhere)
    kinds = {"steps": steps, "batch": min(batch, examples), "seed": seed}
    curves = {
        name: descend(
            x, y, start, **kinds, progress=lambda share, of=f"SGD from {name}": progress(of, share)
        )
        for name, start in (("zero", np.zeros_like(best)), ("elsewhere", elsewhere))
    }
    rank = int(np.sum(singular > RANK * singular[0]))
    return {
        "examples": examples,
        "dimensions": dimensions,
        "batch": kinds["batch"],
        "rank": rank,
        "condition": float((singular[0] / singular[-1]) ** 2) if rank == examples else None,
        "least_residual": float(np.linalg.norm(x @ best - y) / np.linalg.norm(y)),
        "minimum_norm": float(np.linalg.norm(best)),
        "limit": curves["elsewhere"]["outside"][0] / float(np.linalg.norm(best)),
        **curves,
    }


def run(
    train: types.Split,
    test: types.Split,
    *,
    examples: int = 100,
    steps: int = 20_000,
    choice_examples: int = 1000,
    seed: int = 0,
    say: Callable[[str], None] = print,
    progress: Callable[[str, float], object] = lambda stage, share: None,
) -> dict[str, Any]:
    """The experiment: `sgd` (which see), `choices` and their `rank_correlation`; plain values."""
    norm_choices.require(choice_examples, train)
    curves = sgd(train, examples=examples, steps=steps, seed=seed, progress=progress)
    for name in ("zero", "elsewhere"):
        ends = curves[name]
        say(
            f"SGD from {name}: distance to the least-norm solution {ends['distance'][-1]:.2e}, "
            f"residual {ends['residual'][-1]:.2e} after {ends['steps'][-1]:,} steps"
            + (
                f"; the part of its start outside the span of the images is {curves['limit']:.3f}"
                if name == "elsewhere"
                else ""
            )
        )
    note = unfitted(curves)
    if note:
        say(note)
    chosen = norm_choices.choices(
        train, test, examples=choice_examples, seed=seed, say=say, progress=progress
    )
    missed = [choice for choice in chosen if choice["residual"] >= norm_choices.EXACT]
    if missed:
        say(
            f"{len(missed)} of {len(chosen)} choices do not interpolate {choice_examples:,} "
            "images: their norms cannot be compared; try fewer --choice_images"
        )
    correlation = norm_choices.rank_correlation(chosen)
    if np.isfinite(correlation):
        count = len(chosen) - len(missed)
        say(f"rank correlation of norm and test error over {count} choices: {correlation:.2f}")
    return {
        "experiment": "implicit",
        "seed": seed,
        "sgd": curves,
        "choice_examples": choice_examples,
        "choices": chosen,
        "rank_correlation": correlation,
    }


def unfitted(result: dict[str, Any]) -> str:
    """Why SGD did not fit the labels, of what `sgd` returned; nothing where it did."""
    n = result["examples"]
    if result["least_residual"] >= norm_choices.EXACT:
        return (
            f"not fitted: these {n} images span {result['rank']} dimensions, so no weights fit "
            f"their labels (residual at least {result['least_residual']:.2g}); type fewer --images"
        )
    worst = max(result[name]["residual"][-1] for name in ("zero", "elsewhere"))
    if worst < FITTED:
        return ""
    return (
        f"not fitted: SGD still has a residual of {worst:.2g} after "
        f"{result['zero']['steps'][-1]:,} steps; type more --steps or fewer --images"
    )

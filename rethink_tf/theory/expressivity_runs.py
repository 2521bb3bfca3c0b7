"""The experiment of Theorem 1 and Corollary 1: random labels of images; where float64 fails."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rethink_tf.corruptions import labels as corruptions
from rethink_tf.data import registry as datasets
from rethink_tf.data import types
from rethink_tf.errors import RequestError
from rethink_tf.theory import expressivity

COUNTS = (50, 500, 2000)
DEPTHS = (2, 3, 6)
# Values of n in the search for the one at which float64 fails.
LADDER = (1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
LOOKED_AT = 200
WRONG = 0.5  # error at which a label, a whole number, is rounded to another one
BATCH = 500


def sizes(num_train: int) -> dict[str, tuple[int, ...]]:
    """The `counts` that `run` takes of a set of `num_train` images where none are asked for."""
    return {"counts": tuple(sorted({min(count, num_train) for count in COUNTS}))}


def fit(x: np.ndarray, y: np.ndarray, *, depth: int = 2, seed: int = 0) -> dict[str, Any]:
    """Memorises and looks whether it did: evaluates the Keras model on every point.

    Args:
        x: [n, ...], all different.
        y: integer [n].
        depth, seed: see `expressivity.memorise`.

    Returns:
        `n`, `d`, `depth`, `width` (of the widest hidden layer), `weights`, counted in the model,
        and `weights_stated`, the theorem's; `errors`, labels that it gets wrong; `residual`, the
        largest error before rounding; `seconds`.
    """
    began = time.monotonic()
    model = expressivity.memorise(x, y, depth=depth, seed=seed)
    starts = range(0, len(x), BATCH)
    parts = [np.asarray(model(x[s : s + BATCH].astype(np.float64))) for s in starts]
    predicted = np.concatenate(parts)[:, 0]
    n, d = len(x), int(np.prod(x.shape[1:]))
    # In networks deeper than 2, hidden layers pass on two numbers besides their threshold units.
    carried = 2 if depth > 2 else 0
    return {
        "n": n,
        "d": d,
        "depth": depth,
        "width": carried + max(layer.units for layer in model.layers if hasattr(layer, "b")),
        "weights": int(model.count_params()),
        "weights_stated": 2 * n + d + (2 * (depth - 1) if depth > 2 else 0),
        "errors": int((np.round(predicted) != y).sum()),
        "residual": float(np.abs(predicted - y).max()),
        "seconds": time.monotonic() - began,
    }


def residual(n: int, *, place: float, seed: int = 0) -> float | None:
    """The largest of 200 errors on n random points of one dimension with random classes of ten.

    None where float64 does not tell n random points apart.
    """
    draw = np.random.default_rng(seed)
    x, y = draw.random(n), draw.integers(10, size=n)
    if len(np.unique(x)) < n:
        return None
    interpolant = expressivity.interpolate(x, y, seed=seed, place=place)
    # The last points have the longest sums, and so the largest errors.
    looked_at = np.unique(np.linspace(n // 2, n - 1, LOOKED_AT).astype(int))
    return float(
        np.abs(
            expressivity.values(interpolant, interpolant.t[looked_at]) - interpolant.y[looked_at]
        ).max()
    )


def limits(*, largest: int, seed: int = 0, say: Callable[[str], None] = print) -> dict[str, Any]:
    """From which n on float64 fails, for both places of the thresholds.

    Returns:
        `points` [{`n`, `place`, `residual`}]; `fails_from`: by place the smallest n tried whose
        residual is 0.5 or more, so that a class is wrong; None where none up to `largest` is.
    """
    points: list[dict[str, Any]] = []
    fails: dict[str, int | None] = {}
    for place, where in ((0.0, "at the preceding point"), (0.5, "midway")):
        fails[str(place)] = None
        for n in (n for n in LADDER if n <= largest):
            error = residual(n, place=place, seed=seed)
            if error is None:
                say(f"n = {n:,}: float64 cannot separate so many random points")
                break
            points.append({"n": n, "place": place, "residual": error})
            say(f"thresholds {where}, n = {n:,}: largest error {error:.1e}")
            if error >= WRONG:
                fails[str(place)] = n
                break
    return {"points": points, "fails_from": fails, "largest": largest}


def run(
    train: types.Split,
    *,
    counts: Sequence[int] = COUNTS,
    depths: Sequence[int] = DEPTHS,
    largest: int = 10_000_000,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """The experiment: plain values.

    Args:
        train: images, of which class-balanced parts are taken; their labels are drawn at random.
        counts: the n of each network.
        depths: 2 is Theorem 1, others Corollary 1.
        largest: n up to which it is looked for when float64 fails.
        seed: of parts, labels and directions.
        say: takes a line for each result.

    Raises:
        RequestError: n out of range, or equal images.
    """
    _check_sizes(train.num_examples, counts, depths)
    fits, conditions = [], []
    for n in counts:
        part = datasets.take(train, n, seed=seed)
        labels = corruptions.corrupt_labels(
            part.labels, part.index, corrupt=1.0, num_classes=part.num_classes, seed=seed
        )
        condition = expressivity.conditioning(
            expressivity.interpolate(part.images, labels, seed=seed)
        )
        conditions.append({"n": n, **condition})
        ratio = condition["condition"]
        say(
            f"n = {n:,}: smallest eigenvalue {condition['smallest_eigenvalue']:.2e}, condition "
            f"number {'not computed' if ratio is None else f'{ratio:.1e}'}, "
            f"{condition['digits_lost']:.1f} of 16 digits lost in the sum"
        )
        for depth in depths:
            fitted = fit(part.images, labels, depth=depth, seed=seed)
            fits.append(fitted)
            say(
                f"  depth {depth}, width {fitted['width']:,}: {fitted['weights']:,} weights "
                f"(stated: {fitted['weights_stated']:,}), {fitted['errors']} of {n:,} random "
                f"labels wrong, largest error {fitted['residual']:.1e}, {fitted['seconds']:.1f} s"
            )
    return {
        "experiment": "expressivity",
        "seed": seed,
        "fits": fits,
        "conditioning": conditions,
        "float64": limits(largest=largest, seed=seed, say=say),
    }


def _check_sizes(num_train: int, counts: Sequence[int], depths: Sequence[int]) -> None:
    """Refuses more points than there are images, and more layers than points allow."""
    if max(counts) > num_train:
        raise RequestError(
            f"--counts: expected at most the {num_train} training images, received {max(counts)}"
        )
    if max(depths) > min(counts) + 1:
        raise RequestError(
            f"--depths: expected at most n + 1 = {min(counts) + 1} for n = {min(counts)} points, "
            f"received {max(depths)}"
        )

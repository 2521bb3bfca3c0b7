"""Quantities computed from histories: when a threshold was reached, and spreads over seeds."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rethink_tf.config import paper
from rethink_tf.report.history import column

# The paper does not state the threshold of Figure 1b. With 0.05 the curves of Figure 1a give the
# ratios of Figure 1b.
LOSSES = (0.05, 0.1, 0.3, 0.5)
ACCURACY = 0.99
STEPS_AN_EPOCH = 391  # in the paper's curves: 50,000 examples in batches of 128


@dataclasses.dataclass(frozen=True)
class Threshold:
    """A quantity of a history, and the value from which on it counts as reached."""

    key: str
    value: float
    falling: bool

    @property
    def title(self) -> str:
        """The threshold as a title: `loss ≤ 0.05`."""
        name = "loss" if self.key == "loss" else "accuracy"
        return f"{name} {'≤' if self.falling else '≥'} {self.value:g}"

    def met(self, value: float | None) -> bool:
        """Whether a value of an epoch reaches it; None does not."""
        if value is None:
            return False
        return value <= self.value if self.falling else value >= self.value


def loss(value: float) -> Threshold:
    """A threshold on the running training loss, as in Figure 1b."""
    return Threshold("loss", value, True)


def accuracy(value: float) -> Threshold:
    """A threshold on the running training accuracy."""
    return Threshold("accuracy", value, False)


def thresholds(first: float = LOSSES[0]) -> tuple[Threshold, ...]:
    """The thresholds that tables show: the one asked for first, then the usual ones."""
    return (loss(first), *(loss(v) for v in LOSSES if v != first), accuracy(ACCURACY))


def reached(history: Sequence[dict[str, Any]], threshold: Threshold) -> int | None:
    """The first epoch whose running mean meets a threshold; None: not reached."""
    values = column(history, threshold.key)
    met = (place for place, value in enumerate(values) if threshold.met(value))
    first = next(met, None)
    return None if first is None else column(history, "epoch")[first]


def best_so_far(values: Sequence[float | None]) -> list[float | None]:
    """The largest value up to each place: the paper's shaded cumulative best test accuracy."""
    largest, best = [], None
    for value in values:
        best = value if best is None else best if value is None else max(best, value)
        largest.append(best)
    return largest


def mean(values: Sequence[float]) -> float:
    """The mean of at least one value."""
    return math.fsum(values) / len(values)


def std(values: Sequence[float]) -> float | None:
    """The sample standard deviation (n - 1); None for fewer than two values."""
    if len(values) < 2:
        return None
    middle = mean(values)
    return math.sqrt(math.fsum((v - middle) ** 2 for v in values) / (len(values) - 1))


def jumps(points: Sequence[tuple[float, float]]) -> float | None:
    """How much a curve jumps: the mean distance of a point from the middle of its neighbours.

    A curve that rises evenly has 0, however fast it rises. Points whose neighbours are not equally
    far away are left out (a last epoch that is evaluated out of turn).

    Args:
        points: (epoch, value), ascending.

    Returns:
        In the unit of the values; None where no point counts.
    """
    distances = [
        abs(y - (before[1] + after[1]) / 2)
        for before, (x, y), after in zip(points, points[1:], points[2:], strict=False)
        if x - before[0] == after[0] - x
    ]
    return mean(distances) if distances else None


def gains(with_it: Mapping[int, float], without: Mapping[int, float]) -> tuple[float, ...]:
    """The differences of the seeds that both have, by seed.

    Args:
        with_it, without: a quantity by seed.
    """
    return tuple(with_it[seed] - without[seed] for seed in sorted({*with_it} & {*without}))


def band(series: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float, float, int]]:
    """Mean and std over the seeds that have a value: (x, mean, std, n), by x.

    Args:
        series: (x, y) points of each seed.
    """
    at: dict[float, list[float]] = {}
    for points in series:
        for x, y in points:
            at.setdefault(x, []).append(y)
    return [(x, mean(ys), std(ys) or 0.0, len(ys)) for x, ys in sorted(at.items())]


def points(history: Sequence[dict[str, Any]], key: str, scale: float = 1.0):
    """The (epoch, value) pairs of a key where it is not null."""
    pairs = zip(column(history, "epoch"), column(history, key), strict=True)
    return [(epoch, scale * value) for epoch, value in pairs if value is not None]


@functools.cache
def paper_curve(name: str, column: str) -> list[tuple[float, float]]:
    """A curve of the paper as (x, y); x in epochs where the file counts steps of 391 an epoch."""
    rows = paper.paper_table(name)
    x = "step" if "step" in rows[0] else "corruption"
    unit = STEPS_AN_EPOCH if x == "step" else 1
    return [(float(row[x]) / unit, float(row[column])) for row in rows]


def paper_epochs(column: str, threshold: float) -> int | None:
    """The epoch at which a curve of the paper's Figure 1a reaches a loss."""
    return next((round(x) for x, y in paper_curve("fig1a", column) if y <= threshold), None)

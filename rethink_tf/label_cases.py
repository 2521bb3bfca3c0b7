"""Pairs of true and given labels, and the tests of evenness that hold for anyone's labels."""

import dataclasses
import functools
import math

import numpy as np
from scipy import stats

from rethink_tf import audit
from rethink_tf.audit import TAIL, Check


@dataclasses.dataclass(frozen=True)
class Found:
    """A kind, a phrase that continues "these labels are", and what was measured."""

    kind: str
    words: str
    figures: dict


@dataclasses.dataclass(frozen=True)
class Labels:
    """int64 [N] `true` and `given` with `num_classes` classes, in one order."""

    true: np.ndarray
    given: np.ndarray
    num_classes: int

    @functools.cached_property
    def changed(self) -> np.ndarray:
        return self.true != self.given

    @functools.cached_property
    def table(self) -> np.ndarray:
        return audit.transitions(self.true, self.given, self.num_classes)

    @functools.cached_property
    def flows(self) -> np.ndarray:
        """The table without the examples that kept their class."""
        return self.table - np.diag(np.diag(self.table))

    @property
    def count(self) -> str:
        n, moved = len(self.true), int(self.changed.sum())
        return f"{moved:,} of {n:,} changed ({moved / n:.4f})"

    @functools.cached_property
    def chance(self) -> float:
        """How often two examples drawn at random share their true class."""
        return float(((self.table.sum(axis=1) / len(self.true)) ** 2).sum())


def interval(count: int, n: int) -> tuple[float, float]:
    """The exact (Clopper-Pearson) 95% interval of a fraction count / n."""
    low = stats.beta.ppf(0.025, count, n - count + 1) if count else 0.0
    high = stats.beta.ppf(0.975, count + 1, n - count) if count < n else 1.0
    return float(low), float(high)


def _chi_squared(name: str, observed, expected, freedom: int) -> Check:
    if freedom < 1 or expected.min() < 5:
        least = expected.min() if expected.size else 0.0
        return Check(name, None, f"expected counts from {least:.1f}, needs 5 and two classes")
    chi2 = float(((observed - expected) ** 2 / expected).sum())
    p = float(stats.chi2.sf(chi2, freedom))
    return Check(name, p >= TAIL, f"chi-squared {chi2:.1f} on {freedom} degrees, p {p:.2g}")


def class_rates(case: Labels) -> Check:
    """Whether the same share was changed of every true class that is large enough to tell."""
    size, moved = case.table.sum(axis=1), case.flows.sum(axis=1)
    share = moved.sum() / size.sum()
    if share in (0, 1):
        return Check("class_rates", None, f"{'all' if share else 'none'} changed in every class")
    large = size * min(share, 1 - share) >= 5.5
    size, moved = size[large], moved[large]
    share = moved.sum() / max(size.sum(), 1)
    observed, expected = np.stack([moved, size - moved]), np.outer([share, 1 - share], size)
    return _chi_squared("class_rates", observed, expected, len(size) - 1)


def received_evenly(case: Labels) -> Check:
    """Whether all classes receive their share; testable where `uniformity` has too few per cell."""
    k, moved = case.num_classes, case.flows.sum(axis=1)
    if k < 3:
        return Check("received_evenly", None, "two classes: there is but one other")
    return _chi_squared("received_evenly", case.flows.sum(axis=0),
                        (moved.sum() - moved) / (k - 1), k - 1)  # fmt: skip


def coincidences(case: Labels) -> Check:
    """Whether two changed examples of a class meet in a new class as seldom as they should.

    Holds for sparse tables: under even noise the pairs are independent two by two, which gives the
    exact variance. The limit of 8 deviations allows for their skewness.
    """
    k, rows = case.num_classes, case.flows.sum(axis=1)
    pairs = float((rows * (rows - 1.0) / 2).sum())
    expected = pairs / max(k - 1, 1)
    deviation = math.sqrt(expected * (1 - 1 / max(k - 1, 1)))
    if k < 3 or expected < 5 or pairs <= expected + 8 * deviation:  # even if all went to one class
        return Check("coincidences", None, f"{pairs:.0f} pairs of changed examples are too few")
    met = float((case.flows * (case.flows - 1.0) / 2).sum())
    z = (met - expected) / deviation
    return Check("coincidences", z < 8, f"{met:.0f} pairs, expected {expected:.1f}, z = {z:.1f}")


def to_next_class(case: Labels) -> Check:
    """Whether every changed label is its true class plus one, modulo the number of classes."""
    stray = int(np.sum(case.changed & (case.given != (case.true + 1) % case.num_classes)))
    return Check("to_next_class", stray == 0, f"{stray} changed labels are not the next class")


def evenness(case: Labels) -> list[Check]:
    """Three tests of whether changed labels go evenly to all other classes, densest first."""
    dense = audit.uniformity(case.true, case.given, num_classes=case.num_classes)
    return [dense, received_evenly(case), coincidences(case)]

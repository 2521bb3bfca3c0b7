"""Tests whether the order of the examples predicts which labels were changed, or the new labels.

Noise that is drawn independently for each example does not depend on the example's position, nor on
the labels before it. There are two checks, each of many tests under one limit: *which* labels were
changed, by position; and *to what*, by position and by the labels before. Both are made within each
true class, so sorted data with class-dependent noise pass. The limits are bounds that hold for
every number of examples and classes, not approximations (see
`docs/explanation/audit_statistics.md`). Imports no TensorFlow.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import fft, special, stats

from rethink_tf.audit.check import Check
from rethink_tf.audit.label_pairs import Labels

TAIL = 1e-7  # chance that any test of this module refuses honest labels
SHORTEST = 16  # examples in the shortest interval
PERIODS = (*range(2, 65), 100, 128, 200, 250, 256, 500, 512, 1000, 1024)
LAGS = (1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 128, 256)
CHUNK = 32  # new labels that are fitted or tested at once
BLOCKS = 16
DENSE = 256  # most classes for which tables of all clues by all labels are fitted
LEAST_TESTS = 100  # tests assumed at least; evidence that is too weak for so many refuses nothing
SMALL_CLASS = 20  # examples per class on average; with fewer, classes cannot be told apart


@dataclasses.dataclass(frozen=True)
class _Test:
    """`log_p` bounds the logarithm of the chance, over all tests of its family."""

    log_p: float
    text: str

    def check(self, name: str, families: int) -> Check:
        log_p = min(self.log_p + math.log(families), 0.0)
        chance = f"{math.exp(log_p):.2g}" if log_p > -690 else "below 1e-299"
        return Check(
            name, log_p >= math.log(TAIL / 2), f"{self.text}, p-value {chance} over all tests"
        )


def changed_by_position(case: Labels, pooled: bool = False) -> Check:
    """Whether the position of an example predicts that its label was changed.

    Args:
        case: labels in the order of `case.place`.
        pooled: all examples should be changed at one rate, so classes that are too small to be
            tested one by one (`SMALL_CLASS`) are tested together.
    """
    name, changed = "changed_by_position", case.changed.astype(float)
    strata, count = case.true, case.num_classes
    text = ""
    if pooled and len(strata) < SMALL_CLASS * count:
        strata, count, text = np.zeros_like(strata), 1, " over all classes together"
    size = np.bincount(strata, minlength=count)
    moved = np.bincount(strata, changed, count)
    rate = (moved / np.maximum(size, 1))[strata]
    # The strongest evidence possible: exactly the changed examples are predicted. If even that is
    # too little, nothing can be refused.
    sides = [(changed > 0, rate), (changed == 0, 1 - rate)]
    best = max(float(_divergence(x.sum(), x.sum(), mean[x].sum())) for x, mean in sides)
    if best < math.log(LEAST_TESTS / TAIL):
        return Check(name, None, f"{int(moved.sum())} of {len(strata)} changed are too few to tell")
    fewer = float(np.minimum(moved, size - moved).sum())
    tests = [
        _intervals(changed, rate),
        _periods(changed, rate, case.place, count_of=case.num_classes),
        _frequencies(changed - rate, fewer),
        _neighbours(changed, strata, count),
    ]
    worst = min(tests, key=lambda test: test.log_p)
    return dataclasses.replace(worst, text=worst.text + text).check(name, len(tests))


def _divergence(size: Any, changed: Any, expected: Any) -> Any:
    """n KL(changed / n, expected / n) for sets of n examples; 0 for empty ones."""
    n = np.maximum(size, 1)
    share, rate = changed / n, np.clip(expected / n, 0, 1)
    parts = special.rel_entr(share, rate) + special.rel_entr(1 - share, 1 - rate)
    return np.where(size > 0, size * parts, 0.0)


def _evidence(size: Any, changed: Any, expected: Any, total: Any) -> Any:
    """Minus the logarithm of a bound on the chance, one-sided, for sets chosen beforehand.

    The changed examples of a class are a draw without replacement. Its generating function is at
    most that of a draw with replacement (Hoeffding, 1963), and that of classes together at most
    that of their mean rate, so Chernoff's bound for the binomial holds. It holds for the rest of
    the examples too, which are changed too often just where these are changed too seldom.
    """
    rest = [whole - part for whole, part in zip(total, (size, changed, expected), strict=True)]
    return np.maximum(_divergence(size, changed, expected), _divergence(*rest))


def _intervals(changed: np.ndarray, rate: np.ndarray) -> _Test:
    """Halves, quarters, ... down to 16 examples, each also moved by half its length."""
    n = len(changed)
    counts, means = (np.concatenate([[0], np.cumsum(x)]) for x in (changed, rate))
    starts, ends, parts = [], [], 2
    while n // parts >= SHORTEST:
        edges = np.arange(2 * parts + 1, dtype=np.int64) * n // (2 * parts)
        starts.append(edges[:-2])
        ends.append(edges[2:])
        parts *= 2
    if not starts:
        return _Test(0.0, "too few for intervals")
    start, end = np.concatenate(starts), np.concatenate(ends)
    sets = end - start, counts[end] - counts[start], means[end] - means[start]
    evidence = _evidence(*sets, (n, counts[-1], means[-1]))
    worst = int(evidence.argmax())
    size, moved, mean = (float(x[worst]) for x in sets)
    text = f"{moved / size:.4f} changed of the examples {start[worst]:,} to {end[worst] - 1:,} in "
    text += f"order, expected {mean / size:.4f}"
    return _Test(math.log(2 * len(start)) - float(evidence[worst]), text)


def _periods(changed: np.ndarray, rate: np.ndarray, place: np.ndarray, count_of: int) -> _Test:
    """The examples of each remainder of their place by a period."""
    place = place - place.min()
    place = place.astype(np.int32) if place.max() < 2**31 else place
    total = len(changed), changed.sum(), rate.sum()
    periods = [d for d in sorted({*PERIODS, count_of}) if 2 <= d <= len(changed) // 4]
    best, sets, text = 0.0, sum(periods), "too few for periods"
    for period in periods:
        rest = place % period
        by_rest = (
            np.bincount(rest, minlength=period),
            np.bincount(rest, changed, period),
            np.bincount(rest, rate, period),
        )
        evidence = _evidence(*by_rest, total)
        worst = int(evidence.argmax())
        if evidence[worst] > best or period == periods[0]:
            best = float(evidence[worst])
            size, moved, mean = (float(x[worst]) for x in by_rest)
            text = f"{moved / max(size, 1):.4f} changed of every {_ordinal(period)} example "
            text += f"(remainder {worst}), expected {mean / max(size, 1):.4f}"
    return _Test(math.log(2 * max(sets, 1)) - best, text)


def _ordinal(number: int) -> str:
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if 10 < number % 100 < 14 else ends.get(number % 10, 'th')}"


def _frequencies(residual: np.ndarray, fewer: float) -> _Test:
    """The discrete Fourier transform of changed less rate, so every period, whole or not.

    A class adds as many unit vectors, drawn without replacement, as it has changed examples (or
    unchanged, which are as good). For draws with replacement Bernstein's bound holds in the plane
    (Pinelis, 1994), each vector less its mean being at most 2 long and 1 in mean square; for
    draws without replacement it holds as well, being of the mean of a convex function.
    """
    n = len(residual)
    length = np.abs(fft.rfft(residual))[1:]
    k = int(length.argmax())
    t = float(length[k])
    evidence = t * t / (2 * (fewer + 2 * t / 3)) if fewer else 0.0
    text = f"changed labels come and go with a period of {n / (k + 1):,.1f} examples"
    return _Test(math.log(2 * len(length)) - evidence, text)


def _neighbours(changed: np.ndarray, strata: np.ndarray, count: int) -> _Test:
    """Examples after a changed one, at some distance; one half of the blocks given the other."""
    n = len(changed)
    best, tests, text = 0.0, 0, "too few for neighbours"
    for lag in (lag for lag in LAGS if 4 * lag <= n):
        odd = np.arange(n) // lag % 2 == 1
        for chosen in (odd, ~odd):
            rows = np.flatnonzero(chosen)
            rows = rows[rows >= lag]
            mine, group = changed[rows], strata[rows]
            size = np.bincount(group, minlength=count)
            rate = (np.bincount(group, mine, count) / np.maximum(size, 1))[group]
            after = changed[rows - lag] > 0
            after_changed = int(after.sum()), float(mine[after].sum()), float(rate[after].sum())
            evidence = float(_evidence(*after_changed, (len(rows), mine.sum(), rate.sum())))
            tests += 1
            if evidence > best or tests == 1:
                best = evidence
                total, moved, mean = after_changed
                text = f"{moved / max(total, 1):.4f} changed of those {lag} after a changed "
                text += f"example, expected {mean / max(total, 1):.4f}"
    return _Test(math.log(2 * max(tests, 1)) - best, text)


@dataclasses.dataclass(frozen=True)
class _Clue:
    """What may tell the new labels.

    Attributes:
        text: its name.
        values: int [M], 0 to K - 1, of each changed example.
        free: bool [M], whose new labels may be exchanged without altering any clue.
        offset: whether it may tell the step from the true to the new label, not the new label.
        shifts: whether a constant difference of clue and label is tried, beside any map.
    """

    text: str
    values: np.ndarray
    free: np.ndarray
    offset: bool = False
    shifts: bool = True


def _clues(case: Labels, moved: np.ndarray) -> list[_Clue]:
    """All clues to the new labels of the examples `moved`.

    Where a clue is itself a new label, every second label is tested given the others.
    """
    k, n, count = case.num_classes, len(case.true), len(moved)
    true, given, place = case.true[moved], case.given[moved], case.place[moved]
    all_, rank = np.ones(count, bool), np.arange(count)
    offset = (given - true) % k
    by_class = np.argsort(true, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(true, minlength=k))])
    rank_in_class = np.empty(count, np.int64)
    rank_in_class[by_class] = rank - starts[true[by_class]]
    same_class = np.empty_like(given)
    same_class[by_class] = given[np.roll(by_class, 1)]
    before = np.maximum(moved - 1, 0)
    return [
        _Clue("the new label before", np.roll(given, 1), rank % 2 == 1),
        _Clue("the step from true to new label before", np.roll(offset, 1), rank % 2 == 1, True),
        _Clue("the new label before in the same class", same_class, rank_in_class % 2 == 1),
        _Clue("the given label of the example before", case.given[before], moved % 2 == 1),
        _Clue("the true label of the example before", case.true[before], moved > 0),
        _Clue(f"the place modulo {k}", place % k, all_),
        _Clue(f"the place modulo {k - 1}", place % (k - 1), all_, True),
        _Clue("the part of the order", moved * min(k, BLOCKS) // n, all_, shifts=False),
    ]


def new_labels_by_order(case: Labels, even: bool = False) -> Check:
    """Whether the new label of a changed example is predicted by its position or predecessors.

    A rule is fitted on about half of the changed labels, in chunks drawn at random, and tested on
    the others, and the other way round. It predicts honest labels as often as chance.

    Args:
        case: labels in the order of `case.place`.
        even: new labels should be uniform over the other classes. Then the law is an exact binomial
            if classes are too small to be tested one by one (`SMALL_CLASS`). Otherwise
            the new labels of a class may be exchanged with one another, and Chatterjee's bound
            (2007) for the matches of a random permutation is used.
    """
    name, k = "new_labels_by_order", case.num_classes
    if k < 3:
        return Check(name, None, "two classes: there is but one other")
    moved = np.flatnonzero(case.changed)
    even = even and len(moved) < SMALL_CLASS * k
    if even:
        best = len(moved) / 4 * math.log(k - 1)
    else:  # about a quarter is tested at a time; at best all of these are predicted
        size = np.maximum(case.flows.sum(axis=1, keepdims=True), 1)
        best = -_chatterjee(len(moved) / 4, float((case.flows**2 / size).sum()) / 4)
    if best < math.log(LEAST_TESTS / TAIL):
        return Check(name, None, f"{len(moved)} changed labels are too few to tell")
    true, given = case.true[moved], case.given[moved]
    chunks = np.random.default_rng(0).random(len(moved) // CHUNK + 1) < 0.5
    side = chunks[np.arange(len(moved)) // CHUNK]
    tests = []
    for clue in _clues(case, moved):
        target = (given - true) % k if clue.offset else given
        for fitted, tested in ((side, ~side), (~side, side)):
            fit, test = (np.flatnonzero(rows & clue.free) for rows in (fitted, tested))
            for told in _predicted(clue, target, true, fit, test, k):
                tests.append(_matches(clue, target[test], told, true[test], k, even))
            if k <= DENSE:
                tests.append(_among(clue, target, true, fit, test, k, even))
    worst = min(tests, key=lambda test: test.log_p)
    return worst.check(name, len(tests))


def _predicted(
    clue: _Clue, target: np.ndarray, true: np.ndarray, fit: np.ndarray, test: np.ndarray, k: int
) -> Iterator[np.ndarray]:
    """What the rules that were fitted on `fit` say of `test`: a table, a constant difference."""
    if k <= DENSE:
        best = _excess(clue, target, true, fit, k).argmax(axis=1)
    else:
        cells, counts = np.unique(clue.values[fit] * k + target[fit], return_counts=True)
        cells = cells[np.argsort(counts, kind="stable")]
        best = np.zeros(k, np.int64)
        # For the same row the last assignment stays: that of the largest count.
        best[cells // k] = cells % k
    yield best[clue.values[test]]
    if clue.shifts:
        step = np.bincount((target[fit] - clue.values[fit]) % k, minlength=k).argmax()
        yield (clue.values[test] + step) % k


def _shares(true: np.ndarray, target: np.ndarray, k: int) -> np.ndarray:
    """float [K, K]: which share of a true class got each label."""
    shares = _table(true, target, k).astype(float)
    return shares / np.maximum(shares.sum(axis=1, keepdims=True), 1)


def _excess(
    clue: _Clue, target: np.ndarray, true: np.ndarray, rows: np.ndarray, k: int
) -> np.ndarray:
    """float [K, K]: how often a clue and a label met, less what the true classes explain."""
    values, true, target = clue.values[rows], true[rows], target[rows]
    return _table(values, target, k) - _table(values, true, k) @ _shares(true, target, k)


def _among(
    clue: _Clue,
    target: np.ndarray,
    true: np.ndarray,
    fit: np.ndarray,
    test: np.ndarray,
    k: int,
    even: bool,
) -> _Test:
    """The labels that were fitted as too frequent for a clue, all together: a weaker rule that
    sees more, such as low labels first and high ones later."""
    likely = _excess(clue, target, true, fit, k) > 0
    values, target, true = clue.values[test], target[test], true[test]
    met = int(likely[values, target].sum())
    if even:
        possible = likely.sum(axis=1)[values] - likely[values, 0 if clue.offset else true]
        expected = float(possible.sum()) / (k - 1)
        log_p = -float(_divergence(len(test), met, expected)) if met > expected else 0.0
    else:
        expected = float((_table(values, true, k) @ _shares(true, target, k) * likely).sum())
        log_p = _chatterjee(met, expected)
    text = f"{met:,} of {len(test):,} new labels among those predicted from {clue.text}, expected "
    return _Test(log_p, f"{text}{expected:,.1f}")


def _table(rows: np.ndarray, columns: np.ndarray, k: int) -> np.ndarray:
    return np.bincount(rows * k + columns, minlength=k * k).reshape(k, k)


def _chatterjee(met: float, expected: float) -> float:
    """The logarithm of the bound on the chance of so many matches of a random permutation."""
    over = met - expected
    return math.log(2) - over**2 / (4 * expected + 2 * over) if over > 0 else 0.0


def _matches(
    clue: _Clue, target: np.ndarray, told: np.ndarray, true: np.ndarray, k: int, even: bool
) -> _Test:
    """How often chance foretells as many of the labels of the examples that are tested."""
    met = int((told == target).sum())
    if even:
        possible = int((told != (0 if clue.offset else true)).sum())
        expected = possible / (k - 1)
        log_p = float(stats.binom.logsf(met - 1, possible, 1 / (k - 1)))
    else:
        cells, counts = np.unique(true * k + target, return_counts=True)
        place = np.minimum(np.searchsorted(cells, true * k + told), len(cells) - 1)
        drawn = np.where(cells[place] == true * k + told, counts[place], 0) if len(cells) else 0
        expected = float((drawn / np.bincount(true, minlength=k)[true]).sum())
        log_p = _chatterjee(met, expected)
    text = f"{met:,} of {len(target):,} new labels predicted from {clue.text}, expected "
    return _Test(log_p, f"{text}{expected:,.1f}")

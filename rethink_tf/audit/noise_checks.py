"""Checks of labels that should have been drawn by a stated rule. They need no reference.

They work for labels of any origin, also for those that the pipeline yields. Imports no TensorFlow.
"""

import math

import numpy as np
from scipy import stats

from rethink_tf.audit.check import TAIL, Check
from rethink_tf.audit.label_order import changed_by_position, new_labels_by_order
from rethink_tf.audit.label_pairs import Labels
from rethink_tf.corruptions.labels import expected_changed

# Where counts are small (5 expected in a cell, 10 pairs), a statistic exceeds a limit of chance
# 1e-7 up to ten times as often as its approximation says (simulated, 10 million draws each).
LIMIT = TAIL / 10
CHANCE_Z = 5.0


def checks_of_noise(
    case: Labels, corrupt: float | None, label_noise: str, matrix: np.ndarray | None = None
) -> list[Check]:
    """All checks of labels that should have been drawn by a kind of noise.

    Args:
        case: the labels, in the order of the examples' identities where these are known.
        corrupt: probability of replacement; None where it is not known.
        label_noise: one of `corruptions.LABEL_NOISE`.
        matrix: float [K, K] in place of these (`corruptions.corrupt_labels`), with a `corrupt`.
    """
    if matrix is not None and corrupt is not None:
        return checks_of_matrix(case, corrupt, matrix)
    checks = [] if corrupt is None else [changed_count(case, corrupt, label_noise)]
    if corrupt == 0:
        return checks
    if label_noise == "pair_flip":
        checks += [to_next_class(case), class_rates(case)]
        return [*checks, changed_by_position(case, pooled=True)]
    checks += [*evenness(case), class_rates(case), not_a_permutation(case)]
    return [*checks, changed_by_position(case, pooled=True), new_labels_by_order(case, even=True)]


def changed_count(case: Labels, corrupt: float, label_noise: str = "uniform") -> Check:
    """The number of changed labels within the exact binomial tails of p(1 - 1/K)."""
    return _changed_within(case, expected_changed(corrupt, case.num_classes, label_noise))


def _changed_within(case: Labels, expected: float) -> Check:
    """The number of changed labels within the binomial tails of a share."""
    n = len(case.true)
    changed = int(case.changed.sum())
    low, high = stats.binom.ppf([TAIL, 1 - TAIL], n, expected)
    detail = (
        f"{changed / n:.4f} changed, expected {expected:.4f} within {low / n:.4f} to {high / n:.4f}"
    )
    return Check("changed_count", low <= changed <= high, detail)


def law(corrupt: float, matrix: np.ndarray) -> np.ndarray:
    """The probabilities of the labels that each class is given: float64 [K, K].

    Args:
        corrupt: probability of replacement.
        matrix: float [K, K]: of what a label is replaced by, rows of sum 1.
    """
    drawn = matrix / matrix.sum(axis=1, keepdims=True)
    return (1 - corrupt) * np.eye(len(matrix)) + corrupt * drawn


def checks_of_matrix(case: Labels, corrupt: float, matrix: np.ndarray) -> list[Check]:
    """All checks of labels of which each was replaced by one drawn from its class's row.

    Args:
        case: as for `checks_of_noise`.
        corrupt: probability of replacement.
        matrix: float [K, K], rows of sum 1.
    """
    probabilities = law(corrupt, matrix)
    # Each class has its own rate of change. The tails of such a sum are never longer than those of
    # the binomial distribution with the mean rate (Hoeffding, 1956).
    expected = float((1 - np.diag(probabilities))[case.true].mean())
    checks = [
        _changed_within(case, min(max(expected, 0.0), 1.0)),
        impossible_transitions(case, probabilities),
        transitions_by_class(case, probabilities),
        received_by_class(case, probabilities),
    ]
    return [*checks, changed_by_position(case), new_labels_by_order(case)]


def impossible_transitions(case: Labels, probabilities: np.ndarray) -> Check:
    """Whether no class was given a label that has probability 0 in its row (float [K, K])."""
    wrong = np.where(probabilities == 0, case.table, 0)
    count = int(wrong.sum())
    detail = f"{count} of {len(case.true)} labels have probability 0"
    if count:
        true, given = np.unravel_index(int(wrong.argmax()), wrong.shape)
        detail += f", most often {true} to {given}, {wrong[true, given]} times"
    return Check("impossible_transitions", count == 0, detail)


def _cells(observed: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cells of at least 5 expected; those of fewer are one, which joins the smallest if need be."""
    large = expected >= 5
    parts = [np.append(x[large], x[~large].sum()) for x in (observed, expected)]
    if parts[1][-1] < 5 and large.any():
        smallest = int(parts[1][:-1].argmin())
        for part in parts:
            part[smallest] += part[-1]
        parts = [part[:-1] for part in parts]
    return parts[0], parts[1]


def transitions_by_class(case: Labels, probabilities: np.ndarray) -> Check:
    """Chi-squared of each true class and of all together, and each transition by its binomial.

    Args:
        case: the labels.
        probabilities: float [K, K] of `law`: of the labels (columns) of each true class (rows).
    """
    name, size, by_class = "transitions_by_class", case.table.sum(axis=1), []
    for true, row in enumerate(case.table):
        observed, expected = _cells(row, size[true] * probabilities[true])
        if len(expected) > 1 and expected.min() >= 5:
            chi2 = float(((observed - expected) ** 2 / expected).sum())
            by_class.append((chi2, len(expected) - 1, true))
    alone = _one_transition(name, case, probabilities)
    if alone is not None or not by_class:
        return alone or Check(name, None, "too few examples of every class, or no choice of label")
    chances = [float(stats.chi2.sf(chi2, freedom)) for chi2, freedom, _ in by_class]
    worst = int(np.argmin(chances))
    total, freedom = sum(chi2 for chi2, _, _ in by_class), sum(each for _, each, _ in by_class)
    together = float(stats.chi2.sf(total, freedom))
    p = min(1.0, 2 * min(together, chances[worst] * len(by_class)))
    detail = (
        f"chi-squared {total:.1f} on {freedom} degrees over {len(by_class)} classes, of class "
        f"{by_class[worst][2]} {by_class[worst][0]:.1f} on {by_class[worst][1]}, p-value {p:.2g} "
        "over all tests"
    )
    return Check(name, p >= LIMIT, detail)


def _one_transition(name: str, case: Labels, probabilities: np.ndarray) -> Check | None:
    """A failure where one transition alone is not explained by chance; None where none is.

    By the exact binomial tails, so it holds for cells that are too thin for a chi-squared.
    """
    size, cells = case.table.sum(axis=1, keepdims=True), np.clip(probabilities, 0, 1)
    low = stats.binom.cdf(case.table, size, cells)
    tails = np.minimum(low, stats.binom.sf(case.table - 1, size, cells))
    true, given = np.unravel_index(int(tails.argmin()), tails.shape)
    p = float(tails[true, given]) * 2 * tails.size  # either side, any transition
    if p >= LIMIT:
        return None
    detail = f"class {true} given {given} {case.table[true, given]} times, expected "
    detail += f"{size[true, 0] * cells[true, given]:.1f}, p-value {p:.2g} over all tests"
    return Check(name, False, detail)


def received_by_class(case: Labels, probabilities: np.ndarray) -> Check:
    """Whether every label was given as often as the matrix states, over all true classes.

    It finds differences that are too small in the cells of one class. It uses the binomial tails of
    the mean probability, which hold for differing probabilities too (Hoeffding, 1956).

    Args:
        case: the labels.
        probabilities: as for `transitions_by_class`.
    """
    n, received = len(case.true), case.table.sum(axis=0)
    share = np.clip(case.table.sum(axis=1) @ probabilities / n, 0, 1)
    low, high = stats.binom.cdf(received, n, share), stats.binom.sf(received - 1, n, share)
    tails = np.minimum(low, high)
    worst = int(tails.argmin())
    p = min(1.0, float(tails[worst]) * 2 * len(received))
    detail = f"label {worst} given {received[worst]} times, expected {n * share[worst]:.1f}, "
    return Check("received_by_class", p >= LIMIT, f"{detail}p-value {p:.2g} over all tests")


def evenness(case: Labels) -> list[Check]:
    """Three tests of whether changed labels go evenly to all other classes, densest first."""
    return [uniformity(case), received_evenly(case), coincidences(case)]


def _chi_squared(name: str, observed: np.ndarray, expected: np.ndarray, freedom: int) -> Check:
    if freedom < 1 or expected.min() < 5:
        least = expected.min() if expected.size else 0.0
        detail = f"expected counts from {least:.2f}, needs 5; {max(freedom, 0)} degrees of freedom"
        return Check(name, None, detail)
    chi2 = float(((observed - expected) ** 2 / expected).sum())
    p = float(stats.chi2.sf(chi2, freedom))
    return Check(name, p >= LIMIT, f"chi-squared {chi2:.1f} on {freedom} degrees, p-value {p:.2g}")


def _one_class(name: str, observed: np.ndarray, trials: np.ndarray, share: float) -> Check | None:
    """A failure where one class alone has more or fewer than chance explains; None where none has.

    By the binomial tails, so it holds for any counts, and sees one class among a thousand, which a
    sum over all classes does not.
    """
    tails = stats.binom.cdf(observed, trials, share), stats.binom.sf(observed - 1, trials, share)
    tails = np.minimum(*tails)
    worst = int(tails.argmin())
    p = float(tails[worst]) * 2 * len(observed)  # either side, any class
    if p >= LIMIT:
        return None
    detail = f"{observed[worst]} for class {worst}, expected {trials[worst] * share:.1f}, "
    detail += f"p-value {p:.2g} over all tests"
    return Check(name, False, detail)


def uniformity(case: Labels) -> Check:
    """Chi-squared of the changed examples: each class goes evenly to all others.

    Catches classes that were merely renamed, whose changed fraction can be right by chance.
    """
    k, moved = case.num_classes, case.flows.sum(axis=1)
    cells = ~np.eye(k, dtype=bool) & (moved > 0)[:, None]
    expected = np.repeat(moved[:, None] / max(k - 1, 1), k, axis=1)
    freedom = int(np.sum(moved > 0)) * (k - 2)
    return _chi_squared("uniformity", case.flows[cells], expected[cells], freedom)


def received_evenly(case: Labels) -> Check:
    """Whether all classes receive their share; testable where `uniformity` has too few per cell."""
    name, k, moved = "received_evenly", case.num_classes, case.flows.sum(axis=1)
    if k < 3:
        return Check(name, None, "two classes: there is but one other")
    received, others = case.flows.sum(axis=0), moved.sum() - moved
    alone = _one_class(name, received, others, 1 / (k - 1))
    return alone or _chi_squared(name, received, others / (k - 1), k - 1)


def coincidences(case: Labels) -> Check:
    """Whether two changed examples of a class meet in a new class as seldom as they should.

    Holds for sparse tables too: under even noise the pairs are independent two by two, which gives
    the exact variance, and with the triangles of pairs the exact skewness of a Pearson curve. Where
    the table is dense that is a chi-squared.
    """
    name, rows = "coincidences", case.flows.sum(axis=1).astype(float)
    pairs, triples = (rows * (rows - 1) / 2).sum(), (rows * (rows - 1) * (rows - 2) / 6).sum()
    chance = 1 / max(case.num_classes - 1, 1)
    expected, variance = pairs * chance, pairs * chance * (1 - chance)
    if variance > 0:
        third = variance * (1 - 2 * chance) + 6 * triples * chance**2 * (1 - chance)
        # + 0.5: continuity correction for a count of at least `met`.
        curve = stats.pearson3(third / variance**1.5, expected + 0.5, math.sqrt(variance))
    # Not even pairs that all agree would be refused.
    if expected < 10 or variance == 0 or curve.sf(pairs) >= LIMIT:
        return Check(name, None, f"{pairs:.0f} pairs of changed examples are too few")
    met = float((case.flows * (case.flows - 1.0) / 2).sum())
    p = float(curve.sf(met))
    return Check(name, p >= LIMIT, f"{met:.0f} pairs, expected {expected:.1f}, p-value {p:.2g}")


def class_rates(case: Labels) -> Check:
    """Whether every true class that is large enough had the same share changed."""
    name, size, moved = "class_rates", case.table.sum(axis=1), case.flows.sum(axis=1)
    share = moved.sum() / size.sum()
    if share in (0, 1):
        return Check(name, None, f"{'all' if share else 'none'} changed in every class")
    if alone := _one_class(name, moved, size, share):
        return alone
    large = size * min(share, 1 - share) >= 5.5
    if large.sum() > 1:
        size, moved = size[large], moved[large]
    share = moved.sum() / max(size.sum(), 1)
    observed, expected = np.stack([moved, size - moved]), np.outer([share, 1 - share], size)
    return _chi_squared(name, observed, expected, len(size) - 1)


def to_next_class(case: Labels) -> Check:
    """Whether every changed label is its true class plus one, modulo the number of classes."""
    stray = int(np.sum(case.changed & (case.given != (case.true + 1) % case.num_classes)))
    detail = f"{stray} of {int(case.changed.sum())} changed labels are not the next class"
    return Check("to_next_class", stray == 0, detail)


def not_a_permutation(case: Labels) -> Check:
    """Class counts must move: labels drawn anew do not keep every count to the last one.

    Catches labels that were permuted among examples, over the whole set or within batches.
    """
    k, moved = case.num_classes, int(case.changed.sum())
    largest = int(np.abs(case.table.sum(axis=0) - case.table.sum(axis=1)).max())
    # Normal approximation of the chance that in all K classes as many labels arrive as leave.
    log_chance = 0.0
    if moved:
        log_chance = 0.5 * np.log(k) - (k - 1) / 2 * np.log(4 * np.pi * moved / k)
    if log_chance > np.log(TAIL):
        return Check("not_a_permutation", None, f"{moved} changed labels are too few to tell")
    detail = f"class counts differ by up to {largest} from those of the true labels"
    return Check("not_a_permutation", largest > 0, detail)


def _without_rare(table: np.ndarray) -> np.ndarray:
    """A table whose rows of less than a fifth of the mean are one row, being of no known law."""
    size = table.sum(axis=1)
    rare = size * 5 * len(size) < size.sum()
    merged = table[rare].sum(axis=0, keepdims=True)
    return np.concatenate([table[~rare], merged]) if merged.any() else table[~rare]


def independence(case: Labels) -> Check:
    """Whether given labels are independent of the true ones, like labels in another order.

    Under all orders of the given labels Pearson's chi-squared has the exact mean and variance of
    Lewis, Saunders and Westcott (1984); a gamma distribution with these is its law. The number of
    examples that agree has the mean and variance of a permutation (Hoeffding, 1951). Passes if both
    lie within their laws, and there are enough examples to notice that a tenth of the labels was
    kept.
    """
    name, n = "independence", len(case.true)
    rows, columns = (case.table.sum(axis=axis).astype(float) for axis in (1, 0))
    agree, pairs = float(np.trace(case.table)), rows * columns
    chance = float(pairs.sum()) / n
    centred = pairs.sum() - (rows * columns**2 + columns * rows**2).sum() / n + chance**2
    std = math.sqrt(max(float(centred), 0.0) / max(n - 1, 1))
    cells = _without_rare(_without_rare(case.table).T).T
    rows, columns = cells.sum(axis=1).astype(float), cells.sum(axis=0).astype(float)
    r, c = cells.shape
    if min(r, c) < 2 or n < 8 or 2 * CHANCE_Z * std > 0.1 * (n - chance):
        return Check(name, None, f"{n} examples are too few to tell")
    chi2 = n * (float((cells**2.0 / rows[:, None] / columns).sum()) - 1)
    sides = [(size - 1) * (n - size) / (n - 1) for size in (r, c)]
    spreads = [(n * float((1 / x).sum()) - len(x) ** 2) / (n - 2) for x in (rows, columns)]
    mean = n / (n - 1) * (r - 1) * (c - 1)
    variance = 2 * n / (n - 3) * (sides[0] - spreads[0]) * (sides[1] - spreads[1])
    variance += n**2 / (n - 1) * spreads[0] * spreads[1]
    law = stats.gamma(mean**2 / variance, scale=variance / mean)
    p, z = 2 * float(min(law.sf(chi2), law.cdf(chi2))), (agree - chance) / std
    detail = f"{agree / n:.4f} agree, chance {chance / n:.4f} +- {std / n:.4f}; chi-squared "
    detail += f"{chi2:,.1f} on {(r - 1) * (c - 1):,} degrees, p-value {p:.2g}"
    return Check(name, abs(z) <= CHANCE_Z and p >= TAIL, detail)

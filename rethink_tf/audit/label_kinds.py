"""Finds the rule that turned true labels into given ones: one function per rule, the surest first.

A function names a rule only if chance would produce it with a probability below `TAIL`, so honest
noise is not misnamed. If no rule is found, the labels have symmetric noise, uneven noise, or are
too few to tell.
"""

import dataclasses
import math

import numpy as np
from scipy import stats

from rethink_tf.audit.check import TAIL
from rethink_tf.audit.label_order import changed_by_position, new_labels_by_order
from rethink_tf.audit.noise_checks import (
    Labels,
    class_rates,
    evenness,
    independence,
    not_a_permutation,
)

KINDS = (
    "untouched",
    "uniform",
    "exclude_true",
    "pair_flip",
    "renamed",
    "permuted",
    "permuted_in_batches",
    "shifted",
    "constant",
    "asymmetric",
    "class_dependent",
    "independent",
    "position_dependent",
    "predictable",
    "redrawn",
    "unclear",
)
MAX_BATCH = 1 << 16
LAGS = [s * k for k in (*range(1, 17), 32, 50, 64, 100, 128, 200, 250, 256, 500, 512, 1000)
        for s in (1, -1)]  # fmt: skip
# Labels shuffled within batches of B equal their neighbour's old label at a rate up to 1/B.
SHIFTED_SHARE = 0.1
SURE = -math.log(TAIL)


@dataclasses.dataclass(frozen=True)
class LabelKind:
    """A kind, a phrase that continues "these labels are", and what was measured."""

    kind: str
    message: str
    figures: dict


def interval(count: int, n: int) -> tuple[float, float]:
    """The exact (Clopper-Pearson) 95% interval of a fraction count / n."""
    low = stats.beta.ppf(0.025, count, n - count + 1) if count else 0.0
    high = stats.beta.ppf(0.975, count + 1, n - count) if count < n else 1.0
    return float(low), float(high)


def _untouched(case: Labels) -> LabelKind | None:
    if not case.changed.any():
        message = f"untouched: all {len(case.true):,} given labels equal the true ones"
        return LabelKind("untouched", message, {})
    return None


def _constant(case: Labels) -> LabelKind | None:
    only = int(case.given[0])
    if (case.given == only).all() and (len(case.given) - 1) * math.log(case.num_classes) > SURE:
        return LabelKind("constant", f"constant: every label is class {only}, {case.count}", {})
    return None


def _largest_flows(case: Labels, limit: int = 6) -> str:
    """The largest flows from class to class, as in `3 -> 5 (0.31 of class 3)`."""
    flows, size, k = case.flows, case.table.sum(axis=1), case.num_classes
    largest = np.argsort(-flows, axis=None, kind="stable")[:limit]
    cells = [(c // k, c % k) for c in largest if flows.flat[c]]
    text = ", ".join(f"{i} -> {j} ({flows[i, j] / size[i]:.2f} of class {i})" for i, j in cells)
    return text + (", ..." if (flows > 0).sum() > len(cells) else "")


def _fixed_map(case: Labels) -> LabelKind | None:
    """Each class goes to one class only: `renamed`, `pair_flip`, or `asymmetric`."""
    k, flows, size = case.num_classes, case.flows, case.table.sum(axis=1)
    touched, moved = np.flatnonzero(flows.any(axis=1)), int(flows.sum())
    if ((flows > 0).sum(axis=1) > 1).any():
        return None
    full = bool((np.diag(case.table)[touched] == 0).all())
    if k < 3:  # with one other class a map is no evidence, unless all labels changed
        if not full or len(case.true) * math.log(2) <= SURE or (size[touched].sum() < size.sum()):
            return None
    elif (moved - len(touched)) * math.log(k - 1) <= SURE:
        return None
    to, present = np.arange(k), np.flatnonzero(size)
    to[touched] = flows[touched].argmax(axis=1)
    mine = np.isin(case.true, touched)
    even = class_rates(Labels(case.true[mine], case.given[mine], k)).passed is not False
    share, offset = moved / int(mine.sum()), np.unique(to[touched] - touched)
    # A class without a changed label counts as kept only if it is too large for chance.
    settled = present[(flows.sum(axis=1) > 0)[present] | ((1 - share) ** size[present] < TAIL)]
    one_to_one = len(np.unique(to[settled])) == len(settled)
    figures = {"map": {int(i): int(to[i]) for i in touched}, "share": share}
    of = "all" if full else f"a share of {share:.2f}"
    ends = {int(case.true.max()), int(case.given.max())}
    all_move = len(touched) == len(settled)
    if full and all_move and len(offset) == 1 and abs(offset[0]) == 1 and ends == {k - 2, k - 1}:
        more = "greater" if offset[0] > 0 else "less"
        message = f"renamed: every class number is {more} by one, as if counted from another start"
        return LabelKind("renamed", f"{message}; {case.count}", figures)
    if k > 2 and even and all_move and (to[touched] == (touched + 1) % k).all():
        low, high = interval(moved, len(case.true))
        figures |= {"p_estimate": share, "p_low": low, "p_high": high}
        message = f"pair flips at p about {share:.2f} (95% interval {low:.3f} to {high:.3f})"
        return LabelKind(
            "pair_flip", f"{message}: changed labels are the next class; {case.count}", figures
        )
    if one_to_one and even and (full or 2 * len(touched) > len(settled)):
        message = f"the true labels with {len(touched)} classes renamed, {of} of their examples"
        return LabelKind("renamed", f"{message}: {_largest_flows(case)}; {case.count}", figures)
    merged = "" if one_to_one or not full else "a fixed map that merges classes, "
    message = f"asymmetric: {merged}each class changes to one other class: {_largest_flows(case)}"
    return LabelKind("asymmetric", f"{message}; {case.count}", figures)


def _full_map(case: Labels) -> LabelKind | None:
    return _fixed_map(case) if not np.diag(case.table).any() else None


def _at_lag(lag: int, n: int) -> tuple[slice, slice]:
    """Positions i and i - lag, where both exist."""
    return slice(max(lag, 0), n + min(lag, 0)), slice(max(-lag, 0), n - max(lag, 0))


def _shift_kind(case: Labels, lag: int, agree: float, text: str) -> LabelKind:
    side = "before" if lag > 0 else "after"
    message = f"shifted: {text} the true label {abs(lag)} position{'s'[: abs(lag) > 1]} {side}"
    return LabelKind(
        "shifted", f"{message} (misaligned); {case.count}", {"lag": lag, "share": agree}
    )


def _shifted(case: Labels) -> LabelKind | None:
    """Every label is that of the example `lag` positions before, from some position on."""
    n, first = len(case.true), int(case.changed.argmax())
    for lag in (lag for lag in LAGS if abs(lag) < n):
        here, there = _at_lag(lag, n)
        same = case.given[here] == case.true[there]
        start = max(first - here.start, 0)
        moved = int(case.changed[here][start:].sum())
        evidence = moved * math.log(case.num_classes - 1)
        if case.num_classes < 3:
            evidence = -len(same[start:]) * math.log(max(case.chance, 0.5)) if moved > 4 else 0
        if same[start:].all() and evidence > SURE + math.log(len(LAGS)):
            text = "each label is" if same.all() else f"from position {first} on, each label is"
            return _shift_kind(case, lag, float(same.mean()), text)
    return None


def _partly_shifted(case: Labels) -> LabelKind | None:
    """A share of labels follows a neighbour, beyond what each example's own class explains."""
    n, best = len(case.true), (SHIFTED_SHARE, 0)
    goes = case.table / np.maximum(case.table.sum(axis=1, keepdims=True), 1)
    for lag in (lag for lag in LAGS if abs(lag) < n):
        here, there = _at_lag(lag, n)
        chances = goes[case.true[here], case.true[there]]
        excess = float((case.given[here] == case.true[there]).sum() - chances.sum())
        std = math.sqrt(float((chances * (1 - chances)).sum()) + 1)
        share = excess / max(float((1 - chances).sum()), 1)
        if excess > 8 * std and share > best[0]:
            best = (share, lag)
    if best[1]:
        return _shift_kind(
            case, best[1], best[0], f"a share of about {best[0]:.2f} of the labels is"
        )
    return None


def _permuted_in_batches(case: Labels) -> LabelKind | None:
    """Class counts are kept in every batch of B; the smallest such B of all sizes, not of a list.

    Each class weighs a random word: the running sum of given less true words is zero, but for
    chances of 2**-64, just where all class counts agree up to there.
    """
    n, k = len(case.true), case.num_classes
    weights = np.random.default_rng(0).integers(0, 2**64, k, dtype=np.uint64)
    kept = np.cumsum(weights[case.given] - weights[case.true]) == 0
    moved = np.concatenate([[0], np.cumsum(case.changed)])
    for size in np.flatnonzero(kept[: min(n // 2, MAX_BATCH)]) + 1:
        if size < 2 or not kept[size - 1 :: size].all():
            continue
        each = np.diff(moved[::size])
        each = each[each > 0]
        # As in `not_a_permutation`, but at most 1 / (K - 1): a batch's last moved label is forced.
        log_chance = 0.5 * math.log(k) - (k - 1) / 2 * np.log(4 * math.pi * each / k)
        if -np.minimum(log_chance, -math.log(max(k - 1, 2))).sum() > SURE + math.log(n):
            message = f"permuted in batches of {size}: each batch keeps its class counts exactly"
            figures = {"batch": int(size), "batches": n // int(size)}
            return LabelKind("permuted_in_batches", f"{message}; {case.count}", figures)
    return None


def _permuted(case: Labels) -> LabelKind | None:
    check = not_a_permutation(case)
    if check.passed is not False:
        return None
    how = "assigned to other examples"
    if (np.diff(case.given) >= 0).all():
        how = "in sorted order"
    elif (case.given == case.true[::-1]).all():
        how = "in reverse order"
    share = min(float(case.changed.mean()) / (1 - case.chance), 1.0)
    message = f"a permutation of the true labels, {how}: every class count is kept exactly"
    message += f", a share of about {share:.2f} was permuted; {case.count}"
    return LabelKind("permuted", message, {"share": share})


def estimate(case: Labels, noise: str = "uniform") -> dict[str, float]:
    """Estimates p from the changed fraction under one rule, with a 95% interval.

    Args:
        case: the labels.
        noise: the rule, one of `corruptions.LABEL_NOISE`. Only uniform noise draws the true class
            again, so only there is p larger than the changed fraction.

    Returns:
        `p_estimate`, `p_low`, `p_high`; of uniform noise `exclude_true_p` too, of the other rules
        `uniform_p`: the p of the same labels by the other rule.
    """
    n, moved, most = len(case.true), int(case.changed.sum()), 1 - 1 / case.num_classes
    share, bounds = moved / n, interval(moved, n)
    scale, other = (most, "exclude_true_p") if noise == "uniform" else (1.0, "uniform_p")
    low, high = (min(bound / scale, 1.0) for bound in bounds)
    figures = {"p_estimate": min(share / scale, 1.0), "p_low": low, "p_high": high}
    return figures | {other: share if noise == "uniform" else min(share / most, 1.0)}


_RULES = {
    "uniform": "uniform",
    "exclude_true": "the true class excluded",
    "pair_flip": "pair flips",
}


def too_few(case: Labels, noise: str = "uniform") -> LabelKind:
    """The kind for labels of which too few were changed to tell the rule."""
    figures = estimate(case, noise)
    message = (
        f"too few changed labels to tell the rule: {case.count}; consistent with {_RULES[noise]} "
        f"at p from {figures['p_low']:.2f} to {figures['p_high']:.2f}"
    )
    return LabelKind("unclear", message, figures)


def _drawn(case: Labels) -> LabelKind:
    """What is left: labels drawn evenly, unevenly, or too few to tell."""
    n, k, moved = len(case.true), case.num_classes, int(case.changed.sum())
    even, rates = evenness(case), class_rates(case)
    if any(check.passed is False for check in even):
        message = f"asymmetric: not changed evenly to all classes: {_largest_flows(case)}"
        return LabelKind("asymmetric", f"{message}; {case.count}", {})
    if rates.passed is False:
        size = case.table.sum(axis=1)
        share = case.flows.sum(axis=1)[size > 0] / size[size > 0]
        low, high = share.argmin(), share.argmax()
        message = f"class-dependent: changed at rates from {share[low]:.2f} (class "
        message += f"{np.flatnonzero(size)[low]}) to {share[high]:.2f} (class "
        message += f"{np.flatnonzero(size)[high]}), evenly to the other classes; {case.count}"
        return LabelKind(
            "class_dependent", message, {"lowest_rate": share[low], "highest_rate": share[high]}
        )
    most, (low, high), share = 1 - 1 / k, interval(moved, n), moved / n
    tested = rates.passed is not None if k < 3 else any(check.passed for check in even)
    figures = estimate(case)
    if not tested:
        return too_few(case)
    if moved > stats.binom.ppf(1 - TAIL, n, most):
        message = f"changed with the true class excluded at p about {share:.2f} (95% interval "
        message += f"{low:.3f} to {high:.3f}): {case.count}, more than uniform allows ({most:.4f})"
        message += "; with two classes a pair flip is the same" if k < 3 else ""
        return LabelKind(
            "exclude_true", message, figures | {"p_estimate": share, "p_low": low, "p_high": high}
        )
    message = (
        f"uniform at p about {figures['p_estimate']:.2f} (95% interval {figures['p_low']:.3f} "
    )
    message += f"to {figures['p_high']:.3f}), true class included: {case.count}; the same "
    message += f"distribution is: true class excluded at p about {share:.2f}"
    check = not_a_permutation(case)
    message += "; a permutation cannot be told from this" if check.passed is None else ""
    return LabelKind("uniform", message, figures)


def _independent(case: Labels) -> LabelKind | None:
    """Labels that say nothing of the true ones, and are not drawn evenly or at one rate."""
    uneven = class_rates(case).passed is False
    if not uneven and all(check.passed is not False for check in evenness(case)):
        return None  # uniform noise at p = 1 is independent of the true labels as well
    check = independence(case)
    if check.passed:
        message = f"independent of the true labels: another order? {check.detail}; {case.count}"
        return LabelKind("independent", message, {})
    return None


# Types of noise in which each example is changed independently of the others, so their order does
# not matter. IDENTICAL: one rate for all examples. EVEN: all other classes equally likely.
SINGLE = (
    "uniform",
    "exclude_true",
    "pair_flip",
    "renamed",
    "asymmetric",
    "class_dependent",
    "unclear",
)
IDENTICAL, EVEN = ("uniform", "exclude_true", "pair_flip"), ("uniform", "exclude_true")


def _in_order(label_kind: LabelKind, case: Labels) -> LabelKind:
    """What the order tells beyond the kind by the labels; that kind where it tells nothing."""
    by = " (in order of index)" if case.index is not None else ""
    rest = f"{by}; as a whole {label_kind.message}"
    if label_kind.kind in SINGLE:
        place = changed_by_position(case)
        if place.passed is False:
            message = f"changed depending on the position: {place.detail}{rest}"
            return LabelKind("position_dependent", message, label_kind.figures)
        if label_kind.kind in IDENTICAL:
            place = changed_by_position(case, pooled=True)
            if place.passed is False:
                message = (
                    "changed depending on the position or on the class, too few to tell which: "
                )
                return LabelKind("unclear", f"{message}{place.detail}{rest}", label_kind.figures)
    arranged = (np.diff(case.given) >= 0).all() or (case.given == case.true[::-1]).all()
    if label_kind.kind in SINGLE or (label_kind.kind == "permuted" and not arranged):
        by_order = new_labels_by_order(case, even=label_kind.kind in EVEN)
        if by_order.passed is False:
            message = f"predictable, not drawn: {by_order.detail}{rest}"
            return LabelKind("predictable", message, label_kind.figures)
    return label_kind


def kind_of_noise(case: Labels, ordered: Labels | None = None) -> LabelKind:
    """Names the rule behind given labels.

    Args:
        case: the labels in the order in which they came.
        ordered: the same in the order of the examples' identities, with these, where they are
            known. Misalignment and batches are sought in both orders, what depends on the position
            in this one.

    Returns:
        The kind; its name is one of KINDS except `redrawn`.
    """
    cases = [case]
    if ordered is not None and not (
        np.array_equal(case.true, ordered.true) and np.array_equal(case.given, ordered.given)
    ):
        cases.append(ordered)
    # In order of certainty: a map of all examples, a shift, a map of some examples.
    finders = [(finder, case) for finder in (_untouched, _constant, _full_map)]
    finders += [(_shifted, c) for c in cases] + [(_fixed_map, case)]
    finders += [(_permuted_in_batches, c) for c in cases] + [(_permuted, case)]
    finders += [(_partly_shifted, c) for c in cases] + [(_independent, case), (_drawn, case)]
    for finder, its in finders:
        label_kind = finder(its)
        if label_kind:
            by = "" if its is case else " (in order of index)"
            label_kind = dataclasses.replace(label_kind, message=label_kind.message + by)
            return _in_order(label_kind, case if ordered is None else ordered)
    raise AssertionError("the last finder names every case")

"""Names the rule by which given labels came from true labels, in one sentence.

    rethink-tf audit labels.csv --p=0.5

From a notebook `audit.labels(true, given, p=0.5)`. Untouched, redrawn, renamed, permuted or
misaligned labels all train without an error; here each has a name. Imports no TensorFlow.
"""

import dataclasses
import html
from typing import Any

import numpy as np

from rethink_tf.audit.check import Check, equal
from rethink_tf.audit.label_kinds import KINDS, LabelKind, estimate, kind_of_noise, too_few
from rethink_tf.audit.noise_checks import (
    Labels,
    changed_count,
    checks_of_noise,
    independence,
    law,
    to_next_class,
)
from rethink_tf.corruptions.labels import LABEL_NOISE, expected_changed
from rethink_tf.data.label_file import (
    absent_note,
    as_labels,
    num_classes_of,
    read_labels,
    refuse_fractions,
    with_classes,
)
from rethink_tf.errors import RequestError

__all__ = ["KINDS", "Verdict", "labels", "read_labels"]

_ASKED = {
    "uniform": "uniform at p = {:.2f}",
    "exclude_true": "the true class excluded at p = {:.2f}",
    "pair_flip": "pair flips at p = {:.2f}",
}
_OF_MATRIX = "labels drawn from a matrix at p = {:.2f}"
# Labels that were drawn independently are none of these, whatever the matrix.
_NOT_DRAWN = (
    "redrawn",
    "permuted",
    "permuted_in_batches",
    "shifted",
    "position_dependent",
    "predictable",
)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The result of an audit of labels.

    Attributes:
        kind: one of KINDS.
        message: one or two sentences with the figures.
        figures: numbers by name: `n`, `num_classes`, `changed`, `changed_fraction`; `p_estimate`
            with its 95% interval `p_low` to `p_high` where there is a p; others by kind.
        checks: the measured properties that noise as asked for (uniform by default) must have.
        ok: whether the labels are as asked for; None if no p was given. Also True for labels that
            are too few to tell (`undecided`).
        undecided: nothing contradicts the p asked for, but the labels are too few to tell.
    """

    kind: str
    message: str
    figures: dict[str, Any]
    checks: list[Check]
    ok: bool | None
    undecided: bool = False

    def __str__(self) -> str:
        asked = {None: "", True: " - as asked for", False: " - NOT as asked for"}[self.ok]
        if self.undecided:
            asked = " - too few labels to tell; nothing contradicts the p asked for"
        plain = {k: v for k, v in self.figures.items() if isinstance(v, int | float)}
        numbers = ", ".join(
            f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in plain.items()
        )
        lines = [self.kind + asked, self.message, "", numbers]
        return "\n".join(lines + [f"  {check}" for check in self.checks])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def labels(
    true: Any,
    given: Any,
    *,
    p: float | None = None,
    noise: str = "uniform",
    matrix: np.ndarray | None = None,
    num_classes: int | None = None,
    index: Any = None,
    again: Any = None,
) -> Verdict:
    """Names the rule by which given labels came from true ones.

    Args:
        true, given: integers [N] or one-hot [N, K] of the same examples: arrays, lists, anything
            with `__array__` (PyTorch's tensors on the CPU), or an iterable of batches of them or
            of (images, labels).
        p: probability of replacement that was asked for, or None to describe only.
        noise: kind of noise that was asked for at p: `uniform` draws any class, the true one
            included (the paper's definition); `exclude_true`; `pair_flip`.
        matrix: float [K, K] in place of `noise`, rows of sum 1: with probability p a label of class
            i is replaced by one drawn from row i.
        num_classes: K; by default the columns of one-hot rows, else the largest label plus one,
            and at least two.
        index: integers [N], the examples' identities, each once. Batches and misalignment are then
            also searched for in their order; dependence on the position only in their order.
        again: the given labels as seen in a second pass, in the same order.

    Returns:
        A Verdict.

    Raises:
        RequestError: lengths that differ, no labels, or values that are not classes.
    """
    _check_arguments(p, noise, num_classes)
    if matrix is not None:
        num_classes = _classes_of(matrix, p, num_classes)
    case, ordered, second, note = _checked(true, given, num_classes, index, again)
    named = kind_of_noise(case, ordered)
    if matrix is None:
        named = _as_asked(named, case, p, noise)
    checks = checks_of_noise(ordered or case, p, noise, matrix)
    if second is not None:
        same = equal("same_over_two_passes", second, case.given, "given labels")
        checks.append(same)
        named = named if same.passed else _redrawn(named, case, second)
    changed, n = int(case.changed.sum()), len(case.true)
    figures = {
        "n": n,
        "num_classes": case.num_classes,
        "changed": changed,
        "changed_fraction": changed / n,
    } | named.figures
    ok, undecided, message = _judged(named, case, checks, p, noise, matrix)
    message += f" ({note[0].upper()}{note[1:]}.)" if note else ""
    return Verdict(named.kind, message, figures, checks, ok, undecided)


def _judged(
    named: LabelKind,
    case: Labels,
    checks: list[Check],
    p: float | None,
    noise: str,
    matrix: np.ndarray | None,
) -> tuple[bool | None, bool, str]:
    """Whether labels are as asked for, whether that cannot be told, and both in words.

    Arguments are those of `labels`, and what it made of them.
    """
    subject = "there are" if named.message.startswith("too few") else "these labels are"
    if p is None:
        return None, False, f"{subject[0].upper()}{subject[1:]} {named.message}."
    honest = named.kind in (noise, "unclear") or named.kind == "untouched"
    honest = honest if matrix is None else named.kind not in _NOT_DRAWN
    ok = honest and not any(check.passed is False for check in checks)
    undecided = ok and _too_few_to_tell(named, case, p, checks, matrix)
    wanted = (_ASKED[noise] if matrix is None else _OF_MATRIX).format(p)
    link = "as asked for, " if ok else f"asked for {wanted}, but "
    link = f"nothing contradicts {wanted}, but " if undecided else link
    if undecided and named.kind == "untouched":
        link = f"nothing contradicts {wanted}, since chance may leave so few labels unchanged; "
    hint = "" if ok or matrix is not None else _hint(named, case, p, noise)
    message = f"{link}{subject} {named.message}{hint}."
    return ok, undecided, message[0].upper() + message[1:]


def _too_few_to_tell(
    named: LabelKind, case: Labels, p: float, checks: list[Check], matrix: np.ndarray | None
) -> bool:
    """Whether labels that no check contradicts are too few to show what they are."""
    if named.kind == "untouched":  # no label changed, though at this p some should
        return p > 0 and (matrix is None or bool((np.diag(law(p, matrix))[case.true] < 1).any()))
    if matrix is not None:
        tested = {check.name for check in checks if check.passed}
        return named.kind == "unclear" and "transitions_by_class" not in tested
    return named.kind == "unclear"


def _check_arguments(p: float | None, noise: str, num_classes: int | None) -> None:
    if p is not None and not (isinstance(p, int | float | np.number) and 0 <= p <= 1):
        raise RequestError(f"p: expected a number from 0 to 1, received {p}")
    if noise not in LABEL_NOISE:
        raise RequestError(f"noise: expected one of {', '.join(LABEL_NOISE)}, received {noise}")
    if p is None and noise != "uniform":
        raise RequestError(f"noise: expected a p with it, received {noise} alone")
    if num_classes is not None and not 2 <= num_classes <= 2048:
        raise RequestError(f"num_classes: expected 2 to 2048, received {num_classes}")


def _classes_of(matrix: np.ndarray, p: float | None, num_classes: int | None) -> int:
    """K of a matrix; refuses one without a p, or of another K."""
    if p is None:
        raise RequestError("matrix: expected a p with it, 1 for the matrix as it is")
    if matrix.shape != (len(matrix), len(matrix)):
        raise RequestError(f"matrix: expected shape [K, K], received {list(matrix.shape)}")
    if num_classes not in (None, len(matrix)):
        raise RequestError(
            f"num_classes: expected {len(matrix)}, as the matrix has rows, received {num_classes}"
        )
    return len(matrix)


def _checked(
    true: Any, given: Any, num_classes: int | None, index: Any, again: Any
) -> tuple[Labels, Labels | None, np.ndarray | None, str]:
    """Labels, the same in the order of index or None, the second pass or None, and a note of
    classes that are absent; refuses what is none."""
    (true, wide), (given, wider) = (
        with_classes(n, x, num_classes) for n, x in (("true", true), ("given", given))
    )
    n = len(true)

    def of_length(name: str, values: Any) -> Any:
        if len(values) != n:
            raise RequestError(
                f"{name}: expected {n} labels as in true, received {len(values)}; "
                "are they labels of another split?"
            )
        return values

    highest = int(max(true.max(), of_length("given", given).max()))
    k = num_classes or num_classes_of(highest, wide, wider)
    note = "" if num_classes else absent_note(np.union1d(true, given), max(wide or 0, wider or 0))
    ordered = second = None
    if again is not None:
        second = of_length("again", as_labels("again", again, num_classes))
    if index is not None:
        index = of_length("index", np.asarray(index).ravel())
        if index.dtype.kind not in "iuf" or len(np.unique(index)) != n:
            raise RequestError("index: expected different whole numbers")
        refuse_fractions("index", index)
        order = np.argsort(index, kind="stable")
        ordered = Labels(true[order], given[order], k, index[order].astype(np.int64))
    return Labels(true, given, k), ordered, second, note


def _as_asked(named: LabelKind, case: Labels, p: float | None, noise: str) -> LabelKind:
    """Names what was asked for where it is the same distribution as the kind of these labels.

    All figures are then those of that rule.
    """
    if noise != "uniform" and named == too_few(case):
        fits = noise != "pair_flip" or to_next_class(case).passed
        return too_few(case, noise) if fits else named
    two = case.num_classes == 2
    same = {"uniform", "exclude_true", "renamed"} if two else {"uniform"}
    wanted = {"exclude_true", "pair_flip"} if two else {"exclude_true"}
    if noise == "pair_flip" and named.kind == "renamed" and to_next_class(case).passed:
        # If the last class is absent, pair_flip at p = 1 is a renaming.
        wanted, same = {"pair_flip"}, {"renamed"}
    if p is None or noise not in wanted or named.kind not in same or named.kind == noise:
        return named
    if not changed_count(case, p, noise).passed:
        return named
    own = estimate(case, noise)
    rule = "pair flips" if noise == "pair_flip" else "changed with the true class excluded"
    message = f"{rule} at p about {own['p_estimate']:.2f} (95% interval {own['p_low']:.3f} to "
    message += f"{own['p_high']:.3f}): {case.count}"
    if named.kind == "uniform":
        also = named.figures["p_estimate"]
        message += f"; the same distribution is uniform at p about {also:.2f}"
    rest = {name: x for name, x in named.figures.items() if name != "exclude_true_p"}
    return LabelKind(noise, message, rest | own)


def _redrawn(named: LabelKind, case: Labels, second: np.ndarray) -> LabelKind:
    differ, n = int(np.sum(second != case.given)), len(second)
    message = f"redrawn in each pass, not fixed: {differ:,} of {n:,} differ ({differ / n:.4f}); "
    counts, first = (np.bincount(x, minlength=2 * 2048) for x in (second, case.given))
    if np.array_equal(counts, first):
        message += "both passes have the same class counts, so perhaps only their order differs; "
    figures = named.figures | {"differ": differ, "differ_fraction": differ / n}
    return LabelKind("redrawn", message + f"the first pass on its own is {named.message}", figures)


def _hint(named: LabelKind, case: Labels, p: float, noise: str) -> str:
    """The known mistake that explains a changed fraction that was not asked for."""
    if named.kind == "untouched":
        return ": the corruption never reached the labels"
    if named.kind not in ("uniform", "exclude_true"):
        return ""
    if p < 0.9 and case.num_classes > 2 and independence(case).passed:
        return ": independent of the true labels: another order?"
    if noise != "uniform":
        return ""
    k = case.num_classes
    known = {
        "the true class excluded at the same p": expected_changed(p, k, "exclude_true"),
        "the examples to corrupt drawn with replacement": expected_changed(1 - np.exp(-p), k),
        "the corruption applied twice": expected_changed(1 - (1 - p) ** 2, k),
        "the share that is kept, not replaced": expected_changed(1 - p, k),
    }
    share = float(case.changed.mean())
    why = min(known, key=lambda name: abs(known[name] - share))
    std = np.sqrt(known[why] * (1 - known[why]) / len(case.true))
    return f"; as with {why}" if abs(known[why] - share) <= 4 * std else ""

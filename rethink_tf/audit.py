"""Measures what the pipeline really yields, and refuses a run that is not what it says.

The strongest checks come first: every given label against the NumPy twin, every true label against
the source. The others need no twin, so they hold for anyone's labels. Imports no TensorFlow.
"""

import dataclasses
import hashlib
from typing import Any

import numpy as np
from scipy import stats

from rethink_tf.corruptions import expected_changed
from rethink_tf.errors import AuditError

TAIL = 1e-6  # of an honest run being refused by one check, each side
Z_LIMIT = 5.0


@dataclasses.dataclass(frozen=True)
class Check:
    """One measured property. `passed` is None where it cannot be tested, `detail` says why."""

    name: str
    passed: bool | None
    detail: str

    def __post_init__(self):
        # NumPy's False is not False: a check that gave it would never refuse a run.
        if self.passed is not None:
            object.__setattr__(self, "passed", bool(self.passed))

    def __str__(self):
        word = {True: "ok", False: "FAILED", None: "not testable"}[self.passed]
        return f"{self.name}: {word} ({self.detail})"


def equal(name: str, got: np.ndarray, expected: np.ndarray, what: str) -> Check:
    """Whether two arrays agree everywhere; the first disagreement is named."""
    if got.shape != expected.shape:
        return Check(name, False, f"expected shape {expected.shape}, received {got.shape}")
    wrong = np.flatnonzero((got != expected).reshape(len(got), -1).any(axis=1))
    if len(wrong):
        return Check(name, False, f"{len(wrong)} of {len(got)} {what} differ, first at {wrong[0]}")
    return Check(name, True, f"{len(got)} of {len(got)} {what} equal")


def changed_count(true, given, *, probability: float, num_classes: int, noise="uniform") -> Check:
    """The number of changed labels within the exact binomial tails of p(1 - 1/K)."""
    n, expected = len(true), expected_changed(probability, num_classes, noise)
    changed = int(np.sum(np.asarray(true) != np.asarray(given)))
    low, high = stats.binom.ppf([TAIL, 1 - TAIL], n, expected)
    detail = (
        f"{changed / n:.4f} changed, expected {expected:.4f} within {low / n:.4f} to {high / n:.4f}"
    )
    return Check("changed_count", bool(low <= changed <= high), detail)


def transitions(true, given, num_classes: int) -> np.ndarray:
    """Table [K, K] of how often true class i was given label j."""
    cells = np.asarray(true, np.int64) * num_classes + np.asarray(given, np.int64)
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def uniformity(true, given, *, num_classes: int) -> Check:
    """Chi-squared of the changed examples: each class goes evenly to all others.

    Catches classes that were merely renamed, whose changed fraction can be right by chance.
    """
    table = transitions(true, given, num_classes).astype(float)
    np.fill_diagonal(table, 0)
    expected = table.sum(axis=1, keepdims=True) / (num_classes - 1)
    expected = np.repeat(expected, num_classes, axis=1)
    np.fill_diagonal(expected, 0)
    rows = expected.sum(axis=1) > 0
    off = ~np.eye(num_classes, dtype=bool) & rows[:, None]
    if num_classes < 3 or not off.any() or expected[off].min() < 5:
        least = expected[off].min() if off.any() else 0.0
        return Check(
            "uniformity", None, f"expected counts from {least:.1f}, needs 5 and three classes"
        )
    chi2 = float(((table - expected)[off] ** 2 / expected[off]).sum())
    freedom = int(rows.sum()) * (num_classes - 2)
    p = float(stats.chi2.sf(chi2, freedom))
    return Check("uniformity", p >= TAIL, f"chi-squared {chi2:.1f} on {freedom} degrees, p {p:.2g}")


def to_next_class(true, given, *, num_classes: int) -> Check:
    """Every changed label is its class's successor, as pair_flip defines."""
    true, given = np.asarray(true), np.asarray(given)
    changed = true != given
    astray = int(np.sum(changed & (given != (true + 1) % num_classes)))
    return Check("to_next_class", astray == 0, f"{astray} of {int(changed.sum())} went elsewhere")


def not_a_permutation(true, given, *, num_classes: int) -> Check:
    """Class counts must move: labels drawn anew do not keep every count to the last one.

    Catches labels that were permuted among examples, over the whole set or within batches.
    """
    true, given = np.asarray(true), np.asarray(given)
    moved = int(np.sum(true != given))
    counts = [np.bincount(x, minlength=num_classes) for x in (true, given)]
    largest = int(np.abs(counts[0] - counts[1]).max())
    # Normal approximation of all K counts of in- less outgoing labels being zero.
    log_chance = 0.0
    if moved:
        log_chance = 0.5 * np.log(num_classes)
        log_chance -= (num_classes - 1) / 2 * np.log(4 * np.pi * moved / num_classes)
    if log_chance > np.log(TAIL):
        return Check("not_a_permutation", None, f"{moved} changed labels are too few to tell")
    detail = f"class counts differ by up to {largest} from those of the true labels"
    return Check("not_a_permutation", largest > 0, detail)


def before_training(
    first: Any,
    second: Any,
    test: Any,
    *,
    source: Any,
    test_source: Any,
    twin: np.ndarray,
    probability: float | None,
    noise: str = "uniform",
) -> list[Check]:
    """All checks of the labels that the pipeline yields.

    Args:
        first, second: training Tables of two passes over the pipeline.
        test: Table of the test set.
        source, test_source: the Splits that the pipeline read.
        twin: int32 [N], the labels that the NumPy twin gives for `source`.
        probability: of replacement, as configured; None for labels of unknown kind.
        noise: kind of label noise, as configured.
    """
    k = source.num_classes
    checks = [
        equal("index_equals_source", first.index, source.index, "identities"),
        equal("given_equals_twin", first.given, twin, "given labels"),
        equal("true_equals_source", first.true, source.labels, "true labels"),
    ]
    if probability is not None:
        kinds = {"probability": probability, "num_classes": k, "noise": noise}
        checks.append(changed_count(first.true, first.given, **kinds))
    if noise == "pair_flip" and probability:
        checks.append(to_next_class(first.true, first.given, num_classes=k))
    if noise != "pair_flip" and probability:
        checks.append(uniformity(first.true, first.given, num_classes=k))
        checks.append(not_a_permutation(first.true, first.given, num_classes=k))
    checks.append(equal("same_over_two_passes", second.given, first.given, "given labels"))
    # Accuracy is taken against `true`; both names must hold the source's labels.
    for name, labels in (("untouched", test.given), ("equal_source", test.true)):
        checks.append(equal(f"test_labels_{name}", labels, test_source.labels, "test labels"))
    checks.append(equal("test_index_equals_source", test.index, test_source.index, "identities"))
    return checks


def refuse_failures(checks: list[Check]) -> None:
    """Raises AuditError with the measured numbers of every failed check."""
    failed = [str(check) for check in checks if check.passed is False]
    if failed:
        raise AuditError("audit: the pipeline does not yield what was asked for: "
                         + "; ".join(failed))  # fmt: skip


def labels_hash(index: np.ndarray, given: np.ndarray) -> str:
    """sha256 over (index, given), 16 hex digits: what the model was asked to learn."""
    digest = hashlib.sha256(np.ascontiguousarray(index, np.int64).tobytes())
    digest.update(np.ascontiguousarray(given, np.int32).tobytes())
    return digest.hexdigest()[:16]


def label_words(index: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """One int64 word for each (example, label): NumPy twin of `steps.label_words`.

    Multiplications and shifts mix the two, so a sum of words betrays exchanged labels as well.
    """
    with np.errstate(over="ignore"):
        words = np.asarray(index, np.int64) * 0x9E3779B97F4A7C1 + np.asarray(labels, np.int64)
        words = (words ^ (words >> 29)) * 0x3F58476D1CE4E5B9
        words = (words ^ (words >> 32)) * 0x14D049BB133111EB
        return words ^ (words >> 29)


def label_checksum(index: np.ndarray, labels: np.ndarray) -> int:
    """The sum of the words of all examples, modulo 2**64, as a signed number."""
    with np.errstate(over="ignore"):
        return int(label_words(index, labels).sum(dtype=np.int64))


def after_training(true: np.ndarray, predicted: np.ndarray, num_classes: int) -> Check:
    """Whether chance explains the accuracy on clean test labels of a run on random labels.

    Test images of one class share their predictions, so accuracies scatter far more than a
    binomial. Under random labels every renaming of the predicted classes is equally likely; over
    all renamings the accuracy has mean 1/K and variance ||D||^2/(K-1), D being the confusion matrix
    over n, centred by rows and columns; q(1-q)/n is added for the sampling of the test set.

    Args:
        true: int [n], clean test labels.
        predicted: int [n].
        num_classes: K.

    Returns:
        A Check that fails for |z| > 5; "not testable" for fewer than 7 classes.
    """
    # |z| is at most K - 1, so with few classes the limit is never reached.
    if num_classes - 1 <= Z_LIMIT:
        return Check("test_at_chance", None, f"{num_classes} classes are too few to tell")
    n, q = len(true), 1 / num_classes
    table = transitions(true, predicted, num_classes) / n
    centred = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    deviation = np.sqrt(q * (1 - q) / n + (centred**2).sum() / (num_classes - 1))
    accuracy = float(np.trace(table))
    z = (accuracy - q) / deviation
    return Check(
        "test_at_chance",
        bool(abs(z) <= Z_LIMIT),
        f"test accuracy {accuracy:.4f}, chance {q:.4f} +- {deviation:.4f}, z = {z:.1f}",
    )


def labels(*args, **kwargs):
    """Says in words what anyone's labels are: `label_audit.labels`, which see.

    `labels(true, given, p=0.5)` returns its Verdict. Raises RequestError.
    """
    from rethink_tf import label_audit  # which imports this module

    return label_audit.labels(*args, **kwargs)


if __name__ == "__main__":
    import sys

    from rethink_tf import label_audit
    from rethink_tf.main import guarded

    sys.exit(guarded(label_audit.main, sys.argv[1:]))

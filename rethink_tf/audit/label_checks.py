"""Measures the labels that the pipeline yields, and refuses a run if they are not as configured.

The strongest checks come first: every given label against the NumPy reference, every true
label against the source. The others need no reference, so they also work for labels of other
origin. Imports no TensorFlow.
"""

from typing import Any

import numpy as np

from rethink_tf.audit import noise_checks
from rethink_tf.audit.check import Z_LIMIT, Check, equal
from rethink_tf.audit.label_pairs import Labels, transitions
from rethink_tf.corruptions.corruption import Corruption
from rethink_tf.errors import AuditError


def before_training(
    first: Any,
    second: Any,
    test: Any,
    *,
    source: Any,
    test_source: Any,
    reference: np.ndarray,
    corruption: Corruption,
) -> list[Check]:
    """All checks of the labels that the pipeline yields.

    Args:
        first, second: training Tables of two passes over the pipeline.
        test: Table of the test set.
        source, test_source: the Splits that the pipeline read.
        reference: int32 [N], the labels that the NumPy reference gives for `source`.
        corruption: as configured. Labels of a file may follow any rule, so only the checks that
            hold for every rule are made.
    """
    k = source.num_classes
    checks = [
        equal("index_equals_source", first.index, source.index, "identities"),
        equal("given_equals_reference", first.given, reference, "given labels"),
        equal("true_equals_source", first.true, source.labels, "true labels"),
    ]
    case = Labels(first.true, first.given, k, first.index)
    # A number that is no class fails the comparisons above and fits into no table.
    classes = 0 <= min(case.true.min(), case.given.min())
    classes = classes and max(case.true.max(), case.given.max()) < k
    if corruption.labels_from is None and classes:
        checks += noise_checks.checks_of_noise(
            case, corruption.corrupt, corruption.label_noise, corruption.matrix
        )
    checks.append(equal("same_over_two_passes", second.given, first.given, "given labels"))
    # Accuracy is computed against `true`, so both must be the source's labels.
    for name, labels in (("untouched", test.given), ("equal_source", test.true)):
        checks.append(equal(f"test_labels_{name}", labels, test_source.labels, "test labels"))
    checks.append(equal("test_index_equals_source", test.index, test_source.index, "identities"))
    return checks


def not_trained_on(held_out: np.ndarray, trained: np.ndarray) -> Check:
    """Whether no held-out example is trained on: identities, integer [M] and [N]."""
    shared = int(np.isin(held_out, trained).sum())
    detail = f"{shared} of {len(held_out)} held-out examples are trained on"
    return Check("held_out_not_trained_on", shared == 0, detail)


def refuse_failures(checks: list[Check]) -> None:
    """Raises AuditError with the measured numbers of every failed check."""
    failed = [str(check) for check in checks if check.passed is False]
    if failed:
        raise AuditError(
            "audit: the pipeline does not yield what was asked for: " + "; ".join(failed)
        )


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
    std = np.sqrt(q * (1 - q) / n + (centred**2).sum() / (num_classes - 1))
    accuracy = float(np.trace(table))
    z = (accuracy - q) / std
    return Check(
        "test_at_chance",
        bool(abs(z) <= Z_LIMIT),
        f"test accuracy {accuracy:.4f}, chance {q:.4f} +- {std:.4f}, z = {z:.1f}",
    )

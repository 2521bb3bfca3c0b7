"""Exact evaluation: counts over every example once. Imports no TensorFlow.

An `Outcome` holds what a forward pass gave for each example; every accuracy is a plain mean of it.
"""

import dataclasses

import numpy as np

TRAIN_KEYS = (
    "train_loss",
    "train_accuracy",
    "train_top5_accuracy",
    "clean_accuracy",
    "corrupted_accuracy",
    "corrupted_original_accuracy",
)
TEST_KEYS = ("test_loss", "test_accuracy", "test_top5_accuracy")

BEST_KEYS = ("best_test_accuracy", "best_test_epoch", "best_test_top5_accuracy")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One exact pass over a set of N examples: `loss` float32 [N] (nats), `predicted` int32 [N],
    `margin` float32 [N] (logit of the given label minus the largest other), `ahead` int32 [N] (how
    many classes are predicted before the given one; of equal logits the first class is), `error`
    float32 [N] (L2 norm of the softmax minus the one-hot given label). The last two are None where
    they were not computed."""

    loss: np.ndarray
    predicted: np.ndarray
    margin: np.ndarray
    ahead: np.ndarray | None = None
    error: np.ndarray | None = None


def top5(outcome: Outcome, num_classes: int | None) -> float | None:
    """Fraction of examples whose label is among the five classes predicted first.

    None for five classes or fewer, where it is always 1.
    """
    if outcome.ahead is None or num_classes is None or num_classes <= 5 or not len(outcome.ahead):
        return None
    return float(np.mean(outcome.ahead < 5))


def accuracy(predicted: np.ndarray, labels: np.ndarray) -> float | None:
    """Fraction of equal entries; None for an empty set."""
    return float(np.mean(predicted == labels)) if len(labels) else None


def train_values(
    outcome: Outcome, true: np.ndarray, given: np.ndarray, num_classes: int | None = None
) -> dict[str, float | None]:
    """Loss and accuracies on the training set as given, and on its clean and corrupted parts.

    Corrupted means given != true: an example whose drawn label is the true one is clean.
    """
    corrupted = given != true
    predicted = outcome.predicted
    return {
        "train_loss": float(np.mean(outcome.loss, dtype=np.float64)),
        "train_accuracy": accuracy(predicted, given),
        "train_top5_accuracy": top5(outcome, num_classes),
        "clean_accuracy": accuracy(predicted[~corrupted], given[~corrupted]),
        "corrupted_accuracy": accuracy(predicted[corrupted], given[corrupted]),
        "corrupted_original_accuracy": accuracy(predicted[corrupted], true[corrupted]),
    }


def test_values(
    outcome: Outcome, labels: np.ndarray, num_classes: int | None = None
) -> dict[str, float | None]:
    """Loss and accuracies on the test set's own labels."""
    return {
        "test_loss": float(np.mean(outcome.loss, dtype=np.float64)),
        "test_accuracy": accuracy(outcome.predicted, labels),
        "test_top5_accuracy": top5(outcome, num_classes),
    }


def best_so_far(best: dict, values: dict, epoch: int) -> dict[str, float | int | None]:
    """The best test accuracies so far, and the epoch of the best top-1, after one more evaluation.

    Args:
        best: the previous return value; {} at the start.
        values: of `test_values`.
        epoch: of these values.
    """
    best = dict.fromkeys(BEST_KEYS) | best
    accuracy_now = values["test_accuracy"]
    if best["best_test_accuracy"] is None or best["best_test_accuracy"] < accuracy_now:
        best |= {"best_test_accuracy": accuracy_now, "best_test_epoch": epoch}
    fifth = [x for x in (best[BEST_KEYS[2]], values["test_top5_accuracy"]) if x is not None]
    return best | {BEST_KEYS[2]: max(fifth, default=None)}

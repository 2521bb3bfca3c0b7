"""Exact evaluation: counts over every example once. Imports no TensorFlow.

An `Outcome` holds what a forward pass said of each example; every accuracy is a plain mean of it.
"""

import dataclasses

import numpy as np

TRAIN_KEYS = (
    "train_loss",
    "train_accuracy",
    "clean_accuracy",
    "corrupted_accuracy",
    "corrupted_original_accuracy",
)
TEST_KEYS = ("test_loss", "test_accuracy")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One exact pass over a set of N examples: `loss` float32 [N] (nats), `predicted` int32 [N],
    `margin` float32 [N] (logit of the given label less the largest other)."""

    loss: np.ndarray
    predicted: np.ndarray
    margin: np.ndarray


def accuracy(predicted: np.ndarray, labels: np.ndarray) -> float | None:
    """Fraction of equal entries; None for an empty set."""
    return float(np.mean(predicted == labels)) if len(labels) else None


def of_train(outcome: Outcome, true: np.ndarray, given: np.ndarray) -> dict[str, float | None]:
    """Loss and accuracies on the training set as given, and on its clean and corrupted parts.

    Corrupted means given != true: an example whose drawn label is the true one is clean.
    """
    corrupted = given != true
    predicted = outcome.predicted
    return {
        "train_loss": float(np.mean(outcome.loss, dtype=np.float64)),
        "train_accuracy": accuracy(predicted, given),
        "clean_accuracy": accuracy(predicted[~corrupted], given[~corrupted]),
        "corrupted_accuracy": accuracy(predicted[corrupted], given[corrupted]),
        "corrupted_original_accuracy": accuracy(predicted[corrupted], true[corrupted]),
    }


def of_test(outcome: Outcome, labels: np.ndarray) -> dict[str, float | None]:
    """Loss and accuracy on the test set's own labels."""
    return {
        "test_loss": float(np.mean(outcome.loss, dtype=np.float64)),
        "test_accuracy": accuracy(outcome.predicted, labels),
    }

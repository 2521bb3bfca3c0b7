"""Exact evaluation on cases counted by hand."""

import dataclasses

import numpy as np
import pytest

from rethink_tf.training import metrics

#            clean            | corrupted
TRUE = np.array([0, 1, 2, 0, 1, 2, 0, 1])
GIVEN = np.array([0, 1, 2, 0, 2, 0, 1, 0])
PREDICTED = np.array([0, 1, 2, 1, 2, 2, 1, 2])  # right as given: 3 of 4 | 2 of 4
LOSS = np.array([0.5, 0.25, 0.25, 2.0, 1.0, 3.0, 0.5, 0.5], np.float32)


def outcome(loss=LOSS, predicted=PREDICTED):
    return metrics.Outcome(loss, predicted, np.zeros_like(loss))


def test_of_train_by_hand():
    found = metrics.train_values(outcome(), TRUE, GIVEN)
    assert tuple(found) == metrics.TRAIN_KEYS
    assert found == {
        "train_loss": 1.0,
        "train_accuracy": 5 / 8,
        "train_top5_accuracy": None,
        "clean_accuracy": 3 / 4,
        "corrupted_accuracy": 2 / 4,
        "corrupted_original_accuracy": 1 / 4,
    }


def test_of_test_by_hand():
    found = metrics.test_values(outcome(), TRUE)
    assert tuple(found) == metrics.TEST_KEYS
    assert found == {"test_loss": 1.0, "test_accuracy": 4 / 8, "test_top5_accuracy": None}


def test_an_empty_corrupted_part_gives_none_not_nan():
    found = metrics.train_values(outcome(), TRUE, TRUE)
    assert found["corrupted_accuracy"] is None
    assert found["corrupted_original_accuracy"] is None
    assert found["clean_accuracy"] == found["train_accuracy"] == 0.5


def test_an_empty_clean_part_gives_none():
    found = metrics.train_values(outcome(), (GIVEN + 1) % 3, GIVEN)
    assert found["clean_accuracy"] is None
    assert found["corrupted_accuracy"] == found["train_accuracy"] == 5 / 8


def test_an_example_drawn_anew_with_its_true_class_is_clean():
    true = GIVEN.copy()
    true[0] = 1
    found = metrics.train_values(outcome(), true, GIVEN)
    assert found["corrupted_accuracy"] == 1.0  # only example 0 counts as corrupted
    assert found["clean_accuracy"] == pytest.approx(4 / 7)


def test_values_are_plain_floats_for_json():
    found = metrics.train_values(outcome(), TRUE, GIVEN) | metrics.test_values(outcome(), TRUE)
    assert {type(v) for k, v in found.items() if "top5" not in k} == {float}
    ahead = dataclasses.replace(outcome(), ahead=np.arange(8, dtype=np.int32))
    assert type(metrics.test_values(ahead, TRUE, 10)["test_top5_accuracy"]) is float


def test_the_mean_loss_is_summed_in_double_precision():
    # In single precision a million times 0.1 is off in the fourth digit if summed one by one.
    loss = np.full(1_000_001, 0.1, np.float32)
    loss[0] = 1e6
    labels = np.zeros(len(loss), int)
    found = metrics.test_values(outcome(loss, labels), labels)
    expected = (1e6 + 1e6 * float(np.float32(0.1))) / 1_000_001
    assert found["test_loss"] == pytest.approx(expected, rel=1e-12)


def test_top5_counts_fewer_than_five_classes_ahead():
    found = dataclasses.replace(outcome(), ahead=np.array([0, 4, 5, 9, 1, 5, 3, 6], np.int32))
    assert metrics.top5(found, 10) == 4 / 8
    assert metrics.train_values(found, TRUE, GIVEN, 10)["train_top5_accuracy"] == 4 / 8
    assert metrics.test_values(found, TRUE, 1000)["test_top5_accuracy"] == 4 / 8
    assert metrics.top5(found, 5) is None, "of five classes all are among the first five"
    assert metrics.top5(found, 6) == 4 / 8


def test_best_so_far_by_hand():
    """Each accuracy's own best, as in Table 2's parentheses; the epoch is the top-1's first."""
    best, seen = {}, []
    for epoch, (top1, top5) in enumerate([(0.2, 0.5), (0.4, 0.6), (0.3, 0.7), (0.4, 0.65)], 1):
        best = metrics.best_so_far(best, {"test_accuracy": top1, "test_top5_accuracy": top5}, epoch)
        assert tuple(best) == metrics.BEST_KEYS
        seen.append(tuple(best.values()))
    assert seen == [(0.2, 1, 0.5), (0.4, 2, 0.6), (0.4, 2, 0.7), (0.4, 2, 0.7)]
    without = metrics.best_so_far({}, {"test_accuracy": 0.0, "test_top5_accuracy": None}, 3)
    assert without == {
        "best_test_accuracy": 0.0,
        "best_test_epoch": 3,
        "best_test_top5_accuracy": None,
    }

"""Accuracy on clean test labels after random ones: what chance explains, and what it does not."""

import itertools

import numpy as np
import pytest

from rethink_tf.audit import label_checks

K = 10


def z_of(check):
    return float(check.detail.rsplit("z = ")[1])


@pytest.mark.parametrize("seed", range(3))
def test_variance_is_that_of_all_renamings(seed):
    draw, n = np.random.default_rng(seed), 4096
    true, predicted = draw.integers(0, 7, n), draw.integers(0, 7, n)
    predicted = np.where(draw.random(n) < 0.7, np.array([2, 2, 1, 3, 0, 5, 4])[true], predicted)
    renamings = np.array(list(itertools.permutations(range(7))))
    accuracies = np.array([(r[predicted] == true).mean() for r in renamings])
    assert len(renamings) == 5040
    assert accuracies.mean() == pytest.approx(1 / 7)
    std = np.sqrt(accuracies.var() + 6 / 49 / n)
    assert std > 0.05  # far above a binomial's 0.0055
    check = label_checks.after_training(true, predicted, 7)
    accuracy = (true == predicted).mean()
    assert check.detail == (
        f"test accuracy {accuracy:.4f}, chance 0.1429 +- {std:.4f}, "
        f"z = {(accuracy - 1 / 7) / std:.1f}"
    )


def test_honest_runs_that_a_binomial_would_refuse_are_not_refused():
    true, exceeded = np.repeat(np.arange(K), 1000), 0
    for seed in range(200):
        # Each class falls into parts, and all images of a part are predicted alike.
        draw = np.random.default_rng(seed)
        parts = draw.integers(1, 4)
        predicted = draw.integers(0, K, [K, parts])[true, np.arange(len(true)) % parts]
        noisy = draw.random(len(true)) < 0.2
        predicted = np.where(noisy, draw.integers(0, K, len(true)), predicted)
        check = label_checks.after_training(true, predicted, K)
        assert check.passed is True, (seed, check)
        exceeded += abs(np.mean(predicted == true) - 0.1) > 5 * np.sqrt(0.09 / len(true))
    assert exceeded > 100


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_leak_is_refused(share):
    draw, n = np.random.default_rng(0), 10_000
    true = np.arange(n) % K
    predicted = np.where(draw.random(n) < share, true, draw.integers(0, K, n))
    check = label_checks.after_training(true, predicted, K)
    assert check.passed is False
    assert z_of(check) > 7


def test_the_true_class_avoided_by_more_than_chance_is_refused():
    true = np.arange(10_000) % K
    predicted = (true + np.random.default_rng(0).integers(1, K, len(true))) % K
    check = label_checks.after_training(true, predicted, K)
    assert check.passed is False
    assert z_of(check) < -5


def test_predicting_one_class_is_chance():
    check = label_checks.after_training(np.arange(1000) % K, np.full(1000, 3), K)
    assert check.passed is True
    assert z_of(check) == 0


def test_two_classes_are_not_testable():
    check = label_checks.after_training(np.arange(10) % 2, np.arange(10) % 2, 2)
    assert (check.name, check.passed) == ("test_at_chance", None)

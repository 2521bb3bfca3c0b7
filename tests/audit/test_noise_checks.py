"""The checks of labels one by one: pinned statistics, bounds, and what cannot be tested."""

import numpy as np
import pytest
from label_cases import TRUE, K, honest
from scipy import stats

from rethink_tf.audit import label_pairs, noise_checks
from rethink_tf.audit.check import Check, equal
from rethink_tf.audit.noise_checks import Labels
from rethink_tf.corruptions.labels import LABEL_NOISE


def test_equal_names_the_first_difference():
    got = np.arange(10)
    wrong = np.where(np.isin(got, (3, 8)), 99, got)
    assert str(equal("x", got, got, "things")) == "x: ok (10 of 10 things equal)"
    assert str(equal("x", wrong, got, "things")) == (
        "x: FAILED (2 of 10 things differ, first at 3)"
    )
    assert equal("x", got[:9], got, "things").detail == "expected shape (10,), received (9,)"
    rows = np.zeros([4, 2, 2])
    changed = rows.copy()
    changed[2, 1, 0] = 1
    assert equal("x", changed, rows, "images").detail == "1 of 4 images differ, first at 2"


# n, probability: the exact binomial tails at 1e-6, of Bin(n, 0.9 p).
BOUNDS = {(1000, 1.0): (852, 942), (1000, 0.5): (376, 525), (50_000, 1.0): (44_678, 45_316)}


@pytest.mark.parametrize("n, probability", BOUNDS)
def test_changed_count_has_the_exact_bounds(n, probability):
    def passed(changed):
        true = np.zeros(n, int)
        given = np.where(np.arange(n) < changed, 1, 0)
        return noise_checks.changed_count(Labels(true, given, K), probability).passed

    low, high = BOUNDS[n, probability]
    assert [passed(c) for c in (low - 1, low, high, high + 1)] == [False, True, True, False]


def test_nothing_may_change_at_probability_zero():
    given = TRUE.copy()
    given[0] = (given[0] + 1) % K
    assert noise_checks.changed_count(Labels(TRUE, TRUE, K), 0.0).passed is True
    assert noise_checks.changed_count(Labels(TRUE, given, K), 0.0).passed is False


def test_transitions_count_true_by_row_and_given_by_column():
    table = label_pairs.transitions([0, 0, 1, 2, 2], [0, 1, 1, 0, 0], 3)
    assert table.tolist() == [[1, 1, 0], [0, 1, 0], [2, 0, 0]]


def test_uniformity_cannot_be_tested_with_few_examples_or_two_classes():
    few = noise_checks.uniformity(Labels(TRUE[:300], honest()[:300], K))
    assert few.passed is None
    assert str(few).startswith("uniformity: not testable (expected counts from")
    assert noise_checks.uniformity(Labels(TRUE, TRUE, K)).passed is None
    assert noise_checks.uniformity(Labels(TRUE % 2, (TRUE + 1) % 2, 2)).passed is None


def test_uniformity_by_hand():
    # Class 0 goes to 1 and 2 by 30 and 10, class 1 to 0 and 2 by 20 each: chi-squared 10 on 2.
    true = np.repeat([0, 0, 1, 1], [30, 10, 20, 20])
    given = np.repeat([1, 2, 0, 2], [30, 10, 20, 20])
    check = noise_checks.uniformity(Labels(true, given, 3))
    assert check == Check("uniformity", True, "chi-squared 10.0 on 2 degrees, p-value 0.0067")


def drawn(table):
    """Labels with the given counts of true class i given label j."""
    table = np.asarray(table)
    cells = np.repeat(np.arange(table.size), table.ravel())
    return Labels(cells // len(table), cells % len(table), len(table))


def test_one_class_among_many_is_found_by_its_binomial_tail():
    table = np.full([100, 100], 0)
    table[np.arange(100), np.arange(100)] = 44
    table[np.arange(100), np.arange(100) - 1] = 6  # an eighth of each class, to the one before
    assert noise_checks.class_rates(drawn(table)).passed is True
    table[40, 40], table[40, 39] = 50, 0
    assert noise_checks.class_rates(drawn(table)).passed is True  # 0 where 6 were expected: chance
    table[40, 40], table[40, 39] = 20, 30
    check = noise_checks.class_rates(drawn(table))
    p = 200 * stats.binom.sf(29, 50, 624 / 5000)  # either side, any of 100 classes
    assert (
        str(check)
        == f"class_rates: FAILED (30 for class 40, expected 6.2, p-value {p:.2g} over all tests)"
    )
    assert 1e-14 < p < 1e-12


def test_one_class_received_too_seldom_is_found_by_its_binomial_tail():
    table = np.full([30, 30], 1)
    assert noise_checks.received_evenly(drawn(table)).passed is True
    table[:, 4] += table[:, 3]
    table[:, 3] = 0
    table[3, 3], table[4, 3], table[4, 4] = 1, 1, 1
    check = noise_checks.received_evenly(drawn(table))
    p = 60 * stats.binom.cdf(1, 29 * 29, 1 / 29)  # either side, any of 30 classes
    assert (
        str(check)
        == f"received_evenly: FAILED (1 for class 3, expected 29.0, p-value {p:.2g} over all tests)"
    )
    assert 1e-11 < p < 1e-9


def test_coincidences_are_a_chi_squared_where_the_table_is_dense():
    # Each of three classes sends 600 to two others: a chi-squared of 3 degrees, 23.4 here. Honest
    # labels reach that once in 30,000 times, though it is 8.3 standard deviations.
    uneven = [[0, 338, 262], [338, 0, 262], [325, 275, 0]]
    check = noise_checks.coincidences(drawn(uneven))
    assert check.passed is True and "expected 269550.0" in check.detail
    chi2 = 2 * (38**2 + 38**2 + 25**2) / 300
    assert (chi2 - 3) / np.sqrt(6) == pytest.approx(8.3, abs=0.05)
    assert float(check.detail.split()[-1]) == pytest.approx(stats.chi2.sf(chi2, 3), rel=0.05)
    worse = [[0, 370, 230], [370, 0, 230], [330, 270, 0]]
    assert noise_checks.coincidences(drawn(worse)).passed is False


def test_coincidences_need_pairs_and_a_choice():
    assert noise_checks.coincidences(drawn([[5, 9], [9, 5]])).passed is None, "two classes"
    sparse = np.eye(100, k=1, dtype=int) * 4  # 6 pairs in each class, all of them met
    check = noise_checks.coincidences(drawn(sparse[:, :]))
    assert (check.passed, check.detail) == (None, "594 pairs of changed examples are too few")
    assert noise_checks.coincidences(drawn(sparse * 2)).passed is False


@pytest.mark.parametrize("k, n", [(3, 60), (3, 600), (10, 300), (100, 2000)])
def test_honest_labels_pass_whatever_the_seed(k, n):
    true = np.random.default_rng(k).integers(0, k, n)
    for seed in range(30):
        for noise in LABEL_NOISE:
            case = Labels(true, honest(0.7, seed, noise, true), k)
            bad = [
                str(c) for c in noise_checks.checks_of_noise(case, 0.7, noise) if c.passed is False
            ]
            assert bad == [], (seed, noise)


def test_few_moved_labels_cannot_tell_a_permutation():
    given = TRUE.copy()
    given[[0, 1]] = given[[1, 0]]
    assert noise_checks.not_a_permutation(Labels(TRUE, given, K)).passed is None
    assert noise_checks.not_a_permutation(Labels(TRUE, TRUE, K)).passed is None

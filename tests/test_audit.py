"""Each check passes on honest labels and fails on its defect; the statistics are pinned."""

import copy
import dataclasses
import itertools

import numpy as np
import pytest

from rethink_tf import audit, corruptions
from rethink_tf.errors import AuditError, ExitCode

K, N = 10, 5000
INDEX = np.arange(N, dtype=np.int64)
# Classes of unequal size, as in digits: 400 to 600.
SIZES = np.array([400, 420, 450, 480, 500, 510, 520, 550, 570, 600])
TRUE = np.random.default_rng(0).permutation(np.repeat(np.arange(K), SIZES)).astype(np.int32)
TEST = (np.arange(300) % K).astype(np.int32)


def honest(probability=1.0, seed=0, noise="uniform"):
    return corruptions.corrupt_labels(
        TRUE, INDEX, probability=probability, num_classes=K, seed=seed, noise=noise
    )


@dataclasses.dataclass
class Data:
    """Both a Split and a Table, as far as the audit looks at them."""

    index: np.ndarray
    labels: np.ndarray
    true: np.ndarray
    given: np.ndarray
    num_classes: int = K


def failed(given, *, probability=1.0, noise="uniform", test=TEST, **changes):
    """Names of the failed checks when the pipeline yields `given`; None counts as not failed."""
    first = Data(INDEX, TRUE, TRUE, given)
    first = dataclasses.replace(first, **changes.pop("first", {}))
    source = Data(INDEX, TRUE, TRUE, TRUE)
    checks = audit.before_training(
        first,
        changes.pop("second", first),
        Data(np.arange(300), TEST, TEST, test),
        source=source,
        test_source=Data(np.arange(300), TEST, TEST, TEST),
        twin=changes.pop("twin", given),
        probability=probability,
        noise=noise,
    )
    return {check.name for check in checks if check.passed is False}


def test_the_checks_and_their_order():
    table = Data(INDEX, TRUE, TRUE, honest(0.5))
    test = Data(np.arange(300), TEST, TEST, TEST)
    kinds = {"source": table, "test_source": test, "twin": honest(0.5), "probability": 0.5}
    checks = audit.before_training(table, table, test, **kinds)
    assert [check.name for check in checks] == [
        "index_equals_source", "given_equals_twin", "true_equals_source", "changed_count",
        "uniformity", "not_a_permutation", "same_over_two_passes", "test_labels_untouched",
        "test_labels_equal_source", "test_index_equals_source",
    ]  # fmt: skip
    assert {check.passed for check in checks} == {True}


@pytest.mark.parametrize("noise", corruptions.LABEL_NOISE)
@pytest.mark.parametrize("probability", [0.0, 0.01, 0.1, 0.5, 0.9, 1.0])
def test_honest_labels_pass_for_thirty_seeds(probability, noise):
    for seed in range(30):
        given = honest(probability, seed, noise)
        assert failed(given, probability=probability, noise=noise) == set(), seed


def test_the_labels_that_accuracy_is_taken_against_are_the_sources():
    table = Data(INDEX, TRUE, TRUE, TRUE)
    source = Data(np.arange(300), TEST, TEST, TEST)
    for name, check in (
        ("true", "test_labels_equal_source"),
        ("index", "test_index_equals_source"),
    ):
        wrong = copy.copy(source)
        setattr(wrong, name, getattr(source, name)[::-1])
        checks = audit.before_training(
            table, table, wrong, source=table, test_source=source, twin=TRUE, probability=0.0
        )
        assert [c.name for c in checks if c.passed is False] == [check]


def test_labels_flipped_elsewhere_than_to_the_next_class_are_no_pair_flip():
    given = np.where(np.arange(N) % 2, (TRUE + 2) % K, TRUE).astype(np.int32)
    assert "to_next_class" in failed(given, probability=0.5, noise="pair_flip")


# The defects. The twin is given what the pipeline yields, so it cannot help.


def renamed():
    """All classes but one get another name: at p = 1 the changed fraction is right by chance."""
    return np.array([1, 2, 3, 5, 4, 6, 7, 8, 9, 0], np.int32)[TRUE]


def permuted(within):
    given = TRUE.copy()
    for start in range(0, N, within):
        part = slice(start, start + within)
        given[part] = np.random.default_rng(start).permutation(TRUE[part])
    return given


DEFECTS = {
    "corrupted copy not read": (TRUE, 0.5, {"changed_count"}),
    "corrupted copy not read, at a hundredth": (TRUE, 0.01, {"changed_count"}),
    "classes renamed": (renamed(), 1.0, {"uniformity"}),
    "permuted over the whole set": (permuted(N), 1.0, {"not_a_permutation"}),
    "permuted within batches": (permuted(128), 1.0, {"not_a_permutation"}),
    "true class excluded": (honest(1.0, noise="exclude_true"), 1.0, {"changed_count"}),
    "true class excluded at a half": (honest(0.5, noise="exclude_true"), 0.5, {"changed_count"}),
    "next class": (honest(1.0, noise="pair_flip"), 1.0, {"changed_count", "uniformity"}),
    "another probability": (honest(0.4), 0.5, {"changed_count"}),
    "one class never drawn": (
        np.where(honest() == 7, 2, honest()), 1.0, {"uniformity"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found_without_the_twin(defect):
    given, probability, expected = DEFECTS[defect]
    assert failed(given, probability=probability) == expected


def test_one_label_other_than_the_twin_s_is_found():
    given = honest()
    given[1234] = (given[1234] + 1) % K
    assert failed(given, twin=honest()) == {"given_equals_twin"}


def test_a_wrong_true_label_is_found():
    true = TRUE.copy()
    true[7] = (true[7] + 1) % K
    assert failed(honest(), first={"true": true}) == {"true_equals_source"}


def test_other_identities_are_found():
    assert failed(honest(), first={"index": INDEX + 1}) == {"index_equals_source"}


def test_labels_redrawn_each_pass_are_found():
    second = Data(INDEX, TRUE, TRUE, honest(seed=1))
    assert failed(honest(), second=second) == {"same_over_two_passes"}


def test_one_changed_test_label_is_found():
    test = TEST.copy()
    test[-1] = 0
    assert failed(honest(), test=test) == {"test_labels_untouched"}


def test_failures_are_refused_with_the_measured_numbers():
    bad = audit.changed_count(TRUE, TRUE, probability=0.5, num_classes=K)
    good = audit.equal("given_equals_twin", TRUE, TRUE, "given labels")
    untestable = audit.uniformity(TRUE, TRUE, num_classes=K)
    with pytest.raises(AuditError) as error:
        audit.refuse_failures([good, bad, untestable])
    assert error.value.exit_code == ExitCode.INVALID == 3
    message = str(error.value)
    assert (
        "changed_count: FAILED (0.0000 changed, expected 0.4500 within 0.4166 to 0.4836)" in message
    )
    assert "given_equals_twin" not in message and "uniformity" not in message
    assert audit.refuse_failures([good, untestable]) is None


# The checks one by one


def test_equal_names_the_first_difference():
    got = np.arange(10)
    wrong = np.where(np.isin(got, (3, 8)), 99, got)
    assert str(audit.equal("x", got, got, "things")) == "x: ok (10 of 10 things equal)"
    assert str(audit.equal("x", wrong, got, "things")) == (
        "x: FAILED (2 of 10 things differ, first at 3)"
    )
    assert audit.equal("x", got[:9], got, "things").detail == "expected shape (10,), received (9,)"
    rows = np.zeros([4, 2, 2])
    changed = rows.copy()
    changed[2, 1, 0] = 1
    assert audit.equal("x", changed, rows, "images").detail == "1 of 4 images differ, first at 2"


# n, probability: the exact binomial tails at 1e-6, of Bin(n, 0.9 p).
BOUNDS = {(1000, 1.0): (852, 942), (1000, 0.5): (376, 525), (50_000, 1.0): (44_678, 45_316)}


@pytest.mark.parametrize("n, probability", BOUNDS)
def test_changed_count_has_the_exact_bounds(n, probability):
    def passed(changed):
        true = np.zeros(n, int)
        given = np.where(np.arange(n) < changed, 1, 0)
        return audit.changed_count(true, given, probability=probability, num_classes=K).passed

    low, high = BOUNDS[n, probability]
    assert [passed(c) for c in (low - 1, low, high, high + 1)] == [False, True, True, False]


def test_nothing_may_change_at_probability_zero():
    given = TRUE.copy()
    given[0] = (given[0] + 1) % K
    kinds = {"probability": 0.0, "num_classes": K}
    assert audit.changed_count(TRUE, TRUE, **kinds).passed is True
    assert audit.changed_count(TRUE, given, **kinds).passed is False


def test_transitions_count_true_by_row_and_given_by_column():
    table = audit.transitions([0, 0, 1, 2, 2], [0, 1, 1, 0, 0], 3)
    assert table.tolist() == [[1, 1, 0], [0, 1, 0], [2, 0, 0]]


def test_uniformity_cannot_be_tested_with_few_examples_or_two_classes():
    few = audit.uniformity(TRUE[:300], honest()[:300], num_classes=K)
    assert few.passed is None
    assert str(few).startswith("uniformity: not testable (expected counts from")
    assert audit.uniformity(TRUE, TRUE, num_classes=K).passed is None
    assert audit.uniformity(TRUE % 2, (TRUE + 1) % 2, num_classes=2).passed is None


def test_uniformity_by_hand():
    # Class 0 goes to 1 and 2 by 30 and 10, class 1 to 0 and 2 by 20 each: chi-squared 10 on 2.
    true = np.repeat([0, 0, 1, 1], [30, 10, 20, 20])
    given = np.repeat([1, 2, 0, 2], [30, 10, 20, 20])
    check = audit.uniformity(true, given, num_classes=3)
    assert check == audit.Check(
        "uniformity", True, "chi-squared 10.0 on 2 degrees, p 0.0067"
    )  # fmt: skip


def test_few_moved_labels_cannot_tell_a_permutation():
    given = TRUE.copy()
    given[[0, 1]] = given[[1, 0]]
    assert audit.not_a_permutation(TRUE, given, num_classes=K).passed is None
    assert audit.not_a_permutation(TRUE, TRUE, num_classes=K).passed is None


# After training


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
    deviation = np.sqrt(accuracies.var() + 6 / 49 / n)
    assert deviation > 0.05  # far above a binomial's 0.0055
    check = audit.after_training(true, predicted, 7)
    accuracy = (true == predicted).mean()
    assert check.detail == (
        f"test accuracy {accuracy:.4f}, chance 0.1429 +- {deviation:.4f}, "
        f"z = {(accuracy - 1 / 7) / deviation:.1f}"
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
        check = audit.after_training(true, predicted, K)
        assert check.passed is True, (seed, check)
        exceeded += abs(np.mean(predicted == true) - 0.1) > 5 * np.sqrt(0.09 / len(true))
    assert exceeded > 100


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_leak_is_refused(share):
    draw, n = np.random.default_rng(0), 10_000
    true = np.arange(n) % K
    predicted = np.where(draw.random(n) < share, true, draw.integers(0, K, n))
    check = audit.after_training(true, predicted, K)
    assert check.passed is False
    assert z_of(check) > 7


def test_the_true_class_avoided_by_more_than_chance_is_refused():
    true = np.arange(10_000) % K
    predicted = (true + np.random.default_rng(0).integers(1, K, len(true))) % K
    check = audit.after_training(true, predicted, K)
    assert check.passed is False
    assert z_of(check) < -5


def test_predicting_one_class_is_chance():
    check = audit.after_training(np.arange(1000) % K, np.full(1000, 3), K)
    assert check.passed is True
    assert z_of(check) == 0


def test_two_classes_are_not_testable():
    check = audit.after_training(np.arange(10) % 2, np.arange(10) % 2, 2)
    assert (check.name, check.passed) == ("test_at_chance", None)

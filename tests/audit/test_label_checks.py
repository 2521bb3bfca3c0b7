"""Each check passes on honest labels and fails on its defect; the statistics are pinned."""

import copy
import dataclasses

import numpy as np
import pytest
from label_cases import INDEX, MANY, TRUE, K, N, honest

from rethink_tf.audit import label_checks, noise_checks
from rethink_tf.audit.check import equal
from rethink_tf.audit.noise_checks import Labels
from rethink_tf.corruptions import labels as corruptions
from rethink_tf.corruptions.corruption import Corruption
from rethink_tf.errors import AuditError, ExitCode

TEST = (np.arange(300) % K).astype(np.int32)


@dataclasses.dataclass
class Data:
    """Both a Split and a Table, as far as the audit looks at them."""

    index: np.ndarray
    labels: np.ndarray
    true: np.ndarray
    given: np.ndarray
    num_classes: int = K


def failed(given, *, probability=1.0, noise="uniform", test=TEST, true=TRUE, **changes):
    """Names of the failed checks when the pipeline yields `given`; None counts as not failed."""
    index, k = np.arange(len(true)), int(true.max()) + 1
    first = Data(index, true, true, given, k)
    first = dataclasses.replace(first, **changes.pop("first", {}))
    source = Data(index, true, true, true, k)
    checks = label_checks.before_training(
        first,
        changes.pop("second", first),
        Data(np.arange(300), TEST, TEST, test),
        source=source,
        test_source=Data(np.arange(300), TEST, TEST, TEST),
        reference=changes.pop("reference", given),
        corruption=Corruption(corrupt=probability, label_noise=noise),
    )
    return {check.name for check in checks if check.passed is False}


def test_the_checks_and_their_order():
    table = Data(INDEX, TRUE, TRUE, honest(0.5))
    test = Data(np.arange(300), TEST, TEST, TEST)
    kinds = {"source": table, "test_source": test, "reference": honest(0.5)}
    kinds["corruption"] = Corruption(corrupt=0.5)
    checks = label_checks.before_training(table, table, test, **kinds)
    assert [check.name for check in checks] == [
        "index_equals_source",
        "given_equals_reference",
        "true_equals_source",
        "changed_count",
        "uniformity",
        "received_evenly",
        "coincidences",
        "class_rates",
        "not_a_permutation",
        "changed_by_position",
        "new_labels_by_order",
        "same_over_two_passes",
        "test_labels_untouched",
        "test_labels_equal_source",
        "test_index_equals_source",
    ]
    assert {check.passed for check in checks} == {True}


@pytest.mark.parametrize("noise", corruptions.LABEL_NOISE)
@pytest.mark.parametrize("probability", [0.0, 0.01, 0.1, 0.5, 0.9, 1.0])
def test_honest_labels_pass_for_thirty_seeds(probability, noise):
    for seed in range(30):
        given = honest(probability, seed, noise)
        assert failed(given, probability=probability, noise=noise) == set(), seed


@pytest.mark.parametrize("noise", corruptions.LABEL_NOISE)
@pytest.mark.parametrize("probability", [0.01, 0.5, 1.0])
def test_honest_labels_of_many_classes_pass_for_ten_seeds(probability, noise):
    for seed in range(10):
        given = honest(probability, seed, noise, MANY)
        assert failed(given, probability=probability, noise=noise, true=MANY) == set(), seed


def test_the_labels_that_accuracy_is_taken_against_are_the_sources():
    table = Data(INDEX, TRUE, TRUE, TRUE)
    source = Data(np.arange(300), TEST, TEST, TEST)
    for name, check in (
        ("true", "test_labels_equal_source"),
        ("index", "test_index_equals_source"),
    ):
        wrong = copy.copy(source)
        setattr(wrong, name, getattr(source, name)[::-1])
        checks = label_checks.before_training(
            table,
            table,
            wrong,
            source=table,
            test_source=source,
            reference=TRUE,
            corruption=Corruption(),
        )
        assert [c.name for c in checks if c.passed is False] == [check]


def test_labels_flipped_elsewhere_than_to_the_next_class_are_no_pair_flip():
    given = np.where(np.arange(N) % 2, (TRUE + 2) % K, TRUE).astype(np.int32)
    assert "to_next_class" in failed(given, probability=0.5, noise="pair_flip")


# The defects. The reference is given what the pipeline yields, so it cannot help.


def renamed():
    """All classes but one get another name: at p = 1 the changed fraction is right by chance."""
    return np.array([1, 2, 3, 5, 4, 6, 7, 8, 9, 0], np.int32)[TRUE]


def permuted(within):
    given = TRUE.copy()
    for start in range(0, N, within):
        part = slice(start, start + within)
        given[part] = np.random.default_rng(start).permutation(TRUE[part])
    return given


def spared(probability, spare=4, **kinds):
    """One class keeps all its labels."""
    given = honest(probability, **kinds)
    true = kinds.get("true", TRUE)
    return np.where(true == spare, true, given)


EVENNESS = {"uniformity", "received_evenly", "coincidences"}
DEFECTS = {
    "corrupted copy not read": (TRUE, 0.5, {"changed_count"}),
    "corrupted copy not read, at a hundredth": (TRUE, 0.01, {"changed_count"}),
    "classes renamed": (renamed(), 1.0, EVENNESS | {"class_rates"}),
    "permuted over the whole set": (permuted(N), 1.0, {"not_a_permutation", "received_evenly"}),
    "permuted within batches": (permuted(128), 1.0, {"not_a_permutation", "received_evenly"}),
    "true class excluded": (honest(1.0, noise="exclude_true"), 1.0, {"changed_count"}),
    "true class excluded at a half": (honest(0.5, noise="exclude_true"), 0.5, {"changed_count"}),
    "next class": (honest(1.0, noise="pair_flip"), 1.0, EVENNESS | {"changed_count"}),
    "another probability": (honest(0.4), 0.5, {"changed_count"}),
    "one class never drawn": (
        np.where(honest() == 7, 2, honest()),
        1.0,
        EVENNESS | {"class_rates"},
    ),
    "one class spared": (spared(0.5), 0.5, {"changed_count", "class_rates"}),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found_without_the_reference(defect):
    given, probability, expected = DEFECTS[defect]
    assert failed(given, probability=probability) == expected


def redirected(given, label, step=1):
    """Every `step`-th label that was changed to a class becomes the next class but one."""
    chosen = (given == label) & (MANY != label) & (np.arange(len(MANY)) % step == 0)
    return np.where(chosen, (label + 2) % 100, given)


def of_many(probability, noise="uniform"):
    return honest(probability, noise=noise, true=MANY)


MANY_DEFECTS = {
    # The checks that fail on 100 classes of 500, where `uniformity` cannot be tested.
    "class spared": (
        spared(0.5, true=MANY),
        0.5,
        "uniform",
        {"class_rates"},
    ),
    "class spared at a tenth": (
        spared(0.1, true=MANY),
        0.1,
        "uniform",
        {"class_rates"},
    ),
    "class spared, true class excluded": (
        spared(1.0, true=MANY, noise="exclude_true"),
        1.0,
        "exclude_true",
        {"class_rates", "changed_count"},
    ),
    "class spared by pair flips": (
        spared(0.5, true=MANY, noise="pair_flip"),
        0.5,
        "pair_flip",
        {"class_rates"},
    ),
    "class never received": (
        redirected(of_many(1.0), 7),
        1.0,
        "uniform",
        {"received_evenly"},
    ),
    "class never received at a tenth": (
        redirected(of_many(0.1), 7),
        0.1,
        "uniform",
        {"received_evenly"},
    ),
    "class received half as often": (
        redirected(of_many(1.0), 7, 2),
        1.0,
        "uniform",
        {"received_evenly"},
    ),
    "class received half as often, true class excluded": (
        redirected(of_many(0.5, "exclude_true"), 7, 2),
        0.5,
        "exclude_true",
        {"received_evenly"},
    ),
    "all received unevenly": (
        np.where(np.arange(len(MANY)) % 3 == 0, of_many(1.0) // 2 * 2, of_many(1.0)),
        1.0,
        "uniform",
        {"received_evenly", "coincidences"},
    ),
    # A permutation of the classes, so each receives its 500 as it should.
    "classes renamed": (
        np.roll(np.arange(100), 1)[MANY],
        1.0,
        "exclude_true",
        {"coincidences", "uniformity", "not_a_permutation"},
    ),
}


@pytest.mark.parametrize("defect", MANY_DEFECTS)
def test_a_defect_of_many_classes_is_found_without_the_reference(defect):
    given, probability, noise, expected = MANY_DEFECTS[defect]
    given = given.astype(np.int32)
    assert failed(given, probability=probability, noise=noise, true=MANY) == expected


def test_what_is_no_class_is_refused_and_is_in_no_table():
    for label in (-1, K):
        given = honest()
        given[5] = label
        assert failed(given, reference=honest()) == {"given_equals_reference"}


def test_one_label_other_than_the_reference_s_is_found():
    given = honest()
    given[1234] = (given[1234] + 1) % K
    assert failed(given, reference=honest()) == {"given_equals_reference"}


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
    bad = noise_checks.changed_count(Labels(TRUE, TRUE, K), 0.5)
    good = equal("given_equals_reference", TRUE, TRUE, "given labels")
    untestable = noise_checks.uniformity(Labels(TRUE, TRUE, K))
    with pytest.raises(AuditError) as error:
        label_checks.refuse_failures([good, bad, untestable])
    assert error.value.exit_code == ExitCode.INVALID == 3
    message = str(error.value)
    assert (
        "changed_count: FAILED (0.0000 changed, expected 0.4500 within 0.4166 to 0.4836)" in message
    )
    assert "given_equals_reference" not in message and "uniformity" not in message
    assert label_checks.refuse_failures([good, untestable]) is None

"""Names of splits: every usual spelling, and names of classes that only sound like one."""

import pytest

from rethink_tf.data.sources import split_names


@pytest.mark.parametrize(
    "name, part",
    [
        ("train", "train"),
        ("Training", "train"),
        ("TRAIN", "train"),
        ("training_set", "train"),
        ("TrainingSet", "train"),
        ("trainset", "train"),
        ("train2017", "train"),
        ("train_images", "train"),
        ("01_train", "train"),
        ("training-data", "train"),
        ("test", "test"),
        ("Testing", "test"),
        ("testset", "test"),
        ("TEST_SET", "test"),
        ("test1", "test"),
        ("val", "validation"),
        ("valid", "validation"),
        ("Val2", "validation"),
        ("VALIDATION", "validation"),
        ("dev", "validation"),
        ("evaluation", "validation"),
    ],
)
def test_usual_spellings(name, part):
    assert split_names.part_of(name) == (part, ())
    assert split_names.by_part([name])[part] == [name]


@pytest.mark.parametrize(
    "name",
    [
        "trained",
        "strain",
        "tests",
        "contest",
        "valley",
        "device",
        "trainval",
        "train_val",
        "\u0442",
    ],
)
def test_names_that_are_no_split(name):
    assert split_names.part_of(name) is None


def test_another_word_counts_only_where_two_splits_share_it():
    found = split_names.by_part(["seg_train", "seg_test", "seg_pred", "freight_train"])
    assert found == {"train": ["seg_train"], "test": ["seg_test"], "validation": []}
    assert not any(split_names.by_part(["test_tube", "freight_train"]).values())
    other = split_names.by_part(["\u0442_train", "\u0430_test"])
    assert not any(other.values()), "letters of every script tell words apart"


def test_testing_comes_before_validation():
    found = split_names.by_part(["val", "train", "Test"])
    assert split_names.for_testing(found) == ["Test"]
    assert split_names.for_testing(split_names.by_part(["dev", "train"])) == ["dev"]
    assert split_names.for_testing(split_names.by_part(["train"])) == []

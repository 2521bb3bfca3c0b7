"""Which features and splits of a TFDS set are used: by its metadata, never by their order."""

import json
import re

import numpy as np
import pytest

from rethink_tf.data import registry as datasets
from rethink_tf.data.sources import custom_tfds as custom_tfds
from rethink_tf.errors import RequestError

pytestmark = pytest.mark.usefixtures("offline")
IMAGE = {"image": {"shape": {"dimensions": ["8", "8", "1"]}}}
TWO = {"angle": 4, "object": 10}


def prepared(folder, labels, *, images=("image",), supervised=None, splits=None):
    """Metadata of a set `own` with class labels {feature: number of classes}, without records."""
    features = dict.fromkeys(images, IMAGE)
    features |= {key: {"classLabel": {"numClasses": str(n)}} for key, n in labels.items()}
    info = {
        "name": "own",
        "splits": [
            {"name": name, "shardLengths": [str(count)]}
            for name, count in (splits or {"train": 40, "test": 10}).items()
        ],
    }
    if supervised is not None:
        info["supervisedKeys"] = supervised
    place = folder / "own" / "1.0.0"
    place.mkdir(parents=True, exist_ok=True)
    (place / "features.json").write_text(json.dumps({"featuresDict": {"features": features}}))
    (place / "dataset_info.json").write_text(json.dumps(info))
    return folder


def keys(*names):
    return {"tuple": {"items": [{"featureKey": name} for name in names]}}


def find(folder, name="own"):
    return custom_tfds.prepared_set(name, folder, None, "none")


def test_several_labels_without_a_choice_are_refused(offline):
    prepared(offline, TWO)
    with pytest.raises(RequestError) as caught:
        datasets.info("tfds:own", offline)
    assert re.search("--dataset:.*of them: --dataset=tfds:own#angle", str(caught.value))


@pytest.mark.parametrize(
    "supervised",
    [
        keys("image", "object"),
        keys("image", "object", "weight"),
        {"input": "image", "output": "object"},
    ],
)
def test_the_set_itself_chooses(supervised, offline):
    found = find(prepared(offline, TWO, supervised=supervised))
    assert (found.label_key, found.num_classes) == ("object", 10)
    assert found.notes == (
        "labels are the feature object, by the set's supervised_keys; not used: angle",
    )


def test_what_is_typed_chooses(offline):
    prepared(offline, TWO, supervised=keys("image", "angle"))
    info = datasets.info("tfds:own#object", offline)
    assert info.num_classes == 10
    assert info.notes == ("labels are the feature object; not used: angle",)
    with pytest.raises(RequestError, match="after #: angle, object; received colour"):
        datasets.info("tfds:own#colour", offline)


def test_a_feature_called_label_is_taken_and_said(offline):
    found = find(prepared(offline, {"coarse": 20, "label": 100}))
    assert (found.num_classes, found.notes) == (
        100,
        ("labels are the feature label; not used: coarse",),
    )
    found = find(prepared(offline, {"kind": 3}))
    assert (found.num_classes, found.notes) == (3, ("labels are the feature kind",))
    found = find(prepared(offline, {"label": 3}, supervised=keys("image", "label")))
    assert found.notes == ()


def test_keys_that_name_no_class_label_choose_nothing(offline):
    prepared(offline, TWO, supervised=keys("image", "boxes"))
    with pytest.raises(RequestError, match="several class labels"):
        find(offline)
    nested = {"tuple": {"items": [{"featureKey": "image"}, {"dict": {"dict": {}}}]}}
    assert find(prepared(offline, {"label": 3}, supervised=nested)).label_key == "label"


def test_several_images_are_chosen_in_the_same_way(offline):
    prepared(offline, {"label": 3}, images=("left", "right"))
    with pytest.raises(RequestError, match="several image features .*: left, right; expected"):
        find(offline)
    prepared(offline, {"label": 3}, images=("left", "right"), supervised=keys("right", "label"))
    assert find(offline).notes == ("images are the feature right; not used: left",)
    assert find(prepared(offline, {"label": 3}, images=("image", "mask"))).image_key == "image"


def test_a_choice_is_part_of_the_identity(offline):
    prepared(offline, TWO)
    content = {name: datasets.info(f"tfds:own#{name}", offline).content for name in TWO}
    assert content["angle"] != content["object"]
    prepared(offline, TWO, supervised=keys("image", "object"))
    assert datasets.info("tfds:own", offline).content == content["object"]


@pytest.mark.parametrize(
    "splits, test, said",
    [
        ({"train": 9, "test": 2, "extra": 5}, "test", "training nor testing: extra"),
        ({"train": 9, "validation": 2, "dev": 0}, "validation", "validation is used for"),
        ({"train": 9, "dev": 2}, "dev", "is used for testing"),
        ({"train": 9, "extra": 2}, "train", "training nor testing: extra"),
    ],
)
def test_the_split_for_testing_is_said(splits, test, said, offline):
    found = find(prepared(offline, {"label": 3}, splits=splits))
    assert found.splits["test"][0] == test and re.search(said, str(found.notes[0]))


def test_several_splits_for_testing_are_refused(offline):
    prepared(offline, {"label": 3}, splits={"train": 9, "validation": 2, "dev": 3})
    with pytest.raises(RequestError, match="has several: validation, dev"):
        find(offline)


@pytest.mark.parametrize(
    "damage", [[], {"tuple": []}, {"tuple": {"items": []}}, {"tuple": {"items": [1, 2]}}, "image"]
)
def test_damaged_keys_are_one_line(damage, offline):
    prepared(offline, {"label": 3}, supervised=damage or [0])
    with pytest.raises(RequestError, match="its metadata say otherwise"):
        find(offline)


def test_the_labels_that_were_chosen_are_read(offline, tensorflow):
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(4, 4, 1)),
            "angle": tfds.features.ClassLabel(num_classes=2),
            "object": tfds.features.ClassLabel(names=["a", "b", "c"]),
        }
    )
    rows = [
        (n, {"image": np.full((4, 4, 1), n, np.uint8), "angle": n % 2, "object": n % 3})
        for n in range(30)
    ]
    tfds.dataset_builders.store_as_tfds_dataset(
        name="own",
        version="1.0.0",
        features=features,
        split_datasets={"train": rows},
        data_dir=offline,
    )
    for name, classes in (("angle", 2), ("object", 3)):
        parts = datasets.load(f"tfds:own#{name}", data_dir=offline)
        assert sum(part.num_examples for part in parts) == 30
        for part in parts:
            assert np.array_equal(part.labels, part.images[:, 0, 0, 0] % classes)
    assert datasets.info("tfds:own#object", offline).class_names == ("a", "b", "c")

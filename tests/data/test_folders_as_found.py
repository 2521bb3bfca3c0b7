"""Folders as people have them: splits in any spelling, hidden things, links that lead astray."""

import os
import re
import shutil

import class_folders
import numpy as np
import pytest

from rethink_tf.data import registry as datasets
from rethink_tf.data.sources import image_folder as custom_folder
from rethink_tf.errors import RequestError

pytestmark = pytest.mark.usefixtures("offline")


def listed(root):
    return custom_folder.listing(root)


def counts(found):
    return {name: len(files) for name, files in found.parts.items()}


def names(found):
    return {path.relative_to(found.root).as_posix() for path in found.files}


def both(root, train, test, each=(3, 2), classes=2):
    """Class folders below root/<train> and root/<test>; returns root."""
    for name, many in zip((train, test), each, strict=True):
        class_folders.draw(root / name, classes=classes, each=many)
    return root


# Splits


@pytest.mark.parametrize(
    "train, test, said",
    [
        ("Training", "Testing", "test images from Testing"),
        ("TRAIN", "TEST", "training images from TRAIN, test images from TEST"),
        ("training_set", "test_set", "from training_set, test images from test_set"),
        ("seg_train/seg_train", "seg_test/seg_test", "from seg_train/seg_train, test images from "),
        ("train/images", "valid/images", "test images from valid/images, a folder for validation"),
        ("train", "dev", "dev, a folder for"),
    ],
)
def test_splits_in_any_spelling(train, test, said, offline):
    found = listed(both(offline / "set", train, test))
    assert found.classes == ("class_0", "class_1")
    assert counts(found) == {"train": 6, "test": 4}
    assert len(found.notes) == 1 and re.search(said, str(found.notes[0]))


def test_splits_in_another_spelling_are_the_same_set(offline):
    both(offline / "a", "train", "test")
    both(offline / "b", "Training", "Testing")
    first, second = (datasets.load(f"folder:{offline / name}") for name in "ab")
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.images, other.images)
        assert np.array_equal(one.labels, other.labels)
        assert np.array_equal(one.index, other.index)
    infos = [datasets.info(f"folder:{offline / name}") for name in "ab"]
    assert infos[0].content == infos[1].content


def test_a_test_folder_without_classes_leaves_testing_to_validation(offline):
    root = both(offline / "set", "train", "valid")
    shutil.copytree(root / "valid" / "class_0", root / "test")
    found = listed(root)
    assert counts(found) == {"train": 6, "test": 4}
    assert found.notes == (
        "training images from train, test images from valid, a folder for validation",
        "folders used for neither training nor testing: test",
        "without class folders, so without labels: test",
    )
    shutil.rmtree(root / "valid")
    with pytest.raises(RequestError, match="expected class folders in .*/test, found none"):
        listed(root)


def test_classes_named_like_a_split_are_classes(offline):
    for name in ("train", "bus", "freight_train"):
        class_folders.draw(offline / "set", classes=1, each=3)
        (offline / "set" / "class_0").rename(offline / "set" / name)
    found = listed(offline / "set")
    assert found.classes == ("bus", "freight_train", "train") and counts(found) == {"all": 9}
    assert found.notes == ("train is a class, no split: it holds no class folders",)


@pytest.mark.parametrize(
    "folders, words",
    [
        (("train/a", "train/b", "Training/a", "test/a"), "for training in .*found Training, train"),
        (("train/a", "train/b", "test/a", "Testing/a"), "for testing in .*found Testing, test;"),
        (("train/a", "train/b", "other/a"), "for testing, such as"),
        (("seg_train/a", "seg_train/b", "seg_pred"), "has a folder seg_train but none for testing"),
        (("Testing/a", "Testing/b", "other/a"), "but none for training"),
        (("train", "test"), "/set/train/<class>/<image>, found no class folders there"),
        (("a/train", "a/test", "b/train", "b/test"), "/set/a holds a training and a test set"),
        (("archive/a", "archive/b"), "further down: --dataset=folder:.*/set/archive$"),
    ],
)
def test_splits_that_cannot_be_told_are_refused(folders, words, offline):
    for name in folders:
        (offline / "set" / name).mkdir(parents=True)
        class_folders.picture(0, 0).save(offline / "set" / name / "0.png")
    with pytest.raises(RequestError, match=words) as caught:
        listed(offline / "set")
    assert "\n" not in str(caught.value)


# What is hidden, and what lies about


def test_hidden_folders_are_read_at_no_depth(offline):
    root = both(offline / "set", "train", "test")
    copy = root / "train" / "class_0" / ".ipynb_checkpoints"
    shutil.copytree(root / "train" / "class_1", copy)
    shutil.copytree(copy, root / "train" / "class_1" / "deep" / ".cache" / "deeper")
    shutil.copytree(root / "train", root / "__MACOSX" / "train")
    shutil.copytree(root / "train" / "class_0", root / "train" / "__MACOSX" / "class_0")
    shutil.copytree(root / "train" / "class_0", root / "test" / "class_0" / "@eaDir")
    shutil.copy(copy / "00.png", root / "train" / "class_1" / "._00.png")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
        (root / "train" / "class_0" / name).write_text("of the system")
    found = listed(root)
    assert counts(found) == {"train": 6, "test": 4}
    assert found.classes == ("class_0", "class_1")
    assert found.notes == (
        "3 hidden files or folders left out: train/class_0/.ipynb_checkpoints, "
        "train/class_1/._00.png, "
        "train/class_1/deep/.cache",
    )


def test_what_lies_elsewhere_is_counted(offline):
    root = class_folders.draw(offline / "set", classes=2, each=3)
    (root / "class_0" / "deeper").mkdir()
    shutil.copy(root / "class_0" / "00.png", root / "class_0" / "deeper" / "x.png")
    shutil.copy(root / "class_0" / "00.png", root / "loose.png")
    (root / "class_1" / "readme.txt").write_text("no image")
    os.mkfifo(root / "class_1" / "pipe.png")
    found = listed(root)
    assert len(found.files) == 7
    assert found.notes == (
        "2 files without an image's file ending were left out",
        "1 images in no class folder were left out: loose.png",
        "1 images are in subfolders of their class folders: they are used",
    )


def test_what_is_said_belongs_to_the_fingerprint(offline):
    root = class_folders.draw(offline / "set", classes=2, each=3)
    before = listed(root).fingerprint()
    (root / "class_0" / ".hidden").mkdir()
    assert listed(root).fingerprint() != before


# Links


def test_links_that_lead_nowhere_are_named(offline):
    root = class_folders.draw(offline / "set", classes=2, each=4)
    for number in range(6):
        (root / "class_1" / f"9{number}.png").symlink_to(offline / "annex" / str(number))
    (root / "class_0" / "round.png").symlink_to("round.png")
    with pytest.raises(RequestError) as caught:
        listed(root)
    assert re.search(
        rf"--dataset: 7 links .*{re.escape(str(root))}: class_0/round\.png, class_1/90\.png, "
        r"class_1/91\.png, class_1/92\.png, class_1/93\.png and 2 more; .*or remove them",
        str(caught.value),
    )


@pytest.mark.parametrize("place", ["class_9", "class_0/more"])
def test_a_folder_that_is_a_link_to_nowhere_is_named(place, offline):
    root = class_folders.draw(offline / "set", classes=2, each=4)
    (root / place).symlink_to(offline / "gone", target_is_directory=True)
    with pytest.raises(RequestError, match=f"1 link leads nowhere in .*: {re.escape(place)}; "):
        listed(root)


def test_a_split_that_is_a_link_to_nowhere_is_named(offline):
    root = both(offline / "set", "train", "val")
    (root / "test").symlink_to(offline / "gone")
    with pytest.raises(RequestError, match="1 link leads nowhere in .*: test; "):
        listed(root)


def test_links_to_files_and_folders_are_followed(offline):
    root = class_folders.draw(offline / "set", classes=2, each=4)
    more = class_folders.draw(offline / "more", classes=1, each=5)
    (root / "class_0" / "more").symlink_to(more / "class_0")
    (root / "class_1" / "file.png").symlink_to(more / "class_0" / "00.png")
    found = listed(root)
    assert len(found.files) == 8 + 5 + 1 and "class_0/more/04.png" in names(found)
    assert found.notes == (
        "5 images are in subfolders of their class folders: they are used",
        "1 links to folders were followed: class_0/more",
    )


@pytest.mark.parametrize(
    "link, to",
    [
        ("class_0/up", ".."),
        ("class_0/self", "."),
        ("class_0/other", "../class_1"),
        ("class_2", "class_0"),
        ("class_0/a/b/c", "../.."),
    ],
)
def test_a_folder_that_is_reached_twice_is_refused(link, to, offline):
    root = class_folders.draw(offline / "set", classes=2, each=4)
    (root / link).parent.mkdir(parents=True, exist_ok=True)
    (root / link).symlink_to(to, target_is_directory=True)
    with pytest.raises(RequestError, match="twice through a link"):
        listed(root)


def test_a_test_folder_that_is_the_training_folder_is_refused(offline):
    class_folders.draw(offline / "set" / "train", classes=2, each=4)
    (offline / "set" / "test").symlink_to("train")
    with pytest.raises(RequestError, match="/test and .*/train are one folder"):
        listed(offline / "set")

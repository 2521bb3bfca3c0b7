"""Streamed images: as decoded in order, corrupted as their references say, unreadable by name."""

import os
import re

import numpy as np
import pytest
import streamed_set

from rethink_tf.corruptions import pixels
from rethink_tf.corruptions.corruption import Corruption, Moments
from rethink_tf.corruptions.threefry import SplitId
from rethink_tf.data import registry as datasets
from rethink_tf.data import streaming
from rethink_tf.errors import RequestError, StorageError

NAME, SIZE = "imagenet2012", 24


@pytest.fixture(scope="module")
def data_dir(tensorflow, tmp_path_factory):
    folder = tmp_path_factory.mktemp("streaming")
    streamed_set.write(folder)
    return folder


@pytest.fixture(scope="module")
def splits(data_dir):
    said, where = [], {"data_dir": data_dir, "cache_dir": data_dir / "cache"}
    found = datasets.load(NAME, **where, report=said.append)
    assert len(said) == 1 and said[0].startswith("decoding every image of ")
    datasets.load(NAME, **where, report=pytest.fail)  # the places are kept
    return found


def images(split):
    return split.images.resized(SIZE)


def test_the_splits_are_those_of_the_folder(splits):
    train, test = splits
    assert (train.num_examples, test.num_examples) == (30, 12)
    assert (train.num_classes, train.image_shape, train.streamed) == (1000, (299, 299, 3), True)
    written = {}
    for split in ("train", "test"):
        for name, label, _ in streamed_set.examples(split):
            number = int(name.split("_")[-1][:-5])
            written[split, number if split == "test" else (label << 22) + number] = label
    for split in splits:
        expected = sorted((i, label) for (s, i), label in written.items() if s == split.name)
        assert list(zip(split.index, split.labels, strict=True)) == expected


def test_images_are_those_of_a_sequential_reading(splits):
    for split in splits:
        by_identity = {}
        for name, label, data in streamed_set.examples(split.name):
            number = int(name.split("_")[-1][:-5])
            own = number if split.name == "test" else (label << 22) + number
            by_identity[own] = streamed_set.central(data, SIZE)
        found = images(split)[:]
        assert found.dtype == np.uint8 and found.shape == (split.num_examples, SIZE, SIZE, 3)
        expected = np.stack([by_identity[i] for i in split.index])
        # Rounded. Of a part, libjpeg interpolates the last column's colours from one side alone.
        assert np.abs(found - expected)[:, :, :-1].max() <= 0.5 + 1e-3
        assert np.abs(found - expected).max() < 12


def test_rows_come_in_the_order_asked_for_and_as_often(splits):
    found = images(splits[0])
    whole = found[:]
    rows = np.array([7, 0, 29, 7])
    np.testing.assert_array_equal(found[rows], whole[rows])
    np.testing.assert_array_equal(found.take(rows)[[2, 1]], whole[[29, 0]])
    np.testing.assert_array_equal(found[5:9], whole[5:9])
    assert (len(found.take(rows)), found.shape, found.resized(9).shape[1]) == (
        4,
        (30, 24, 24, 3),
        9,
    )
    batches = [b.numpy() for b in streaming.read(found.batches(rows, 3))]
    assert [len(b) for b in batches] == [3, 1]
    assert found.spread(3).tolist() == [0, 14, 29] and len(found.spread(99)) == 30


def test_augmentation_is_a_function_of_seed_epoch_and_example(splits):
    found = images(splits[0])
    rows, drawn = np.array([3, 9, 20, 4]), {"augment": "inception", "seed": 5}
    first = found.augmented(rows, epoch=1, **drawn)
    assert first.dtype == np.uint8 and first.shape == (4, SIZE, SIZE, 3)
    np.testing.assert_array_equal(found.augmented(rows[::-1], epoch=1, **drawn), first[::-1])
    np.testing.assert_array_equal(found.take(rows).augmented([1], epoch=1, **drawn), first[1:2])
    others = [
        found.augmented(rows, epoch=2, **drawn),
        found.augmented(rows, epoch=1, augment="inception", seed=6),
        found[rows],
    ]
    for other in others:
        assert (np.abs(other.astype(int) - first).mean(axis=(1, 2, 3)) > 3).all()


@pytest.mark.parametrize("kind", ["shuffled", "random", "gaussian"])
def test_corrupted_pixels_are_those_of_the_numpy_reference(splits, kind):
    how = Corruption(pixels=kind, seed=3)
    moments = Moments(np.array([100.0, 120, 140]), np.array([50.0, 60, 70]))
    for split in splits:
        clean = images(split)
        part = SplitId.TRAIN if split.name == "train" else SplitId.TEST
        reference = pixels.corrupt_pixels(clean[:], split.index, how, split=part, moments=moments)
        found = clean.corrupted(how, moments)[:]
        assert found.dtype == reference.dtype
        np.testing.assert_allclose(found, reference, rtol=0, atol=0.01 if kind == "gaussian" else 0)
        some = np.array([8, 2])
        np.testing.assert_array_equal(clean.corrupted(how, moments)[some], found[some])


def broken(split, found):
    """Two images cut short and one that is no JPEG at all."""
    if split == "test":
        return found
    bad = {3: streamed_set.spoil(found[3][2]), 8: streamed_set.spoil(found[8][2]), 20: b"GIF89a"}
    return [(n, label, bad.get(i, data)) for i, (n, label, data) in enumerate(found)]


def test_unreadable_images_are_named_and_left_out(tensorflow, tmp_path, monkeypatch):
    folder = streamed_set.write(tmp_path, broken)
    names = [n for i, (n, *_) in enumerate(streamed_set.examples("train")) if i in (3, 8, 20)]
    where = {"data_dir": tmp_path, "cache_dir": tmp_path / "cache"}
    with pytest.raises(RequestError) as caught:
        datasets.load(NAME, **where, report=[].append)
    assert re.search(r"3 of 42 images .*more than 0\.1%: ", str(caught.value))
    assert all(name in str(caught.value) for name in names) and "\n" not in str(caught.value)
    monkeypatch.setattr(streaming, "MOST_UNREADABLE", 0.1)
    for _ in range(2):  # from the files, then from the cache
        said = []
        train, test = datasets.load(NAME, **where, report=said.append)
        assert (train.num_examples, test.num_examples) == (27, 12)
        assert re.search(f"3 images of {re.escape(str(folder))} .*left out: n0000", said[-1])
        assert sorted(train.images.left_out) == sorted(names)
        assert all(name in said[-1] for name in names)
        assert len(train.images.resized(8)[:]) == 27


def test_files_that_change_after_the_check_are_a_storage_error(tensorflow, tmp_path):
    folder = streamed_set.write(tmp_path)
    train, _ = datasets.load(NAME, data_dir=tmp_path, cache_dir=tmp_path / "cache")
    path = next(folder.glob("*train.tfrecord-00001*"))
    content = path.read_bytes()
    path.write_bytes(bytes(len(content)))
    with pytest.raises(StorageError, match="cannot be read any more .*type the same command again"):
        train.images.resized(8)[:]
    os.truncate(path, 10)
    with pytest.raises(StorageError, match=r"expected \d+ bytes at \d+, got 0") as caught:
        train.images.resized(8)[:]
    assert "\n" not in str(caught.value)
    path.write_bytes(content)
    assert len(train.images.resized(8)[:]) == 30


def test_without_the_set_the_recipe_is_named(tmp_path):
    assert not datasets.is_on_disk(NAME, tmp_path)
    for call in (datasets.require, lambda *where: datasets.load(NAME, data_dir=where[1])):
        with pytest.raises(RequestError, match=r"scripts/prepare_imagenet\.sh.*--data_dir=DIR"):
            call(NAME, tmp_path)


def test_a_part_is_balanced_and_keeps_identities(splits):
    part = datasets.take(splits[0], 10, seed=1)
    assert np.bincount(part.labels, minlength=1000)[list(streamed_set.LABELS)].tolist() == [2] * 5
    rows = np.flatnonzero(np.isin(splits[0].index, part.index))
    np.testing.assert_array_equal(part.images.index, part.index)
    np.testing.assert_array_equal(images(part)[:], images(splits[0])[rows])

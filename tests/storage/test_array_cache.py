import json
import multiprocessing
import os
import time

import numpy as np
import pytest

from rethink_tf.storage import array_cache

ARRAYS = {
    "images": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    "labels": np.array([3, -1], np.int32),
    "none": np.zeros((0, 5), np.float64),
    "scalar": np.array(7, np.int64),
}


def assert_same(got, expected=ARRAYS):
    assert list(got) == list(expected)
    for name, array in expected.items():
        assert got[name].dtype == array.dtype and got[name].shape == array.shape
        np.testing.assert_array_equal(got[name], array)


def never():
    raise AssertionError("built although the entry is there")


def test_what_was_stored_comes_back(tmp_path):
    folder = tmp_path / "deep" / "entry"
    assert array_cache.load(folder) is None
    array_cache.store(folder, ARRAYS)
    assert_same(array_cache.load(folder))
    # Nothing temporary stays, and the hash is of the file, so that `sha256sum` can check it.
    assert os.listdir(folder.parent) == ["entry"]
    assert json.loads((folder / "hashes.json").read_text())["labels"] == {
        "sha256": "505556e0b1fc12c7f6443f322621c5c8c728de2a53a20300dfad2ab2142ad645",
        "dtype": "<i4",
        "shape": [2],
    }


def flip_last_byte(folder):
    data = bytearray((folder / "images.npy").read_bytes())
    data[-1] ^= 1
    (folder / "images.npy").write_bytes(data)


def other_shape(folder):
    facts = json.loads((folder / "hashes.json").read_text())
    facts["images"]["shape"] = [3, 2, 4]
    (folder / "hashes.json").write_text(json.dumps(facts))


DAMAGES = {
    "flipped byte": flip_last_byte,
    "cut short": lambda folder: os.truncate(folder / "images.npy", 100),
    "file missing": lambda folder: (folder / "labels.npy").unlink(),
    "no hashes": lambda folder: (folder / "hashes.json").unlink(),
    "half a json": lambda folder: os.truncate(folder / "hashes.json", 40),
    "json of another kind": lambda folder: (folder / "hashes.json").write_text("[1]"),
    "other shape": other_shape,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_named_and_made_again(tmp_path, damage):
    folder = tmp_path / "entry"
    array_cache.store(folder, ARRAYS)
    DAMAGES[damage](folder)
    with pytest.raises(array_cache.DamagedCache, match="entry"):
        array_cache.load(folder)
    lines = []
    assert_same(array_cache.load_or_build(folder, lambda: ARRAYS, report=lines.append))
    assert len(lines) == 1 and "damaged" in lines[0] and "\n" not in lines[0]
    assert_same(array_cache.load_or_build(folder, never, report=lines.append))
    assert len(lines) == 1 and os.listdir(tmp_path) == ["entry"]


@pytest.mark.parametrize(
    "arrays", [{"a": np.array([None])}, {"../a": np.zeros(1)}], ids=["objects", "path"]
)
def test_objects_and_paths_are_refused(tmp_path, arrays):
    with pytest.raises(ValueError, match="plain dtype"):
        array_cache.store(tmp_path / "entry", arrays)
    assert os.listdir(tmp_path) == []


def test_who_is_first_wins(tmp_path):
    folder = tmp_path / "entry"
    array_cache.store(folder, ARRAYS)
    array_cache.store(folder, {"other": np.ones(3)})
    assert_same(array_cache.load(folder))
    assert os.listdir(tmp_path) == ["entry"]


def test_no_cache_is_no_error(tmp_path):
    (tmp_path / "file").write_text("a file where a folder is needed: no user can write below it")
    lines = []
    got = array_cache.load_or_build(tmp_path / "file" / "e", lambda: ARRAYS, report=lines.append)
    assert_same(got)
    assert len(lines) == 1 and "the run continues" in lines[0] and "\n" not in lines[0]
    assert "type --cache_dir=DIR with a writable folder" in lines[0]


def test_a_full_disk_is_no_error_and_leaves_nothing(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    lines = []
    assert_same(array_cache.load_or_build(tmp_path / "e", lambda: ARRAYS, report=lines.append))
    assert len(lines) == 1 and "space left on device" in str(lines[0])
    assert os.listdir(tmp_path) == []


def test_what_a_killed_process_left_is_removed_a_day_later(tmp_path):
    for name, age in ((".entry.1-aa", 2 * 24 * 3600), (".entry.2-bb", 60)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    array_cache.store(tmp_path / "entry", ARRAYS)
    assert sorted(os.listdir(tmp_path)) == [".entry.2-bb", "entry"]


def _work(folder, start, results):
    start.wait()
    lines = []
    got = array_cache.load_or_build(
        folder, lambda: {"a": np.full(200_000, 5, np.int32)}, report=lines.append
    )
    results.put((int(got["a"].sum()), lines))


def test_processes_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(4), context.Queue()
    workers = [
        context.Process(target=_work, args=(tmp_path / "entry", start, results)) for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    answers = [results.get(timeout=300) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert answers == [(1_000_000, [])] * 4
    assert os.listdir(tmp_path) == ["entry"]

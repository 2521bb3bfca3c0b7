"""What a run writes survives, or fails in one line: atomic files and histories."""

import errno
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from no_space import no_space, one_line

from rethink_tf.errors import RequestError, StorageError
from rethink_tf.runs import results
from rethink_tf.storage import files, temporaries
from rethink_tf.storage import lock as run_lock


def test_the_file_names():
    names = (results.CONFIG, results.HISTORY, results.SUMMARY, results.TENSORBOARD, results.LOCK)
    assert names == ("config.json", "history.jsonl", "summary.json", "tb", "lock")
    assert (results.DONE, results.INVALID, results.DIVERGED) == ("DONE", "INVALID", "DIVERGED")


def test_atomic_writing(tmp_path):
    path = tmp_path / "a.json"
    for content in (b"old", b"new and longer", b""):
        files.write_atomically(path, content)
        assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_write_that_fails_keeps_the_old_content(tmp_path):
    path = tmp_path / "a.json"
    files.write_atomically(path, b"old")
    with no_space(), pytest.raises(StorageError) as error:
        files.write_atomically(path, b"new")
    assert re.search(
        f"{re.escape(str(path))}: File too large; nothing finished was lost", one_line(error)
    )
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_rename_that_fails_keeps_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.write_atomically(path, b"old")

    def fail(source, target):
        assert Path(source).read_bytes() == b"new", "written before it is renamed"
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(results.os, "replace", fail)
    with pytest.raises(StorageError, match="Input/output error"):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_write_is_on_disk_before_its_name_and_its_name_before_it_returns(tmp_path, monkeypatch):
    calls, fsync, replace = [], os.fsync, os.replace

    def synced(descriptor):
        calls.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("renamed"), replace(a, b)))
    files.write_atomically(tmp_path / "a.json", b"new")
    own = f".a.json.{os.getpid()}-{temporaries.machine()}"
    assert calls == [own, "renamed", tmp_path.name]


@pytest.mark.parametrize("number, fails", [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_synced_fails_only_where_the_disk_does(
    tmp_path, monkeypatch, number, fails
):
    def refuse(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    if fails:
        with pytest.raises(StorageError, match="Input/output error"):
            files.write_atomically(tmp_path / "a.json", b"new")
    else:
        files.write_atomically(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").read_bytes() == b"new"


def test_a_folder_that_is_none_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Not a directory"):
        files.write_json(tmp_path / "file" / "a.json", {})
    with pytest.raises(StorageError, match="such file or directory"):
        files.write_json(tmp_path / "none" / "a.json", {})
    assert results.read_summary(tmp_path / "file") is None
    with pytest.raises(StorageError, match="Not a directory"), run_lock.locked(tmp_path / "file/x"):
        raise AssertionError("not to be held")


def test_what_is_no_number_is_null(tmp_path):
    values = {
        "nan": float("nan"),
        "infinite": [float("inf"), -float("inf"), 1.5],
        "numpy": {"nan": np.float32("nan"), "one": np.int64(1), "half": np.float32(0.5)},
        "bool": np.bool_(True),
        "tuple": (1, None, "x"),
    }
    files.write_json(tmp_path / "a.json", values)
    assert json.loads((tmp_path / "a.json").read_text()) == {
        "nan": None,
        "infinite": [None, None, 1.5],
        "numpy": {"nan": None, "one": 1, "half": 0.5},
        "bool": True,
        "tuple": [1, None, "x"],
    }


def test_history_is_one_object_a_line(tmp_path):
    lines = [{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": float("nan")}]
    for line in lines:
        results.append_history(tmp_path, line)
    content = (tmp_path / "history.jsonl").read_text()
    assert content == '{"epoch": 1, "loss": 2.5}\n{"epoch": 2, "loss": null}\n'
    assert results.read_history(tmp_path) == [lines[0], {"epoch": 2, "loss": None}]


def test_a_history_line_cut_short_is_left_out(tmp_path):
    assert results.read_history(tmp_path) == []
    whole = b'{"epoch": 1}\n{"epoch": 2}\n'
    for cut in range(len(whole) + 1):
        (tmp_path / "history.jsonl").write_bytes(whole[:cut])
        assert results.read_history(tmp_path) == [{"epoch": 1}, {"epoch": 2}][: cut // 13]


def test_a_damaged_history_is_one_line(tmp_path):
    for content in (b'{"epoch": 1\n{"epoch": 2}\n', b"\xff\xfe\n"):
        (tmp_path / "history.jsonl").write_bytes(content)
        with pytest.raises(StorageError) as error:
            results.read_history(tmp_path)
        told = f"{tmp_path}/history.jsonl: expected one JSON object a line; the run is not used: "
        assert one_line(error).startswith(f"{told}move its folder away, and the command")


def test_a_damaged_config_is_not_to_be_deleted(tmp_path):
    for content in (b'{"run_id": "x', b"[]", b'{"resumed": 3}'):
        (tmp_path / "config.json").write_bytes(content)
        with pytest.raises(StorageError, match="the run is not used: move its folder away"):
            results.read_config(tmp_path)


def test_a_history_that_cannot_grow_is_one_line(tmp_path):
    results.append_history(tmp_path, {"epoch": 1})
    with no_space(), pytest.raises(StorageError) as error:
        results.append_history(tmp_path, {"epoch": 2})
    assert "history.jsonl: File too large" in one_line(error)
    assert results.read_history(tmp_path) == [{"epoch": 1}]


@pytest.mark.parametrize(
    "content, problem",
    [
        (b"", "expected JSON, found something else; delete it"),
        (b'{"status": "DO', "expected JSON, found something else; delete it"),
        (b"\xff\xfe", "expected JSON, found something else; delete it"),
        (b"[" * 100_000, "expected JSON, found something else; delete it"),
        (b"[1]", "expected a JSON object, found list; delete it"),
        (b"null", "expected a JSON object, found NoneType; delete it"),
    ],
)
def test_a_broken_summary_is_one_line(tmp_path, content, problem):
    (tmp_path / "summary.json").write_bytes(content)
    with pytest.raises(StorageError) as error:
        results.read_summary(tmp_path)
    assert one_line(error) == f"{tmp_path}/summary.json: {problem}"


def test_what_is_not_there_is_none(tmp_path):
    assert results.read_summary(tmp_path) is None
    assert results.read_config(tmp_path / "never") is None


def test_a_run_starts_afresh_and_ends_with_its_summary(tmp_path):
    results.append_history(tmp_path, {"epoch": 1})
    results.finish(tmp_path, {"status": "DONE"})
    (tmp_path / "tb").mkdir()
    (tmp_path / "tb" / "events").write_text("old")
    results.start(tmp_path, {"run_id": "a", "argv": ("x",)})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json"]
    config = {"record_format": 2, "run_id": "a", "argv": ["x"]}
    assert results.read_config(tmp_path) == config
    results.finish(tmp_path, {"status": "DONE", "train_loss": float("nan")})
    summary = results.read_summary(tmp_path)
    assert summary.pop("sha256").keys() == {"config.json", "summary.json"}
    assert summary == {"status": "DONE", "train_loss": None}


@pytest.mark.parametrize(
    "named, told",
    [
        ("mlp_1x512", "did you mean mlp_1x512-0123456789ab or mlp_1x512-ba9876543210?"),
        ("mlp_1x512-01", "did you mean mlp_1x512-0123456789ab?"),
        ("mlp_1x512-0123456789ac", "did you mean mlp_1x512-0123456789ab?"),
        ("runs", "did you mean alexnet-000000000000 or mlp_1x512-0123456789ab or "),
        ("model=mlp", "there is none (flags are written --name=value)"),
    ],
)
def test_the_run_that_was_meant_is_named(named, told, tmp_path):
    runs = tmp_path / "runs"
    for name in ("mlp_1x512-0123456789ab", "mlp_1x512-ba9876543210", "alexnet-000000000000"):
        (runs / name).mkdir(parents=True)
        (runs / name / results.CONFIG).write_text("{}")
    (runs / "mlp_1x512-notes").mkdir()
    with pytest.raises(RequestError) as error:
        results.require_folder(named, runs)
    assert told in one_line(error)


def test_a_folder_of_runs_that_is_none_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RequestError, match="there is none .*none does not exist"):
        results.require_folder("a", tmp_path / "none")
    with pytest.raises(RequestError, match="there is none .*file is not a folder"):
        results.require_folder("a", tmp_path / "file")

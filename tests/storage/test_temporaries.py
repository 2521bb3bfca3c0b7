"""What a killed process left half written: removed where it is dead and was of this machine."""

import os
import subprocess
import sys

import numpy as np
import pytest

from rethink_tf.storage import array_cache, files, temporaries
from rethink_tf.storage import lock as run_lock


@pytest.fixture(scope="module")
def dead():
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_writer_removes_what_dead_writers_of_the_same_file_left(tmp_path, dead):
    here, there = temporaries.machine(), "0" * 8
    kept = [
        f".a.json.{dead}-{there}",  # of another machine
        f".a.json.{os.getppid()}-{here}",  # it lives
        f".a.json.{dead}",  # of an unknown machine
        f".b.json.{dead}-{here}",  # another file's
        ".a.json.old",
        "a.json.1",
        ".a.json.0",
    ]
    for name in (*kept, f".a.json.{dead}-{here}"):
        (tmp_path / name).touch()
    files.write_json(tmp_path / "a.json", {})
    assert names(tmp_path) == sorted([*kept, "a.json"])


def test_who_holds_a_run_removes_all_that_is_left_in_it(tmp_path, dead):
    run_dir = tmp_path / "run"
    (run_dir / "checkpoints").mkdir(parents=True)
    here = temporaries.machine()
    for place in (run_dir, run_dir / "checkpoints"):
        for name in (f".summary.json.{dead}", f".x.npz.{dead}-{here}", f".y.{os.getppid()}"):
            (place / name).touch()
        (place / f".z.{dead}-{'0' * 8}").touch()
    (run_dir / "config.json").touch()
    with run_lock.locked(run_dir):
        left = [f".y.{os.getppid()}", f".z.{dead}-{'0' * 8}"]
        assert names(run_dir) == sorted([*left, "checkpoints", "config.json", "lock"])
        assert names(run_dir / "checkpoints") == sorted(left)


def test_a_cache_removes_what_a_dead_process_left_at_once(tmp_path, dead):
    here = temporaries.machine()
    for machine in (here, "0" * 8):
        (tmp_path / f".entry.{dead}-{machine}-0a1b2c3d").mkdir()
        (tmp_path / f".entry.{dead}-{machine}-0a1b2c3d" / "x.npy").touch()
    array_cache.store(tmp_path / "entry", {"x": np.zeros(1)})
    assert names(tmp_path) == [f".entry.{dead}-{'0' * 8}-0a1b2c3d", "entry"]


def test_a_killed_writer_leaves_a_name_that_is_swept(tmp_path):
    code = "import os, sys; from pathlib import Path; from rethink_tf.storage import files\n"
    code += "os.replace = lambda *_: os.kill(os.getpid(), 9)\n"
    code += "files.write_json(Path(sys.argv[1]) / 'a.json', {})"
    assert subprocess.run([sys.executable, "-c", code, tmp_path]).returncode == -9
    (left,) = names(tmp_path)
    assert left.startswith(".a.json.") and left.endswith(temporaries.machine())
    files.write_json(tmp_path / "a.json", {})
    assert names(tmp_path) == ["a.json"]


def test_a_link_is_removed_and_not_what_it_points_to(tmp_path, dead):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "kept").touch()
    (tmp_path / f".a.{dead}-{temporaries.machine()}").symlink_to(tmp_path / "there")
    temporaries.sweep(tmp_path / "a")
    assert names(tmp_path) == ["there"] and names(tmp_path / "there") == ["kept"]

"""The lock of a run directory: one process at a time, and it dies with its owner."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from no_space import no_space, one_line

from rethink_tf.errors import InUseError, StorageError
from rethink_tf.runs import status as run_progress
from rethink_tf.storage import lock as run_lock

REPOSITORY = Path(__file__).resolve().parents[2]


def test_a_second_lock_is_refused_and_names_the_owner(tmp_path):
    run_dir = tmp_path / "deep" / "run"
    with run_lock.locked(run_dir):
        assert (run_dir / "lock").read_text() == str(os.getpid())
        with pytest.raises(InUseError) as error, run_lock.locked(run_dir):
            raise AssertionError("held twice")
        assert f"{run_dir}: in use by process {os.getpid()}, " in one_line(error)
        with run_lock.locked(tmp_path / "other"):
            assert (run_dir / "lock").read_text() == str(os.getpid()), "refused, and not emptied"
    with run_lock.locked(run_dir):
        assert (run_dir / "lock").read_text() == str(os.getpid())


def test_a_run_that_is_only_looked_at_is_not_in_use(tmp_path):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    with open(run_dir / "lock", "a+b") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        ended = threading.Event()

        def end():
            ended.set()
            fcntl.flock(looking, fcntl.LOCK_UN)

        ends = threading.Timer(0.1, end)
        ends.start()
        with run_lock.locked(run_dir):
            assert ended.is_set(), "it waited"
            assert run_progress.state(run_dir) == run_progress.RUNNING
        ends.join()


def test_a_lock_is_given_back_when_the_run_fails(tmp_path):
    with pytest.raises(ValueError, match="of the run"), run_lock.locked(tmp_path / "run"):
        (tmp_path / "run" / "config.json").write_text("{}")
        raise ValueError("of the run")
    with open(tmp_path / "run" / "lock") as file:
        assert fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB) is None


def test_a_run_that_is_refused_at_once_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="refused"), run_lock.locked(tmp_path / "run"):
        raise ValueError("refused")
    assert not (tmp_path / "run").exists()


def test_a_lock_on_a_folder_removed_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    flock, run_dir, removals = fcntl.flock, tmp_path / "run", []

    def slow(file, how):
        # Between opening and locking, the owner before ends, and takes the folder away.
        if len(removals) < 3:
            removals.append(os.fstat(file.fileno()).st_ino)
            (run_dir / "lock").unlink()
            run_dir.rmdir()
        flock(file, how)

    monkeypatch.setattr(run_lock.fcntl, "flock", slow)
    with run_lock.locked(run_dir):
        assert len(removals) == 3
        assert (run_dir / "lock").read_text() == str(os.getpid())
        with pytest.raises(InUseError), run_lock.locked(run_dir):
            raise AssertionError("held twice")
    assert not run_dir.exists()


def test_a_lock_that_vanishes_for_ever_is_a_storage_error(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock.fcntl, "flock", lambda *_: (tmp_path / "run/lock").unlink())
    with pytest.raises(StorageError) as error, run_lock.locked(tmp_path / "run"):
        raise AssertionError("not to be held")
    assert "cannot be locked after 100 tries" in one_line(error)


def test_a_lock_dies_with_its_owner(tmp_path):
    code = "import sys, time, pathlib; from rethink_tf.storage import lock\n"
    code += "with lock.locked(pathlib.Path(sys.argv[1])): print('held', flush=True); input()"
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    with owner:
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(InUseError, match=f"process {owner.pid},"), run_lock.locked(tmp_path):
            raise AssertionError("held twice")
        owner.send_signal(signal.SIGKILL)
        assert owner.wait() == -signal.SIGKILL
    with run_lock.locked(tmp_path):
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_a_lock_that_cannot_be_written_is_a_storage_error(tmp_path):
    with no_space(), pytest.raises(StorageError) as error, run_lock.locked(tmp_path):
        raise AssertionError("not to be held")
    assert "File too large" in one_line(error)


def test_a_file_system_without_locks_is_not_called_in_use(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(run_lock.fcntl, "flock", fail)
    with pytest.raises(StorageError, match="No locks available"), run_lock.locked(tmp_path):
        raise AssertionError("not to be held")

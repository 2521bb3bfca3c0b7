"""What breaks while a run writes: a full disk at every write, things in the way, two owners.

In each: one line on stderr, the right exit code, nothing finished is lost, and the same command
afterwards ends bit-equal to a run that was never disturbed. The disk is "full" by RLIMIT_FSIZE,
which stops every write of this process, TensorFlow's too, as a full disk does.
"""

import contextlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from no_space import no_space
from short_runs import timeless

from rethink_tf import main
from rethink_tf.cli import app
from rethink_tf.config import flags, run_config
from rethink_tf.errors import ExitCode, StorageError
from rethink_tf.runs import checkpoint, results
from rethink_tf.storage import files
from rethink_tf.storage import lock as run_lock
from rethink_tf.training import run as train

pytestmark = pytest.mark.usefixtures("light_runs")
ARGV = ["--model=mlp_1x512", "--dataset=digits", "--examples=200", "--epochs=2", "--corrupt=0.5"]
ARGV += ["--checkpoint_every=1", "--threads=2", "--keep_epochs=1"]


def findings(run_dir):
    """All that a run found: history, summary and record of the examples, but no wall clock."""
    with np.load(run_dir / results.EXAMPLES) as file:
        return timeless(run_dir), {name: file[name].tolist() for name in file.files}


@pytest.fixture
def command(capfd, own_signals):
    """(exit code, stdout, stderr with what native code says) of the run in a folder."""

    def run(runs_dir, *more):
        capfd.readouterr()
        code = app.guarded(main.main, [*ARGV, f"--runs_dir={runs_dir}", *more])
        return (code, *capfd.readouterr())

    return run


@pytest.fixture(scope="module")
def undisturbed(tensorflow, tmp_path_factory):
    """The findings of a run that nothing disturbed, and its id."""
    wanted, options = flags.parse(ARGV)
    resolved = run_config.resolve(wanted)
    run_dir = tmp_path_factory.mktemp("undisturbed") / run_config.run_id(resolved)
    train.run(resolved, run_dir, options=options, say=lambda _: None)
    return findings(run_dir), run_dir.name


def broken(outcome, *words):
    """The one line of a run that ended for want of storage."""
    code, _, err = outcome
    assert code == ExitCode.STORAGE_FAILED == 6
    assert err.startswith("rethink_tf: ") and err.count("\n") == 1, err
    for word in words:
        assert word in err
    return err


def fill_the_disk_at(patch, target):
    """The disk is full while `target` is written: a file's name, or `log`'s method."""
    from rethink_tf.training.recording.tensorboard import TensorBoardLog

    def wrap(owner, name, chosen):
        real = getattr(owner, name)

        def write(*arguments):
            with no_space() if chosen(arguments) else contextlib.nullcontext():
                return real(*arguments)

        patch.setattr(owner, name, write)

    wrap(files, "write_atomically", lambda given: given[0].name == target)
    wrap(results, "append_history", lambda _: target == results.HISTORY)
    for method in ("__init__", "write"):
        wrap(TensorBoardLog, method, lambda _, method=method: target == f"tb {method}")


# In the order in which a run writes them: target, word of the line, epochs and checkpoints kept.
WRITES = [
    ("config.json", "config.json: File too large", 0, 0),
    ("tb __init__", "/tb: ", 0, 0),
    ("samples.png", "samples.png: File too large", 0, 0),
    ("history.jsonl", "history.jsonl: File too large", 0, 0),
    ("tb write", "/tb: ", 1, 0),
    ("epoch-000001.npz", "epoch-000001.npz: File too large", 1, 0),
    ("000001-00000000.ckpt", "000001-00000000.ckpt: File too large", 1, 0),
    ("000002-00000000.ckpt", "000002-00000000.ckpt: File too large", 2, 1),
    ("examples.npz", "examples.npz: File too large", 2, 2),
    ("summary.json", "summary.json: File too large", 2, 2),
]


def test_a_full_disk_at_every_write(command, undisturbed, tmp_path, monkeypatch):
    run_dir = tmp_path / undisturbed[1]
    for target, words, epochs, checkpoints in WRITES:
        with monkeypatch.context() as patch:
            fill_the_disk_at(patch, target)
            broken(command(tmp_path), words, "File too large", "nothing finished was lost")
        assert len(results.read_history(run_dir)) == epochs, target
        kept = checkpoint.stored(run_dir / results.CHECKPOINTS)
        assert len(kept) == checkpoints, target
        for path in kept:
            assert checkpoint.read(path)[0]["run_id"] == run_dir.name
        assert results.read_summary(run_dir) is None
        assert not [path for path in tmp_path.rglob(".*")], "nothing half written is left"
    code, out, err = command(tmp_path)
    assert (code, err) == (0, "") and "resumes after epoch 2" in out
    assert findings(run_dir) == undisturbed[0]


# What lies where the run wants to write: a file for a folder, a folder for a file.
OBSTACLES = [
    ("checkpoints", "file", "File exists"),
    ("tb", "file", "is not a directory"),
    ("snapshots", "file", "File exists"),
    ("config.json", "folder", "Is a directory"),
    ("history.jsonl", "folder", "Is a directory"),
    ("summary.json", "folder", "Is a directory"),
    ("samples.png", "folder", "Is a directory"),
]


def test_what_stands_in_the_way_is_named_and_left_alone(command, undisturbed, tmp_path):
    run_dir = tmp_path / undisturbed[1]
    for name, kind, words in OBSTACLES:
        shutil.rmtree(run_dir, ignore_errors=True)
        run_dir.mkdir()
        path = run_dir / name
        path.write_text("kept") if kind == "file" else path.mkdir()
        broken(command(tmp_path, "--resume=restart"), name, words)
        assert path.read_text() == "kept" if kind == "file" else path.is_dir()
    path.rmdir()
    assert command(tmp_path)[0] == 0
    assert findings(run_dir) == undisturbed[0]


def test_a_run_that_another_process_owns(command, undisturbed, tmp_path):
    run_dir = tmp_path / undisturbed[1]
    with run_lock.locked(run_dir):
        files.write_json(run_dir / results.CONFIG, {"of": "the owner"})
        code, out, err = command(tmp_path)
        assert code == ExitCode.IN_USE == 5 and out == ""
        assert err.count("\n") == 1 and f"{run_dir}: in use by process " in err
        assert results.read_config(run_dir) == {"of": "the owner"}
    assert command(tmp_path)[0] == 0
    assert findings(run_dir) == undisturbed[0]


def test_a_full_disk_is_no_lack_of_memory(tensorflow, tmp_path, monkeypatch):
    """ENOSPC and a batch that does not fit are the same error to TensorFlow."""
    from rethink_tf.training.recording.tensorboard import TensorBoardLog

    log = TensorBoardLog(tmp_path, {"seed": 0})

    def full(*_, **__):
        message = f"{tmp_path}/train/events.v2; No space left on device\n\tFailed to flush"
        raise tensorflow.errors.ResourceExhaustedError(None, None, message)

    monkeypatch.setattr(tensorflow.summary, "scalar", full)
    with pytest.raises(StorageError) as error:
        log.write({"epoch": 1, "loss": 2.0})
    assert re.search(
        rf"{re.escape(str(tmp_path))}: train/events\.v2; No space left on device; nothing finished",
        str(error.value),
    )


def test_a_cache_that_cannot_be_written_is_no_failure(tmp_path):
    from rethink_tf.storage import array_cache

    said, arrays = [], {"a": np.arange(5)}
    with no_space():
        got = array_cache.load_or_build(tmp_path / "entry", lambda: arrays, report=said.append)
    assert got is arrays and len(said) == 1 and "File too large" in said[0]
    assert list(tmp_path.iterdir()) == []


def test_output_that_cannot_be_written_is_one_line(command, tmp_path, monkeypatch, capfd):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        code = app.guarded(main.main, ["--help"])
        with contextlib.suppress(OSError):  # what is left in its buffer
            full.close()
    assert code == ExitCode.STORAGE_FAILED
    assert "standard output: No space left on device" in capfd.readouterr().err


def test_a_complaint_that_cannot_be_written_changes_no_code(monkeypatch, own_signals):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stderr", full)
        code = app.guarded(main.main, ["--x"])
        monkeypatch.undo()
        with contextlib.suppress(OSError):
            full.close()
    assert code == ExitCode.WRONG_REQUEST


def test_a_run_directory_that_vanishes_is_no_second_error(tmp_path):
    run_dir = tmp_path / "run"
    with pytest.raises(ValueError, match="of the run"), run_lock.locked(run_dir):
        (run_dir / results.LOCK).unlink()
        run_dir.rmdir()
        raise ValueError("of the run")
    assert not Path(run_dir).exists()

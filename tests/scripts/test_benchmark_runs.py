"""Runs that scripts/benchmark.py starts: exit codes, memory, stops, and what histories say."""

import json
import subprocess
import sys

import pytest
from benchmark import candidates, peak_memory, runs, steps
from benchmark.candidates import LeftOut, Race
from small_benchmark import tiny_options

from rethink_tf.runs import results
from rethink_tf.storage import files

TIMING = [
    {"train_seconds": 5.0, "eval_seconds": 2.0, "finished": 110.0},
    {"train_seconds": 2.0, "eval_seconds": 1.2, "finished": 113.5},
    {"train_seconds": 2.5, "eval_seconds": 1.0, "finished": 117.25},
]
ROW = {"model": "mlp_1x512", "precision": "float32", "default": "XLA on", "ours": {"XLA on": 40.0}}


def test_figures_of_the_loop_from_a_history():
    figures = runs.loop_figures(TIMING, 100.0, 5000, 1000)
    expected = {
        "epoch_images_per_second": 2500,
        "evaluation_images_per_second": 6000,
        "evaluation_share": 10 / 30.25,
        "bookkeeping_seconds": 0.25,
        "bookkeeping_share": 0.25 / 30.25,
        "start_to_training_seconds": 3,
        "start_to_first_step_seconds": 6,
    }
    assert figures == pytest.approx(expected)


def test_an_epoch_at_full_size():
    full = runs.full_epoch(TIMING, 25_000, 5000)
    assert full == pytest.approx({"train": 4.0, "evaluate": 2.0, "other": 0.25, "all": 6.25})


def test_figures_of_a_resumed_run():
    # 2 of 4 epochs were done; of the third 1,000 of 5,000 images were left.
    timing = [{**TIMING[0], "images_per_second": 200.0}, *TIMING[1:]]
    last = {"checkpoint_seconds": [0.9, 0.4, 0.5], "restore_seconds": 0.125, "seconds": 10.0}
    figures = runs.checkpoint_figures(timing, last, 100.0, 5000, 1000)
    assert runs.EVERY == 5
    assert figures == pytest.approx({
        "checkpoint_seconds": 0.4,
        "checkpoint_share": 0.4 / (5 * 30.25),
        "restore_seconds": 0.125,
        "start_to_next_step_seconds": 3 + 5 - 1000 / 2500,
    })  # fmt: skip


@pytest.fixture
def noise(monkeypatch):
    """Stands for the data set, which no run of these tests reads."""
    asked = []

    def data(options, examples, scratch):
        asked.append(examples)
        return {"dataset": "cifar10"}, examples // 5

    monkeypatch.setattr(runs, "data", data)
    return asked


def test_the_run_of_a_model_takes_as_long_as_asked(tmp_path, noise):
    options = tiny_options(epoch_seconds=2.0, augment="crop")
    flags, examples, num_test = runs.request(ROW, options, tmp_path, "loop")
    assert (examples, num_test, noise) == (80, 16, [80])
    assert flags == {
        "dataset": "cifar10",
        "runs_dir": tmp_path / "loop-mlp_1x512-float32",
        "augment": "crop",
        "model": "mlp_1x512",
        "precision": "float32",
        "input_size": 8,
        "learning_rate": 0.01,
        "epochs": 4,
        "batch_size": 4,
        "threads": 1,
    }
    options = tiny_options(epoch_seconds=1e9)
    assert runs.request(ROW, options, tmp_path, "loop")[1] == 50_000
    options = tiny_options(epoch_seconds=1e-6)
    assert runs.request(ROW, options, tmp_path, "loop")[1] == 8


def ended(code, error=None):
    return {"started": 100.0, "code": code, "error": error, "peak_bytes": 5e8}


def test_a_run_of_the_loop_that_fails_says_why(tmp_path, noise, monkeypatch):
    monkeypatch.setattr(runs, "run", lambda *_: ended(6, "disk full"))
    with pytest.raises(LeftOut, match="^disk full$"):
        runs.loop(ROW, lambda: 1.0, tiny_options(), tmp_path)


@pytest.mark.parametrize("part", ["loop", "checkpoint"])
def test_a_model_whose_step_cannot_run_is_not_trained(part, tmp_path):
    row = {"model": "mlp_1x512", "precision": "float32", "failed": "no TensorFlow"}
    given = (None,) if part == "loop" else ()
    with pytest.raises(LeftOut, match="^no TensorFlow$"):
        getattr(runs, part)(row, *given, tiny_options(), tmp_path)


def resumed_run(flags, scratch, stop_when=None):
    """What a run leaves that is stopped in its second epoch, and continued."""
    run_dir = flags["runs_dir"] / "mlp_1x512-0"
    if stop_when is not None:
        assert not stop_when()
        run_dir.mkdir(parents=True)
        results.append_history(run_dir, {"epoch": 1, "timing": TIMING[0]})
        assert stop_when() and flags["checkpoint_every"] == 1
        return ended(143, "stopped")
    for epoch, timing in enumerate(TIMING, 2):
        line = {"epoch": epoch, "timing": {**timing, "images_per_second": 1.0}}
        results.append_history(run_dir, line)
    files.write_json(run_dir / results.CONFIG, {"resumed": [{"epoch": 1, "step": 1}]})
    last = {
        "status": results.DONE,
        "timing": {"checkpoint_seconds": [0.5, 0.25], "restore_seconds": 0.125},
    }
    results.finish(run_dir, last)
    (run_dir / results.CHECKPOINTS).mkdir()
    (run_dir / results.CHECKPOINTS / "000001-00000001.ckpt").write_bytes(b"12345")
    return ended(0)


def test_a_stopped_run_goes_on_and_is_read(tmp_path, noise, monkeypatch):
    monkeypatch.setattr(runs, "run", resumed_run)
    row = runs.checkpoint(ROW, tiny_options(epoch_seconds=2.0), tmp_path)
    assert (row["examples"], row["checkpoint_bytes"], row["checkpoint_seconds"]) == (80, 5, 0.25)
    assert row["restore_seconds"] == 0.125
    assert row["start_to_next_step_seconds"] == pytest.approx(3 + 5 - 5 * 2 / 80)


@pytest.mark.parametrize(
    "ends, reason",
    [
        ([ended(0)], "it ended before it was stopped: a longer --epoch_seconds"),
        ([ended(6, "disk full")], "disk full"),
        ([ended(143, "stopped"), ended(2, "other threads")], "other threads"),
    ],
)
def test_a_run_that_cannot_be_stopped_or_resumed_says_why(
    ends, reason, tmp_path, noise, monkeypatch
):
    left = iter(ends)
    monkeypatch.setattr(runs, "run", lambda *_, **__: next(left))
    with pytest.raises(LeftOut) as raised:
        runs.checkpoint(ROW, tiny_options(), tmp_path)
    assert str(raised.value) == reason
    assert next(left, None) is None


def test_replicas_that_fail_say_why():
    asked = []

    def start(make, **arguments):
        asked.append((arguments["name"], arguments["replicas"], arguments["options"]["threads"]))
        raise LeftOut("MemoryError: 3 GB")

    with pytest.raises(LeftOut, match="^MemoryError: 3 GB$"):
        steps.replicas("alexnet", "float32", tiny_options(), Race(start))
    assert asked == [("alexnet", 1, 1), ("alexnet", 2, 1)]


# The process between


def between(tmp_path, code):
    """Exit code and usage of a Python program run by runs."""
    usage = tmp_path / "usage.json"
    argv = [sys.executable, peak_memory.__file__, str(usage), sys.executable, "-c", code]
    return subprocess.run(argv).returncode, json.loads(usage.read_text())


def test_the_peak_memory_is_the_childs_and_not_the_parents(tmp_path):
    held = b"x" * 300_000_000  # which a direct child's figure would begin with
    code, usage = between(tmp_path, "b'x' * 100_000_000")
    assert code == 0 and len(held) > 2 * 1e8
    assert 1e8 < usage["peak_bytes"] < 2e8


@pytest.mark.parametrize(
    "program, code",
    [("import sys; sys.exit(5)", 5), ("import os; os.kill(os.getpid(), 9)", 128 + 9)],
)
def test_the_exit_code_is_passed_on(program, code, tmp_path):
    assert between(tmp_path, program)[0] == code


def test_a_run_is_told_to_stop_and_its_last_line_is_kept(tmp_path, monkeypatch):
    mark = tmp_path / "started"
    package = tmp_path / "rethink_tf"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "main.py").write_text(
        "import pathlib, signal, sys, time\n"
        "def stop(*_):\n"
        "    sys.exit('first\\nstopped by ' + ' '.join(sys.argv[1:]))\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        f"pathlib.Path({str(mark)!r}).touch()\n"
        "time.sleep(60)\n"
    )
    monkeypatch.setattr(candidates, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)  # where python -m looks first
    done = runs.run({"model": "alexnet", "epochs": 4}, tmp_path, stop_when=mark.exists)
    assert done["code"] == 1 and done["error"] == "stopped by --model=alexnet --epochs=4"
    assert done["peak_bytes"] > 1e6 and done["started"] > 1e9

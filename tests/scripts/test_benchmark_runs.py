"""Runs that scripts/benchmark.py starts: data, exit codes, memory, and what histories say."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from benchmark import runs
from benchmark.candidates import LeftOut
from own_process import found_by
from small_benchmark import tiny_options

from rethink_tf.config import flags as command_line
from rethink_tf.runs import results

TIMING = [
    {"train_seconds": 5.0, "eval_seconds": 2.0, "finished": 110.0},
    {"train_seconds": 2.0, "eval_seconds": 1.2, "finished": 113.5},
    {"train_seconds": 2.5, "eval_seconds": 1.0, "finished": 117.25},
]
WHO = {"model": "mlp_1x512", "precision": "float32"}


def test_figures_of_a_history():
    expected = {
        "images/s": 2500,
        "evaluation": 10 / 30.25,
        "bookkeeping": 0.25 / 30.25,
        "checkpoint": 0.4 / (runs.EVERY * 30.25),
        "start": 3,
        "+step": 6,
    }
    assert runs.figures(TIMING, 100.0, 5000, 0.4) == pytest.approx(expected)


def test_noise_is_written_once_and_is_a_data_set(tmp_path):
    path = runs.write_noise(tmp_path, 20, 8)
    with np.load(path) as arrays:
        assert arrays["x_train"].shape == (20, 8, 8, 3) and arrays["x_test"].shape == (4, 8, 8, 3)
        assert len(arrays["y_train"]) == 20 and len(arrays["y_test"]) == 4
    before = path.stat().st_mtime_ns
    assert runs.write_noise(tmp_path, 20, 8) == path and path.stat().st_mtime_ns == before


def stepping(*seconds):
    """A race whose steps take so long, one call after the other, then break."""
    left = list(seconds)
    best = lambda *_: {runs.STEP: left.pop(0)} if left else {}  # noqa: E731
    return SimpleNamespace(best=best, left_out={runs.STEP: "it broke"})


@pytest.fixture
def trained(monkeypatch):
    """Stands for the run, which leaves a history; the flags that it was started with."""
    asked = []

    def run(flags, log):
        asked.append(flags)
        assert command_line.parse([f"--{name}={value}" for name, value in flags.items()])
        run_dir = flags["runs_dir"] / "mlp_1x512-0"
        for epoch, timing in enumerate(TIMING, 1):
            run_dir.mkdir(parents=True, exist_ok=True)
            results.append_history(run_dir, {"epoch": epoch, "timing": timing})
        results.finish(run_dir, {"status": "DONE", "timing": {"checkpoint_seconds": [0.9, 0.4]}})
        return 100.0, 5 * 10**8

    monkeypatch.setattr(runs, "run", run)
    monkeypatch.setattr(runs, "write_noise", lambda folder, examples, size: folder / "x.npz")
    return asked


def test_the_run_of_a_model_takes_as_long_as_asked(tmp_path, trained):
    options = tiny_options(epoch_seconds=2.0)
    row = runs.loop(WHO, 40.0, options, stepping(0.2, 0.05), tmp_path)
    assert trained == [
        {
            "dataset": f"npz:{tmp_path}/x.npz",
            "cache_dir": tmp_path / "cache",
            "runs_dir": tmp_path / "mlp_1x512-float32",
            **WHO,
            "input_size": 8,
            "learning_rate": 0.01,
            "epochs": 4,
            "batch_size": 4,
            "threads": 1,
            "checkpoint_every": 2,
        }
    ]
    assert row["examples"] == 80 and row["MB"] == 500
    assert row["of step"] == pytest.approx(80 / 2 / (4 / 0.05)), "the fastest pure step counts"


@pytest.mark.parametrize("seconds, examples", [(1e9, 50_000), (1e-6, 8)])
def test_an_epoch_has_at_most_what_cifar10_has_and_two_batches_at_least(
    seconds, examples, tmp_path, trained
):
    options = tiny_options(epoch_seconds=seconds)
    row = runs.loop(WHO, 40.0, options, stepping(1.0, 1.0), tmp_path)
    assert row["examples"] == examples


def test_a_step_that_breaks_is_not_compared(tmp_path, trained):
    with pytest.raises(LeftOut, match="^it broke$"):
        runs.loop(WHO, 40.0, tiny_options(), stepping(), tmp_path)
    assert trained == []


def module(folder, monkeypatch, program):
    """A module of this program, that a run can be in place of ours."""
    (folder / "stand_in.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(folder), os.pathsep)
    return "stand_in"


def peak_memory(folder):
    """Prints what a run with 0.9 GB gives; in a process of its own, as small as the benchmark's."""
    with pytest.MonkeyPatch.context() as patch:
        name = module(folder, patch, "b'x' * 900_000_000")
        print(json.dumps(runs.run({"model": "alexnet"}, folder / "log", name)))


def test_the_peak_memory_of_a_run_is_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(runs.__file__).parents[1]))
    started, peak = found_by("peak_memory", __file__, tmp_path)
    assert started > 1e9 and 9e8 < peak < 2e9


def test_the_last_line_of_a_run_that_failed_is_kept(tmp_path, monkeypatch):
    program = "import sys; sys.exit('first\\nended with ' + ' '.join(sys.argv[1:]))"
    name = module(tmp_path, monkeypatch, program)
    with pytest.raises(LeftOut, match="^ended with --model=alexnet --epochs=4$"):
        runs.run({"model": "alexnet", "epochs": 4}, tmp_path / "log", name)

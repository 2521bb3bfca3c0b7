"""Runs that scripts/benchmark.py starts: data, exit codes, memory, and what histories say."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from benchmark import runs
from benchmark.candidates import LeftOut
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
    assert runs.figures(TIMING, 100.0, 5000, 0.4, 10.0) == pytest.approx(expected)


def test_the_passes_of_batch_statistics_do_not_grow_with_the_examples():
    assert runs.evaluated(50_000, 128, 0) == 60_000
    assert runs.evaluated(50_000, 128, 40) == 65_120
    assert runs.evaluated(1_536, 128, 40) == 1_536 + 307 + 1_536
    fewer = runs.figures(TIMING, 100.0, 5000, 0.4, 8.0)
    assert fewer["evaluation"] == pytest.approx(8 / 28.25)


def test_noise_is_a_data_set(tmp_path):
    path = runs.write_noise(tmp_path, 20, 8)
    with np.load(path) as arrays:
        assert arrays["x_train"].shape == (20, 8, 8, 3) and arrays["x_test"].shape == (4, 8, 8, 3)
        assert len(arrays["y_train"]) == 20 and len(arrays["y_test"]) == 4


def stepping(*seconds):
    """A race whose step takes so long; no seconds: it has broken."""
    best = dict.fromkeys([runs.STEP] * len(seconds), *seconds)
    return SimpleNamespace(best=lambda *_, rounds: best)


@pytest.fixture
def trained(monkeypatch):
    """Stands for the run, which leaves a history; the flags that it was started with."""
    asked = []

    def train(flags):
        asked.append(flags)
        assert command_line.parse([f"--{name}={value}" for name, value in flags.items()])
        run_dir = flags["runs_dir"] / "mlp_1x512-0"
        for epoch, timing in enumerate(TIMING, 1):
            run_dir.mkdir(parents=True, exist_ok=True)
            results.append_history(run_dir, {"epoch": epoch, "timing": timing})
        results.finish(run_dir, {"status": "DONE", "timing": {"checkpoint_seconds": [0.9, 0.4]}})
        return 100.0, {"peak_bytes": 5 * 10**8, "recalibration": 0}

    monkeypatch.setattr(runs, "train", train)
    monkeypatch.setattr(runs, "write_noise", lambda folder, examples, size: folder / "x.npz")
    return asked


def test_the_run_of_a_model_takes_as_long_as_asked(tmp_path, trained):
    options = tiny_options(seconds=0.4)
    row = runs.loop(WHO, 40.0, options, stepping(0.05), tmp_path)
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
    assert row["of step"] == pytest.approx(80 / 2 / (4 / 0.05)), "the faster pure step counts"
    broken = runs.loop(WHO, 40.0, options, stepping(), tmp_path / "broken")
    assert broken["of step"] == pytest.approx(80 / 2 / 40)


@pytest.mark.parametrize("seconds, examples", [(1e9, 50_000), (1e-6, 8)])
def test_an_epoch_has_at_most_what_cifar10_has_and_two_batches_at_least(
    seconds, examples, tmp_path, trained
):
    options = tiny_options(seconds=seconds)
    row = runs.loop(WHO, 40.0, options, stepping(1.0), tmp_path)
    assert row["examples"] == examples


def test_a_run_trains_and_tells_its_own_peak_memory(tmp_path):
    flags = {"model": "mlp_1x512", "dataset": "digits", "examples": 64, "epochs": 1}
    asked = time.time()
    started, facts = runs.train(flags | {"runs_dir": tmp_path})
    (run_dir,) = tmp_path.iterdir()
    assert asked <= started < results.read_history(run_dir)[0]["timing"]["finished"]
    assert 3 * 10**8 < facts["peak_bytes"] < 5 * 10**9  # TensorFlow alone takes about 400 MB
    assert facts["recalibration"] == 0, "it has no batch norm"


def test_a_run_that_fails_says_why(tmp_path):
    with pytest.raises(LeftOut, match="^RequestError: --model: .* received alexnut"):
        runs.train({"model": "alexnut", "runs_dir": tmp_path})

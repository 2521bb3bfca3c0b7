"""Real runs through `train.run`: what the loop records, when it stops, what it repeats."""

import os
import time
from types import SimpleNamespace

import numpy as np
import pytest

from rethink_tf import environment
from rethink_tf.config import run_config
from rethink_tf.config.run_config import RunConfig
from rethink_tf.errors import DivergedError, ExitCode
from rethink_tf.runs import results
from rethink_tf.training import loop, metrics
from rethink_tf.training import run as train
from rethink_tf.training.devices import setup as devices
from rethink_tf.training.seal_checks import SealChecks

pytestmark = pytest.mark.usefixtures("small_pictures")
EPOCHS = 4


def resolved(**changes):
    kinds = {"model": "mlp_1x512", "dataset": "digits", "examples": 200, "epochs": EPOCHS}
    return run_config.resolve(RunConfig(**(kinds | {"batch_size": 50, "corrupt": 0.5} | changes)))


def run(folder, **changes):
    """(summary, history) of a run in a new directory."""
    summary = train.run(resolved(**changes), folder, say=lambda _: None)
    return summary, results.read_history(folder)


def without_timing(history):
    return [{k: v for k, v in line.items() if k != "timing"} for line in history]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One run at p = 0.5, the same again, and its directory."""
    folders = [tmp_path_factory.mktemp("run") for _ in range(2)]
    return [run(folder) for folder in folders], folders[0]


def test_two_runs_are_equal_bit_for_bit(finished):
    (first, history), (second, again) = finished[0]
    assert len(first["weights_hash"]) == 16
    assert without_timing(history) == without_timing(again)
    timeless = set(first) - {"timing", "sha256"}  # a digest covers the history's seconds
    assert {k: first[k] for k in timeless} == {k: second[k] for k in timeless}


def test_every_epoch_is_recorded_and_the_last_is_the_summary(finished):
    summary, history = finished[0][0]
    assert [line["epoch"] for line in history] == [1, 2, 3, 4]
    keys = {"loss", "accuracy", "learning_rate", "label_checksum", "best_test_accuracy"}
    for key in (*metrics.TRAIN_KEYS, *metrics.TEST_KEYS, *keys):
        assert summary[key] == history[-1][key]
        assert all(line[key] is not None for line in history)
    assert (summary["status"], summary["reason"], summary["epochs"]) == ("DONE", None, EPOCHS)
    assert len({line["label_checksum"] for line in history}) == 1


def test_it_learns(finished):
    _, history = finished[0][0]
    # The first of 4 steps stands at ln 10 = 2.30 or a little above, by the initial weights.
    assert 1.9 < history[0]["loss"] < 2.9
    assert history[-1]["train_loss"] < history[0]["train_loss"] < history[0]["loss"]
    assert history[-1]["clean_accuracy"] > history[-1]["corrupted_accuracy"]
    assert history[-1]["corrupted_original_accuracy"] > history[-1]["corrupted_accuracy"]
    assert history[-1]["test_accuracy"] > 0.3  # chance is 0.1


def test_a_random_start_stands_at_ln_10(tmp_path):
    _, history = run(tmp_path, corrupt=1.0, epochs=1, learning_rate=1e-6, momentum=0.0)
    assert history[0]["loss"] == pytest.approx(np.log(10), abs=0.35)
    assert history[0]["loss"] == pytest.approx(history[0]["train_loss"], abs=1e-3)


def test_the_learning_rate_falls_by_its_factor_each_epoch(tmp_path):
    _, history = run(tmp_path, learning_rate=0.1, lr_decay=0.95)
    rates = [line["learning_rate"] for line in history]
    assert rates == pytest.approx([0.1, 0.095, 0.09025, 0.0857375], rel=1e-12)


def test_a_rate_that_falls_to_nothing_stops_the_weights(tmp_path):
    # The rate of the schedule is the rate that is applied: from epoch 2 on nothing moves.
    _, history = run(tmp_path, lr_decay=1e-12, momentum=0.0)
    losses = [line["train_loss"] for line in history]
    assert losses[1] == pytest.approx(losses[3], abs=1e-6)
    assert history[0]["loss"] > losses[0] + 0.01


def test_best_so_far_never_falls(finished):
    summary, history = finished[0][0]
    tests = [line["test_accuracy"] for line in history]
    best = [line["best_test_accuracy"] for line in history]
    assert best == np.maximum.accumulate(tests).tolist()
    assert summary["best_test_epoch"] == tests.index(max(tests)) + 1


def test_the_training_speed_leaves_out_the_step_that_compiles(tmp_path, monkeypatch):
    clock = [0.0]
    real = SealChecks.advance

    def advance(checks, step, count):
        clock[0] += 7.0 if step else 1000.0  # the first of an epoch is the slow one
        return real(checks, step, 1)

    def monotonic():
        clock[0] += 1e-6
        return clock[0]

    monkeypatch.setattr(SealChecks, "advance", advance)
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=monotonic, time=time.time))
    _, history = run(tmp_path, epochs=2)  # four steps of 50 an epoch
    speeds = [line["timing"]["images_per_second"] for line in history]
    assert speeds == pytest.approx([150 / 21, 200 / 1021], rel=1e-4)
    assert history[0]["timing"]["train_seconds"] == pytest.approx(1021, rel=1e-4)


def test_there_is_no_training_speed_where_all_steps_compile(tmp_path):
    _, history = run(tmp_path, epochs=2, examples=50)
    assert history[0]["timing"]["images_per_second"] is None
    assert history[1]["timing"]["images_per_second"] > 0


def test_what_is_not_evaluated_is_null_and_the_last_epoch_always_is(tmp_path):
    summary, history = run(tmp_path, epochs=5, eval_every=2)
    evaluated = [line["epoch"] for line in history if line["train_accuracy"] is not None]
    assert evaluated == [2, 4, 5]
    keys = (*metrics.TRAIN_KEYS, *metrics.TEST_KEYS)
    for line in history:
        nulls = [line[key] is None for key in keys]
        assert nulls == [line["epoch"] in (1, 3)] * len(keys)
        assert 0 < line["accuracy"] < 1 and line["loss"] > 0
    best = [line["best_test_accuracy"] for line in history]
    assert best[0] is None and best[1] == best[2] == history[1]["test_accuracy"]
    assert summary["best_test_accuracy"] == max(history[i]["test_accuracy"] for i in (1, 3, 4))


def test_evaluating_seldom_changes_no_weight(finished, tmp_path):
    summary, _ = run(tmp_path, eval_every=EPOCHS)
    assert summary["weights_hash"] == finished[0][0][0]["weights_hash"]


def test_it_stops_when_the_exact_training_accuracy_is_reached(finished, tmp_path):
    history = finished[0][0][1]
    wanted = history[1]["train_accuracy"]
    assert history[0]["train_accuracy"] < wanted  # or the test would say nothing
    summary, stopped = run(tmp_path, stop_at_train_accuracy=wanted)
    assert (summary["status"], summary["epochs"], len(stopped)) == ("DONE", 2, 2)
    assert without_timing(stopped) == without_timing(history[:2])


def test_it_does_not_stop_between_evaluations(tmp_path):
    summary, _ = run(tmp_path, stop_at_train_accuracy=0.01, eval_every=3)
    assert summary["epochs"] == 3


def test_seeds_differ_in_everything_that_is_drawn(finished, tmp_path):
    first = finished[0][0][0]
    other, _ = run(tmp_path, seed=1, epochs=1)
    for key in ("labels_hash", "label_checksum", "run_id"):
        assert other[key] != first[key], key


def test_without_corruption_there_is_no_corrupted_part(tmp_path):
    summary, history = run(tmp_path, corrupt=0.0, epochs=1)
    assert summary["changed_fraction"] == 0
    assert history[0]["corrupted_accuracy"] is history[0]["corrupted_original_accuracy"] is None
    assert history[0]["clean_accuracy"] == history[0]["train_accuracy"]


def test_remainder_crop_and_bfloat16_run_through(tmp_path):
    changes = {"batch_size": 64, "augment": "crop", "input_size": 12, "epochs": 2}
    summary, history = run(tmp_path, precision="mixed_bfloat16", **changes)
    assert summary["status"] == "DONE"
    assert summary["parameters"] == 12 * 12 * 512 + 512 + 5130
    assert history[1]["loss"] < history[0]["loss"]


# Weight decay 10 at rate 1000 multiplies every weight by about -10,000 in each step.
EXPLODING = {"learning_rate": 1000.0, "lr_decay": 1.0, "weight_decay": 10.0, "epochs": 10}


def test_a_run_that_diverges_ends_so_and_keeps_its_history(tmp_path):
    with pytest.raises(
        DivergedError, match=r"at step \d of epoch 2 became NaN or infinite; try"
    ) as error:
        run(tmp_path, **EXPLODING)
    assert error.value.exit_code == ExitCode.DIVERGED == 4
    assert "try a smaller --learning_rate than 1000" in str(error.value)
    summary, history = results.read_summary(tmp_path), results.read_history(tmp_path)
    assert summary["status"] == "DIVERGED"
    assert str(error.value) == f"DIVERGED: {summary['reason']}"
    assert summary["epochs"] == len(history) == 1
    # A finished run: the same command answers from its summary, with the same exit code.
    with pytest.raises(DivergedError):
        run(tmp_path, **EXPLODING)
    assert results.read_history(tmp_path) == history


def test_a_loss_that_is_infinite_only_after_the_last_step_is_no_success(tmp_path):
    # One step an epoch: the loss of step 5 is finite, its update is fatal, there is no step 6.
    with pytest.raises(DivergedError, match="epoch 5 became NaN or infinite; .*--learning_rate"):
        run(tmp_path, **(EXPLODING | {"batch_size": 200, "epochs": 5}))
    summary, history = results.read_summary(tmp_path), results.read_history(tmp_path)
    assert (summary["status"], summary["train_loss"]) == ("DIVERGED", None)
    assert [line["train_loss"] is None for line in history] == [False] * 4 + [True]


# Devices


def test_tensorflow_that_runs_already_keeps_its_settings(finished):
    assert finished
    threads = devices.start(1)
    assert threads == devices.start(0) == devices.start(7)
    assert 1 <= environment.cores()


def test_the_platform_of_a_result(finished):
    import tensorflow as tf

    found = devices.describe()
    assert set(found["versions"]) == {"rethink_tf", "python", "tensorflow", "keras", "numpy"}
    assert found["versions"]["tensorflow"] == tf.__version__
    record = results.read_config(finished[1])
    assert record["versions"] == found["versions"]
    assert record["devices"] == found["devices"]
    assert record["threads"] == devices.start(0)


def test_starting_is_quiet_and_a_failure_is_not(capfd):
    with devices._native_stderr_held_back():
        os.write(2, b"native noise\n")
    assert capfd.readouterr().err == ""
    with pytest.raises(RuntimeError), devices._native_stderr_held_back():
        os.write(2, b"native reason\n")
        raise RuntimeError
    assert capfd.readouterr().err == "native reason\n"

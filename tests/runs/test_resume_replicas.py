"""A run saved in the middle of an epoch goes on under another number of replicas."""

import json
import signal

import numpy as np
import pytest
from own_process import found_by
from short_runs import signal_after

LENGTH = {"examples": 200, "epochs": 2}  # in batches of 32: seven steps an epoch, the last of 8


def across_replicas(folder):
    """Both ways, in a process of its own, which has two logical CPUs (the fixture starts it)."""
    from rethink_tf.config import run_config
    from rethink_tf.config.flags import Options
    from rethink_tf.errors import RequestError
    from rethink_tf.runs import checkpoint, results
    from rethink_tf.training import run as train
    from rethink_tf.training.devices import setup as devices
    from rethink_tf.training.preemption import StoppedError
    from rethink_tf.training.recording import samples

    devices.start(1, devices=2)
    samples.record_samples = lambda *_: None
    wanted = run_config.resolve(
        run_config.RunConfig(model="mlp_1x512", dataset="digits", corrupt=0.5, **LENGTH)
    )
    # One strategy for all: the collectives of a second one would get the keys of the first.
    strategies = {name: devices.strategy(name) for name in ("one_device", "mirrored")}
    devices.strategy = lambda name, _count: strategies[name]

    def run(run_dir, strategy, resume="exact"):
        options = Options(strategy=strategy, threads=1, resume=resume)
        summary = train.run(wanted, run_dir, options=options, say=[].append)
        _, arrays = checkpoint.newest(run_dir / results.CHECKPOINTS, pytest.fail)
        weights = [arrays[name].ravel() for name in sorted(arrays) if "weight" in name]
        history = results.read_history(run_dir)
        return {"history": history, "weights": np.concatenate(weights), "summary": summary}

    found = {"whole": run(folder / "whole", "one_device")}
    for first, second in (("mirrored", "one_device"), ("one_device", "mirrored")):
        run_dir = folder / first
        with pytest.MonkeyPatch.context() as patch, pytest.raises(StoppedError):
            signal_after(patch, 7 + 3, signal.SIGTERM)
            run(run_dir, first)
        with pytest.raises(RequestError) as refused:
            run(run_dir, second)
        found[first] = run(run_dir, second, "anyway") | {"refused": str(refused.value)}
    whole = found["whole"]["weights"]
    for values in found.values():
        values["weights"] = float(np.abs(values["weights"] - whole).max())
    print(json.dumps(found))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return found_by("across_replicas", __file__, tmp_path_factory.mktemp("replicas"))


@pytest.mark.slow
@pytest.mark.parametrize("first, then", [("mirrored", (2, 1)), ("one_device", (1, 2))])
def test_it_ends_as_the_uninterrupted_run_but_for_rounding(found, first, then):
    run, whole = found[first], found["whole"]
    before, after = then
    said = f"replicas was {before} and is {after}"
    assert f"cannot be continued exactly: {said}; add --resume=anyway" in run["refused"]
    summary = run["summary"]
    assert (summary["replicas"], summary["exact"]) == (after, False)
    assert summary["differed"] == [f"after epoch 1, step 3 of the next: {said}"]
    assert summary["labels_hash"] == whole["summary"]["labels_hash"]
    assert len(run["history"]) == len(whole["history"]) == 2
    for line, other in zip(run["history"], whole["history"], strict=True):
        # The sums of the half epoch count once: every example, and nothing twice.
        assert line["label_checksum"] == other["label_checksum"]
        assert line["accuracy"] == other["accuracy"]
        assert line["loss"] == pytest.approx(other["loss"], abs=1e-5)
        assert line["train_accuracy"] == other["train_accuracy"]
        assert line["test_loss"] == pytest.approx(other["test_loss"], abs=1e-4)
    assert 0 < run["weights"] < 1e-5  # the order of summation
    timing = run["history"][1]["timing"]
    # What was left of the epoch, without its first step, which compiles.
    assert timing["images_per_second"] * timing["train_seconds"] >= 200 - 4 * 32


@pytest.mark.parametrize(
    "rows, total, expected",
    [
        # Sums of the epoch: all of it on the first replica.
        (np.array([190, 11]), True, {1: [201], 3: [201, 0, 0]}),
        (np.array([1.5, 2.0]), True, {1: [3.5], 4: [3.5, 0, 0, 0]}),
        # Batch-norm statistics: their mean on each. Seed states: the first one's on each.
        (np.array([[1, 2], [3, 6]], np.float32), False, {1: [[2, 4]], 3: [[2, 4]] * 3}),
        (np.array([[7, 8], [9, 9]], np.int64), False, {1: [[7, 8]], 3: [[7, 8]] * 3}),
    ],
)
def test_what_each_replica_has_of_another_number_of_them(tensorflow, rows, total, expected):
    from rethink_tf.training.devices.replica_variables import _spread

    for replicas, values in expected.items():
        got = _spread(rows, replicas, total)
        assert (got.tolist(), got.dtype) == (values, rows.dtype)

"""Seals across a resume: of checkpoints that have none, of other versions, of what was found."""

import shutil
import signal

import keras
import numpy as np
import pytest
from short_runs import signal_after, timeless

from rethink_tf.config import run_config
from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import RunConfig
from rethink_tf.errors import AuditError, RequestError
from rethink_tf.runs import checkpoint, results
from rethink_tf.training import run as train
from rethink_tf.training import trainer
from rethink_tf.training.devices import setup as devices
from rethink_tf.training.preemption import StoppedError
from rethink_tf.training.recording import samples
from rethink_tf.training.train_step import Steps

# 200 examples in batches of 32: seven steps an epoch, the last of 8.
SMALL = {"model": "alexnet", "dataset": "digits", "examples": 200, "epochs": 3, "corrupt": 0.5}
SMALL |= {"batch_size": 32, "eval_every": 3, "input_size": 8}


def small_model(config, channels, num_classes):
    keras.utils.set_random_seed(0)
    inputs = keras.Input([config.input_size, config.input_size, channels])
    return keras.Model(inputs, keras.layers.Dense(num_classes)(keras.layers.Flatten()(inputs)))


@pytest.fixture(scope="module", autouse=True)
def quick(tensorflow):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "build_model", small_model)
        patch.setattr(samples, "record_samples", lambda *_: None)
        yield


def run(run_dir, said=None, **changes):
    wanted = run_config.resolve(RunConfig(**SMALL | changes))
    say = (lambda _: None) if said is None else said.append
    return train.run(wanted, run_dir, options=Options(), say=say)


def stop_after(steps, run_dir):
    """Stops a run after so many steps."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(StoppedError):
        signal_after(patch, steps, signal.SIGTERM)
        run(run_dir)


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """The folder of a run that was stopped after step 3 of epoch 2; copied, never resumed."""
    run_dir = tmp_path_factory.mktemp("half") / "run"
    stop_after(7 + 3, run_dir)
    return run_dir


def stored(run_dir):
    """The newest checkpoint: its path, header and arrays."""
    path = checkpoint.stored(run_dir / results.CHECKPOINTS)[-1]
    return path, *checkpoint.read(path)


def of_format_1(run_dir):
    """Makes of the checkpoint what was written before there were seals."""
    path, header, arrays = stored(run_dir)
    assert (header.pop("format"), header["step"]) == (2, 3)
    assert header.pop("seals")["expected"] != 0
    header["environment"]["versions"]["rethink_tf"] = "0.0.1"
    for line in header["history"]:
        del line["violation"]
    del arrays[max(name for name in arrays if name.startswith("local"))]
    path.unlink()
    checkpoint.save(path.parent, header, arrays)


def test_a_checkpoint_without_seals_is_resumed_and_says_so(half, tmp_path):
    whole = run(tmp_path / "whole")
    shutil.copytree(half, tmp_path / "cut")
    of_format_1(tmp_path / "cut")
    said = []
    cut = run(tmp_path / "cut", said)
    assert "resumes after epoch 1, step 3 of the next" in said
    assert any("from epoch 3 on" in line for line in said)
    assert cut["weights_hash"] == whole["weights_hash"]
    assert (cut["status"], cut["exact"], cut["differed"]) == ("DONE", True, [])
    for line, other in zip(timeless(tmp_path / "cut"), timeless(tmp_path / "whole"), strict=True):
        assert line | {"violation": None} == other | {"violation": None}


def roll_training_images(monkeypatch):
    """From here on every training image lies on the device at its neighbour's place."""
    place = Steps.place

    def rolled(self, table):
        if table is self.train:
            columns = {n: getattr(table, n) for n in ("index", "true", "given", "num_classes")}
            table = type(table)(images=np.roll(table.images, 1, axis=0), **columns)
        return place(self, table)

    monkeypatch.setattr(Steps, "place", rolled)


def test_after_such_a_checkpoint_the_seals_hold_from_the_next_epoch_on(half, tmp_path, monkeypatch):
    shutil.copytree(half, tmp_path, dirs_exist_ok=True)
    of_format_1(tmp_path)
    roll_training_images(monkeypatch)
    monkeypatch.setattr("rethink_tf.training.seal_checks.SealChecks._probe", lambda *_: None)
    with pytest.raises(AuditError, match=r"images of training epoch 3 .*\(seal: train images\)"):
        run(tmp_path)
    assert [line.get("violation") is None for line in results.read_history(tmp_path)] == [
        True,
        True,
        False,
    ]


def test_seals_hold_within_a_resumed_epoch(half, tmp_path, monkeypatch):
    shutil.copytree(half, tmp_path, dirs_exist_ok=True)
    roll_training_images(monkeypatch)
    with pytest.raises(AuditError, match=r"images of training epoch 2 .*\(seal: train images\)"):
        run(tmp_path)


def test_what_the_probe_found_before_a_stop_is_not_forgotten(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            "rethink_tf.training.seal_checks.SealChecks._probe",
            lambda self, step: setattr(self, "probed", "what was found (seal: train inputs)"),
        )
        stop_after(6, tmp_path)
    _, header, _ = stored(tmp_path)
    assert (header["epoch"], header["step"]) == (0, 6)
    assert header["seals"]["probed"] is not None
    with pytest.raises(AuditError, match=r"INVALID: what was found \(seal: train inputs\)"):
        run(tmp_path)
    assert results.read_summary(tmp_path)["epochs"] == 1


def test_a_checkpoint_of_an_unknown_format_is_refused(half, tmp_path):
    shutil.copytree(half, tmp_path, dirs_exist_ok=True)
    path, header, arrays = stored(tmp_path)
    path.unlink()
    checkpoint.save(path.parent, header | {"format": 3}, arrays)
    with pytest.raises(RequestError, match="is of format 3, this version reads 1, 2; use") as error:
        run(tmp_path)
    assert error.value.exit_code == 2 and "--resume=restart" in str(error.value)


def test_another_version_of_the_package_resumes_exactly(half, tmp_path, monkeypatch):
    shutil.copytree(half, tmp_path, dirs_exist_ok=True)
    describe = devices.describe

    def newer():
        found = describe()
        found["versions"]["rethink_tf"] = "9.9.9"
        return found

    monkeypatch.setattr(devices, "describe", newer)
    summary = run(tmp_path)
    assert (summary["status"], summary["exact"]) == ("DONE", True)

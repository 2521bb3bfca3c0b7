"""The numbers do not depend on the number of replicas: 1, 2 and 4 by the real command."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import replica_runs
from replica_runs import RUNS, STOPPED, TRAINED, WRONG

from rethink_tf.runs import results
from rethink_tf.training import trainer
from rethink_tf.training.devices import setup as devices
from rethink_tf.training.recording import samples

pytestmark = pytest.mark.slow
SUPPORT = Path(__file__).resolve().parents[1] / "support"
# A gradient is a sum of float32, in another order on other replicas: 6e-8 a step, relative.
ROUNDING = 1e-6
# Batch normalisation divides by small deviations, so what is rounded off grows by the step.
NORMALISED = 1e-5


def read(folder, name):
    """What one run left: its results, losses by step, arrays by name."""
    found = json.loads((folder / f"{name}.json").read_text())
    (run_dir,) = (folder / name).iterdir()
    with np.load(folder / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    return SimpleNamespace(
        **found,
        arrays=arrays,
        config=results.read_config(run_dir),
        history=results.read_history(run_dir),
        summary=results.read_summary(run_dir),
    )


@pytest.fixture(scope="module")
def trained(tensorflow, tmp_path_factory):
    """{(replicas, name): run}; 2 and 4 replicas in processes of their own, 1 in this one."""
    root = tmp_path_factory.mktemp("replicas")
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(SUPPORT.parents[1])}
    folders = {replicas: root / str(replicas) for replicas in TRAINED}
    for folder in folders.values():
        folder.mkdir()
    processes = [
        subprocess.Popen(
            [sys.executable, SUPPORT / "replica_runs.py", str(replicas), folders[replicas]],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=quiet,
            text=True,
        )
        for replicas in (2, 4)
    ]
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:  # puts back what `train_all` replaces
        patch.setattr(trainer, "Steps", trainer.Steps)
        patch.setattr(devices, "strategy", devices.strategy)
        patch.setattr(samples, "run_samples", samples.run_samples)
        replica_runs.train_all(folders[1], 1)
    signal.signal(signal.SIGTERM, before)
    for process in processes:
        err = process.communicate(timeout=600)[1]
        assert process.returncode == 0, err[-3000:]
    return {(n, name): read(folders[n], name) for n in TRAINED for name in TRAINED[n]} | {
        (n, "random"): np.load(folders[n] / "random.npz") for n in TRAINED
    }


def pairs():
    """(replicas, name) of all runs that one replica ran too."""
    return [(n, name) for n in (2, 4) for name in TRAINED[1]]


def differing(one, other, names):
    """The arrays that are not equal bit for bit, by name."""
    return [
        name
        for name in names
        if (one[name].dtype, one[name].tobytes()) != (other[name].dtype, other[name].tobytes())
    ]


@pytest.mark.parametrize("replicas", [2, 4])
def test_as_many_replicas_as_asked_for(trained, replicas):
    for name in TRAINED[replicas]:
        run = trained[replicas, name]
        assert run.config["replicas"] == replicas
        assert run.code == (143 if (replicas, name) in STOPPED else 0)
    assert trained[1, "crop"].config["replicas"] == 1


@pytest.mark.parametrize("replicas, name", pairs())
def test_the_corrupted_data_are_the_same_bits(trained, replicas, name):
    one, many = trained[1, name], trained[replicas, name]
    tables = [f"table/{column}" for column in ("index", "images", "true", "given")]
    assert differing(one.arrays, many.arrays, tables) == []
    assert one.config["labels_hash"] == many.config["labels_hash"]
    assert one.config["run_id"] == many.config["run_id"]
    assert (one.arrays["table/given"] != one.arrays["table/true"]).mean() > 0.3
    wide = "float32" if name == "gaussian" else "uint8"
    assert one.arrays["table/images"].dtype == wide


@pytest.mark.parametrize("replicas", [2, 4])
def test_permuted_pixels_are_the_same_bits(trained, replicas):
    one, many = trained[1, "random"], trained[replicas, "random"]
    assert differing(one, many, ["images", "given"]) == []
    assert len(one["images"]) == 101


def test_other_data_are_found_to_differ(trained):
    one, other = trained[1, "random"], trained[1, "gaussian"].arrays
    assert differing(one, {"images": other["table/images"]}, ["images"]) == ["images"]
    moved = {"given": np.roll(one["given"], 1)}
    assert differing(one, moved, ["given"]) == ["given"]


@pytest.mark.parametrize("replicas", [2, 4])
@pytest.mark.parametrize("augment", ["crop", "flip_rotate"])
def test_crops_and_flips_are_the_same_bits(trained, augment, replicas):
    one, many = trained[1, "crop"].arrays, trained[replicas, "crop"].arrays
    columns = [f"{augment}/right/{column}" for column in ("images", "index", "given")]
    assert differing(one, many, columns) == []
    assert one[columns[0]].shape == (90, 12, 12, 1)  # two epochs
    assert (np.sort(one[columns[1]][:45]) == one["table/index"]).all()
    first, second = one[columns[0]][:45], one[columns[0]][45:]
    again = np.argsort(one[columns[1]][:45]), np.argsort(one[columns[1]][45:])
    assert (first[again[0]] != second[again[1]]).any(axis=(1, 2, 3)).mean() > 0.5


@pytest.mark.parametrize("split", WRONG)
def test_a_wrong_split_is_found(trained, split):
    one, many = trained[1, "crop"].arrays, trained[4, "crop"].arrays
    for column, differs in (("images", True), ("index", split != "redrawn")):
        right, wrong = one[f"crop/right/{column}"], many[f"crop/{split}/{column}"]
        assert (right.tobytes() != wrong.tobytes()) == differs
    assert one[f"crop/{split}/images"].tobytes() == one["crop/right/images"].tobytes()


def relative(one, many, key):
    """The largest relative difference of a key of the two histories."""
    found = [(a[key], b[key]) for a, b in zip(one.history, many.history, strict=True)]
    assert any(a is not None for a, _ in found)
    return max(abs(a - b) / a for a, b in found if a is not None)


@pytest.mark.parametrize(
    "replicas, name, tolerance",
    [
        (2, "gaussian", ROUNDING),
        (4, "gaussian", ROUNDING),
        (2, "crop", ROUNDING),
        (2, "synchronised", NORMALISED),
    ],
)
def test_the_same_trajectory(trained, replicas, name, tolerance):
    one, many = trained[1, name], trained[replicas, name]
    for key in ("loss", "train_loss", "test_loss"):
        assert relative(one, many, key) < tolerance, key
    for key in ("accuracy", "train_accuracy", "test_accuracy", "label_checksum", "learning_rate"):
        assert [x[key] for x in one.history] == [x[key] for x in many.history]
    assert one.summary["changed_fraction"] == many.summary["changed_fraction"]
    losses = [line["loss"] for line in one.history]
    assert abs(losses[0] - losses[1]) > 100 * tolerance  # something moved


@pytest.mark.parametrize(
    "replicas, name, tolerance",
    [(4, "crop", ROUNDING), (2, "synchronised", NORMALISED), (4, "synchronised", NORMALISED)],
)
def test_the_same_losses_step_by_step(trained, replicas, name, tolerance):
    one, many = trained[1, name].losses, trained[replicas, name].losses
    both = [key for key in one if key in many]
    assert len(both) >= 2 and both[0] == "epoch 1 step 1"
    assert [one[key] for key in both] == pytest.approx([many[key] for key in both], rel=tolerance)


def statistics(run):
    return [run.arrays[name] for name in sorted(run.arrays) if name.startswith("local/")]


@pytest.mark.parametrize("replicas", [2, 4])
def test_synchronised_batch_statistics_are_those_of_the_whole_batch(trained, replicas):
    one, many = (statistics(trained[n, "synchronised"]) for n in (1, replicas))
    assert len(one) == len(many) == 14  # mean and variance of 7 layers
    for whole, rows in zip(one, many, strict=True):
        assert len(rows) == replicas
        np.testing.assert_array_equal(rows, np.repeat(rows[:1], replicas, axis=0))
        np.testing.assert_allclose(rows[0], whole[0], rtol=1e-5, atol=1e-6)


def test_without_synchronisation_the_numbers_do_depend_on_it(trained):
    one, apart = trained[1, "synchronised"], trained[2, "apart"]
    both = [key for key in one.losses if key in apart.losses]
    assert len(both) == 2
    for key in both:
        assert abs(one.losses[key] / apart.losses[key] - 1) > 100 * NORMALISED
    whole, parts = statistics(one), statistics(apart)
    assert min(np.abs(rows[0] - rows[1]).max() for rows in parts) > 1e-4
    # The first mean is linear in its batch, of which the replicas have 7 and 8; the last is not.
    together = [(7 * rows[0] + 8 * rows[1]) / 15 for rows in parts]
    np.testing.assert_allclose(together[0], whole[0][0], rtol=1e-4, atol=1e-6)
    assert np.abs(together[-1] - whole[-1][0]).max() > 1e-4


def test_every_kind_of_remainder_is_there():
    sizes = set()
    for argv in RUNS.values():
        flags = dict(flag[2:].split("=") for flag in argv if "=" in flag)
        count, batch = int(flags["examples"]), int(flags["batch_size"])
        sizes |= {batch, count % batch} - {0}
    assert {size % 2 for size in sizes} == {0, 1}
    assert {size % 4 for size in sizes} == {1, 2, 3}

"""The command that writes noise files, and runs that train on them."""

import json
import os
import re

import numpy as np
import pytest
from noise_files import written

from rethink_tf.cli import noise as noise_command
from rethink_tf.cli.app import guarded
from rethink_tf.config import run_config
from rethink_tf.config.run_config import RunConfig
from rethink_tf.corruptions import labels as corruptions
from rethink_tf.data import noise_file
from rethink_tf.data import registry as datasets
from rethink_tf.data.noise_file import Noise
from rethink_tf.training import run as train

RUN = {"model": "mlp_1x512", "dataset": "digits", "examples": 200, "epochs": 2}


def export(path, *argv):
    return guarded(noise_command.main, [f"--export={path}", "--dataset=digits", *argv])


@pytest.mark.parametrize("kind", corruptions.LABEL_NOISE)
@pytest.mark.parametrize("ending", ["csv", "npz"])
def test_the_command_writes_what_a_run_would_learn(ending, kind, tmp_path, own_signals, capsys):
    path = tmp_path / f"noise.{ending}"
    argv = ["--corrupt=0.6", "--seed=4", "--examples=500", f"--label_noise={kind}"]
    assert export(path, *argv) == 0
    split = datasets.take(datasets.load("digits")[0], 500, seed=4)
    kinds = {"corrupt": 0.6, "num_classes": 10, "seed": 4, "label_noise": kind}
    given = corruptions.corrupt_labels(split.labels, split.index, **kinds)
    got = noise_file.read(path)
    np.testing.assert_array_equal(got.index, split.index)
    np.testing.assert_array_equal(got.true, split.labels)
    np.testing.assert_array_equal(got.given, given)
    assert {k: str(v) for k, v in got.header.items()} == {
        "dataset": "digits",
        "seed": "4",
        "p": "0.6",
        "definition": kind,
        "version": got.header["version"],
    }
    changed = 100 * np.mean(given != split.labels)
    assert capsys.readouterr().out == f"{path}: 500 labels, {changed:.2f}% changed\n"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "export_to, argv, code, message",
    [
        ("", [], 2, "--export: expected a value, as in --export=VALUE; received ''"),
        ("noise.txt", [], 2, r"--export: expected \.csv or \.npz, received "),
        ("no/noise.csv", [], 6, r"no/noise\.csv: No such file or directory"),
        ("noise.csv", ["--corrupt=2"], 2, r"--corrupt: expected a number from 0\.0 to 1\.0"),
        ("noise.csv", ["--examples=9999"], 2, "--examples: expected at most 1500"),
        ("noise.csv", ["--exprot=x"], 2, r"did you mean --export\?"),
        ("noise.csv", ["--labels_from=THERE"], 2, "--labels_from: "),
    ],
)
def test_the_command_refuses_in_one_line(
    export_to, argv, code, message, tmp_path, own_signals, capsys
):
    there = written(tmp_path / "there.csv")
    path = f"{tmp_path}/{export_to}" if export_to else ""
    assert export(path, *[flag.replace("THERE", str(there)) for flag in argv]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1) and re.search(message, err)
    assert [p.name for p in tmp_path.iterdir()] == ["there.csv"]


def test_tensorflow_is_started_as_in_a_run_where_a_set_is_to_be_decoded(
    tmp_path, own_signals, monkeypatch
):
    started, load = [], datasets.load

    def decoding(name, *, start, **kinds):
        start()
        return load(name, **kinds)

    monkeypatch.setattr(
        "rethink_tf.training.devices.setup.start", lambda *threads: started.append(threads)
    )
    assert export(tmp_path / "a.csv") == 0 and started == [], "digits need none"
    monkeypatch.setattr(datasets, "load", decoding)
    assert export(tmp_path / "a.csv", "--threads=3") == 0 and started == [(3,)]


def test_a_failed_write_leaves_the_old_file(tmp_path, own_signals, capsys, monkeypatch):
    path = written(tmp_path / "noise.csv")
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert export(path, "--corrupt=1") == 6
    assert "space left on device" in capsys.readouterr().err
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["noise.csv"]


def test_help_names_the_flag(own_signals, capsys):
    assert guarded(noise_command.main, ["--help"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("rethink-tf noise ") and "  --export " in out and err == ""


# Training


@pytest.fixture(scope="module")
def drawn(tensorflow, tmp_path_factory):
    """The folder of a run at p = 0.5 and of its labels as files; the run's summary."""
    folder = tmp_path_factory.mktemp("noise")
    wanted = run_config.resolve(RunConfig(**RUN, corrupt=0.5))
    summary = train.run(wanted, folder / "run", say=lambda _: None)
    for ending in ("csv", "npz"):
        assert export(folder / f"noise.{ending}", "--corrupt=0.5", "--examples=200") == 0
    return folder, summary


def test_ten_lines_of_numpy_read_what_the_run_recorded(drawn):
    folder, summary = drawn
    with open(folder / "noise.csv") as file:
        lines = [line for line in file if not line.startswith("#")]
    names = lines[0].strip().split(",")
    table = np.array([line.split(",") for line in lines[1:]], int)
    true, given = table[:, names.index("true")], table[:, names.index("given")]
    file = np.load(folder / "noise.npz")
    assert np.mean(true != given) == np.mean(file["true"] != file["given"])
    assert np.mean(true != given) == summary["changed_fraction"] == pytest.approx(0.45, abs=0.1)
    (check,) = [c for c in summary["audit"] if c["name"] == "changed_count"]
    assert re.match(r"0\.\d{4}", check["detail"])[0] == f"{np.mean(true != given):.4f}"
    assert json.loads(str(file["header"]))["p"] == 0.5


def test_training_on_the_file_is_the_run_with_the_labels_drawn(drawn, tmp_path):
    folder, summary = drawn
    ids = set()
    for ending in ("csv", "npz"):
        path = tmp_path / f"moved.{ending}"
        path.write_bytes((folder / f"noise.{ending}").read_bytes())
        wanted = run_config.resolve(RunConfig(**RUN, labels_from=str(path)))
        assert run_config.run_id(wanted) == run_config.run_id(
            run_config.resolve(RunConfig(**RUN, labels_from=str(folder / "noise.npz")))
        )
        ids.add(run_config.run_id(wanted))
    again = train.run(wanted, tmp_path / "run", say=lambda _: None)
    for key in ("weights_hash", "labels_hash", "changed_fraction", "train_loss", "test_accuracy"):
        assert again[key] == summary[key], key
    assert len(ids) == 1 and summary["run_id"] not in ids and again["run_id"] in ids
    got = noise_file.read(path)
    noise_file.write(path, Noise(got.index, got.true, np.roll(got.given, 1), got.header))
    changed = run_config.resolve(RunConfig(**RUN, labels_from=str(path)))
    assert run_config.run_id(changed) not in ids

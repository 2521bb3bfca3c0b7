"""Measures of finished runs: from their own weights, labels and images, or not at all."""

import dataclasses
import re
import shutil

import numpy as np
import pytest

from rethink_tf.analysis import measures, sharpness
from rethink_tf.cli.app import guarded
from rethink_tf.cli.studies import measures as measures_command
from rethink_tf.config import run_config
from rethink_tf.corruptions import checksum
from rethink_tf.errors import RequestError, StorageError
from rethink_tf.runs import agreement, results
from rethink_tf.storage import files
from rethink_tf.training import run as train


def quiet(_line):
    pass


def test_margins():
    logits = np.array([[3.0, 1.0, 2.5], [0.0, -1.0, 4.0]], np.float32)
    np.testing.assert_allclose(measures.margins(logits, np.array([0, 1])), [0.5, -5.0])
    assert logits[0, 0] == 3, "the logits stay as they were"


def test_margin_statistics():
    norms = {"log10_spectral_product": 2.0, "log10_path": -1.0, "log10_spectral_distance": 5.0}
    found = measures.margin_statistics(np.arange(1.0, 12.0), norms)
    assert (found["margin_min"], found["margin_median"], found["margin_max"]) == (1, 6, 11)
    assert found["margin_p10"] == 2
    assert found["margin_over_spectral"] == pytest.approx(0.02)
    assert found["margin_over_path"] == pytest.approx(20)
    assert found["log10_spectral_complexity"] == pytest.approx(5 - 2 * np.log10(2))
    unfitted = measures.margin_statistics(np.arange(-3.0, 3.0), norms)
    assert unfitted["log10_spectral_complexity"] is None and unfitted["margin_p10"] == -2.5


def test_a_product_that_no_float_holds_is_no_ratio():
    deep = {"log10_spectral_product": 309.0, "log10_path": np.inf, "log10_spectral_distance": 700.0}
    found = measures.margin_statistics(np.arange(1.0, 12.0), deep)
    assert found["margin_over_spectral"] is None and found["margin_over_path"] is None
    assert found["log10_spectral_complexity"] == pytest.approx(700 - 2 * np.log10(2))


def test_sharpness_finds_the_noise_that_costs_a_tenth():
    """A classifier by the sign of one weight: its accuracy under noise is known."""
    seen = []

    def accuracy(weights):
        seen.append([w.dtype for w in weights])
        return float(np.mean(weights[0] > 0))

    weights = [np.full(20_000, 2.0, np.float32)]
    found = sharpness.measure(weights, accuracy, draws=2, seed=0)
    # P(2 + sigma z < 0) = 0.1 at sigma = 2 / 1.2816; relative noise is sigma * 2.
    assert found["sigma"] == pytest.approx(2 / 1.2816, rel=0.02)
    assert found["sigma_relative"] == pytest.approx(1 / 1.2816, rel=0.02)
    assert found["sharpness"] == pytest.approx(1 / found["sigma"])
    assert (weights[0] == 2).all() and set(map(tuple, seen)) == {(np.dtype(np.float32),)}
    shares = []
    assert sharpness.measure(weights, accuracy, draws=2, seed=0, progress=shares.append) == found
    assert len(shares) == 2 * 2 * 13 and shares == sorted(shares) and shares[-1] == 1
    assert sharpness.measure(weights, lambda _: 0.3, draws=1, seed=0)["sigma"] == sharpness.HIGHEST


def test_a_run_measured(tiny):
    found = measures.measure_run(tiny.run_dir, examples=100, draws=2, say=quiet)
    summary = results.read_summary(tiny.run_dir)
    assert found["run_id"] == tiny.run_id and found["name"].startswith("mlp_1x512, digits, 300")
    assert found["train_accuracy"] == summary["train_accuracy"]
    assert found["parameters"] == summary["parameters"]
    with np.load(tiny.run_dir / results.EXAMPLES) as file:
        assert found["margin_median"] == pytest.approx(np.median(file["margin"]), abs=1e-4)
        assert found["margin_min"] == pytest.approx(file["margin"].min(), abs=1e-4)
    assert 0 < found["distance"] < found["l2"] and found["rademacher"] is None
    assert found["sharpness_examples"] == 100
    # All of it is in the table, and there is no row without a value of its name.
    text = measures.table([found, found], ["one", "two"])
    assert text.splitlines()[:2] == [f"[1] {found['name']}: one", f"[2] {found['name']}: two"]
    assert len(text.splitlines()) == 2 + 2 + len(measures.ROWS)
    assert f"{100 * found['train_accuracy']:.2f}" in text
    assert set(measures.ROWS) <= set(found)
    for value, text in ((19.0, "19.00"), (1234.6, "1235"), (0.5, "0.5000"), (None, "-")):
        assert measures._written(value, "plain") == text


def test_the_initial_weights_are_those_that_training_started_from(tmp_path, offline, tensorflow):
    """At a rate that moves no float32 but a zero, the end is the beginning."""
    from rethink_tf.training import restore

    for number, model in enumerate(("mlp_1x512", "alexnet")):
        fields = {"model": model, "dataset": "digits", "examples": 64, "epochs": 1, "seed": 7}
        resolved = run_config.resolve(run_config.RunConfig(**fields, learning_rate=1e-30))
        train.run(resolved, tmp_path / str(number), say=quiet)
        run = restore.read(tmp_path / str(number), say=quiet)
        for weight, initial in zip(run.model.trainable_variables, run.initial, strict=True):
            np.testing.assert_allclose(weight.numpy(), initial, rtol=0, atol=1e-29)
        assert np.abs(run.initial[0]).max() > 0.01


def edited(tiny, folder, **changes):
    """A copy of the run with other facts, in its summary and config.json, under new digests."""
    shutil.copytree(tiny.run_dir, folder)
    summary, record = results.read_summary(folder), results.read_config(folder)
    del summary["sha256"]
    files.write_json(
        folder / results.CONFIG, record | {k: v for k, v in changes.items() if k in record}
    )
    results.finish(folder, summary | changes)
    return folder


def test_what_is_not_the_runs_own_is_refused(tiny, tmp_path):
    from rethink_tf.training import restore

    with pytest.raises(RequestError, match="ended DONE; there is none"):
        restore.read(tmp_path, say=quiet)
    kinds = {
        "weights_hash": ("0" * 16, StorageError, "expected weights of hash 0000000000000000"),
        "labels_hash": ("0" * 16, StorageError, "expected labels of hash 0000000000000000"),
        "status": ("DIVERGED", StorageError, "says DIVERGED, but all epochs are there"),
        "config": (None, StorageError, "damaged: expected a config"),
        "epochs": (9, StorageError, "expected the run's epochs up to 9"),
    }
    for key, (value, error, message) in kinds.items():
        with pytest.raises(error, match=message):
            changes = {key: value} | ({"reason": "no number"} if key == "status" else {})
            restore.read(edited(tiny, tmp_path / key, **changes), say=quiet)
    moved = {**results.read_summary(tiny.run_dir)["config"], "init_from": "random"}
    with pytest.raises(StorageError, match="settings are those of"):
        restore.read(edited(tiny, tmp_path / "moved", config=moved), say=quiet)


def test_other_versions_are_said(tiny, tmp_path):
    from rethink_tf.training import restore

    folder = edited(tiny, tmp_path / "run")
    said = []
    restore.read(folder, say=said.append)
    assert said == []
    versions = results.read_config(folder)["versions"] | {"keras": "1.0"}
    restore.read(edited(tiny, tmp_path / "other", versions=versions), say=said.append)
    assert len(said) == 1 and "trained with keras 1.0, now " in said[0]


def test_the_command(tiny, tmp_path, own_signals, capsys):
    runs_dir = tmp_path / "runs"
    shutil.copytree(tiny.runs_dir, runs_dir)
    named = [tiny.run_id, str(tiny.run_dir)]
    argv = [*named, f"--runs_dir={runs_dir}", "--sharpness_examples=50", "--sharpness_draws=1"]
    assert guarded(measures_command.main, argv) == 0
    said = capsys.readouterr().out
    (folder,) = runs_dir.glob("measures-*")  # both are the same run, which is measured once
    found = agreement.read_summary(folder, folder.name)
    assert (found["kind"], found["config"]["of"]) == ("measures", tiny.run_id)
    assert found["config"]["settings"] == {"examples": 50, "draws": 1, "signs": 0}
    assert f"{folder}/summary.json\n{named[1]}: measuring\nfinished before: {folder}, DONE" in said
    assert said.endswith(f"{measures.table([found, found], named)}\n")


@pytest.mark.parametrize(
    "argv, code, message",
    [
        ([], 2, "expected 1 to 100 .*received 0"),
        (["nowhere"], 2, "nowhere: .*finished run; runs/nowhere is not finished"),
        (["a", "--corrupt=1"], 2, "unknown flag --corrupt"),
        (["a", "--out=a.json"], 2, "unknown flag --out"),
        (["a", "--signs=many"], 2, "--signs: .*from 0 to 100, received 'many'"),
        (["a", "--sharpness_draws=0"], 2, "--sharpness_draws: .*from 1 to 1000, received 0"),
        (["a", "--sings=1"], 2, r"did you mean --signs\?"),
    ],
)
def test_the_command_refuses_in_one_line(
    argv, code, message, tmp_path, own_signals, capsys, monkeypatch, no_training
):
    monkeypatch.chdir(tmp_path)
    assert guarded(measures_command.main, argv) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1) and re.search(message, err)


def test_random_signs_are_fitted(tmp_path, own_signals, capsys, tensorflow, offline):
    from rethink_tf.cli.studies import rademacher as rademacher_command

    argv = ["--model=mlp_1x512", "--dataset=digits", "--examples=60", "--epochs=40", "--draws=2"]
    argv += ["--eval_every=20", f"--runs_dir={tmp_path}/runs"]
    assert guarded(rademacher_command.main, argv) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    found = agreement.read_summary(folder, folder.name)
    assert found["complexity"] == pytest.approx(
        np.mean([draw["correlation"] for draw in found["draws"]])
    )
    assert [epoch for epoch, _ in found["draws"][0]["by_epoch"]] == [20, 40]
    assert 0.9 < found["complexity"] <= 1 and (found["examples"], found["epochs"]) == (60, 40)
    out = capsys.readouterr().out
    assert re.search("mlp_1x512 .*random signs of 60 images of digits, 40 epochs", out)
    assert f"at least {found['complexity']:.4f}" in out


def test_signs_that_diverge_are_no_complexity(tmp_path, own_signals, capsys, tensorflow, offline):
    from rethink_tf.cli.studies import rademacher as rademacher_command

    argv = ["--model=mlp_3x512", "--dataset=digits", "--examples=60", "--epochs=9"]
    argv += ["--learning_rate=100", f"--runs_dir={tmp_path}/runs"]
    assert guarded(rademacher_command.main, argv) == 4
    err = capsys.readouterr().err
    assert "signs 1 of 1: " in err and re.search(
        "NaN or infinite; try .*--learning_rate than 100", err
    )
    assert err.count("\n") == 1
    assert not list(tmp_path.rglob("summary.json"))


@pytest.mark.parametrize("command", ["measures", "rademacher"])
def test_what_cannot_be_written_is_refused_first(
    command, tiny, tmp_path, own_signals, capsys, no_training
):
    from rethink_tf.cli.studies import rademacher as rademacher_command

    main, argv = {
        "measures": (measures_command.main, [str(tiny.run_dir)]),
        "rademacher": (rademacher_command.main, ["--model=mlp_1x512", "--dataset=digits"]),
    }[command]
    (tmp_path / "file").write_text("kept")
    assert guarded(main, [*argv, f"--runs_dir={tmp_path}/file"]) == 6
    err = capsys.readouterr().err
    assert err.startswith(f"rethink_tf: {tmp_path}/file/{command}-") and err.count("\n") == 1
    assert "nothing finished was lost" in err


def test_streamed_images_are_refused_in_words(tiny, tmp_path, monkeypatch):
    from rethink_tf.training import input_pipeline, restore

    real = input_pipeline.info
    monkeypatch.setattr(
        input_pipeline, "info", lambda *args: dataclasses.replace(real(*args), streamed=True)
    )
    with pytest.raises(RequestError, match="are held in memory"):
        restore.read(tiny.run_dir, say=quiet)


def test_signs_are_even_and_their_own(tensorflow):
    from rethink_tf.analysis import rademacher

    seeds = {rademacher.seed_of(seed, draw) for seed in range(100) for draw in range(100)}
    assert len(seeds) == 10_000 and rademacher.seed_of(7, 0) == 7

    index = np.arange(10_000)
    drawn = [rademacher.signs(index, seed=0, draw=draw) for draw in (0, 1)]
    assert set(np.unique(drawn[0])) == {0, 1} and abs(drawn[0].mean() - 0.5) < 0.025
    assert abs((drawn[0] == drawn[1]).mean() - 0.5) < 0.025
    part = rademacher.signs(index[500:600], seed=0, draw=0)
    np.testing.assert_array_equal(part, drawn[0][500:600])
    labels = checksum.labels_hash(index, rademacher.signs(index, seed=1, draw=0))
    assert labels != checksum.labels_hash(index, drawn[0])


@pytest.mark.parametrize("field, value", [("corrupt", 0.5), ("init_from", "random")])
def test_signs_have_no_other_labels(field, value):
    from rethink_tf.analysis import rademacher

    resolved = run_config.resolve(run_config.RunConfig(model="mlp_1x512", dataset="digits"))
    with pytest.raises(RequestError, match=f"--{field}: expected none, .*random signs"):
        rademacher.run(dataclasses.replace(resolved, **{field: value}))


def test_folders_of_one_name_are_told_apart(tiny, tmp_path, own_signals, capsys):
    """What was measured is known by the run, not by the folder that it lies in."""
    folder = tmp_path / "copy" / "x"
    shutil.copytree(tiny.run_dir, folder)
    argv = [str(folder), "--sharpness_examples=50", "--sharpness_draws=1"]
    runs_dir = tmp_path / "runs"
    assert guarded(measures_command.main, [*argv, f"--runs_dir={runs_dir}"]) == 0
    (measured,) = runs_dir.glob("measures-*")
    found = results.read_summary(measured)
    assert found["config"]["of"] == tiny.run_id
    assert found["weights_hash"] == results.read_summary(tiny.run_dir)["weights_hash"]


def test_measures_of_other_weights_are_not_taken_for_those_of_a_run(
    tiny, tmp_path, own_signals, capsys
):
    """The same configuration, trained on another machine, is the same run with other bits."""
    runs_dir, asked = tmp_path / "runs", ["--sharpness_examples=50", "--sharpness_draws=1"]
    argv = [str(tiny.run_dir), f"--runs_dir={runs_dir}", *asked]
    assert guarded(measures_command.main, argv) == 0
    (measured,) = runs_dir.glob("measures-*")
    summary = results.read_summary(measured)
    del summary["sha256"]
    results.finish(measured, summary | {"weights_hash": "0" * 16})
    capsys.readouterr()
    for words in ([argv[0]], [f"--of={argv[0]}"]):
        assert guarded(measures_command.main, [*words, *argv[1:]]) == StorageError.exit_code
        assert f"expected weights of hash {'0' * 16}" in capsys.readouterr().err

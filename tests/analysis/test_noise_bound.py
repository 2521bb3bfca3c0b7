"""The bound from label noise: numbers by hand, a real run, and what gives no bound."""

import csv
import dataclasses
import math
import shutil

import numpy as np
import pytest

from rethink_tf.analysis import noise_bound
from rethink_tf.analysis.noise_bound import Counts
from rethink_tf.cli import app
from rethink_tf.config.run_config import RunConfig
from rethink_tf.corruptions import labels
from rethink_tf.errors import RequestError, StorageError
from rethink_tf.runs import results

E = math.e
ARGV = ["--model=mlp_1x512", "--dataset=digits", "--epochs=3", "--eval_every=2", "--corrupt=0.3"]


@pytest.mark.parametrize(
    ("accuracy", "classes", "changed", "delta", "bound"),
    [
        (0.2, 2, 50, 1 / E, 0.3),  # log(1 / delta) = 1, so the confidence is sqrt(1 / 100)
        (0.1, 10, 450, 1 / E, 1.2),  # 9 (1 / 10 + 1 / 30)
        (0.0, 10, 5_000, E**-4, 0.18),  # log(1 / delta) = 4: 9 sqrt(4 / 10,000)
    ],
)
def test_the_bound_from_changed_labels(accuracy, classes, changed, delta, bound):
    counts = Counts(classes, kept=1, replaced=changed, changed=changed)
    assert noise_bound.from_changed(accuracy, counts, delta) == pytest.approx(bound)


@pytest.mark.parametrize(
    ("clean", "replaced_error", "counts", "bound"),
    [
        # log(4 / delta) = 2. c = 8 + 2 + 100 / 200 = 10.5; 0.2 + 3 - 2.8 + 10.5 sqrt(2 / 200)
        (0.2, 0.7, Counts(4, 100, 100, 75), 1.45),
        # c = 18 + 3 + 10,000 / 30,000; 0.1 + 8 - 8 + c sqrt(2 / 20,000)
        (0.1, 8 / 9, Counts(9, 10_000, 10_000, 8_900), 0.1 + (21 + 1 / 3) / 100),
    ],
)
def test_the_bound_from_replaced_labels(clean, replaced_error, counts, bound):
    found = noise_bound.from_replaced(clean, replaced_error, counts, delta=4 / E**2)
    assert found == pytest.approx(bound)


def test_a_classifier_that_memorises_nothing_is_below_its_bound():
    """Wrong by one class on a fifth: it predicts an independent wrong label in 0.2 / 9 of cases."""
    index = np.arange(50_000)
    true = index * 7919 % 10
    predicted = np.where(index % 5 == 0, (true + 1) % 10, true)
    given = labels.corrupt_labels(true, index, corrupt=0.5, num_classes=10, seed=3)
    noisy, replaced = given != true, labels.replaced_labels(index, corrupt=0.5, seed=3)
    assert not np.any(noisy & ~replaced) and 0.09 < np.mean(~noisy[replaced]) < 0.11
    counts = Counts(10, int(np.sum(~replaced)), int(np.sum(replaced)), int(np.sum(noisy)))
    accuracy = np.mean(predicted[noisy] == given[noisy])
    assert 9 * accuracy == pytest.approx(0.2, abs=0.04)
    assert 0.2 < noise_bound.from_changed(accuracy, counts) < 0.32
    errors = np.mean(predicted[~replaced] != true[~replaced])
    wrong = np.mean(predicted[replaced] != given[replaced])
    assert 0.2 < noise_bound.from_replaced(errors, wrong, counts) < 0.6


@pytest.fixture(scope="module")
def run_dir(tensorflow, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    assert app.main(["train", *ARGV, f"--runs_dir={folder}"]) == 0
    return next(folder.glob("mlp_1x512-*"))


def test_the_bounds_of_a_run_by_epoch(run_dir):
    found = noise_bound.of_run(run_dir, delta=0.1)
    columns, lines = results.read_examples(run_dir), results.read_history(run_dir)
    assert found.epochs.tolist() == [2, 3]
    changed = int(np.sum(columns["true"] != columns["given"]))
    assert found.counts.changed == changed < found.counts.replaced
    assert found.counts.kept + found.counts.replaced == len(columns["index"])
    accuracy = lines[1]["corrupted_accuracy"]
    expected = 9 * (accuracy + math.sqrt(math.log(10) / (2 * changed)))
    assert found.changed[0] == pytest.approx(expected)
    assert found.test_error[0] == pytest.approx(1 - lines[1]["test_accuracy"])
    assert np.all(found.replaced > found.changed)
    assert not len(found.exceeded)
    above = dataclasses.replace(found, test_error=np.array([found.changed[0] + 0.1, 0.0]))
    assert above.exceeded.tolist() == [2]


def test_the_command_writes_a_figure_and_a_csv(run_dir, tmp_path, capsys, own_signals):
    out = tmp_path / "out"
    assert app.main(["bound", str(run_dir), f"--out={out}", "--delta=0.1"]) == 0
    printed = capsys.readouterr().out
    found = noise_bound.of_run(run_dir, delta=0.1)
    assert f"last bound {found.changed[-1]:.4f}" in printed
    lines = (out / "bound.csv").read_text().splitlines()
    assert "# delta=0.1" in lines and f"# changed={found.counts.changed}" in lines
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    assert [int(row["epoch"]) for row in rows] == [2, 3]
    assert float(rows[1]["bound_from_changed"]) == pytest.approx(found.changed[1], rel=1e-6)
    assert (out / "bound.png").read_bytes().startswith(b"\x89PNG")
    assert app.main(["bound", str(run_dir), "--delta=0"]) == 2


def test_changed_labels_that_the_rule_did_not_replace_are_refused(run_dir, monkeypatch):
    columns = results.read_examples(run_dir)
    replaced = labels.replaced_labels(columns["index"], corrupt=0.3, seed=0)
    given = np.where(replaced, columns["given"], (columns["true"] + 1) % 10)
    monkeypatch.setattr(results, "read_examples", lambda folder: columns | {"given": given})
    with pytest.raises(StorageError):
        noise_bound.of_run(run_dir)


@pytest.mark.parametrize(
    "changes",
    [
        {"corrupt": 0.0},
        {"corrupt": 1.0},
        {"label_noise": "pair_flip"},
        {"labels_from": "labels.csv@sha256:0"},
        {"init_from": "random:cifar10"},
        {"test_pixels": "original"},
    ],
)
def test_noise_that_gives_no_bound_is_refused(changes):
    config = RunConfig("mlp_1x512", "cifar10", corrupt=0.3)
    noise_bound._refuse_other_noise("run", config)
    with pytest.raises(RequestError, match=next(iter(changes))):
        noise_bound._refuse_other_noise("run", dataclasses.replace(config, **changes))


def test_an_unfinished_run_is_refused(run_dir, tmp_path, capsys, own_signals):
    folder = tmp_path / "run"
    shutil.copytree(run_dir, folder)
    (folder / results.SUMMARY).unlink()
    assert app.main(["bound", str(folder)]) == 2
    assert "DONE" in capsys.readouterr().err

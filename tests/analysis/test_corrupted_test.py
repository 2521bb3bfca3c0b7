"""The error on corrupted test labels: from a run's checkpoint, never by the run."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from report_runs import write_run

from rethink_tf.analysis import corrupted_test
from rethink_tf.cli import corrupted_test as command
from rethink_tf.cli.app import guarded
from rethink_tf.cli.studies import measures as measures_command
from rethink_tf.config import run_config
from rethink_tf.config.run_config import RunConfig
from rethink_tf.corruptions import labels
from rethink_tf.corruptions.threefry import SplitId
from rethink_tf.errors import RequestError, StorageError
from rethink_tf.runs import results

CLASSES = 10
INDEX = np.arange(20_000)
TRUE = (INDEX * 7919 % CLASSES).astype(np.int32)
# Right on three examples of four, and wrong by one class on the fourth.
PREDICTED = np.where(INDEX % 4 == 0, (TRUE + 1) % CLASSES, TRUE)


@pytest.mark.parametrize("corrupt", [0.0, 0.5, 1.0])
def test_the_errors_of_a_known_classifier(corrupt):
    error, expected, drawn = corrupted_test.errors(
        PREDICTED, TRUE, INDEX, corrupt=corrupt, num_classes=CLASSES, draws=10
    )
    assert error == 0.25
    assert expected == pytest.approx(1 - (1 - corrupt) * 0.75 - corrupt / CLASSES)
    # The standard deviation of one draw is below 0.0036: the mean of ten is within 5 of its own.
    assert np.mean(drawn) == pytest.approx(expected, abs=5 * 0.0036 / np.sqrt(10))
    assert len(set(drawn)) == (1 if corrupt == 0 else 10)


@pytest.mark.parametrize(
    ("error", "p", "classes", "expected"),
    [(0.3, 0.0, 10, 0.3), (0.3, 1.0, 10, 0.9), (0.0, 0.5, 10, 0.45), (0.3, 0.5, 2, 0.4)],
)
def test_the_error_to_expect_on_corrupted_test_labels(error, p, classes, expected):
    assert corrupted_test.expected_error(error, p, classes) == pytest.approx(expected)


def test_other_noise_has_its_own_expectation():
    error, expected, drawn = corrupted_test.errors(
        TRUE, TRUE, INDEX, corrupt=0.5, num_classes=CLASSES, label_noise="pair_flip", draws=3
    )
    assert error == 0 and expected == np.mean(drawn) == pytest.approx(0.5, abs=0.02)


def test_test_labels_have_draws_of_their_own():
    how = {"corrupt": 0.5, "num_classes": CLASSES, "seed": 0}
    train = labels.corrupt_labels(TRUE, INDEX, **how)
    test = labels.corrupt_labels(TRUE, INDEX, **how, split=SplitId.TEST)
    assert 0.3 < np.mean(train != test) < 0.9


def test_a_run_measured(tiny, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(tiny.run_dir, folder)
    before = (folder / results.SUMMARY).read_bytes()
    result = corrupted_test.measure(folder, draws=3, say=lambda _: None)
    summary = json.loads(before)
    assert result.error == pytest.approx(1 - summary["test_accuracy"], abs=5e-4)
    assert result.weights_hash == summary["weights_hash"] and result.test_examples == 297
    corrupted_test.write(result, folder)
    assert corrupted_test.read(folder, summary) == result
    assert (folder / results.SUMMARY).read_bytes() == before
    with pytest.raises(StorageError, match="a result for weights"):
        corrupted_test.read(folder, summary | {"weights_hash": "0" * 16})
    assert corrupted_test.read(tiny.run_dir, summary) is None


def test_a_recorded_error_that_is_another_is_refused(tiny, monkeypatch):
    from rethink_tf.training import restore

    honest = restore.read(tiny.run_dir, say=lambda _: None)
    other = dataclasses.replace(honest, summary=honest.summary | {"test_accuracy": 0.987})
    monkeypatch.setattr(restore, "read", lambda *_, **__: other)
    with pytest.raises(StorageError, match="test error of 0.0130"):
        corrupted_test.measure(tiny.run_dir, draws=3, say=lambda _: None)
    from_file = dataclasses.replace(honest.config, labels_from="labels.csv@sha256:0")
    monkeypatch.setattr(
        restore, "read", lambda *_, **__: dataclasses.replace(honest, config=from_file)
    )
    with pytest.raises(RequestError, match="expected a run with --corrupt"):
        corrupted_test.measure(tiny.run_dir, draws=3, say=lambda _: None)


def test_the_command(tiny, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(tiny.run_dir, folder)
    assert guarded(command.main, [str(folder), "--draws=2"]) == 0
    assert "on true test labels" in capsys.readouterr().out
    assert corrupted_test.read(folder, results.read_summary(folder)).corrupt == 1.0
    assert guarded(command.main, []) == 2
    assert guarded(command.main, [str(tmp_path / "none")]) == 2


def test_a_damaged_run_is_named_before_tensorflow_starts(tmp_path, monkeypatch, capsys):
    def never(*_):
        raise AssertionError("it starts before it looks")

    monkeypatch.setattr(command.devices, "start", never)
    wanted = run_config.resolve(RunConfig(model="mlp_1x512", dataset="digits", corrupt=0.5))
    write_run(tmp_path, wanted)
    run = tmp_path / run_config.run_id(wanted)
    (run / results.HISTORY).write_bytes(b"\xff\xfe\n")
    for module in (command, measures_command):
        assert guarded(module.main, [str(run), f"--runs_dir={tmp_path}"]) == 6
        assert "history.jsonl: expected one JSON object a line" in capsys.readouterr().err

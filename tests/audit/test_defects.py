"""A pipeline deliberately broken is refused, each defect by the check meant for it.

Every test breaks one thing inside a real run on digits and looks at how the run ends.
"""

import re
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from rethink_tf import main
from rethink_tf.cli import app
from rethink_tf.config import run_config
from rethink_tf.config.run_config import RunConfig
from rethink_tf.corruptions import checksum
from rethink_tf.corruptions import labels as corruptions
from rethink_tf.data import pipeline
from rethink_tf.data import registry as datasets
from rethink_tf.errors import AuditError, ExitCode
from rethink_tf.runs import results
from rethink_tf.training import run as train
from rethink_tf.training.evaluation import Evaluation
from rethink_tf.training.metrics import Outcome
from rethink_tf.training.train_step import Steps

CORRUPTED = pipeline.corrupted


def run(folder, **changes):
    # All 1,500: with 200 examples uniformity is not testable.
    kinds = {"model": "mlp_1x512", "dataset": "digits", "corrupt": 1.0, "epochs": 1} | changes
    return train.run(run_config.resolve(RunConfig(**kinds)), folder, say=lambda _: None)


def relabelled(function, splits=("train",)):
    """A pipeline whose given labels are `function(batch)` instead, in the named splits."""

    def broken(split, corruption, **measured):
        dataset = CORRUPTED(split, corruption, **measured)
        if split.name not in splits:
            return dataset
        return dataset.map(lambda batch: {**batch, "given": function(batch)})

    return broken


def shuffled_within(batch):
    draw = tf.random.stateless_uniform(tf.shape(batch["true"]), seed=[1, 2])
    return tf.gather(batch["true"], tf.argsort(draw))


class Redrawn:
    """Labels that are right in the first pass and drawn anew in every later one."""

    def __init__(self):
        self.passes = 0

    def __call__(self, split, corruption, **measured):
        if split.name == "train":
            corruption = replace(corruption, seed=corruption.seed + self.passes)
            self.passes += 1
        return CORRUPTED(split, corruption, **measured)


def true_excluded(split, corruption, **measured):
    return CORRUPTED(split, replace(corruption, label_noise="exclude_true"), **measured)


def as_training(split, corruption, **measured):
    """The test set goes through the corruption of the training set, as a shared map would."""
    return CORRUPTED(replace(split, name="train"), corruption, **measured)


def from_one_word(batch):
    """Decides whether and by what with one word: small words give class 0 only."""
    given = corruptions.corrupt_labels_tf(
        batch["true"], batch["index"], corrupt=1.0, num_classes=10, seed=0
    )
    return tf.where(given < 5, given, batch["true"])


# Class 4 keeps its name, all others get another: 90% changed, as is right at p = 1.
NAMES = tf.constant([1, 2, 3, 5, 4, 6, 7, 8, 9, 0])

# defect: (broken pipeline, p, every check that fails). The comparison with the reference sees all
# that is wrong in the first pass; the other checks are meant for the defect and need no reference.
EVENNESS = {"uniformity", "received_evenly", "coincidences"}
DEFECTS = {
    "corrupted copy not read": (
        relabelled(lambda batch: batch["true"]),
        0.5,
        {"changed_count"},
    ),
    "corrupted copy not read at p = 1": (
        relabelled(lambda batch: batch["true"]),
        1.0,
        {"changed_count"},
    ),
    "classes merely renamed": (
        relabelled(lambda batch: tf.gather(NAMES, batch["true"])),
        1.0,
        EVENNESS | {"class_rates"},
    ),
    "labels permuted within batches": (relabelled(shuffled_within), 1.0, {"not_a_permutation"}),
    "true class excluded": (true_excluded, 1.0, {"changed_count"}),
    "only some classes drawn": (relabelled(from_one_word), 1.0, EVENNESS | {"changed_count"}),
}


def failed_checks(folder, **changes):
    """Names of the failed checks of a run that is refused; nothing was trained."""
    with pytest.raises(AuditError, match="what was asked for") as error:
        run(folder, **changes)
    assert error.value.exit_code == ExitCode.INVALID
    assert results.read_history(folder) == []
    assert results.read_summary(folder) is None
    return set(re.findall(r"(\w+): FAILED", str(error.value)))


def test_the_honest_pipeline_is_not_refused(tmp_path):
    summary = run(tmp_path)
    found = {check["name"]: check["passed"] for check in summary["audit"]}
    names = {"given_equals_reference", "changed_count", "uniformity", "not_a_permutation"}
    names |= {"same_over_two_passes", "test_labels_untouched", "test_at_chance"}
    assert {found[name] for name in names} == {True}
    assert False not in found.values()
    assert summary["status"] == "DONE"


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_refused_by_the_check_meant_for_it(monkeypatch, tmp_path, defect):
    broken, probability, meant = DEFECTS[defect]
    monkeypatch.setattr(pipeline, "corrupted", broken)
    found = failed_checks(tmp_path, corrupt=probability)
    assert found == meant | {"given_equals_reference"}


def test_labels_redrawn_each_epoch_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(pipeline, "corrupted", Redrawn())
    assert failed_checks(tmp_path) == {"same_over_two_passes"}


def test_corrupted_test_labels_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(pipeline, "corrupted", as_training)
    assert failed_checks(tmp_path, corrupt=0.1) == {"test_labels_untouched"}


def test_a_corruption_other_than_its_reference_is_refused(monkeypatch, tmp_path):
    # Honest random labels, but of another seed: no statistic can see that, the reference does.
    honest = corruptions.corrupt_labels_tf

    def other(*args, **kinds):
        return honest(*args, **(kinds | {"seed": kinds["seed"] + 1}))

    monkeypatch.setattr(corruptions, "corrupt_labels_tf", other)
    assert failed_checks(tmp_path) == {"given_equals_reference"}


def test_the_refusal_names_the_numbers_and_exits_with_3(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(pipeline, "corrupted", DEFECTS["corrupted copy not read"][0])
    argv = ["--model=mlp_1x512", "--dataset=digits", "--corrupt=0.5", f"--runs_dir={tmp_path}"]
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert app.guarded(main.main, argv) == 3
    error = capsys.readouterr().err
    assert "changed_count: FAILED (0.0000 changed, expected 0.4500 within 0.3" in error
    assert error.count("\n") == 1


# Right at the audit, wrong in the step


def true_labels(table):
    return replace(table, given=table.true.copy())


def two_exchanged(table):
    given = table.given.copy()
    i = int(np.flatnonzero(given != given[0])[0])
    given[[0, i]] = given[[i, 0]]
    return replace(table, given=given)


def one_twice(table):
    columns = {"index": table.index, "images": table.images, "given": table.given}
    columns = {name: column.copy() for name, column in columns.items()}
    for column in columns.values():
        column[1] = column[0]
    return replace(table, **columns)


@pytest.mark.parametrize("wrong", [true_labels, two_exchanged, one_twice])
def test_labels_right_at_the_audit_and_wrong_in_the_step_end_invalid(monkeypatch, tmp_path, wrong):
    place = Steps.place

    def wrong_place(self, table):
        return place(self, wrong(table) if table is self.train else table)

    monkeypatch.setattr(Steps, "place", wrong_place)
    with pytest.raises(
        AuditError, match="INVALID: the labels that entered the loss in epoch 1"
    ) as error:
        run(tmp_path, epochs=5, examples=300)
    assert error.value.exit_code == ExitCode.INVALID
    summary, history = results.read_summary(tmp_path), results.read_history(tmp_path)
    train_set, _ = datasets.load("digits")
    train_set = datasets.take(train_set, 300, seed=0)
    right = checksum.label_checksum(
        train_set.index,
        corruptions.corrupt_labels(
            train_set.labels, train_set.index, corrupt=1.0, num_classes=10, seed=0
        ),
    )
    assert summary["status"] == "INVALID"
    assert re.search(
        rf"epoch 1 .*checksum {summary['label_checksum']}, "
        rf"expected {right} \(seal: train labels\)",
        summary["reason"],
    )
    assert summary["label_checksum"] != right
    assert len(history) == summary["epochs"] == 1  # it ends at once, its history kept
    assert {check["passed"] for check in summary["audit"]} <= {True, None}
    with pytest.raises(AuditError, match="INVALID"):  # and stays so
        run(tmp_path, epochs=5, examples=300)


def test_an_example_left_out_of_the_epoch_ends_invalid(monkeypatch, tmp_path):
    # The remainder of 44 is dropped, as is usual elsewhere.
    init = Steps.__init__

    def without_last(self, *args, **kinds):
        init(self, *args, **kinds)
        self._last = lambda *_: None

    monkeypatch.setattr(Steps, "__init__", without_last)
    with pytest.raises(AuditError, match="not the audited ones"):
        run(tmp_path, examples=300, batch_size=128)
    assert results.read_summary(tmp_path)["status"] == "INVALID"


# After training


def test_true_test_labels_predicted_without_reason_end_invalid(monkeypatch, tmp_path):
    evaluate, truth = Evaluation.evaluate, datasets.load("digits")[1].labels

    def leaking(self, resident, count, *args, **kinds):
        outcome = evaluate(self, resident, count, *args, **kinds)
        predicted = truth if count == len(truth) else outcome.predicted
        return Outcome(outcome.loss, predicted, outcome.margin)

    monkeypatch.setattr(Evaluation, "evaluate", leaking)
    with pytest.raises(AuditError, match="INVALID: test_at_chance: FAILED") as error:
        run(tmp_path / "random", examples=200)
    assert int(error.value.exit_code) == 3
    summary = results.read_summary(tmp_path / "random")
    assert summary["status"] == "INVALID"
    assert "test accuracy 1.0000, chance 0.1000" in summary["reason"]
    assert "labels must have leaked" in str(summary["reason"])
    assert [c["passed"] for c in summary["audit"] if c["name"] == "test_at_chance"] == [False]
    # The same predictions are welcome where the training labels say something of them.
    assert run(tmp_path / "half", examples=200, corrupt=0.5)["status"] == "DONE"

"""Records that do not agree are named and not read: each kind of edit, and what every reader says.

`before_seals` is a run that an older version trained: no digests, as all records before them.
"""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from fuzzing import call
from report_runs import lines, plain_run, resolved, write_run

from rethink_tf import main
from rethink_tf.audit import check as checks
from rethink_tf.cli import report as command
from rethink_tf.cli import show
from rethink_tf.cli import tensorboard as tensorboard_command
from rethink_tf.config import paper, run_config
from rethink_tf.errors import StorageError
from rethink_tf.report import tensorboard
from rethink_tf.report.collection import collect
from rethink_tf.runs import agreement, checkpoint, results
from rethink_tf.runs import status as run_progress
from rethink_tf.training.recording import messages

OLD = Path(__file__).resolve().parents[1] / "support" / "before_seals" / "mlp_1x512-6e1ad86caff5"
ARGV = ["--model=mlp_1x512", "--dataset=digits", "--epochs=3", "--corrupt=1.0", "--examples=300"]
ANEW = "move its folder away, and the command that trained it trains it anew"
MLP = resolved(model="mlp_1x512", epochs=6, corrupt=0.5)


@pytest.fixture
def old(tmp_path):
    """A copy of the run before digests, in a folder of runs."""
    return Path(shutil.copytree(OLD, tmp_path / "runs" / OLD.name))


@pytest.fixture
def new(tmp_path):
    """A run as it is written now."""
    return write_run(tmp_path / "runs", MLP)


def edit(path, change):
    """Changes a JSON file as a person does."""
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def edit_line(path, number, **changes):
    found = [json.loads(line) for line in path.read_text().splitlines()]
    found[number] |= changes
    path.write_text("".join(json.dumps(line) + "\n" for line in found))


def disagreement(folder):
    with pytest.raises(StorageError) as error:
        agreement.read(folder)
    message = str(error.value)
    assert "\n" not in message and message.endswith(ANEW), message
    return message.removeprefix(f"{folder}/").removesuffix(f"; the run is not used: {ANEW}")


def test_a_run_that_agrees_is_read(new):
    found = agreement.read(new)
    assert found.summary["test_accuracy"] == found.history[-1]["test_accuracy"]
    assert not agreement.before_seals(found.summary) and agreement.digest_note(found.summary) == ""
    assert found.record["run_id"] == found.summary["run_id"] == new.name
    assert set(found.summary["sha256"]) == {"config.json", "history.jsonl", "summary.json"}
    assert agreement.read(new.parent / "never") is None


@pytest.mark.parametrize("make", ["new", "old"])
def test_a_run_of_each_version_is_read_back_from_a_copy(make, request):
    folder = request.getfixturevalue(make)
    copy = shutil.copytree(folder, folder.parent / "copy")
    assert agreement.read_summary(copy) == agreement.read_summary(folder)


def test_a_run_that_two_versions_trained_agrees_with_itself(old):
    """config.json is of the version that began it; the summary has a field more."""
    known = agreement.read_summary(old)
    edit(old / results.SUMMARY, lambda s: s["config"].update(test_pixels="as_trained", held_out=0))
    assert agreement.read_summary(old)["weights_hash"] == known["weights_hash"]
    edit(old / results.SUMMARY, lambda s: s["config"].update(held_out=7))
    assert disagreement(old).endswith("config.held_out is 7 here, 0 there")


EDITS = {
    "test_accuracy": 0.75,
    "train_accuracy": 0.999,
    "test_loss": 0.125,
    "learning_rate": 0.5,
    "label_checksum": 7,
    "best_test_accuracy": 0.875,
    "best_test_epoch": 2,
    "accuracy": 0.5,
}


@pytest.mark.parametrize("make", ["new", "old"])
@pytest.mark.parametrize("key", EDITS)
def test_an_edited_value_of_a_summary_is_named_with_both(key, make, request):
    folder = request.getfixturevalue(make)
    before = results.read_history(folder)[-1][key]
    edit(folder / results.SUMMARY, lambda s: s.update({key: EDITS[key]}))
    expected = f"summary.json: does not agree with history.jsonl: {key} is {EDITS[key]} here, "
    assert disagreement(folder) == f"{expected}{before} there"


@pytest.mark.parametrize("make", ["new", "old"])
def test_settings_and_facts_are_those_of_the_configuration(make, request):
    folder = request.getfixturevalue(make)
    edit(folder / results.SUMMARY, lambda s: s["config"].update(corrupt=0.25))
    expected = "summary.json: does not agree with config.json: config.corrupt is 0.25 here, "
    assert disagreement(folder).startswith(expected)
    edit(folder / results.CONFIG, lambda c: c["config"].update(corrupt=0.25))
    assert re.match(
        r"summary.json: its settings are those of mlp_1x512-\w+, not of", disagreement(folder)
    )
    (folder / results.CONFIG).unlink()
    assert disagreement(folder) == "config.json: is not there"


@pytest.mark.parametrize("make", ["new", "old"])
def test_a_deleted_or_shortened_history(make, request):
    folder = request.getfixturevalue(make)
    content = (folder / results.HISTORY).read_text().splitlines(keepends=True)
    (folder / results.HISTORY).write_text("".join(content[:2]))
    count = len(content)
    expected = f"history.jsonl: expected the run's epochs up to {count}, found those up to 2"
    assert disagreement(folder) == expected
    (folder / results.HISTORY).unlink()
    assert re.search(r"history\.jsonl: .*epochs, found none", disagreement(folder))


@pytest.mark.parametrize("make", ["new", "old"])
def test_a_last_line_and_a_summary_edited_alike(make, request):
    folder = request.getfixturevalue(make)
    edit_line(folder / results.HISTORY, -1, test_accuracy=0.9375)
    edit(folder / results.SUMMARY, lambda s: s.update(test_accuracy=0.9375))
    assert "best_test_accuracy of epoch" in disagreement(folder)


def test_any_other_edit_is_seen_by_the_digests(new):
    edit_line(new / results.HISTORY, 1, loss=0.0625)
    expected = "does not have the digest that summary.json states"
    assert disagreement(new) == f"history.jsonl: {expected}"


@pytest.mark.parametrize(
    "change",
    [
        {"changed_fraction": 0.125},
        {"weights_hash": "0"},
        {"audit": []},
        {"exact": False},
        {"odd": 1},
    ],
)
def test_any_value_of_a_summary_is_under_its_own_digest(change, new):
    edit(new / results.SUMMARY, lambda s: s.update(change))
    assert re.search(r"summary\.json: was changed .*digest differs", disagreement(new))


def test_the_record_of_the_examples_is_under_a_digest(new):
    results.save_examples(new, index=np.arange(3))
    results.finish(new, results.read_summary(new))
    assert agreement.read(new).summary["sha256"].keys() >= {"examples.npz"}
    results.save_examples(new, index=np.arange(4))
    assert "examples.npz: does not have the digest " in disagreement(new)
    (new / results.EXAMPLES).unlink()
    assert disagreement(new) == "examples.npz: is not there"


def test_digests_that_were_taken_out_are_missed(new):
    record = results.read_config(new)
    results.write_config(new, record)
    results.finish(new, results.read_summary(new))
    assert agreement.read(new)
    edit(new / results.SUMMARY, lambda s: s.pop("sha256"))
    assert disagreement(new) == "summary.json: its digests are missing"


def test_a_history_changed_before_the_end_does_not_get_its_digest(new):
    known = results.read_history(new)
    edit_line(new / results.HISTORY, 1, loss=0.0625)
    results.finish(new, results.read_summary(new), known)
    assert "history.jsonl: does not have the digest " in disagreement(new)


@pytest.mark.parametrize(
    "status, change, why",
    [
        ("DONE", {"train_loss": None}, "says DONE, but its last"),
        ("DONE", {"audit": [{"name": "a", "passed": False}]}, "says DONE, but its check"),
        ("DIVERGED", {}, "says DIVERGED, but all"),
    ],
)
def test_a_status_follows_from_the_history_and_the_checks(status, change, why, new):
    if "train_loss" in change:
        edit_line(new / results.HISTORY, -1, train_loss=None)
    facts = {"status": status, "reason": None if status == "DONE" else "so"}
    results.finish(new, results.read_summary(new) | facts | change)
    assert disagreement(new).startswith(f"summary.json: {why}")


def test_labels_of_an_epoch_that_are_others(new):
    edit_line(new / results.HISTORY, 2, label_checksum=6)
    results.finish(new, results.read_summary(new))
    expected = "history.jsonl: the labels of epoch 3 are not those of epoch 1, but summary.json"
    assert disagreement(new) == f"{expected} says DONE"


def test_an_invalid_run_by_its_last_labels_is_read(new):
    edit_line(new / results.HISTORY, -1, label_checksum=6)
    values = {"status": "INVALID", "reason": "other labels", "label_checksum": 6}
    results.finish(new, results.read_summary(new) | values)
    assert agreement.read(new).summary["status"] == "INVALID"


def test_the_checkpoint_has_its_own_history(new):
    history = results.read_history(new)
    header = {"epoch": 6, "step": 0, "run_id": new.name, "history": history}
    checkpoint.save(new / results.CHECKPOINTS, header, {"weight": np.zeros(3)})
    assert agreement.read(new)
    edit_line(new / results.HISTORY, 1, loss=0.0625)
    results.finish(new, results.read_summary(new))  # as someone who recomputes the digests
    there = history[1]["loss"]
    expected = "history.jsonl: does not agree with its checkpoint of epoch 6: loss of epoch 2 is "
    assert disagreement(new) == f"{expected}0.0625 here, {there} there"
    path = checkpoint.stored(new / results.CHECKPOINTS)[-1]
    path.write_bytes(path.read_bytes()[:100])
    assert agreement.read(new), "a checkpoint that cannot be read says nothing"
    checkpoint.save(new / results.CHECKPOINTS, header | {"run_id": "another-1"}, {})
    assert "run_id" in disagreement(new)


# Before digests


def test_a_run_before_digests_is_checked_against_its_examples(old):
    assert agreement.before_seals(agreement.read(old).summary)
    columns = results.read_examples(old)
    for name, key in (("given", "labels_hash"), ("fitted_since", "train_accuracy")):
        changed = dict(columns)
        changed[name] = np.roll(columns[name], 1)
        if name == "fitted_since":
            changed[name] = np.zeros_like(columns[name])
        results.save_examples(old, **changed)
        said = disagreement(old)
        assert re.search(r"summary\.json: does not agree with examples\.npz: ", said), said
        assert key in said
    (old / results.EXAMPLES).unlink()
    assert agreement.read(old), "checked as far as its files go"


@pytest.mark.parametrize(
    "key, value",
    [
        ("labels_hash", "00"),
        ("changed_fraction", 0.5),
        ("train_examples", 299),
        ("corrupted_margin_median", 0.5),
        ("clean_fitted_since_median", 1.0),
    ],
)
def test_facts_of_the_data_before_digests(key, value, old):
    edit(old / results.SUMMARY, lambda s: s.update({key: value}))
    assert f"{key} is {value} here, " in disagreement(old)


def test_train_accuracy_that_is_edited_everywhere_but_in_the_examples(old):
    edit(old / results.SUMMARY, lambda s: s.update(train_accuracy=1.0))
    edit_line(old / results.HISTORY, -1, train_accuracy=1.0)
    said = disagreement(old)
    assert re.search(r"summary\.json: .*with examples\.npz: train_accuracy is 1\.0", said)


def test_random_labels_that_are_predicted_are_not_done(old):
    leaked = {"test_accuracy": 0.9, "best_test_accuracy": 0.9, "best_test_epoch": 3}
    edit(old / results.SUMMARY, lambda s: s.update(leaked))
    edit_line(old / results.HISTORY, -1, **leaked)
    assert re.search(
        r"summary\.json: says DONE, .*accuracy of 0\.9 is not at chance", disagreement(old)
    )


# At chance


def chance(accuracy, detail="test accuracy 0.0968, chance 0.1000 +- 0.0043, z = -0.7"):
    check = {"name": "test_at_chance", "passed": True, "detail": detail}
    return checks.at_chance({"test_accuracy": accuracy, "audit": [check]})


def test_at_chance_is_said_from_the_number():
    assert chance(0.0968) is True and chance(0.121) is True
    assert chance(0.55) is False, "whatever its flag says"
    assert chance(0.1216) is True and chance(0.1221) is False, "5 deviations, within their rounding"
    assert chance(0.5, "5 classes are too few to tell") is None
    assert checks.at_chance({"test_accuracy": 0.1, "audit": []}) is None


def test_the_verdict_says_it_from_the_number(old):
    summary = agreement.read_summary(old)
    wanted = agreement.stored_config(summary)
    assert "labels at chance (7.7%)" in str(messages.verdict(summary, wanted))
    leaked = summary | {"test_accuracy": 0.9}
    assert "predicts true test labels NOT at chance (90.0%)" in messages.verdict(leaked, wanted)


# What the readers say


def test_main_answers_from_a_run_before_digests_and_says_so(old):
    done = call(main.main, [*ARGV, f"--runs_dir={old.parent}"])
    assert done.code == 0 and done.err == ""
    first = f"{old}: finished already; this is its summary ({agreement.BEFORE_SEALS})"
    assert done.out.splitlines()[0] == first


def test_main_refuses_and_says_how_to_train_anew(old):
    edit(old / results.SUMMARY, lambda s: s.update(test_accuracy=0.11))
    done = call(main.main, [*ARGV, f"--runs_dir={old.parent}"])
    assert done.code == 6 and done.out == ""
    assert done.err.count("\n") == 1 and done.err.endswith(f"{ANEW}\n")
    assert "test_accuracy is 0.11 here, 0.07744107744107744 there" in done.err
    assert run_progress.state(old) == run_progress.DAMAGED


def test_show_refuses_and_marks(old, tmp_path):
    out = f"--out={tmp_path / 'curves.png'}"
    assert call(show.main, [str(old), out]).code == 0
    assert show.run_name(old).endswith(", older record")
    edit(old / results.SUMMARY, lambda s: s.update(test_accuracy=0.11))
    done = call(show.main, [str(old), out])
    assert done.code == 6 and "not agree with history.jsonl" in done.err


def test_load_runs_raises_or_takes_them_aside(old, new):
    both = agreement.load_runs(new.parent)
    assert {run["run_id"]: run["before_seals"] for run in both} == {old.name: True, new.name: False}
    assert [run["run_dir"] for run in both] == sorted([str(old), str(new)])
    edit(old / results.SUMMARY, lambda s: s.update(test_accuracy=0.11))
    with pytest.raises(StorageError, match="not agree with history.jsonl"):
        agreement.load_runs(new.parent)
    left_out = {}
    assert [r["run_id"] for r in agreement.load_runs(new.parent, left_out)] == [new.name]
    assert "summary.json: does not agree with history.jsonl: " in left_out[old.name]
    assert agreement.load_runs(new.parent / "never") == []


def test_tensorboard_leaves_it_out_and_counts(old, new, monkeypatch):
    monkeypatch.setattr(tensorboard, "write", lambda *_: None)
    monkeypatch.setattr("rethink_tf.training.devices.setup.start", lambda *_: 1)
    done = call(tensorboard_command.main, [f"--runs_dir={new.parent}"])
    assert f"2 runs, 1 of them {agreement.BEFORE_SEALS}; tensorboard" in done.out
    edit(new / results.SUMMARY, lambda s: s.update(test_accuracy=0.11))
    done = call(tensorboard_command.main, [f"--runs_dir={new.parent}"])
    known = f"1 run, 1 of them {agreement.BEFORE_SEALS}"
    assert f"{known}, 1 cannot be read; tensorboard" in done.out
    assert f"left out: {new.name} cannot be read: summary.json: does not agree with" in done.out


@pytest.fixture
def report(tmp_path, monkeypatch):
    """Runs the command on the folder of runs, without drawing."""
    monkeypatch.setattr("rethink_tf.report.drawing.files", lambda _: {})
    monkeypatch.setattr("rethink_tf.report.drawing.svg", lambda _: "")

    def run(*argv):
        folders = [f"--runs_dir={tmp_path / 'runs'}", f"--out={tmp_path / 'out'}"]
        done = call(command.main, [*folders, "--measured=none", *argv])
        return done, (tmp_path / "out" / "report.md").read_text()

    return run


ROW = ("table1", "--rows=mlp_1x512_random")


RANDOM = paper.row_config(paper.TABLE1["mlp_1x512_random"])


def test_a_report_leaves_it_out_names_and_counts_it_and_strict_fails(report, tmp_path):
    folder = write_run(tmp_path / "runs", RANDOM)
    assert report(*ROW, "--strict")[0].code == 0
    edit(folder / results.SUMMARY, lambda s: s.update(test_accuracy=0.11))
    done, text = report(*ROW)
    assert done.code == 0
    what = "summary.json: does not agree with history.jsonl: test_accuracy is 0.11 here, "
    assert f"cannot be read: {folder.name}: {what}" in done.out
    assert "| 10.61 | – | – |" in text and "cannot be read: 1." in text
    done, _ = report(*ROW, "--strict")
    assert done.code == 2 and "1 cannot be read" in done.err


def test_strict_does_not_fail_for_a_run_before_digests_which_is_counted(report, tmp_path):
    folder = write_run(tmp_path / "runs", RANDOM)
    edit(folder / results.SUMMARY, lambda s: s.pop("sha256"))
    done, text = report(*ROW, "--strict")
    assert done.code == 0
    assert re.search(f"1 record {agreement.BEFORE_SEALS}, so fewer checks", text)
    assert re.search(rf"1 run, 1 seed; 1 {agreement.BEFORE_SEALS}\.", text)
    page = (tmp_path / "out" / "report.html").read_text()
    assert re.search(f'"{agreement.BEFORE_SEALS}, so fewer checks', page)


def test_what_is_no_training_agrees_by_its_digests(tmp_path):
    folder = plain_run(tmp_path, "gaussian", {"kernel": "gaussian"}, norm=1.5)
    assert agreement.read(folder).history == []
    edit(folder / results.SUMMARY, lambda s: s.update(norm=1.25))
    assert "its digest differs" in disagreement(folder)
    broken = collect(tmp_path, []).broken
    assert list(broken) == [folder.name]


def test_a_run_that_diverged_in_its_first_epoch_agrees(tmp_path):
    folder = write_run(tmp_path, MLP, status="DIVERGED", done=0)
    (folder / results.HISTORY).unlink()
    results.finish(folder, results.read_summary(folder), [])
    assert agreement.read(folder).history == []


def test_the_made_up_history_is_one_that_a_run_could_have():
    assert [line["best_test_epoch"] for line in lines(MLP)] == [1, 1, 3, 3, 3, 3]
    assert run_config.run_id(MLP).startswith("mlp_1x512-")

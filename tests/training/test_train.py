"""A run on disk: what it writes, how it ends, and how a finished one answers."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rethink_tf.config import run_config
from rethink_tf.errors import ExitCode
from rethink_tf.runs import results

REPOSITORY = Path(__file__).resolve().parents[2]
HISTORY_KEYS = {
    "epoch",
    "loss",
    "accuracy",
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "clean_accuracy",
    "corrupted_accuracy",
    "corrupted_original_accuracy",
    "learning_rate",
    "timing",
    "best_test_accuracy",
    "label_checksum",
    "train_top5_accuracy",
    "test_top5_accuracy",
    "best_test_top5_accuracy",
}
SUMMARY_KEYS = HISTORY_KEYS - {"epoch"} | {
    "status",
    "reason",
    "run_id",
    "config",
    "epochs",
    "best_test_epoch",
    "changed_fraction",
    "labels_hash",
    "weights_hash",
    "replicas",
    "parameters",
    "audit",
    "train_examples",
    "test_examples",
}
CONFIG_KEYS = {
    "config",
    "run_id",
    "argv",
    "versions",
    "git_commit",
    "devices",
    "replicas",
    "threads",
    "audit",
}
ACCURACIES = {key for key in HISTORY_KEYS if key.endswith("accuracy")}


def test_what_a_run_writes(tiny):
    run_dir = tiny.run_dir
    assert {path.name for path in run_dir.iterdir()} >= {
        "config.json",
        "history.jsonl",
        "summary.json",
        "tb",
    }
    record, summary = results.read_config(run_dir), results.read_summary(run_dir)
    assert set(record) >= CONFIG_KEYS
    assert set(summary) >= SUMMARY_KEYS
    assert record["argv"] == [*tiny.argv, f"--runs_dir={tiny.runs_dir}"]
    resolved = run_config.from_dict(record["config"])
    assert run_config.run_id(resolved) == record["run_id"] == summary["run_id"] == tiny.run_id
    # 269 of the 300 drawn labels are not the true ones: frozen with the label stream.
    assert summary["changed_fraction"] == pytest.approx(269 / 300, abs=1e-12)
    assert summary["labels_hash"] == "b7631ff2a4476fbf"
    assert (summary["status"], summary["epochs"], summary["replicas"]) == ("DONE", 2, 1)
    assert summary["parameters"] == 136_714
    timing = summary["timing"]
    assert len(timing["checkpoint_seconds"]) == 1 and timing["restore_seconds"] is None


def test_the_history_of_a_run(tiny):
    run_dir = tiny.run_dir
    history, summary = results.read_history(run_dir), results.read_summary(run_dir)
    assert [line["epoch"] for line in history] == [1, 2]
    for line in history:
        assert set(line) >= HISTORY_KEYS
        assert all(0 <= line[key] <= 1 for key in ACCURACIES)
        share = summary["changed_fraction"]
        parts = share * line["corrupted_accuracy"] + (1 - share) * line["clean_accuracy"]
        assert line["train_accuracy"] == pytest.approx(parts, abs=1e-9)
        assert all(isinstance(seconds, float) for seconds in line["timing"].values())
    assert [line["learning_rate"] for line in history] == pytest.approx([0.03, 0.0297])
    last = history[-1]
    for key in HISTORY_KEYS - {"epoch", "timing"}:
        assert summary[key] == last[key], key
    tests = [line["test_accuracy"] for line in history]
    assert summary["best_test_accuracy"] == max(tests)
    assert summary["best_test_epoch"] == tests.index(max(tests)) + 1


def test_a_finished_run_answers_from_its_summary(tiny, call, no_training):
    run_dir = tiny.run_dir
    before = {path: path.read_bytes() for path in run_dir.glob("*.json*")}
    code, out, err = call(*tiny.argv, "--dataset=digits", f"--runs_dir={tiny.runs_dir}")
    assert (code, err) == (0, "")
    assert re.search(f"{re.escape(str(run_dir))}: finished already; ", out.splitlines()[0])
    assert out.splitlines()[-2:] == tiny.out.splitlines()[-2:]
    assert {path: path.read_bytes() for path in run_dir.glob("*.json*")} == before


def test_a_finished_run_does_not_start_tensorflow(tiny):
    code = "import sys; from rethink_tf import main; from rethink_tf.cli.app import guarded\n"
    code += "code = guarded(main.main, sys.argv[1:])\n"
    code += "print(code, 'tensorflow' in sys.modules)"
    argv = [*tiny.argv, "--dataset=digits", f"--runs_dir={tiny.runs_dir}"]
    result = subprocess.run(
        [sys.executable, "-c", code, *argv], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert result.stdout.splitlines()[-1] == "0 False"
    assert result.stderr == ""


@pytest.mark.parametrize("status, code", [("DONE", 0), ("INVALID", 3), ("DIVERGED", 4)])
def test_the_status_of_a_run_is_its_exit_code(status, code, tiny, tmp_path, call, no_training):
    run_dir = tmp_path / tiny.run_id
    shutil.copytree(tiny.run_dir, run_dir)
    summary, lines = results.read_summary(run_dir), results.read_history(run_dir)
    if status == "DIVERGED":
        shutil.rmtree(run_dir / results.CHECKPOINTS)
        lines[-1]["train_loss"] = summary["train_loss"] = None
        results.rewrite_history(run_dir, lines)
    reason = "the reason" if code else None
    results.finish(run_dir, {**summary, "status": status, "reason": reason})
    found, out, err = call(*tiny.argv, "--dataset=digits", f"--runs_dir={tmp_path}")
    assert found == code
    if code:
        assert err == f"rethink_tf: {status}: the reason\n"
        assert f"{status}: the reason\n{run_dir}\n" in out


def test_an_unfinished_run_starts_over_and_says_so(tiny, tmp_path, call):
    run_dir = tmp_path / tiny.run_id
    run_dir.mkdir()
    results.start(run_dir, {"run_id": tiny.run_id})
    results.append_history(run_dir, {"epoch": 1, "left": "by a killed run"})
    code, out, _ = call(*tiny.argv, "--dataset=digits", f"--runs_dir={tmp_path}")
    assert code == 0
    said = out.splitlines()[0]
    assert said.startswith(f"{run_dir}: an unfinished run") and "it starts over" in said
    history, first = (
        results.read_history(run_dir),
        results.read_history(tiny.runs_dir / tiny.run_id),
    )
    assert len(history) == 2
    for line, before in zip(history, first, strict=True):  # and ends as the first run did
        assert {**line, "timing": 0} == pytest.approx({**before, "timing": 0}, abs=1e-6)
    summary = results.read_summary(run_dir)
    assert (
        summary["label_checksum"]
        == results.read_summary(tiny.runs_dir / tiny.run_id)["label_checksum"]
    )


DIVERGING = ["--model=mlp_3x512", "--dataset=digits", "--examples=300", "--learning_rate=1000"]


@pytest.mark.parametrize(
    "argv, at_least",
    [
        (["--epochs=8", "--batch_size=300", "--momentum=0.99"], 1),
        (["--epochs=8", "--batch_size=32"], 0),
        (["--epochs=2", "--batch_size=300"], 1),  # no number after the very last update
    ],
)
def test_a_diverging_run(argv, at_least, light_runs, tmp_path, refused):
    code, err = refused(*DIVERGING, *argv, f"--runs_dir={tmp_path}")
    assert code == ExitCode.DIVERGED == 4
    assert err.startswith("rethink_tf: DIVERGED: ") and "became NaN or infinite" in err
    assert "smaller --learning_rate than 1000" in err
    (run_dir,) = tmp_path.iterdir()
    summary, history = results.read_summary(run_dir), results.read_history(run_dir)
    assert summary["status"] == "DIVERGED" and summary["reason"] in err
    assert len(history) >= max(at_least, summary["epochs"])
    assert set(summary) >= SUMMARY_KEYS, "null where there is none"

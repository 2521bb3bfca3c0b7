"""Runs that differ from their row in precision or in how often they were evaluated."""

import csv
import dataclasses

import pytest
from fuzzing import call
from report_runs import write_run

from rethink_tf.cli import report as command
from rethink_tf.cli import sweep
from rethink_tf.config import flags, paper, run_config
from rethink_tf.errors import RequestError
from rethink_tf.experiments import plan as experiments
from rethink_tf.report import collection

MLP = paper.row_config(paper.TABLE1["mlp_1x512_random"])
HALF = dataclasses.replace(MLP, precision="mixed_bfloat16", eval_every=10)
ROW = ("table1", "--rows=mlp_1x512_random")


@pytest.fixture
def report(tmp_path, monkeypatch):
    """Runs the command without drawing; report.md."""
    monkeypatch.setattr("rethink_tf.report.drawing.files", lambda _: {})
    monkeypatch.setattr("rethink_tf.report.drawing.svg", lambda _: "")

    def run(*argv):
        folders = [f"--runs_dir={tmp_path / 'runs'}", f"--out={tmp_path / 'out'}"]
        done = call(command.main, [*folders, "--measured=none", *ROW, *argv])
        assert done.code == 0, done.err
        return (tmp_path / "out" / "report.md").read_text()

    return run


def test_a_plan_with_changes_is_the_run_that_is_typed():
    changes = {"precision": "mixed_bfloat16", "eval_every": 10}
    (plan,) = experiments.planned("table1", only="mlp_1x512_random", changes=changes)
    assert plan.config == HALF and plan.run_id == run_config.run_id(HALF)
    assert plan.argv[-2:] == ("--precision=mixed_bfloat16", "--eval_every=10")
    wanted, _ = flags.parse(list(plan.argv))
    assert run_config.run_id(run_config.resolve(wanted)) == plan.run_id
    again = experiments.plan_again(plan, "runs")
    assert again == plan


def test_a_change_stands_in_place_of_the_scales_own():
    (plan,) = experiments.planned(
        "table1", "cpu", only="inception_random", changes={"eval_every": 4}
    )
    assert (plan.config.eval_every, plan.config.epochs) == (4, 40)
    assert sum(word.startswith("--eval_every") for word in plan.argv) == 1


def test_the_runs_that_others_start_from_stay_as_they_are():
    plan = experiments.planned("transfer", "smoke", changes={"eval_every": 1})[0]
    assert plan.config.eval_every == 1 and plan.parent.config.eval_every == 51


def test_changes_of_what_is_no_training_are_refused():
    with pytest.raises(
        RequestError, match="--eval_every: .*experiments that train networks.*table3"
    ):
        experiments.planned("table3", changes={"eval_every": 2})


def test_the_sweep_plans_them(tmp_path, own_signals):
    argv = [*ROW, f"--runs_dir={tmp_path}", "--dry_run"]
    asked = ["--precision=mixed_bfloat16", "--eval_every=10"]
    assert run_config.run_id(HALF) in call(sweep.main, [*argv, *asked]).out
    assert run_config.run_id(MLP) in call(sweep.main, argv).out
    done = call(sweep.main, [*argv, "--eval_every=0"])
    assert done.code == 2 and "--eval_every: expected a whole number" in done.err


def test_a_report_takes_one_and_says_so_in_the_cell_and_the_caption(report, tmp_path):
    write_run(tmp_path / "runs", HALF)
    text = report()
    assert "| 10.00 (n = 1; mixed_bfloat16, evaluated every 10 epochs) | −0.61 |" in text
    caption = "1 run evaluated every 10 epochs, 1 run mixed_bfloat16"
    assert f"from their rows: {caption}." in text
    rows = csv.DictReader((tmp_path / "out" / "table1.csv").read_text().splitlines())
    notes = {row["note"] for row in rows if row["mean"]}
    assert notes == {"mixed_bfloat16, evaluated every 10 epochs"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "mixed_bfloat16, evaluated every 10 epochs)" in page


def test_the_row_itself_is_taken_where_it_is_there_and_nothing_is_marked(report, tmp_path):
    write_run(tmp_path / "runs", HALF, test=0.25)
    write_run(tmp_path / "runs", MLP)
    text = report()
    assert "| 10.00 (n = 1) | −0.61 |" in text and "Unlike" not in text


def test_seeds_of_both_kinds_are_counted(report, tmp_path):
    write_run(tmp_path / "runs", MLP)
    write_run(tmp_path / "runs", dataclasses.replace(HALF, seed=1, precision="float32"), test=0.12)
    text = report()
    assert "| 11.00 ± 1.41 (n = 2; 1 evaluated every 10 epochs) | +0.39 |" in text


def test_one_that_differs_in_more_is_not_taken(report, tmp_path):
    write_run(tmp_path / "runs", dataclasses.replace(HALF, learning_rate=0.02))
    write_run(tmp_path / "runs", dataclasses.replace(HALF, corrupt=0.5))
    assert "| 10.61 | – | – |" in report()


def test_of_several_the_nearest_is_taken(tmp_path):
    def found(*runs):
        runs_dir = tmp_path / str(len(runs))
        for wanted in runs:
            write_run(runs_dir, wanted)
        there = collection.collect(runs_dir, [])
        return there.matching_run(MLP, run_config.run_id(MLP), collection.OWN).config

    often = dataclasses.replace(HALF, eval_every=2)
    rare = dataclasses.replace(HALF, precision="float32", eval_every=20)
    assert found(HALF, often) == often, "evaluated more often"
    assert found(HALF, often, rare) == rare, "of the row's precision"


def test_a_transfer_counts_with_the_parent_of_its_row_alone(tmp_path):
    def plan(**changes):
        runs = experiments.planned("transfer", "smoke", runs_dir=tmp_path, changes=changes)
        return next(run for run in runs if run.row == "labels_100")

    write_run(tmp_path, plan().parent.config, weights_hash="0123abcd")
    write_run(tmp_path, plan(eval_every=1).config)
    there = collection.collect(tmp_path, [])
    run = there.matching_run(plan().config, plan().run_id, collection.OWN)
    assert run.config.eval_every == 1 and plan().config.eval_every == 2
    assert there.matching_run(plan().config, None, collection.OWN) is None, (
        "its parent is not known"
    )


def test_a_shipped_one_is_taken_too(tmp_path):
    from rethink_tf.report import measured

    folder = write_run(tmp_path / "done", HALF)
    measured.add([collection.read_folder(folder)], tmp_path / "shipped", "two cores")
    there = collection.collect(None, measured.read(tmp_path / "shipped"))
    assert there.matching_run(MLP, run_config.run_id(MLP), collection.MEASURED).config == HALF

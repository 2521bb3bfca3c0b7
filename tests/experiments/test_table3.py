"""Table 3 in sweeps and reports: runs named by their flags, done once, and shown."""

import csv
import json
import re

import pytest

from rethink_tf.cli import report
from rethink_tf.cli.app import guarded
from rethink_tf.cli.studies import kernels as kernels_command
from rethink_tf.errors import RequestError
from rethink_tf.experiments import plan as experiments
from rethink_tf.experiments.kernels import task as kernel_command
from rethink_tf.experiments.plan import planned
from rethink_tf.report import listing, measured
from rethink_tf.report.collection import collect, read_folder
from rethink_tf.runs import agreement, results
from rethink_tf.runs import task as plain_runs

DIGITS = ["--dataset=digits", "--examples=300", "--threads=2", "--ridge=0,0.5", "--seed=0"]
SOLUTION = {
    "filters": 0,
    "ridge": 0.0,
    "train_error": 0.0,
    "test_error": 0.25,
    "norms": {"all_classes": 140.0},
}


def test_the_rows_and_their_run_ids():
    found = {run.row: (run.run_id, run.command) for run in planned("table3")}
    # A changed id here means that no run of before is found again.
    assert found == {
        "cifar10_none": ("kernels-bf52c63eece6", ("rethink_tf", "kernels")),
        "cifar10_random_conv": ("kernels-b169fa84bf3f", ("rethink_tf", "kernels")),
        "mnist_gabor": ("kernels-ce8fd85c2f37", ("rethink_tf", "kernels")),
        "mnist_none": ("kernels-883104727e13", ("rethink_tf", "kernels")),
    }
    (conv,) = (run for run in planned("table3") if run.row == "cifar10_random_conv")
    assert conv.config == {
        "dataset": "cifar10",
        "input_size": 32,
        "seed": 0,
        "features": "random_conv",
        "kernel": "linear",
        "gamma": None,
        "ridge": [0.0, 0.1],
        "filters": [1024, 2048, 4096, 8192, 16384, 32000],
    }


def test_a_run_is_named_by_what_can_change_a_number():
    def named(*argv):
        return kernel_command.identify(["--dataset=mnist", *argv])[1]

    same = [
        (),
        ("--ridge=0.0",),
        ("--gamma=0.02",),
        ("--kernel=gaussian",),
        ("--threads=2",),
        ("--cache_dir=x",),
        ("--runs_dir=y",),
        ("--filters=9",),
        ("--examples=60000",),
        ("--backend=numpy",),
    ]
    assert {named(*argv) for argv in same} == {"kernels-883104727e13"}
    others = [
        ("--ridge=1",),
        ("--corrupt=1",),
        ("--seed=1",),
        ("--dtype=float64",),
        ("--gamma=0.03",),
        ("--examples=100",),
        ("--tolerance=1e-7",),
    ]
    assert len({named(*argv) for argv in [(), *others]}) == len(others) + 1


def test_scales_set_flags_of_the_command():
    found = {run.row: run.config for run in planned("table3", "cpu", 2) if run.seed}
    assert found["cifar10_random_conv"]["filters"] == [1024, 4096, 8192, 16384]
    assert "examples" not in found["mnist_none"], "full sets at the scale of a CPU too"
    small = {run.row: run.config for run in planned("table3", "smoke")}
    assert {config["examples"] for config in small.values()} == {200}
    assert {config["seed"] for config in found.values()} == {1}


def test_a_flagfile_stands_for_its_lines():
    path = experiments.FLAGFILES / "table3" / "mnist_gabor.flags"
    lines = ["--dataset=mnist", "--features=gabor", "--gamma=0.002", "--dtype=float64", "--ridge=0"]
    read = kernel_command.identify(["--seed=1", f"--flagfile={path}", "--ridge=2"])
    assert read == kernel_command.identify(["--seed=1", *lines, "--ridge=2"])
    assert (read[0]["seed"], read[0]["ridge"]) == (1, [2.0]), "of two the later wins"


def test_a_kernel_run_is_done_once(tensorflow, own_signals, capsys, offline, tmp_path):
    argv = [*DIGITS, f"--runs_dir={tmp_path}"]
    assert guarded(kernels_command.main, argv) == 0
    values, named = kernel_command.identify(argv)
    folder = tmp_path / named
    assert experiments.state(folder) == "done"
    said = capsys.readouterr().out
    assert said.endswith(f"{folder}/summary.json\n") and "ridge 0.5: " in said
    summary = agreement.read_summary(folder, named)
    least, most = summary["solutions"]
    assert (least["ridge"], most["ridge"], summary["ridge"], summary["kind"]) == (
        0,
        0.5,
        0,
        "kernels",
    )
    assert summary["test_accuracy"] == 1 - least["test_error"] > 0.8
    assert summary["ridge_test_accuracy"] == 1 - most["test_error"]
    assert summary["norm"] == least["norms"]["all_classes"] and summary["train_accuracy"] == 1
    assert summary["config"] == values and summary["reason"] is None
    assert results.read_config(folder)["threads"] == 2
    assert json.loads((folder / "solutions.json").read_text())["solutions"] == summary["solutions"]
    assert guarded(kernels_command.main, argv) == 0
    assert capsys.readouterr().out == f"finished before: {folder}, DONE\n"
    (folder / results.SUMMARY).unlink()  # as if it had been killed before its end
    assert experiments.state(folder) == "incomplete"
    assert guarded(kernels_command.main, argv) == 0
    assert "from " in capsys.readouterr().out
    assert results.read_summary(folder)["solutions"] == summary["solutions"]
    assert guarded(kernels_command.main, [*argv, "--json=x.json"]) == 2
    assert "unknown flag --json" in capsys.readouterr().err


def finished(runs_dir, plan, solutions, **changes):
    """A kernel run that was never solved."""
    record = {"solutions": solutions, "examples": 10, "audit": [], "changed_fraction": 0.0}

    def compute(_folder):
        return kernel_command.kernel_summary.summary_of(record) | changes

    return plain_runs.carry_out(runs_dir, "kernels", plan.config, compute, argv=[], threads=1)


def rows(path):
    return {
        (row["data"], row["preprocessing"], row["quantity"]): row
        for row in csv.DictReader(path.read_text().splitlines())
    }


def test_a_kernel_run_that_is_not_solved_is_named_and_not_shipped(tmp_path, capsys):
    plans = {run.row: run for run in planned("table3")}
    runs, out = tmp_path / "runs", tmp_path / "out"
    unsolved = SOLUTION | {"solved": False}
    finished(runs, plans["mnist_none"], [unsolved])
    solved = SOLUTION | {"filters": 4096, "solved": True}
    finished(runs, plans["cifar10_random_conv"], [unsolved | {"filters": 1024}, solved])
    argv = ["table3", f"--runs_dir={runs}", f"--out={out}", "--measured=none"]
    assert guarded(report.main, argv) == 0
    text = (out / "report.md").read_text()
    named = f"Not exact: {plans['mnist_none'].run_id} has a residual above --tolerance."
    assert text.count("Not exact") == 1 and named in text, "1,024 filters are not in the table"
    with pytest.raises(RequestError, match="residual above --tolerance"):
        measured.record(read_folder(runs / plans["mnist_none"].run_id), None)


def test_the_report_has_the_papers_beside_ours(tmp_path, capsys):
    plans = {run.row: run for run in planned("table3")}
    runs, out = tmp_path / "runs", tmp_path / "out"
    finished(runs, plans["mnist_none"], [SOLUTION | {"test_error": 0.014}])
    curve = [
        SOLUTION | {"filters": f, "ridge": r, "test_error": e}
        for f, r, e in (
            (1024, 0.1, 0.34),
            (32000, 0.0, 0.18),
            (32000, 0.1, 0.16),
        )
    ]
    finished(runs, plans["cifar10_random_conv"], curve)
    argv = ["table3", f"--runs_dir={runs}", f"--out={out}", "--measured=none"]
    assert guarded(report.main, argv) == 0
    found = rows(out / "table3.csv")
    mnist = found["MNIST", "none", "test error (%)"]
    assert (mnist["paper"], mnist["mean"], mnist["difference"]) == ("1.2", "1.4", "0.2")
    assert found["MNIST", "none", "norm"]["mean"] == "140"
    name = "random conv-net with 32000 random filters"
    assert found["CIFAR-10", name, "test error (%)"]["mean"] == "18"
    ridge = found["CIFAR-10", name, "test error with l2 (%)"]
    assert (ridge["paper"], ridge["mean"]) == ("15", "16")
    filters = found["CIFAR-10", name, "filters"]
    assert (filters["paper"], filters["mean"]) == ("32000", "32000")
    text = (out / "report.md").read_text()
    assert "Scale paper: all examples. 2 runs, 1 seed." in text
    assert "2 runs are missing: cifar10_none seed 0, mnist_gabor seed 0." in text
    assert (out / "table3_filters.png").stat().st_size > 10_000
    page = (out / "report.html").read_text()
    for words in ("ours, ridge 0.1", "the paper's, with ridge", "1,024", "32,000"):
        assert words in page
    listed = {line["id"]: line for line in listing.listed(collect(runs, []), {})}
    mine = listed[plans["mnist_none"].run_id]
    assert (mine["model"], mine["dataset"], mine["test"]) == ("kernels", "mnist", 1 - 0.014)


def test_a_solution_with_a_ridge_is_not_put_beside_one_without(tmp_path, capsys):
    (plan,) = planned("table3", "cpu", only="cifar10_random_conv")
    finished(tmp_path, plan, [SOLUTION | {"filters": 1024, "ridge": 0.1}])
    argv = ["table3", "--scale=cpu", f"--runs_dir={tmp_path}", f"--out={tmp_path / 'out'}"]
    assert guarded(report.main, [*argv, "--measured=none"]) == 0
    found = rows(tmp_path / "out" / "table3.csv")
    name = "random conv-net with 32000 random filters"
    assert found["CIFAR-10", name, "test error (%)"]["mean"] == ""
    assert found["CIFAR-10", name, "test error with l2 (%)"]["mean"] == "25"
    assert found["CIFAR-10", name, "filters"]["difference"] == "-30976"
    assert not (tmp_path / "out" / "table3_filters.png").exists(), "one number is no curve"


def test_an_invalid_one_is_left_out_and_named(tmp_path, capsys):
    (plan,) = planned("table3", only="mnist_none")
    code = finished(tmp_path, plan, [SOLUTION], status="INVALID", reason="no chance")
    assert code == 3 and experiments.state(tmp_path / plan.run_id) == "INVALID"
    argv = ["table3", f"--runs_dir={tmp_path}", f"--out={tmp_path / 'out'}", "--measured=none"]
    assert guarded(report.main, argv) == 0
    assert f"Left out: {plan.run_id} is INVALID: no chance" in capsys.readouterr().out
    assert rows(tmp_path / "out" / "table3.csv")["MNIST", "none", "norm"]["mean"] == "INVALID"


def test_a_kernel_run_can_be_shipped(tmp_path):
    (plan,) = planned("table3", only="mnist_none")
    finished(tmp_path / "runs", plan, [SOLUTION])
    folder = tmp_path / "runs" / plan.run_id
    (path,) = measured.add([read_folder(folder)], tmp_path / "shipped", "a machine")
    assert path.name == "kernels.jsonl"
    (run,) = measured.read(tmp_path / "shipped")
    assert (run.run_id, run.summary["norm"], run.machine["name"]) == (
        plan.run_id,
        140.0,
        "a machine",
    )
    assert collect(None, [run]).matching_run(plan.config, plan.run_id, "measured") is run


def test_only_the_rows_asked_for(tmp_path, capsys):
    ids = [run.run_id for run in planned("figure1b", only="mlp_1x512")]
    assert len(ids) == 11 and len(planned("table1", only="mlp_*")) == 6
    from rethink_tf.cli import sweep

    argv = ["figure1b", "figure1c", "--dry_run", "--slots=1", f"--runs_dir={tmp_path}"]
    assert guarded(sweep.main, [*argv, "--rows=mlp_1x512"]) == 0
    out = capsys.readouterr().out
    assert all(run_id in out for run_id in ids) and "11 runs at scale paper: 11 missing" in out
    for main in (sweep.main, report.main):
        assert guarded(main, ["figure1b", "--rows=mpl*"]) == 2
        assert re.search(
            r"--rows: .*alexnet, inception, mlp_1x512; received mpl\*", capsys.readouterr().err
        )
    where = [f"--runs_dir={tmp_path}", f"--out={tmp_path / 'out'}", "--measured=none"]
    assert guarded(report.main, ["figure1b", "table3", "--rows=mlp_1x512", *where]) == 0
    said = capsys.readouterr().out
    assert "figure1b: 11 runs are missing: mlp_1x512 corrupt=0 seed 0," in said
    assert re.search("table3: .*no row of table3 fits --rows=mlp_1x512", said)


def test_a_kernel_run_is_given_no_flag_of_checkpoints():
    from rethink_tf.experiments.sweep import jobs as sweep_jobs
    from rethink_tf.experiments.sweep import scheduler

    flags = ["--runs_dir=r", "--checkpoint_every=1"]
    jobs = {name: sweep_jobs.jobs_of(planned(name), "r")[0] for name in ("table3", "table1")}
    assert scheduler._taken(jobs["table3"], flags) == ["--runs_dir=r"]
    assert scheduler._taken(jobs["table1"], flags) == flags

"""Equation 1, Theorem 1 and implicit regularisation in sweeps and reports."""

import csv
import re

import numpy as np
import pytest

from rethink_tf.cli import app, report
from rethink_tf.cli.app import guarded
from rethink_tf.cli.studies import measures as measures_command
from rethink_tf.errors import RequestError
from rethink_tf.experiments import plan as experiments
from rethink_tf.experiments.kernels import leave_one_out
from rethink_tf.experiments.plan import planned
from rethink_tf.experiments.studies import expressivity, implicit, measures, rademacher
from rethink_tf.experiments.sweep import jobs as sweep_jobs
from rethink_tf.report import measured
from rethink_tf.report.collection import collect
from rethink_tf.report.sections import build
from rethink_tf.runs import agreement, results
from rethink_tf.runs import task as plain_runs

STUDIES = {"rademacher": rademacher, "expressivity": expressivity, "implicit": implicit}
SMALL = {
    "rademacher": [
        "--model=mlp_1x512",
        "--examples=100",
        "--epochs=3",
        "--eval_every=2",
        "--draws=2",
    ],
    "expressivity": ["--counts=5,10", "--depths=2,3", "--largest=1000"],
    "implicit": ["--images=10", "--steps=50", "--choice_images=40"],
}


def argv(name, *more):
    return ["--dataset=digits", *SMALL[name], *more]


def test_the_rows_and_their_run_ids():
    found = {f"{name} {run.row}": run.run_id for name in STUDIES for run in planned(name)}
    # A changed id here means that no run of before is found again.
    assert found == {
        "rademacher alexnet": "rademacher-bf2295e13878",
        "rademacher inception": "rademacher-360deb6ede1b",
        "rademacher mlp_1x512": "rademacher-49f0660d632e",
        "rademacher mlp_3x512": "rademacher-5ec32af4a0c5",
        "expressivity cifar10": "expressivity-d97bac830a16",
        "implicit cifar10": "implicit-a9b5cd47ada6",
        "implicit mnist": "implicit-d88a414b6fa2",
    }
    cpu = {run.row: run for run in planned("rademacher", "cpu", 2) if run.seed}
    assert cpu["inception"].config["examples"] == 5_000
    assert cpu["inception"].config["network"]["epochs"] == 40
    assert "--seed=1" in cpu["alexnet"].argv and cpu["alexnet"].config["seed"] == 1
    assert cpu["mlp_1x512"].config["examples"] is None, "at the paper's scale on a CPU too"


def test_a_default_that_is_typed_is_the_same_run():
    def named(*more):
        return implicit.identify(["--dataset=cifar10", *more])[1]

    digits, _ = implicit.identify(["--dataset=digits"])
    assert digits["settings"] == {"examples": 15, "steps": 20_000, "choice_examples": 50}
    same = {named(*more) for more in [(), ("--images=100", "--steps=20000"), ("--threads=3",)]}
    assert same == {"implicit-a9b5cd47ada6"}
    assert len({named(), named("--images=99"), named("--seed=1")}) == 3


@pytest.mark.parametrize(
    "study, more, message",
    [
        (implicit, ["--experiment=implicit"], "unknown flag --experiment"),
        (implicit, ["--draws=2"], "unknown flag --draws"),
        (implicit, ["--model=alexnet"], "unknown flag --model"),
        (
            implicit,
            ["--images=x"],
            "--images: .*from 2 to 100000, received 'x'",
        ),
        (implicit, ["--help"], "implicit: expected flags .*received --help"),
        (rademacher, ["--corrupt=1"], "--corrupt: expected none"),
        (rademacher, ["--draws=0"], "--draws: expected a whole"),
    ],
)
def test_what_cannot_be_meant_is_refused(study, more, message):
    with pytest.raises(RequestError, match=message):
        study.identify(["--dataset=digits", *more])


@pytest.mark.parametrize("name", STUDIES)
def test_each_is_done_once(name, tensorflow, own_signals, offline, capsys, tmp_path):
    line = argv(name, f"--runs_dir={tmp_path}", "--threads=2")
    assert guarded(app.main, [name, *line]) == 0
    values, named = STUDIES[name].identify(line)
    folder = tmp_path / named
    assert capsys.readouterr().out.endswith(f"{folder}/summary.json\n")
    assert experiments.state(folder) == "done"
    summary = agreement.read_summary(folder, named)
    assert (summary["kind"], summary["config"]) == (name, values)
    if name == "rademacher":
        assert 0 < summary["complexity"] <= 1 and len(summary["draws"]) == 2
        assert [epoch for epoch, _ in summary["draws"][0]["by_epoch"]] == [2, 3]
    elif name == "expressivity":
        assert [fit["n"] for fit in summary["fits"]] == [5, 5, 10, 10]
        assert all(fit["errors"] == 0 for fit in summary["fits"])
    else:
        assert summary["sgd"]["zero"]["steps"][-1] == 50
    assert guarded(app.main, [name, *line]) == 0
    assert capsys.readouterr().out == f"finished before: {folder}, DONE\n"


def reported(name, found, tmp_path, kind=None, arrays=None):
    """The rows of the table, and the page, of a report of one run of an experiment."""
    plan = planned(name)[0]
    runs, out = tmp_path / "runs", tmp_path / "out"

    def compute(folder):
        if arrays:
            results.save_examples(folder, **arrays)
        return {"audit": []} | found

    plain_runs.carry_out(runs, kind or name, plan.config, compute, argv=[], threads=1)
    assert experiments.state(runs / plan.run_id) == "done"
    argv = [name, f"--runs_dir={runs}", f"--out={out}", "--measured=none"]
    assert guarded(report.main, argv) == 0
    rows = list(csv.DictReader((out / f"{name}.csv").read_text().splitlines()))
    return rows, (out / "report.html").read_text(), out


def test_the_report_of_equation_1(tmp_path):
    draws = [{"correlation": 0.9, "by_epoch": [[1, 0.5], [2, 0.9]]}]
    rows, page, out = reported("rademacher", {"complexity": 0.9, "draws": draws}, tmp_path)
    assert [(row["network"], row["mean"]) for row in rows] == [
        ("alexnet", "0.9"),
        ("inception", ""),
        ("mlp_1x512", ""),
        ("mlp_3x512", ""),
    ]
    assert "Correlation with the signs" in page
    assert "Scale paper: all examples, 70 epochs. 1 run, 1 seed." in (out / "report.md").read_text()
    assert (out / "rademacher.png").stat().st_size > 10_000


def test_the_report_of_memorisation_scores(tmp_path):
    parts = {"all": 0.5, "clean": 0.25, "noisy": 0.75}
    found = {
        "score": parts,
        "memorised": parts,
        "reliability": {"halves": 0.9, "all": 0.95, "mean_difference": 0.1},
        "train_accuracy": 1.0,
        "other_accuracy": 0.125,
        "timing": {"trained_now": 400, "seconds": 90.0},
    }
    rows, _, out = reported("memorisation", found, tmp_path)
    (run,) = collect(tmp_path / "runs", []).runs
    assert measured.hours(run) == measured.record(run, None)["machine"]["hours"] == 0.025
    shown = {row["quantity"]: row["mean"] for row in rows if row["p"] == "1"}
    assert list(shown.values()) == ["100", "12.5", "0.5", "0.75", "50", "0.9"]
    assert {row["networks"] for row in rows} == {"400"}
    assert not any(row["mean"] for row in rows if row["p"] == "0")
    assert not (out / "memorisation_digits_random.png").exists(), "its scores.npz is not there"
    assert len({run.run_id for run in planned("memorisation", "smoke", 2)}) == 4


LEFT_OUT = {
    "train_examples": 4,
    "leave_one_out_error": 0.75,
    "test_error": 0.5,
    "stability": {"mean": 0.25, "percentile_99": 0.5, "largest": 1.5},
    "seconds": {"factor": 60.0, "all": 90.0},
    "solved": True,
    "exact": True,
}


def test_the_report_of_leave_one_out(tmp_path):
    labels = np.arange(4)
    arrays = {"margin_without": labels - 1.5, "true": labels, "given": labels[::-1]}
    rows, page, out = reported("leave_one_out", LEFT_OUT, tmp_path, "leave-one-out", arrays)
    shown = {row["quantity"]: row["mean"] for row in rows if row["p"] == "1"}
    assert list(shown.values()) == ["4", "75", "50", "0.25", "0.5", "1.5", "90"]
    assert {(row["data set"], row["features"]) for row in rows} == {("fashion_mnist", "pixels")}
    assert not any(row["mean"] for row in rows if row["p"] == "0")
    assert (out / "leave_one_out_fashion_mnist_random.png").stat().st_size > 10_000
    assert not (out / "leave_one_out_fashion_mnist_true.png").exists()
    assert "Not exact" not in page


def test_a_figure_of_the_first_seed_claims_no_bands(tmp_path):
    arrays = {name: np.arange(4) for name in ("margin_without", "true", "given")}

    def compute(folder):
        results.save_examples(folder, **arrays)
        return {"audit": []} | LEFT_OUT

    for plan in planned("leave_one_out", seeds=2, only="*_true"):
        plain_runs.carry_out(tmp_path, "leave-one-out", plan.config, compute, argv=[], threads=1)
    asked = {"scale": "paper", "seeds": None, "threshold": 0.05, "runs_dir": str(tmp_path)}
    section = build.build("leave_one_out", collect(tmp_path, []), **asked)
    assert section.tables[0].rows[1].cells["examples"].values == (4.0, 4.0)
    assert [f.caption.endswith("2 seeds. First seed.") for f in section.figures] == [True]


def test_the_hours_of_leave_one_out_are_those_of_its_summary(tmp_path):
    reported("leave_one_out", LEFT_OUT, tmp_path, "leave-one-out")
    (run,) = collect(tmp_path / "runs", []).runs
    assert measured.hours(run) == measured.record(run, None)["machine"]["hours"] == 0.025


@pytest.mark.parametrize("changed", ["solved", "exact"])
def test_a_leave_one_out_that_is_not_exact_is_named_and_not_shipped(tmp_path, changed):
    found = LEFT_OUT | {changed: False}
    _, page, _ = reported("leave_one_out", found, tmp_path, "leave-one-out")
    assert "Not exact" in page and "--resume=anyway" not in page
    (run,) = collect(tmp_path / "runs", []).runs
    with pytest.raises(RequestError, match="exact"):
        measured.record(run, None)


def test_the_rows_of_leave_one_out_are_what_is_typed_without_them():
    found = {run.row: run.run_id for run in planned("leave_one_out", "cpu")}
    typed = {"fashion_mnist_true": [], "fashion_mnist_random": ["--corrupt=1"]}
    assert found == {
        row: leave_one_out.identify(["--dataset=fashion_mnist", *more])[1]
        for row, more in typed.items()
    }
    small = planned("leave_one_out", "smoke", 2)
    assert len({run.run_id for run in small}) == 4
    assert {run.config["examples"] for run in small} == {200}


def test_the_report_of_theorem_1(tmp_path):
    fits = [
        {
            "n": 50,
            "depth": 2,
            "weights": 884,
            "weights_stated": 884,
            "width": 50,
            "errors": 0,
            "residual": 1e-12,
        }
    ]
    points = [{"n": 1000, "place": place, "residual": 1e-9} for place in (0.0, 0.5)]
    found = {"fits": fits, "float64": {"points": points}}
    rows, page, out = reported("expressivity", found, tmp_path)
    shown = {row["quantity"]: row["mean"] for row in rows}
    assert shown == {"weights": "884", "weights stated": "884", "width": "50", "labels wrong": "0"}
    assert "Scale paper: counts 50 500 2000, depths 2 3 6, largest 10000000." in page
    assert (out / "expressivity_cifar10.png").stat().st_size > 10_000


def test_the_report_of_the_least_norm(tmp_path):
    curve = {"steps": [0, 1, 9], "distance": [1.0, 0.5, 0.1], "residual": [1.0, 0.5, 0.1]}
    sgd = {
        "zero": curve,
        "elsewhere": curve,
        "limit": 0.9,
        "examples": 9,
        "dimensions": 768,
        "batch": 3,
    }
    choices = [
        {
            "name": name,
            "norm": norm,
            "norm_random": 9.0,
            "test_error": error,
            "residual": 1e-9,
            "dimensions": 768,
        }
        for name, norm, error in (("pixels", 5.0, 0.6), ("centred", 4.0, 0.7))
    ]
    choices.append({**choices[0], "name": "few", "residual": 0.2})
    found = {"sgd": sgd, "choices": choices, "rank_correlation": None, "choice_examples": 40}
    rows, _, out = reported("implicit", found, tmp_path)
    shown = {(row["preprocessing"], row["quantity"]): row["mean"] for row in rows}
    assert shown["centred", "test error (%)"] == "70" and shown["pixels", "norm"] == "5"
    assert shown["few (does not interpolate)", "norm"] == "5"
    for title in ("sgd", "norm"):
        assert (out / f"implicit_cifar10_{title}.png").stat().st_size > 10_000


def test_measures_are_of_runs_that_are_trained_first(tmp_path):
    table1 = {run.row: run.run_id for run in planned("table1", "smoke", 2) if run.seed == 1}
    found = [run for run in planned("measures", "smoke", 2, runs_dir=tmp_path) if run.seed == 1]
    assert [run.row for run in found] == [
        "mlp_1x512_random",
        "mlp_1x512_true",
        "mlp_3x512_random",
        "mlp_3x512_true",
    ]
    for run in found:
        assert run.parent.run_id == run.config["of"] == table1[run.row]
        assert run.argv[-2:] == (f"--of={table1[run.row]}", "--seed=1")
        assert measures.identify([*run.argv, f"--runs_dir={tmp_path}"])[1] == run.run_id
    jobs = sweep_jobs.jobs_of(found, tmp_path)
    assert [job.plan.run_id for job in jobs[:2]] == [table1[found[0].row], found[0].run_id]
    assert jobs[1].parent is jobs[0] and len(jobs) == 8


def test_measures_of_a_run_that_is_not_there_are_refused(tmp_path, own_signals, capsys):
    argv = ["--of=some", f"--runs_dir={tmp_path}"]
    assert guarded(measures_command.main, argv) == 2
    assert re.search(
        f"some: there is no finished run in {re.escape(str(tmp_path))}/some",
        capsys.readouterr().err,
    )
    with pytest.raises(RequestError, match="expected one run, or --of=RUN; received 0"):
        measures.identify(argv[1:])
    assert guarded(measures_command.main, argv[1:]) == 2
    assert re.search("expected 1 to 100 .*received 0", capsys.readouterr().err)
    assert guarded(measures_command.main, ["some", *argv[1:]]) == 2
    assert re.search(
        f"some: expected a finished run; {re.escape(str(tmp_path))}/some ", capsys.readouterr().err
    )


def test_the_report_of_measures(tmp_path):
    rows, _, out = reported("measures", {"train_accuracy": 1.0, "l2": 31.5}, tmp_path)
    shown = {row["measure"]: row["mean"] for row in rows if row["quantity"] == "mlp_1x512_random"}
    assert shown == {
        "training accuracy, labels as given (%)": "100",
        "l2 norm of the weights": "31.5",
    }
    assert "Scale paper: all examples, 70 epochs. 1 run" in (out / "report.md").read_text()

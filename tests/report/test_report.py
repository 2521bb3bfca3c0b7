"""The report: tables and figures of made-up runs, and of what is damaged."""

import csv
import dataclasses
import io
import json
import re

import pytest
from PIL import Image
from report_runs import plain_run, write_experiment, write_run

from rethink_tf.analysis import corrupted_test
from rethink_tf.cli import report as command
from rethink_tf.cli.app import guarded
from rethink_tf.config import paper, run_config
from rethink_tf.experiments import plan as experiments
from rethink_tf.report import listing, measured
from rethink_tf.report.collection import collect, read_folder
from rethink_tf.report.sections import build as sections
from rethink_tf.report.sections.convergence import EXPECTED, MEASURED_TOO
from rethink_tf.runs import results

MLP = paper.row_config(paper.TABLE1["mlp_1x512_random"])


@pytest.fixture
def report(tmp_path, capsys):
    """Runs the command; (exit code, stdout, stderr), its files in tmp_path/out."""

    def run(*argv):
        folders = [f"--runs_dir={tmp_path / 'runs'}", f"--out={tmp_path / 'out'}"]
        code = guarded(command.main, [*argv, *folders, "--measured=none"])
        return (code, *capsys.readouterr())

    return run


def lines(path):
    """The rows of a CSV by their labels and quantity."""
    rows = list(csv.DictReader(path.read_text().splitlines()))
    place = list(rows[0]).index("quantity")
    return {tuple(row.values())[: place + 1]: row for row in rows}


def test_table_1_is_paper_ours_difference(report, tmp_path):
    write_experiment(tmp_path / "runs", "table1", only="mlp_1x512", seeds=3)
    assert report("table1")[0] == 0
    rows = lines(tmp_path / "out" / "table1.csv")
    found = rows["mlp_1x512", "1,209,866", "no", "no", "random", "test (%)"]
    assert float(found["mean"]) == pytest.approx(11.0)
    assert float(found["std"]) == pytest.approx(1.0)
    shown = [found[key] for key in ("paper", "n", "scale", "source")]
    assert shown == ["10.61", "3", "paper", "runs"]
    assert float(found["difference"]) == pytest.approx(0.39)
    assert found["runs"].split()[0] == run_config.run_id(MLP)
    empty = rows["inception", "1,649,402", "no", "no", "random", "train (%)"]
    assert (empty["paper"], empty["mean"], empty["n"], empty["runs"]) == ("100", "", "0", "")
    text = (tmp_path / "out" / "report.md").read_text()
    assert "| mlp_1x512 | 1,209,866 | no | no | random | 99.34 |" in text
    assert "| 10.61 | 11.00 ± 1.00 (n = 3) | +0.39 |" in text
    assert "Scale paper: all examples, 70 epochs. 9 runs, 3 seeds." in text
    assert "13 runs are missing" not in text and "16 runs are missing" in text


def test_only_the_asked_seeds_count(report, tmp_path):
    write_experiment(tmp_path / "runs", "table1", only="mlp_1x512", seeds=3)
    assert report("table1", "--seeds=1")[0] == 0
    found = lines(tmp_path / "out" / "table1.csv")[
        "mlp_1x512", "1,209,866", "no", "no", "random", "test (%)"
    ]
    assert (found["mean"], found["n"]) == ("10", "1")


def test_table_4_takes_the_online_accuracy(report, tmp_path):
    decayed = dataclasses.replace(MLP, weight_decay=1e-4)
    last = {"accuracy": 0.9893, "train_accuracy": 0.9906}
    write_run(tmp_path / "runs", decayed, last=last)
    assert report("table4")[0] == 0
    rows = lines(tmp_path / "out" / "table4.csv")
    found = rows["mlp_1x512", "weight decay 0.0001", "running accuracy (%)"]
    assert (found["paper"], found["mean"]) == ("99.21", "98.93")
    assert rows["mlp_1x512", "weight decay 0.0001", "exact, at the end (%)"]["mean"] == "99.06"
    failed = rows["alexnet", "weight decay 0.004", "running accuracy (%)"]
    assert failed["paper"] == "failed to converge"


def test_figure_1b_by_threshold(report, tmp_path):
    write_experiment(tmp_path / "runs", "figure1b", only="mlp")
    assert report("figure1b")[0] == 0
    rows = lines(tmp_path / "out" / "figure1b.csv")
    # 2.3 / 2 ** (epoch / (5 + 5 p)) falls to 0.05 after 5.52 halvings.
    epochs = {p: float(rows["mlp_1x512", p, "epochs to loss ≤ 0.05"]["mean"]) for p in ("0", "1")}
    assert epochs == {"0": 28, "1": 56}
    found = rows["mlp_1x512", "1", "relative time"]
    assert (found["mean"], found["paper"]) == ("2", "1.96")
    rest = lines(tmp_path / "out" / "figure1b_thresholds.csv")
    assert rest["mlp_1x512", "1", "accuracy ≥ 0.99"]["reached"] == "0", "78 halvings would do"
    assert "not reached" in (tmp_path / "out" / "report.md").read_text()
    runs_dir = tmp_path / "runs"
    section = sections.build(
        "figure1b",
        collect(runs_dir, []),
        scale="paper",
        seeds=None,
        threshold=0.1,
        runs_dir=str(runs_dir),
    )
    shown = next(row for row in section.tables[0].rows if row.labels == ("mlp_1x512", "0"))
    assert shown.cells["epochs to loss ≤ 0.1"].values == (23,)
    assert shown.cells["relative time"].paper is None, "the paper's is at 0.05"


def test_figure_1c_is_the_error_at_the_end_and_the_least(report, tmp_path):
    write_experiment(tmp_path / "runs", "figure1c", only="mlp")
    assert report("figure1c")[0] == 0
    rows = lines(tmp_path / "out" / "figure1c.csv")
    found = rows["mlp_1x512", "0.5", "test error"]
    assert (found["mean"], found["paper"], found["difference"]) == ("0.7", "0.796", "-0.096")
    assert rows["mlp_1x512", "0.5", "least test error of evaluated epochs"]["mean"] == "0.69"
    found = lines(tmp_path / "out" / "figure1c_corrupted.csv")["mlp_1x512", "0.5", EXPECTED]
    assert (found["mean"], found["difference"]) == ("0.8", "0.004"), "1 - 0.5 * 0.3 - 0.05"


def test_figure_1c_has_errors_on_corrupted_test_labels_where_they_were_measured(report, tmp_path):
    runs_dir = tmp_path / "runs"
    write_experiment(runs_dir, "figure1c", only="mlp")
    planned = experiments.planned("figure1c", "paper", 1, only="mlp*")
    half = next(one for one in planned if float(one.axes["corrupt"]) == 0.5)
    folder = runs_dir / half.run_id
    summary = results.read_summary(folder)
    tested = corrupted_test.CorruptedTestError(
        half.run_id, summary["weights_hash"], 0.5, 10_000, 0.7, 0.8, (0.79, 0.8)
    )
    corrupted_test.write(tested, folder)
    assert report("figure1c")[0] == 0
    rows = lines(tmp_path / "out" / "figure1c_corrupted.csv")
    found = rows["mlp_1x512", "0.5", MEASURED_TOO]
    assert (found["mean"], found["paper"], found["difference"]) == ("0.795", "0.796", "-0.001")
    assert rows["mlp_1x512", "0.2", MEASURED_TOO]["mean"] == ""
    (shipped,) = measured.add([read_folder(folder)], tmp_path / "shipped", "a machine")
    (run,) = measured.read(shipped.parent)
    assert run.summary["corrupted_test_error"] == 0.795
    assert run.summary["corrupted_test_draws"] == 2


@pytest.mark.parametrize("name", experiments.EXPERIMENTS)
def test_every_experiment_is_reported_of_no_runs(name, report, tmp_path):
    code, out, err = report(name)
    assert (code, err) == (0, "")
    assert "missing" in out or "could be planned" in out, "it says what is not there"
    text = (tmp_path / "out" / "report.md").read_text()
    assert "(which does not exist): 0." in text
    assert "No run yet." in text or "could be planned" in text
    assert "nan" not in text


def test_files_of_a_figure(report, tmp_path):
    write_experiment(tmp_path / "runs", "figure2b")
    assert report("figure2b")[0] == 0
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        "figure2b.csv",
        "figure2b.png",
        "figure2b.pdf",
        "report.md",
        "report.html",
    }
    image = Image.open(io.BytesIO((out / "figure2b.png").read_bytes()))
    assert image.width == 1280
    assert (out / "figure2b.pdf").read_bytes().startswith(b"%PDF-")
    page = (out / "report.html").read_text()
    drawn = page[page.index("<svg ") : page.index("</svg>")]
    assert 'aria-label="Figure 2b: batch normalisation' in drawn
    assert 'style="fill:var(--series-4)"' in drawn, "black is written without a colour"
    assert "var(--series-0)" in drawn and "var(--grid)" in drawn, "colours are the page's"
    assert "#0072b2" not in drawn.lower() and "#dddddd" not in drawn.lower()
    before = (out / "figure2b.png").read_bytes(), (out / "figure2b.pdf").read_bytes()
    assert report("figure2b")[0] == 0
    assert ((out / "figure2b.png").read_bytes(), (out / "figure2b.pdf").read_bytes()) == before


def test_what_is_invalid_diverged_or_broken_is_left_out_and_named(report, tmp_path):
    runs_dir = tmp_path / "runs"
    invalid = write_run(runs_dir, MLP, status="INVALID")
    diverged = write_run(runs_dir, dataclasses.replace(MLP, corrupt=0.0), status="DIVERGED")
    broken = write_run(runs_dir, dataclasses.replace(MLP, weight_decay=1e-4, corrupt=0.0))
    (broken / "summary.json").write_text('{"status": "DONE"')
    moved = write_run(runs_dir, dataclasses.replace(MLP, model="mlp_3x512"))
    moved.rename(runs_dir / "mlp_3x512-copy")
    (runs_dir / "notes").mkdir()
    (runs_dir / "half").mkdir()
    (runs_dir / "half" / "config.json").write_text('{"config": {"epochs": 70}}')
    code, out, _ = report("table1")
    text = (tmp_path / "out" / "report.md").read_text()
    assert code == 0
    assert f"Left out: {invalid.name} is INVALID: the made-up reason" in text
    assert f"Left out: {diverged.name} is DIVERGED" in text
    assert (
        "| mlp_1x512 | 1,209,866 | no | no | random | 99.34 | INVALID | – | 10.61 | INVALID | – |"
        in text
    )
    assert f"- {broken.name}: summary.json: expected JSON" in text
    assert "- mlp_3x512-copy: summary.json: expected the summary of mlp_3x512-copy" in text
    assert "runs: 2; unfinished: 1; cannot be read: 2." in text
    assert f"cannot be read: {broken.name}" in out
    assert "notes" not in text


def test_a_run_whose_settings_are_not_its_id_is_broken(report, tmp_path):
    folder = write_run(tmp_path / "runs", MLP)
    for name in ("summary.json", "config.json"):
        values = json.loads((folder / name).read_text())
        values["config"]["corrupt"] = 0.5
        (folder / name).write_text(json.dumps(values))
    assert report("table1")[0] == 0
    text = (tmp_path / "out" / "report.md").read_text()
    other = run_config.run_id(dataclasses.replace(MLP, corrupt=0.5))
    assert re.search(
        rf"{re.escape(folder.name)}: summary\.json: .*those of {re.escape(other)}, not of",
        text,
    )
    assert "| 10.61 | – | – |" in text


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "expected the run's epochs"),
        ("{}\n", "damaged: expected epoch 1 in line 1"),
    ],
)
def test_a_run_whose_history_is_damaged_is_broken(content, why, report, tmp_path):
    folder = write_run(tmp_path / "runs", MLP)
    (folder / "history.jsonl").write_text(content)
    code, out, _ = report("figure1c", "table1")
    assert code == 0
    assert f"cannot be read: {folder.name}: history.jsonl: {why}" in out
    assert "| 10.61 | – | – |" in (tmp_path / "out" / "report.md").read_text()
    assert (
        f"{folder.name} cannot be read: history.jsonl"
        in (tmp_path / "out" / "report.html").read_text()
    )


def test_what_is_no_training_is_listed(report, tmp_path):
    plain_run(tmp_path / "runs", "gaussian", {"kernel": "gaussian"}, run_id="gaussian-0123")
    code, out, _ = report("table1")
    assert code == 0 and "cannot be read" not in out
    assert "runs: 1." in (tmp_path / "out" / "report.md").read_text()
    (line,) = listing.listed(collect(tmp_path / "runs", []), {})
    assert (line["id"], line["status"]) == ("gaussian-0123", "DONE")


def test_what_batch_norm_gains_follows_from_the_rows_of_table_1(report, tmp_path):
    for plan in experiments.planned("table1"):
        if plan.row in ("inception_true", "inception_no_bn_true"):
            test = 0.86 if plan.row == "inception_true" else 0.81
            write_run(tmp_path / "runs", plan.config, test=test)
    assert report("table1")[0] == 0
    rows = lines(tmp_path / "out" / "table1_derived.csv")
    gain = rows["batch normalisation", "gain in test accuracy (points)"]
    assert float(gain["paper"]) == pytest.approx(85.75 - 82.0)
    assert float(gain["mean"]) == pytest.approx(5)
    assert len(gain["runs"].split()) == 2
    crop = rows["random crop, Inception", "gain in test accuracy (points)"]
    assert (crop["mean"], crop["runs"]) == ("", ""), "one of its rows is not there"


def test_the_eighteen_points_without_regularisers_follow_from_table_2(report, tmp_path):
    assert report("table2")[0] == 0
    rows = lines(tmp_path / "out" / "table2_derived.csv")
    what = "augmentation, dropout and weight decay"
    loss = rows[what, "gain in test accuracy (points)"]
    assert float(loss["paper"]) == pytest.approx(18.04) and loss["mean"] == ""


def test_a_transfer_is_found_without_its_parent(report, tmp_path):
    for plan in experiments.planned("transfer", runs_dir=tmp_path / "runs"):
        if plan.row == "labels_100_epoch_050":
            assert plan.run_id is None and plan.config.init_from.endswith(":50:open")
            named = plan.config.init_from.removesuffix("open") + "0123abcd"
            test = 0.75 - plan.config.learning_rate / 10
            config = dataclasses.replace(plan.config, init_from=named)
            write_run(tmp_path / "runs", config, test=test)
    assert report("transfer")[0] == 0
    rows = lines(tmp_path / "out" / "transfer.csv")
    assert rows["random labels", "1", "after epoch 50", "0.05", "test (%)"]["mean"] == "74.5"
    assert rows["random labels", "1", "at its end", "–", "test (%)"]["mean"] == ""
    assert rows["random weights", "–", "–", "–", "test (%)"]["n"] == "0"


def test_strict_fails_where_a_run_is_missing_and_names_it(report, tmp_path):
    write_experiment(tmp_path / "runs", "table1", only="mlp_1x512")
    code, _, err = report("table1", "--strict")
    assert code == 2
    assert re.search(
        "--strict: 16 runs are missing, 0 cannot be read, .*table1: alexnet_random seed 0", err
    )
    write_experiment(tmp_path / "runs", "table1")
    assert report("table1", "--strict")[0] == 0
    assert report("table1", "--strict", "--seeds=2")[0] == 2


def test_runs_at_another_scale_are_pointed_at(report, tmp_path):
    write_experiment(tmp_path / "runs", "figure1a", scale="cpu")
    assert re.search(r"figure1a: 5 runs .*another scale: --scale=cpu\.", str(report("figure1a")[1]))
    assert report("figure1a", "--scale=cpu")[0] == 0
    text = (tmp_path / "out" / "report.md").read_text()
    assert "Scale cpu: 5,000 examples, 40 epochs, evaluated every 10. 5 runs, 1 seed." in text


def test_a_run_in_no_row_is_named_with_the_reason(report, tmp_path):
    wanted = run_config.resolve(run_config.RunConfig(model="mlp_1x512", dataset="digits"))
    write_run(tmp_path / "runs", wanted)
    out = report("table1")[1]
    assert "1 finished run is in no row of table1; mlp_1x512-" in out
    assert "in dataset (digits, not cifar10), " in out
    assert "in no row" not in report("rademacher")[1]  # whose rows are no trainings


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "expected --all, or some of table1, table2"),
        (["table9"], "expected one of table1"),
        (["a_run"], "type rethink-tf show a_run"),
        (
            ["table1", "--scale=big"],
            "smoke; received big",
        ),
        (["table1", "--seeds=0"], "1 to 1000, received 0"),
        (
            ["table1", "--seeds=many"],
            "1 to 1000, received 'many'",
        ),
        (
            ["table1", "--threshold=0"],
            "--threshold: expected a number above 0.0 to 1000000000.0, received 0.0",
        ),
        (
            ["table1", "--threshold=nan"],
            "--threshold: expected a number above 0.0 to 1000000000.0, received nan",
        ),
        (["table1", "--what=1"], "--help lists the flags"),
    ],
)
def test_a_wrong_request_is_one_clear_line(argv, words, report, tmp_path):
    write_run(tmp_path / "runs", MLP, run_id="a_run")
    code, out, err = report(*argv)
    assert (code, out) == (2, "")
    assert words in err and err.count("\n") == 1


def test_a_place_that_cannot_be_written_is_named(report, tmp_path):
    (tmp_path / "out").write_text("a file")
    code, _, err = report("table1")
    assert code == 6
    assert str(tmp_path / "out") in err and err.count("\n") == 1


def test_help_is_printed(report):
    code, out, _ = report("--help")
    assert code == 0
    assert "--strict" in out and "figure1b" in out

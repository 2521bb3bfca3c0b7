"""What a report leaves out, and that it says so: runs that are damaged, diverged, of elsewhere."""

import csv
import dataclasses
import json
import re
import shutil

import pytest
from report_runs import ENVIRONMENT, lines, plain_run, write_experiment, write_run

from rethink_tf.analysis import corrupted_test
from rethink_tf.cli import report as command
from rethink_tf.cli.app import guarded
from rethink_tf.config import paper, run_config
from rethink_tf.errors import StorageError
from rethink_tf.experiments import plan as experiments
from rethink_tf.report import listing
from rethink_tf.report.collection import (
    MEASURED,
    MOST_SEEDS,
    Collection,
    Unfinished,
    collect,
    read_folder,
)
from rethink_tf.report.history import History
from rethink_tf.report.sections.convergence import MEASURED_TOO
from rethink_tf.runs import results
from rethink_tf.storage import files
from rethink_tf.storage import lock as run_lock

MLP = paper.row_config(paper.TABLE1["mlp_1x512_random"])


@pytest.fixture
def report(tmp_path, capsys, monkeypatch, own_signals):
    """Runs the command without drawing; (exit code, stdout and stderr, report.md)."""
    monkeypatch.setattr("rethink_tf.report.drawing.files", lambda _: {})  # which take seconds
    monkeypatch.setattr("rethink_tf.report.drawing.svg", lambda _: "")

    def run(*argv):
        folders = [f"--runs_dir={tmp_path / 'runs'}", f"--out={tmp_path / 'out'}"]
        code = guarded(command.main, [*folders, "--measured=none", *argv])
        path = tmp_path / "out" / "report.md"
        return code, "".join(capsys.readouterr()), path.read_text() if path.exists() else ""

    return run


def seeds(runs_dir, *statuses):
    """Runs of the same row, seeds 0, 1, ... of these statuses; their folders."""
    return [
        write_run(
            runs_dir, dataclasses.replace(MLP, seed=seed), test=0.1 + 0.01 * seed, status=status
        )
        for seed, status in enumerate(statuses)
    ]


def test_a_seed_that_diverged_is_named_where_the_others_are_counted(report, tmp_path):
    folders = seeds(tmp_path / "runs", "DONE", "DIVERGED", "DONE")
    _, _, text = report("table1")
    assert "| 10.61 | 11.00 ± 1.41 (n = 2; 1 DIVERGED) | +0.39 |" in text
    assert "Scale paper: all examples, 70 epochs. 2 runs, 2 seeds. Left out: 1 DIVERGED." in text
    assert f"Left out: {folders[1].name} is DIVERGED: the made-up reason" in text
    rows = csv.DictReader((tmp_path / "out" / "table1.csv").read_text().splitlines())
    (row,) = (r for r in rows if r["quantity"] == "test (%)" and r["mean"])
    assert (row["n"], row["reached"], row["note"]) == ("2", "2", "1 DIVERGED")
    assert folders[1].name not in row["runs"]


def test_where_no_seed_counts_their_number_stands(report, tmp_path):
    seeds(tmp_path / "runs", "DIVERGED", "DIVERGED", "INVALID")
    _, _, text = report("table1")
    assert "| 10.61 | 2 DIVERGED, 1 INVALID | – |" in text
    assert "No run counts. Left out: 2 DIVERGED, 1 INVALID." in text
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Not measured yet" not in page, "it was, and did not end well"


def test_a_table_without_rows_is_not_on_the_page(report, tmp_path):
    report("measures")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "4 runs are missing" in page and "0 rows" not in page


def test_a_row_whose_runs_do_not_count_is_not_folded(report, tmp_path):
    seeds(tmp_path / "runs", "DIVERGED")
    write_run(tmp_path / "runs", paper.row_config(paper.TABLE1["mlp_1x512_true"]))
    report("table1")
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.index(">DIVERGED<") < page.index("rows without a result")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("mlp_1x512", "mlp_1x512"),
        ("/home/someone/own.keras@sha256:" + 64 * "0", "own.keras"),
        ("folder:/data/pictures@sha256:" + 64 * "0", "folder:pictures"),
        ("nets.small:build@sha256:" + 64 * "0", "nets.small:build"),
    ],
)
def test_the_page_does_not_say_where_a_file_lies(name, shown):
    config = dataclasses.replace(MLP, model=name, dataset=name)
    run = Unfinished("1 of 70 epochs", config, History([]), running=False)
    (line,) = listing.listed(Collection(unfinished={"run": run}), {})
    assert (line["model"], line["dataset"]) == (shown, shown)


def test_the_page_does_not_say_where_a_matrix_of_noise_lies():
    noise = f"/home/someone/matrix.csv@sha256:{64 * '0'}"
    config = dataclasses.replace(MLP, corrupt=0.5, label_noise=noise)
    assert listing.training_data(config) == "labels p = 0.5, matrix.csv"


def test_a_run_that_diverged_in_its_first_epoch_is_diverged_and_not_damaged(report, tmp_path):
    folder = write_run(tmp_path / "runs", MLP, status="DIVERGED", done=0)
    (folder / results.HISTORY).unlink()
    results.finish(folder, results.read_summary(folder))
    _, said, text = report("table1")
    assert "cannot be read" not in said and "| 10.61 | DIVERGED | – |" in text


def test_a_run_that_lost_epochs_does_not_count(report, tmp_path):
    (folder,) = seeds(tmp_path / "runs", "DONE")
    results.rewrite_history(folder, lines(MLP)[:3])
    _, said, text = report("table1")
    why = f"{folder.name}: history.jsonl: expected the run's epochs up to 70, found those up to 3"
    assert f"cannot be read: {why}" in said
    assert "| 10.61 | – | – |" in text
    assert "runs: 0; cannot be read: 1." in text


def truncated(path, _):
    path.write_text(path.read_text()[:40])


def no_fraction(path, content):
    path.write_text(json.dumps(content | {"corrupted_errors": [0.79, "0.8"]}))


def of_other_weights(path, content):
    path.write_text(json.dumps(content | {"weights_hash": "f" * 16}))


def another_error(path, content):
    path.write_text(json.dumps(content | {"error": 0.6}))


@pytest.mark.parametrize("change", [truncated, no_fraction, of_other_weights, another_error])
def test_a_damaged_record_of_corrupted_test_labels_is_named_left_out_and_counted(
    change, report, tmp_path
):
    planned = experiments.planned("figure1c", "paper", 1, only="mlp*")
    half = next(one.config for one in planned if float(one.axes["corrupt"]) == 0.5)
    folder = write_run(tmp_path / "runs", half)
    summary = results.read_summary(folder)
    error, weights = 1 - summary["test_accuracy"], summary["weights_hash"]
    tested = corrupted_test.CorruptedTestError(
        folder.name, weights, 0.5, 10_000, error, 0.8, (0.79, 0.8)
    )
    path = corrupted_test.write(tested, folder)
    _, said, text = report("figure1c")
    assert "cannot be read" not in said and corrupted_test_column(tmp_path) == "0.795"
    change(path, dataclasses.asdict(tested))
    code, said, text = report("figure1c")
    assert code == 0 and "runs: 1; cannot be read: 1." in text  # the run itself counts
    assert f"cannot be read: {folder.name}/{corrupted_test.FILE}: {corrupted_test.FILE}: " in said
    assert corrupted_test_column(tmp_path) is None
    code, said, _ = report("figure1c", "--strict")
    assert code == 2 and "1 cannot be read" in said
    with pytest.raises(StorageError, match=corrupted_test.FILE):
        read_folder(folder)  # as it is shipped alone


def corrupted_test_column(folder):
    """What figure 1c has of the one run on corrupted test labels; None: no such column."""
    rows = csv.DictReader((folder / "out" / "figure1c_corrupted.csv").read_text().splitlines())
    means = [r["mean"] for r in rows if r["quantity"] == MEASURED_TOO]
    return next(filter(None, means), None)


def test_a_run_shorter_than_its_settings_does_not_count(report, tmp_path):
    write_run(tmp_path / "runs", MLP, done=3)
    _, said, text = report("table1")
    assert "summary.json: says DONE, but expected all 70 epochs, found 3" in said
    assert "| 10.61 | – | – |" in text


def test_a_run_that_stopped_when_it_fitted_may_be_shorter(tmp_path):
    wanted = dataclasses.replace(MLP, stop_at_train_accuracy=0.9)
    fitted = next(line["epoch"] for line in lines(wanted) if line["train_accuracy"] >= 0.9)
    write_run(tmp_path, wanted, done=fitted)
    found = collect(tmp_path, [])
    assert [found.readable(run) for run in found.runs] == [True] and not found.broken
    write_run(tmp_path / "early", wanted, done=fitted - 1)
    assert "expected all 70 epochs" in next(iter(collect(tmp_path / "early", []).broken.values()))


def test_a_run_that_went_on_in_another_environment_is_named(report, tmp_path):
    (folder,) = seeds(tmp_path / "runs", "DONE")
    assert "Not exact" not in report("table1")[2]
    results.finish(folder, results.read_summary(folder) | {"exact": False})
    words = f"Not exact: {folder.name} was resumed in a changed environment (--resume=anyway)."
    assert words in report("table1")[2]


def test_runs_of_large_seeds_are_named_and_count_when_asked_for(report, tmp_path):
    write_run(tmp_path / "runs", dataclasses.replace(MLP, seed=MOST_SEEDS))
    _, _, text = report("table1", "--rows=mlp_1x512_random")
    assert re.search(r"seeds of 50 or more, .*with --seeds: 1\.", text) and "No run yet" in text
    _, _, text = report("table1", "--rows=mlp_1x512_random", f"--seeds={MOST_SEEDS + 1}")
    assert "seeds of 50" not in text and "10.00 (n = 1)" in text


def test_another_name_of_a_run_is_not_another_run(report, tmp_path):
    (folder,) = seeds(tmp_path / "runs", "DONE")
    (tmp_path / "runs" / "latest").symlink_to(folder.name)
    assert f"Finished runs in {tmp_path / 'runs'}: 1." in report("table1")[2]


def test_a_damaged_run_by_another_name_is_not_counted(report, tmp_path):
    (folder,) = seeds(tmp_path / "elsewhere", "DONE")
    results.rewrite_history(folder, lines(MLP)[:3])
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "linked").symlink_to(folder)
    _, said, text = report("table1")
    assert f"cannot be read: {folder.name}: history.jsonl: expected the run's epochs" in said
    assert "runs: 0; cannot be read: 1." in text


def test_strict_fails_where_a_run_is_invalid(report, tmp_path):
    (folder,) = seeds(tmp_path / "runs", "INVALID")
    asked = ("table1", "--rows=mlp_1x512_random", "--strict")
    code, said, _ = report(*asked)
    expected = f"0 runs are missing, 1 INVALID, 0 cannot be read, the first: {folder.name} is"
    assert code == 2 and expected in said
    shutil.rmtree(folder)
    seeds(tmp_path / "runs", "DIVERGED")
    assert report(*asked)[0] == 0, "that it diverges is a result"


def test_one_missing_run_is_told_as_one(report, tmp_path):
    asked = ("table1", "--rows=mlp_1x512_random", "--strict")
    code, said, text = report(*asked)
    assert "1 run is missing: mlp_1x512_random seed 0." in text
    assert code == 2 and "--strict: 1 run is missing, 0 cannot be read, the first:" in said
    write_experiment(tmp_path / "runs", "table1", "smoke", only="mlp_1x512_random")
    assert "1 run is at another scale: --scale=smoke." in str(report(*asked)[2])


def test_measured_runs_that_are_not_there_are_refused(report, tmp_path):
    code, said, _ = report("table1", f"--measured={tmp_path / 'typo'}")
    assert code == 2
    assert re.search(
        f"--measured={re.escape(str(tmp_path / 'typo'))}: expected a folder with measured runs",
        said,
    )


def test_a_transfer_of_other_weights_of_its_parent_does_not_count(report, tmp_path):
    runs_dir = tmp_path / "runs"

    def child():
        plans = experiments.planned("transfer", runs_dir=runs_dir)
        return next(plan for plan in plans if plan.row == "labels_100")

    parent = child().parent.config
    write_run(runs_dir, parent, weights_hash="0123abcd")
    assert child().run_id is not None
    there, epoch = child().config.init_from.rsplit(":", 1)[0], ":9999ffff"
    write_run(runs_dir, dataclasses.replace(child().config, init_from=there + epoch), test=0.25)
    asked = ("transfer", "--rows=labels_100")
    assert "No run yet." in report(*asked)[2]
    write_run(runs_dir, child().config, test=0.75)
    for plan in experiments.planned("transfer", runs_dir=runs_dir, only="labels_100"):
        if plan.config.held_out:
            write_run(runs_dir, plan.config, test=0.5 - plan.config.learning_rate / 20)
    assert "| 75.00 (n = 1) |" in report(*asked)[2]


def test_what_is_no_training_counts_only_whole_and_as_what_it_is(report, tmp_path):
    runs_dir = tmp_path / "runs"
    plan = experiments.planned("expressivity", runs_dir=runs_dir)[0]
    folder = plain_run(runs_dir, "expressivity", plan.config)
    assert folder.name == plan.run_id
    code, said, _ = report("expressivity")
    assert code == 0
    why = "summary.json: damaged: expected fits, found none; delete it"
    assert f"cannot be read: {folder.name}: {why}" in said
    changed = {"config": plan.config | {"seed": 5}}
    results.write_config(folder, results.read_config(folder) | changed)
    results.finish(folder, results.read_summary(folder) | {"fits": []} | changed)
    assert "are those of expressivity-" in str(report("expressivity")[1])


def test_every_table_and_figure_says_its_scale_and_its_runs(report, tmp_path):
    write_experiment(tmp_path / "runs", "figure1b", "smoke", only="mlp")
    _, _, text = report("figure1b", "--scale=smoke")
    caption = "Scale smoke: 200 examples, 2 epochs, evaluated every 2. 11 runs, 1 seed."
    assert text.count(caption) == 3, "a figure and two tables"
    page = (tmp_path / "out" / "report.html").read_text()
    heading = "<h2>Time to overfit against label corruption</h2>"
    assert f'{heading}<p class="caption">{caption}</p>' in page
    assert page.count(caption) == 1, "once, above all of a section"


@pytest.mark.parametrize(
    ("name", "scale", "words"),
    [
        (
            "table4",
            "cpu",
            "inception_crop, inception_flip_rotate: 5,000 examples, 200 epochs, evaluated "
            "every 20; inception_weight_decay: 5,000 examples, 40 epochs",
        ),
        ("capacity", "paper", "6 rows as resnet_101_random_10000: 10,000 examples"),
        ("rademacher", "cpu", "inception: 5,000 examples, 40 epochs"),
        ("table1", "cpu", "alexnet: 20,000 examples, 70 epochs"),
    ],
)
def test_it_is_said_which_rows_are_how_long(name, scale, words, report):
    assert words in report(name, f"--scale={scale}")[2]


def test_a_folder_name_that_is_a_file_is_one_line(report, tmp_path):
    (tmp_path / "runs").write_text("a file")
    code, said, _ = report("table1")
    assert code == 6 and said.count("\n") == 1 and str(tmp_path / "runs") in said


def test_a_run_in_use_is_unfinished_and_said_to_be_in_training(report, tmp_path):
    (folder,) = seeds(tmp_path / "runs", "DONE")
    (folder / results.SUMMARY).unlink()
    results.rewrite_history(folder, lines(MLP)[:3])
    with run_lock.locked(folder):
        _, _said, text = report("table1")
    assert "unfinished: 1." in text and "| 10.61 | – | – |" in text
    assert "mlp_1x512_random seed 0 (3 of 70 epochs, in training now)" in text
    page = (tmp_path / "out" / "report.html").read_text()
    link = f'<a href="#run-{folder.name}">{folder.name}</a>'
    assert f"In training now: {link} (3 of 70 epochs)" in page
    (line,) = listing.listed(collect(tmp_path / "runs", []), {})
    assert (line["status"], line["model"], line["epochs"]) == ("unfinished", "mlp_1x512", 3)
    assert line["loss"] == lines(MLP)[2]["loss"], "as far as it has come"
    assert listing.curves(collect(tmp_path / "runs", []))[folder.name]["epoch"] == [1, 2, 3]
    _, _, text = report("table1")
    assert "(3 of 70 epochs)" in text
    assert "In training now" not in (tmp_path / "out" / "report.html").read_text()


def test_a_folder_that_cannot_be_written_is_read_all_the_same(report, tmp_path):
    (folder,) = seeds(tmp_path / "runs", "DONE")
    before = sorted(path.name for path in folder.iterdir())
    for path in (folder, tmp_path / "runs"):
        path.chmod(0o555)
    code = report("table1")[0]
    for path in (folder, tmp_path / "runs"):
        path.chmod(0o755)
    assert code == 0
    assert sorted(path.name for path in folder.iterdir()) == before
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [folder.name]


@pytest.fixture
def shipped_again(tmp_path):
    """A shipped run of MLP, and its folder among the own runs, which has to be filled."""
    write_run(tmp_path / "elsewhere", MLP)
    run = dataclasses.replace(
        read_folder(tmp_path / "elsewhere" / run_config.run_id(MLP)), source=MEASURED
    )
    folder = tmp_path / "runs" / run.run_id
    folder.mkdir(parents=True)
    return run, folder


def by_status(found):
    return {line["status"]: line["id"] for line in listing.listed(found, {})}


def test_a_run_that_is_trained_anew_does_not_lend_its_curve_to_the_shipped_one(shipped_again):
    run, folder = shipped_again
    files.write_json(
        folder / results.CONFIG,
        {"config": dataclasses.asdict(MLP), "run_id": run.run_id, "argv": ["x"], **ENVIRONMENT},
    )
    results.rewrite_history(folder, lines(MLP)[:3])
    found = collect(folder.parent, [run])
    curves, ids = listing.curves(found), by_status(found)
    assert curves[run.run_id]["epoch"] == list(range(1, 71))
    assert ids == {"DONE": run.run_id, listing.UNFINISHED: f"{run.run_id} (in the folder)"}
    assert curves[ids[listing.UNFINISHED]]["epoch"] == [1, 2, 3]


def test_a_damaged_run_does_not_hide_the_shipped_one_that_stands_in_its_row(shipped_again):
    run, folder = shipped_again
    (folder / results.SUMMARY).write_text("{")
    found = collect(folder.parent, [run])
    assert [one.run_id for one in found.whole] == [run.run_id]
    assert by_status(found) == {
        "DONE": run.run_id,
        listing.BROKEN: f"{run.run_id} (in the folder)",
    }
    assert run.run_id in listing.curves(found)

"""The tables and figures as data: their rows, scales and runs, without TensorFlow."""

import dataclasses
import shutil
import subprocess
import sys
from collections import Counter

import pytest
from report_runs import write_run

from rethink_tf.config import flags, paper, run_config
from rethink_tf.errors import RequestError
from rethink_tf.experiments import plan, rates
from rethink_tf.experiments.plan import EXPERIMENTS, ROOT, SCALES, TRAINING, planned
from rethink_tf.runs import pretrained, results
from rethink_tf.runs import status as run_progress
from rethink_tf.storage import files

NAMES = (
    "table1 table2 table3 table4 figure1a figure1b figure1c figure2a figure2b capacity "
    "regularisation levels levels_constant levels_clean_test transfer wrn rademacher expressivity "
    "implicit measures memorisation leave_one_out"
).split()
# Experiments whose flagfiles are here.
PRESENT = [name for name in NAMES if any(plan._paths(EXPERIMENTS[name]))]
COUNTS = {
    "table1": 19,
    "table4": 6,
    "figure1a": 5,
    "figure1b": 33,
    "figure1c": 33,
    "figure2b": 2,
    "capacity": 12,
    "regularisation": 48,
    "levels": 41,
    "levels_constant": 41,
    "levels_clean_test": 31,
    "transfer": 69 * 8,
    "wrn": 6,
}


def ids(name, **asked):
    return {run.run_id for run in planned(name, **asked)}


def test_the_experiments_in_their_order():
    assert list(EXPERIMENTS) == NAMES
    assert set(COUNTS) <= set(PRESENT)


@pytest.mark.parametrize("name", COUNTS)
def test_how_many_runs(name):
    assert len(planned(name)) == COUNTS[name]
    assert len(planned(name, seeds=3)) == 3 * COUNTS[name]


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("scale", SCALES)
def test_a_run_is_what_its_command_line_resolves_to(name, scale, tmp_path):
    for run in planned(name, scale, 2, runs_dir=tmp_path):
        wanted, options = flags.parse(list(run.argv))
        assert all(1 <= epoch <= run.config.epochs for epoch in options.keep_epochs)
        if run.parent is None:
            resolved = run_config.resolve(pretrained.adopt(wanted, tmp_path))
            assert (resolved, run_config.run_id(resolved)) == (run.config, run.run_id)
        assert run.seed == run.config.seed


def test_a_scale_changes_nothing_but_length_examples_and_evaluations():
    for name in COUNTS:
        fulls = {(run.row, *run.axes.values()): run for run in planned(name)}
        for scale in ("cpu", "hours", "smoke"):
            for run in planned(name, scale):
                full = fulls[run.row, *run.axes.values()]
                changed = [
                    field
                    for field in run_config.FIELDS
                    if getattr(full.config, field) != getattr(run.config, field)
                ]
                allowed = {*plan.SCALED, "init_from"} | (
                    # A batch is never larger than the training set.
                    {"batch_size"} if run.config.batch_size == run.config.examples else set()
                )
                if run.parent and run.config.init_epoch == run.parent.config.epochs:
                    allowed.add("init_epoch")  # the end of its parent, which is scaled too
                assert set(changed) <= allowed, (name, run.row)


def test_the_rows_of_table_1_are_the_papers():
    found = {run.row: run.config for run in planned("table1")}
    assert found == {name: paper.row_config(row) for name, row in paper.TABLE1.items()}


@pytest.mark.parametrize("scale", SCALES)
def test_experiments_share_their_runs(scale):
    table1 = ids("table1", scale=scale)
    assert ids("figure2b", scale=scale) < table1
    assert len(ids("figure1a", scale=scale) & table1) == 2
    assert len(ids("figure1b", scale=scale) & table1) == 6
    assert ids("figure1b", scale=scale) == ids("figure1c", scale=scale)
    shared = ids("regularisation", scale=scale) & table1
    assert len(shared) == {"paper": 3, "cpu": 0, "hours": 3, "smoke": 3}[scale]


@pytest.mark.parametrize("scale", SCALES)
def test_a_shared_run_keeps_the_epochs_that_transfers_start_from(scale, tmp_path):
    """Whichever experiment trains it: a finished run cannot keep an epoch any more."""
    kept: dict[str, set] = {}
    for name, design in EXPERIMENTS.items():
        for run in planned(name, scale, runs_dir=tmp_path) if design.command == TRAINING else ():
            for one in filter(None, (run, run.parent)):
                if one.run_id is not None:
                    _, options = flags.parse(list(one.argv))
                    kept.setdefault(one.run_id, set()).add(options.keep_epochs)
    assert {run_id: epochs for run_id, epochs in kept.items() if len(epochs) > 1} == {}
    assert (5, 20, 50) in set.union(*kept.values())


def test_the_mlps_are_at_the_papers_scale_on_a_cpu():
    mlps = {run.run_id for run in planned("table1") if run.row.startswith("mlp")}
    assert len(mlps) == 6
    assert mlps < ids("table1", scale="cpu")


def test_the_axes_of_figure_1b():
    runs = planned("figure1b", seeds=2)
    assert Counter(run.row for run in runs) == {"alexnet": 22, "inception": 22, "mlp_1x512": 22}
    assert [run.axes["corrupt"] for run in runs[:4]] == ["0", "0", "0.1", "0.1"]
    assert [run.seed for run in runs[:3]] == [0, 1, 0]
    assert runs[21].config.corrupt == 1.0
    assert runs[21].argv[-2:] == ("--corrupt=1", "--seed=1")


@pytest.mark.parametrize("scale", SCALES)
def test_a_transfer_waits_for_its_parent_of_the_same_scale_and_seed(scale, tmp_path):
    levels = {run.run_id: run for run in planned("levels", scale, 2)}
    runs = planned("transfer", scale, 2, runs_dir=tmp_path)
    drawn = [run for run in runs if run.parent is None]
    assert {run.row for run in drawn} == {"random_weights"} and len(drawn) == 2 * 8
    assert all(run.run_id and run.waits is None for run in drawn)
    for run in runs:
        if run.parent is None:
            continue
        assert run.run_id is None and str(tmp_path) in run.waits
        assert run.parent == dataclasses.replace(levels[run.parent.run_id], seed=run.seed)
        assert f"--init_from={run.parent.run_id}" in run.argv
        assert run.config.model == "resnet_28" and run.config.input_size == 32
        if "_epoch_" in run.row:
            assert "--keep_epochs=5,20,50" in run.parent.argv
    keeping = {r.row for r in levels.values() if any("--keep_epochs" in a for a in r.argv)}
    early = {
        f"{kind}_{p}"
        for kind in ("labels", "gaussian", "shuffled", "random")
        for p in ("040", "100")
    } | {"original"}
    assert keeping == early & {run.row for run in levels.values()}


def finished(run, runs_dir, **changes):
    """The files of a planned run, as if it had been trained."""
    return write_run(runs_dir, run.config, **changes)


def test_a_transfer_is_a_run_once_its_parent_is_finished(tmp_path):
    def child():
        runs = planned("transfer", "smoke", runs_dir=tmp_path)
        return next(run for run in runs if run.row == "labels_100")

    finished(child().parent, tmp_path)
    run = child()
    assert run.waits is None
    wanted, _ = flags.parse(list(run.argv))
    assert run_config.run_id(run_config.resolve(pretrained.adopt(wanted, tmp_path))) == run.run_id


def test_unknown_names_scales_and_seeds_are_refused():
    with pytest.raises(RequestError, match="expected one of table1, .* received table9"):
        planned("table9")
    with pytest.raises(RequestError, match="--scale: .*paper, cpu, hours, smoke; received huge"):
        planned("table1", "huge")
    with pytest.raises(RequestError, match="--seeds: .*from 1 to 1000, received 0"):
        planned("table1", seeds=0)


def test_an_experiment_without_flagfiles_is_refused(monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "nothing", plan.Experiment("None", ("none/*.flags",)))
    with pytest.raises(RequestError, match=r"nothing: expected flagfiles none/\*.flags in .*flags"):
        planned("nothing")


def test_a_parent_that_is_no_row_is_refused(monkeypatch, tmp_path):
    row = tmp_path / "flags" / "own" / "row.flags"
    row.parent.mkdir(parents=True)
    row.write_text("--init_from=runs/some\n--dataset=digits\n")
    monkeypatch.setattr(plan, "ROOT", tmp_path)
    monkeypatch.setattr(plan, "FLAGFILES", tmp_path / "flags")
    monkeypatch.setitem(EXPERIMENTS, "own", plan.Experiment("Own", ("own/*.flags",)))
    with pytest.raises(RequestError, match="--init_from=runs/some: .*row of an experiment"):
        planned("own")


def test_an_experiment_may_run_another_command(monkeypatch, tmp_path):
    (tmp_path / "other_command.py").write_text(
        "def identify(argv):\n    return {'argv': argv}, f'other-{len(argv)}'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    other = plan.Experiment(
        "Other",
        ("figure2b/*.flags",),
        {"ridge": "0 1"},
        command=("other_command",),
        identified_by="other_command",
    )
    monkeypatch.setitem(EXPERIMENTS, "other", other)
    runs = planned("other", seeds=2)
    assert len(runs) == 8
    assert runs[1].argv == ("--model=inception", "--dataset=cifar10", "--ridge=0", "--seed=1")
    assert (runs[1].run_id, runs[1].command) == ("other-4", ("other_command",))
    assert runs[1].config == {"argv": list(runs[1].argv)}
    gone = dataclasses.replace(other, identified_by="no_such_module")
    monkeypatch.setitem(EXPERIMENTS, "other", gone)
    with pytest.raises(RequestError, match="other: needs no_such_module: No module named"):
        planned("other")
    monkeypatch.setitem(EXPERIMENTS, "other", dataclasses.replace(other, identified_by="json"))
    with pytest.raises(RequestError, match="other: needs json: module 'json' has no attribute"):
        planned("other")


def test_the_state_of_a_run(tmp_path):
    from rethink_tf.experiments.plan import state

    run = planned("figure2b")[0]
    folder = tmp_path / run.run_id
    assert state(folder) == "missing"
    folder.mkdir()
    assert state(folder) == "missing"
    files.write_json(folder / results.CONFIG, {})
    (folder / results.LOCK).write_bytes(b"1")
    assert state(folder) == "incomplete"
    code = (
        "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX)\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code, folder / results.LOCK],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert owner.stdout.readline() == b"held\n"
    assert state(folder) == "running"
    owner.communicate()
    assert state(folder) == "incomplete"
    (folder / results.SUMMARY).write_text("{")
    assert state(folder) == run_progress.DAMAGED
    for status in ("DONE", "INVALID", "DIVERGED"):
        shutil.rmtree(folder)
        finished(run, tmp_path, status=status)
        assert state(folder) == {"DONE": "done"}.get(status, status)
    results.finish(folder, results.read_summary(folder) | {"test_accuracy": 0.25})
    assert state(folder) == run_progress.DAMAGED
    folder.rename(tmp_path / "elsewhere")
    assert state(tmp_path / "elsewhere") == run_progress.DAMAGED


def test_every_flagfile_of_a_folder_is_a_row():
    folders = {path for path in (ROOT / "flags").iterdir() if path.is_dir()}
    # Of single runs alone: TFDS must have prepared their data sets first.
    for folder in sorted(folders - {ROOT / "flags" / "wrn_tfds"}):
        used = [n for n in PRESENT if f"{folder.name}/*.flags" in EXPERIMENTS[n].rows]
        assert used, folder


def hours(name, scale, runs_dir, parents):
    """Of the runs of an experiment one after the other, at assumed rates."""
    runs = planned(name, scale, runs_dir=runs_dir)
    found = {run.parent.run_id: run.parent for run in runs if run.parent and parents}
    found |= {run.run_id or (run.row, *run.axes.values()): run for run in runs}
    return sum(rates.seconds_assumed(run.config) for run in found.values()) / 3600


@pytest.mark.parametrize("name", COUNTS)
def test_at_the_scale_of_a_cpu_each_ends_in_a_night(name, tmp_path):
    assert 0.2 < hours(name, "cpu", tmp_path, parents=True) < 10


@pytest.mark.parametrize("name", [*COUNTS, "table2", "figure2a"])
def test_at_the_scale_of_hours_each_ends_in_about_three(name, tmp_path):
    assert hours(name, "hours", tmp_path, parents=False) < 3.2


@pytest.mark.parametrize("name", ["capacity", "levels", "levels_constant", "levels_clean_test"])
def test_the_studies_of_residual_networks_end_in_minutes_at_smoke(name, tmp_path):
    assert hours(name, "smoke", tmp_path, parents=True) < 0.1


@pytest.mark.parametrize("name", ["capacity", "regularisation", "levels", "transfer", "wrn"])
def test_at_the_scale_of_hours_the_studies_have_2000_examples_at_least(name, tmp_path):
    assert min(run.config.examples for run in planned(name, "hours", runs_dir=tmp_path)) >= 2_000


def test_networks_that_are_compared_have_the_same_examples():
    for scale in SCALES:
        assert len({run.config.examples for run in planned("regularisation", scale)}) == 1


def test_a_scale_leaves_rows_out():
    rows = {run.row for run in planned("levels", "hours")}
    assert {"original", "labels_020", "random_100"} < rows and "labels_030" not in rows
    assert planned("levels", "hours", only="labels_030") == []
    plan.require_rows(["levels"], "labels_030")
    with pytest.raises(
        RequestError, match="--rows: expected .* at scale hours; received labels_030"
    ):
        plan.require_rows(["levels"], "labels_030", "hours")
    early = [run.row for run in planned("transfer", "hours") if "_epoch_" in run.row]
    assert {row[-3:] for row in early} == {"005", "020", "050"}, "no level is taken for an epoch"


def test_every_rate_of_a_last_layer_is_tried_for_every_parent(tmp_path):
    tries = {}
    for run in planned("transfer", runs_dir=tmp_path):
        tries.setdefault(run.row, []).append((run.config.held_out, run.config.learning_rate))
    assert len({tuple(tried) for tried in tries.values()}) == 1
    assert len(set(tries["original"])) == 8

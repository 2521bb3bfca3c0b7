"""The command that sweeps: what it lists, refuses, says, and its exit codes."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from quick_command import TRIAL
from report_runs import write_run

from rethink_tf.cli import app, sweep
from rethink_tf.experiments.plan import EXPERIMENTS, planned
from rethink_tf.experiments.sweep import display, scheduler
from rethink_tf.experiments.sweep.jobs import STARTED, jobs_of
from rethink_tf.experiments.sweep.local import Slots
from rethink_tf.runs import results
from rethink_tf.storage import files

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def call(capsys, own_signals):
    """(exit code, stdout, stderr) of one command line."""

    def run(*argv):
        capsys.readouterr()
        code = app.guarded(sweep.main, list(argv))
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def quick(monkeypatch, tmp_path, call):
    """A sweep of quick runs: from what they do, and flags, to what `call` gives."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests" / "support"))
    monkeypatch.setattr(scheduler, "TICK", 0.02)

    def run(what, *flags):
        found = dataclasses.replace(TRIAL, axes={"do": what})
        monkeypatch.setitem(EXPERIMENTS, "trial", found)
        return call("trial", f"--runs_dir={tmp_path}", *flags)

    return run


def test_the_list_names_every_experiment(call):
    code, out, err = call("--list")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == list(EXPERIMENTS)
    assert re.search("table1 +19 runs ", out)


@pytest.mark.parametrize(
    "argv, words",
    [
        ((), "expected experiments, such as table1"),
        (("table9",), "expected one of table1, table2"),
        (("table1", "--sedes=3"), r"unknown flag --sedes; did you mean --seeds\?"),
        (
            ("table1", "--scale=big"),
            "--scale: expected one of paper, .*received big",
        ),
        (("table1", "--seeds=0"), "--seeds: .*from 1 to 1000, received 0"),
        (
            ("table1", "--slots=-1"),
            "--slots: .*from 0 to 1000000, received -1",
        ),
        (("table1", "--shard=3/3"), "--shard: expected i/n with i from 0 to n - 1, received 3/3"),
        (("table1", "--shard=x"), "--shard: expected i/n with i from 0 to n - 1, received x"),
        (("trial", "--gpus_per_run=0.5"), "--gpus_per_run: expected --executor=ray with it"),
        (
            ("trial", "--executor=ray", "--gpus_per_run=-1"),
            r"--gpus_per_run: expected a number from 0\.0 to 1000000, received -1\.0",
        ),
        (("trial", "--executor=ray", "--gpus_per_run=1.5"), r"or whole GPUs, received 1\.5"),
        (
            ("trial", "--executor=ray", "--gpus_per_run=nan"),
            "--gpus_per_run: expected a number from",
        ),
        (("trial", "--executor=ray", "--slots=2"), "--slots: expected none with --executor=ray"),
    ],
)
def test_what_cannot_be_meant_is_refused(call, monkeypatch, argv, words):
    monkeypatch.setitem(EXPERIMENTS, "trial", TRIAL)
    code, out, err = call(*argv)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1 and re.search(words, err)


def test_data_that_are_not_there_are_refused_once(call, offline):
    code, _, err = call("table1", "--scale=smoke", f"--runs_dir={offline}/runs")
    assert code == 2
    assert err.startswith("rethink_tf: expected cifar10 in") and err.count("\n") == 1
    assert not (offline / "runs").exists()


def test_data_are_not_asked_for_where_nothing_is_to_be_trained(call, offline):
    (plan,) = (p for p in planned("table1", "smoke") if p.row == "mlp_1x512_random")
    write_run(offline, plan.config, status="INVALID", reason="so")
    flags = (f"--runs_dir={offline}", "--scale=smoke", "--rows=mlp_1x512_random", "--slots=1")
    code, out, err = call("table1", *flags)
    assert (code, err) == (3, "")
    assert (
        out.splitlines()[-1] == "table1 mlp_1x512_random seed 0: exit code 3 INVALID; INVALID: so"
    )


def test_one_is_told_as_one(tmp_path):
    assert re.search("unknown: 1 run .*not measured here yet", display.time_left(0, 1))
    assert re.search("60 s left, and 2 runs .*not measured here yet", display.time_left(60, 2))
    said = []
    view = display.Plain(tmp_path, said.append)
    jobs = jobs_of([p for p in planned("figure2b", "smoke") if p.row == "inception"], tmp_path)
    view.begin(jobs, Slots(1, 1))
    view.stopping(1)
    view.said_at = float("-inf")
    view.tick(jobs)
    unknown = "time unknown: 1 run of types not measured here yet"
    assert said == [
        f"1 run: 0 already ended, 1 to do; 1 slot of 1 thread; {unknown}",
        "stopping 1 run; the same command resumes",
        f"0 of 1 ended; {unknown}",
    ]


def test_help_is_text(call):
    code, out, _ = call("--help")
    assert code == 0
    assert re.search("start of Python and TensorFlow.*not counted", " ".join(out.split()))
    assert "--shard" in out and "rethink-tf sweep" in out


@pytest.mark.parametrize("more", [(), ("--dry_run",)])
def test_a_file_is_no_folder_of_runs(call, tmp_path, more):
    (tmp_path / "runs").write_text("")
    code, _, err = call("figure1b", f"--runs_dir={tmp_path / 'runs'}", *more)
    assert code == 2
    assert err.endswith(f"--runs_dir={tmp_path / 'runs'}: expected a folder, it is a file\n")


def test_a_dry_run_lists_states_and_time_left(call, tmp_path):
    flags = (f"--runs_dir={tmp_path}", "--dry_run", "--slots=2")
    code, out, _ = call("figure1b", "--seeds=3", *flags)
    assert code == 0
    assert out.count("missing ") == 99
    assert re.search(
        "99 runs .*99 missing; time unknown: 99 runs .*on 2 slots", out.splitlines()[-1]
    )
    plan = next(p for p in planned("figure1b") if p.row == "mlp_1x512")
    folder = tmp_path / plan.run_id
    folder.mkdir()
    record = {"config": dataclasses.asdict(plan.config), "threads": 1}
    files.write_json(folder / results.CONFIG, record)
    for epoch in range(1, 11):
        timing = {"train_seconds": 5.0, "eval_seconds": 6.0, "images_per_second": 10_000.0}
        line = {"epoch": epoch, "train_accuracy": 0.5, "timing": timing}
        results.append_history(folder, line)
    _, out, _ = call("figure1b", "--seeds=3", *flags)
    mlps = [line.split() for line in out.splitlines() if " mlp_1x512 " in line]
    assert mlps[0][:4] == ["incomplete", "11", "min", plan.run_id]
    assert mlps[1][:3] == ["missing", "13", "min"]
    # 60 epochs of one run and 70 of 32, 11 s each.
    assert re.search(
        r"99 runs .*98 missing, 1 incomplete; about 3\.5 h left, and 66 runs .*on 2 slots",
        out.splitlines()[-1],
    )


@pytest.fixture
def only():
    """Makes some experiments the only ones; all are there again afterwards, in their order."""
    before = dict(EXPERIMENTS)

    def keep(**found):
        EXPERIMENTS.clear()
        EXPERIMENTS.update(found)

    yield keep
    keep(**before)


def test_all_names_what_it_leaves_out(call, only, tmp_path):
    gone = dataclasses.replace(EXPERIMENTS["figure1a"], rows=("none/*.flags",))
    only(figure2b=EXPERIMENTS["figure2b"], figure1a=gone)
    code, out, _ = call("--all", "--dry_run", f"--runs_dir={tmp_path}")
    assert code == 0
    assert out.startswith("left out: figure1a: expected flagfiles none/*.flags in ")
    assert "\n2 runs at scale paper: 2 missing;" in out


def test_a_sweep_says_what_it_does(quick, tmp_path):
    code, out, err = quick("finish fail", "--slots=1", "--threads=1", "--seeds=2")
    assert (code, err) == (6, "")
    lines = out.splitlines()
    assert lines[0].startswith("4 runs: 0 already ended, 4 to do; 1 slot of 1 thread; ")
    assert lines[1].startswith("[1/4] started  trial quickstart do=finish seed 0  quick-")
    assert lines[2].startswith("[1/4] done     trial quickstart do=finish seed 0  ")
    assert lines[2].endswith("train 50.00  test 50.00")
    assert lines[6].endswith("exit code 6 STORAGE_FAILED") and "FAILED" in lines[6]
    log = next(line for line in lines[9:] if line.endswith("ends:"))
    assert log.startswith(f"  {tmp_path}/.sweep/quick-")
    assert lines[9] == "4 runs: 2 done, 2 failed, 0 left"
    assert lines[10] == "trial quickstart do=fail seed 0: exit code 6 STORAGE_FAILED"
    assert lines[12:14] == ["    one line", "    the last line"]


def test_the_log_that_is_quoted_is_its_own(quick, tmp_path, monkeypatch):
    """Another sweep that starts the same run before the report does not change what is quoted."""
    said = sweep.verdict

    def verdict(jobs):
        for job in jobs:  # as another sweep would
            with monkeypatch.context() as other:
                other.setattr("os.getpid", lambda: 4711)
                assert not job.log.exists()
                job.log.write_text("in use by process 815")
        return said(jobs)

    monkeypatch.setattr(sweep, "verdict", verdict)
    code, out, _ = quick("fail", "--slots=1")
    assert code == 6 and "    the last line" in out.splitlines() and "815" not in out


def test_what_is_done_is_not_done_again(quick):
    assert quick("finish", "--slots=1")[0] == 0
    code, out, _ = quick("finish", "--slots=1")
    assert code == 0
    assert out.splitlines()[0].startswith("1 run: 1 already ended, 0 to do;")
    assert out.splitlines()[1:] == ["1 run: 1 done, 0 failed, 0 left"]


def test_a_folder_that_cannot_be_written_is_one_line(quick, tmp_path):
    (tmp_path / ".sweep").write_text("a file")
    code, _, err = quick("finish", "--slots=1")
    assert code == 6
    assert err.startswith(f"rethink_tf: {tmp_path}/.sweep/quick-") and err.count("\n") == 1


def test_shards_together_do_all(quick, tmp_path):
    for part in range(3):
        assert quick("finish", "--seeds=4", f"--shard={part}/3")[0] == 0
        expected = (2, 3, 4)[part]
        assert len(list(tmp_path.glob("quick-*"))) == expected


def test_an_interrupt_stops_the_runs_and_the_same_command_goes_on(tmp_path):
    script = (
        "import dataclasses, sys\n"
        "from quick_command import TRIAL\n"
        "from rethink_tf.cli import app, sweep\n"
        "from rethink_tf.experiments import plan\n"
        "trial = dataclasses.replace(TRIAL, axes={'do': 'finish slow'})\n"
        "plan.EXPERIMENTS['trial'] = trial\n"
        "sys.exit(app.guarded(sweep.main, sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", script, "trial", f"--runs_dir={tmp_path}", "--slots=2"]
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests" / "support")))
    env = os.environ | {"PYTHONPATH": path}
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 300
    while not list(tmp_path.glob("*/waits")):
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    assert process.returncode == 130
    left, said = out.splitlines()[-2:]
    assert "stopping" in out and " left" in left and said == "stopped; the same command resumes"
    assert next(tmp_path.glob("*/stopped")).read_text() == str(int(signal.SIGINT))
    again = subprocess.run(command, env=env, capture_output=True, text=True)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.splitlines()[-1] == "2 runs: 2 done, 0 failed, 0 left"


def test_the_table_has_a_line_for_each_running_job(tmp_path):
    from rich.console import Console

    plans = [plan for plan in planned("table1", "smoke") if plan.row.startswith("mlp_1x512")]
    jobs = jobs_of(plans, tmp_path)
    view = display.Live(tmp_path)
    view.begin(jobs, Slots(2, 1))
    for job in jobs[:2]:
        job.stage = STARTED
    jobs[0].run_dir.mkdir()
    line = {"epoch": 1, "loss": 2.5, "accuracy": 0.125, "timing": {"images_per_second": 1234.5}}
    results.append_history(jobs[0].run_dir, line)
    view.tick(jobs)
    view.end()
    console = Console(width=120, record=True, file=open(os.devnull, "w"))
    console.print(view.table(jobs))
    text = console.export_text()
    assert "0 of 3 ended; time unknown: 3 runs " in text
    rows = [line for line in text.splitlines() if " table1 " in line]
    assert len(rows) == 2
    words = [cell.strip() for cell in rows[0].split("│")[1:-1]]
    assert words == ["table1 mlp_1x512_random seed 0", "1/2", "2.5000", "12.50%", "-", "1234", "-"]
    assert [cell.strip() for cell in rows[1].split("│")[2:-1]] == ["0/2", "-", "-", "-", "-", "-"]


def test_what_is_no_training_has_no_epoch(tmp_path, monkeypatch):
    (job,) = jobs_of(planned("table3", "smoke", only="cifar10_none"), tmp_path)
    monkeypatch.setattr(display, "TOLD_EVERY", -1.0)
    said = []
    view = display.Plain(tmp_path, said.append)
    view.begin([job], Slots(1, 1))
    job.stage = STARTED
    view.tick([job])
    assert said[-1].startswith("0 of 1 ended; table3 cifar10_none seed 0; ")


def test_a_silent_run_is_named_with_what_can_be_done(tmp_path, monkeypatch):
    said = []
    (job, *_) = jobs_of(
        planned("table1", "smoke", runs_dir=tmp_path, only="mlp_1x512_true"), tmp_path
    )
    view = display.Plain(tmp_path, said.append)
    view.jobs = [job]
    view.silent(job, 750.0, 50.0, 4711)
    view.silent(job, 750.0, 50.0, None)
    for line, process in zip(
        said, ("process 4711; kill 4711 makes it save and stop; ", ""), strict=True
    ):
        assert line == (
            f"[1/1] SILENT   {job.name}  no progress for {display.duration(750.0)}; one "
            f"epoch usually takes {display.duration(50.0)}; {process}{job.log}"
        )

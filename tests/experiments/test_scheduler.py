"""The course of a sweep, with an executor that only says how runs end."""

import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest
from report_runs import write_run

from rethink_tf.errors import StorageError
from rethink_tf.experiments.plan import planned
from rethink_tf.experiments.sweep import scheduler
from rethink_tf.experiments.sweep.jobs import jobs_of
from rethink_tf.runs import results
from rethink_tf.storage import files, temporaries


class Told:
    """An executor and a view: what was asked of them, in order."""

    def __init__(self, codes=(), slots=2, on_start=lambda job: None):
        self.codes, self.count, self.on_start = dict(codes), slots, on_start
        self.threads, self.description = 1, "told"
        self.running, self.events, self.stopped = [], [], None
        self.side_by_side = 0

    def free(self):
        return self.count - len(self.running)

    def start(self, job, argv, threads, log):
        self.running.append(job)
        self.side_by_side = max(self.side_by_side, len(self.running))
        self.argv = argv
        self.on_start(job)

    def poll(self):
        ended, self.running = self.running, []
        codes = [self.codes.get(job.plan.row, 0) for job in ended]
        codes = [code.pop(0) if isinstance(code, list) else code for code in codes]
        return list(zip(ended, codes, strict=True))

    def stop(self, signum):
        self.stopped = signum

    def begin(self, jobs, executor):
        assert executor is self

    def started(self, job):
        self.events.append(f"started {job.plan.row}")

    def elsewhere(self, job):
        self.events.append(f"elsewhere {job.plan.row}")

    def ended(self, job):
        self.events.append(f"{job.code} {job.plan.row}")

    def stopping(self, count):
        self.events.append(f"stopping {count}")

    def tick(self, jobs):
        pass

    def usual_epoch(self, job):
        return 1.0

    def pid(self, job):
        return 4711

    def silent(self, job, seconds, usual, pid):
        self.events.append(f"silent {job.plan.row} {usual} {pid}")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(scheduler, "TICK", 0.0)
    monkeypatch.setattr(scheduler, "BUSY", 0.0)


def rows(runs_dir, *names, experiment="table1"):
    plans = [p for p in planned(experiment, "smoke", runs_dir=runs_dir) if p.row in names]
    first = plans[0].axes  # of a transfer's rates one is enough
    return jobs_of([plan for plan in plans if plan.axes == first], runs_dir)


MLPS = ("mlp_1x512_random", "mlp_1x512_true", "mlp_1x512_true_wd")


def test_a_failing_run_ends_no_other(tmp_path):
    jobs, told = rows(tmp_path, *MLPS), Told({MLPS[0]: 6, MLPS[1]: -9})
    assert scheduler.drive(jobs, told, told, ["--runs_dir=there"]) is None
    assert [job.code for job in jobs] == [6, -9, 0]
    assert told.side_by_side == 2
    assert told.events[:2] == [f"started {MLPS[0]}", f"started {MLPS[1]}"]
    assert told.argv[-2:] == ["--runs_dir=there", "--threads=1"]
    assert told.argv[0].endswith("mlp_1x512_true_wd.flags")


def test_a_run_that_stops_answering_is_named_once(tmp_path, monkeypatch):
    monkeypatch.setattr("rethink_tf.experiments.sweep.watch.LEAST", 0.0)
    monkeypatch.setattr("rethink_tf.experiments.sweep.watch.EPOCHS", 0.0)
    jobs, told, polls = rows(tmp_path, MLPS[0]), Told(), [[]] * 5

    def write(job):
        job.log.parent.mkdir()
        job.log.touch()

    told.on_start, poll = write, told.poll
    told.poll = lambda: polls.pop() if polls else poll()
    scheduler.drive(jobs, told, told, [])
    named = f"silent {MLPS[0]} 1.0 4711"
    assert told.events == [f"started {MLPS[0]}", named, f"0 {MLPS[0]}"]


def test_each_sweep_has_logs_of_its_own_and_removes_those_of_ended_ones(tmp_path):
    (job,) = rows(tmp_path, MLPS[0])
    job.log.parent.mkdir()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    begin, here = job.log.parent / job.plan.run_id, temporaries.machine()
    old, other = f"{begin}.{here}-{ended.pid}.log", f"{begin}.{here}-{os.getppid()}.log"
    there = f"{begin}.{'0' * 8}-{ended.pid}.log"
    for path in (old, other, there, job.log):
        Path(path).write_text("said")
    job.remove_old_logs()
    assert set(map(str, job.log.parent.iterdir())) == {other, there, str(job.log)}
    assert job.log.name == f"{job.plan.run_id}.{here}-{os.getpid()}.log"


def test_what_is_done_is_not_started(tmp_path):
    jobs, told = rows(tmp_path, *MLPS), Told()
    write_run(tmp_path, jobs[1].plan.config)
    scheduler.drive(jobs, told, told, [])
    assert [job.before for job in jobs] == [False, True, False]
    assert sorted(told.events) == sorted(
        f"{what} {row}" for what in ("started", 0) for row in (MLPS[0], MLPS[2])
    )


def test_a_run_that_another_process_trains_is_waited_for(tmp_path):
    jobs, told = rows(tmp_path, MLPS[0]), Told({MLPS[0]: [5, 5, 0]})
    scheduler.drive(jobs, told, told, [])
    started = f"started {MLPS[0]}"
    assert told.events == [started, f"elsewhere {MLPS[0]}", started, started, f"0 {MLPS[0]}"]


def test_a_run_that_is_locked_is_not_started(tmp_path, monkeypatch):
    jobs, told, states = rows(tmp_path, MLPS[0]), Told(), ["missing", "running", "running"]

    def state(run_dir):
        if states:
            return states.pop(0)
        if not run_dir.exists():
            write_run(tmp_path, jobs[0].plan.config)
        return "done"

    monkeypatch.setattr("rethink_tf.experiments.sweep.jobs.state", state)
    scheduler.drive(jobs, told, told, [])
    assert told.events == [f"elsewhere {MLPS[0]}", f"0 {MLPS[0]}"]
    assert jobs[0].code == 0 and not jobs[0].before


def test_an_unfinished_run_keeps_its_threads(tmp_path):
    jobs, told = rows(tmp_path, MLPS[0]), Told()
    jobs[0].run_dir.mkdir()
    files.write_json(jobs[0].run_dir / results.CONFIG, {"threads": 3})
    scheduler.drive(jobs, told, told, [])
    assert told.argv[-1] == "--threads=3"


def trained(job):
    """As if the run had been trained."""
    if job.parent is None and job.plan.experiment == "levels":
        write_run(job.runs_dir, job.plan.config, weights_hash="abc")


def test_a_transfer_starts_after_its_parent(tmp_path):
    jobs = rows(tmp_path, "labels_100", "original", experiment="transfer")
    told = Told(on_start=trained, slots=4)
    scheduler.drive(jobs, told, told, [])
    assert [job.code for job in jobs] == [0, 0, 0, 0]
    assert told.side_by_side == 2
    assert told.events[:2] == ["started labels_100", "started original"]
    children = [job for job in jobs if job.parent]
    assert all(job.plan.run_id for job in children)
    assert told.events.count("started labels_100") == 2


def test_a_transfer_whose_parent_fails_is_not_started(tmp_path):
    jobs, told = rows(tmp_path, "labels_100", experiment="transfer"), Told({"labels_100": 4})
    scheduler.drive(jobs, told, told, [])
    assert [job.code for job in jobs] == [4, 4]
    assert jobs[1].why == "its parent failed: levels labels_100 seed 0"
    assert told.events == ["started labels_100", "4 labels_100", "4 labels_100"]


@pytest.mark.parametrize("signum, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_the_runs(tmp_path, signum, code):
    jobs = rows(tmp_path, *MLPS)
    told = Told(on_start=lambda job: os.kill(os.getpid(), signum), slots=1)
    told.poll = types.MethodType(lambda self: [], told)
    before = signal.getsignal(signum)
    assert scheduler.drive(jobs, told, told, []) == code
    assert told.stopped == signum
    assert told.events == [f"started {MLPS[0]}", "stopping 1"]
    assert signal.getsignal(signum) is before


def test_an_error_of_the_sweep_itself_stops_the_runs(tmp_path):
    def full(job):
        raise StorageError("no space")

    jobs, told = rows(tmp_path, *MLPS), Told(on_start=full)
    with pytest.raises(StorageError, match="no space"):
        scheduler.drive(jobs, told, told, [])
    assert told.stopped == signal.SIGTERM

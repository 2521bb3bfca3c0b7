"""Runs as processes: their cores, GPUs and threads, and that they end with whoever started them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from quick_command import TRIAL

from rethink_tf.experiments.plan import EXPERIMENTS, planned
from rethink_tf.experiments.sweep import local as slots
from rethink_tf.experiments.sweep.jobs import jobs_of
from rethink_tf.experiments.sweep.local import Slots
from rethink_tf.runs import results

SUPPORT = Path(__file__).resolve().parents[1] / "support"


@pytest.fixture
def trial(monkeypatch, tmp_path):
    """A function from what runs do to their jobs."""
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))

    def jobs(*what):
        import dataclasses

        found = dataclasses.replace(TRIAL, axes={"do": " ".join(what)})
        monkeypatch.setitem(EXPERIMENTS, "trial", found)
        return jobs_of(planned("trial"), tmp_path)

    return jobs


def wait(condition, seconds=300.0):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return found


def start(executor, job, runs_dir, threads=1):
    argv = [*job.plan.argv, f"--runs_dir={runs_dir}", f"--threads={threads}"]
    executor.start(job, argv, threads, job.log)


@pytest.mark.parametrize(
    "cores, count, shares",
    [
        ([0, 1], 1, [[0, 1]]),
        ([0, 1], 2, [[0], [1]]),
        ([0, 1], 3, [[0], [1], [0]]),
        ([2, 3, 5, 7, 8], 2, [[2, 3], [5, 7, 8]]),
    ],
)
def test_cores_are_shared_out(cores, count, shares):
    assert slots.share_out(cores, count) == shares


def test_default_slots():
    assert [slots.default_slots(cores, 0) for cores in (1, 2, 8)] == [1, 1, 4]
    assert slots.default_slots(64, 8) == 8


def test_gpus_as_they_are_visible(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert slots.visible_gpus() == ["3", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert slots.visible_gpus() == []


def test_gpus_as_the_driver_lists_them(monkeypatch, tmp_path):
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: x)'\necho 'GPU 1: A (UUID: y)'\n")
    smi.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert slots.visible_gpus() == ["0", "1"]


def test_gpus_are_shared_by_slots():
    executor = Slots(4, 1, ["0", "1"])
    assert executor.gpus == ["0", "1", "0", "1"]
    assert executor.description == "4 slots of 1 thread, 2 runs a GPU"


def test_runs_side_by_side(trial, tmp_path):
    jobs, executor = trial("finish", "fail"), Slots(2, 0, ["7"])
    for job in jobs:
        start(executor, job, tmp_path)
    assert executor.free() == 0
    ended = []
    wait(lambda: ended.extend(executor.poll()) or len(ended) == 2)
    assert executor.free() == 2
    assert {job.plan.axes["do"]: code for job, code in ended} == {"finish": 0, "fail": 6}
    given = results.read_summary(jobs[0].run_dir)["given"]
    cores = sorted(os.sched_getaffinity(0))
    assert given == {
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "7",
        "threads": "1",
        "cores": slots.share_out(cores, 2)[0],
    }
    assert jobs[1].log.read_text() == "one line\n\nthe last line\n"


def test_signalled_runs_are_waited_for(trial, tmp_path):
    (job,), executor = trial("slow"), Slots(1, 1)
    start(executor, job, tmp_path)
    wait((job.run_dir / results.CONFIG).exists)
    executor.stop(signal.SIGINT)
    assert (job.run_dir / "stopped").read_text() == str(int(signal.SIGINT))
    assert executor.free() == 1


def test_a_run_that_answers_no_signal_is_killed(trial, tmp_path, monkeypatch):
    monkeypatch.setattr(slots, "PATIENCE", 0.2)
    (job,), executor = trial("slow"), Slots(1, 1)
    start(executor, job, tmp_path)
    wait((job.run_dir / results.CONFIG).exists)
    ((_, process),) = executor.running.values()
    os.kill(process.pid, signal.SIGSTOP)
    executor.stop(signal.SIGTERM)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a process of its parent's end"
)
def test_a_run_ends_with_the_process_that_started_it(trial, tmp_path):
    (job,) = trial("slow")
    argv = [*job.plan.argv, f"--runs_dir={tmp_path}", "--threads=1"]
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from rethink_tf.experiments.sweep import process\n"
        "process.start('quick_command', sys.argv[2:], Path(sys.argv[1])); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(job.log), *argv])
    wait((job.run_dir / results.CONFIG).exists)
    parent.kill()
    parent.wait()
    wait((job.run_dir / "stopped").exists)
    assert (job.run_dir / "stopped").read_text() == str(int(signal.SIGTERM))


def test_a_run_whose_parent_is_gone_does_not_begin(tmp_path):
    command = [
        sys.executable,
        "-m",
        "rethink_tf.experiments.sweep.process",
        "1",
        "-",
        "quick_command",
        "--do=finish",
    ]
    assert subprocess.run(command, env=os.environ | {"PYTHONPATH": str(SUPPORT)}).returncode == 143
    assert not list(tmp_path.iterdir())

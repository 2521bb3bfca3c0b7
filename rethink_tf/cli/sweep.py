"""Trains what is missing of tables and figures: python -m rethink_tf.cli.sweep table1 figure1b

Each run is a process of its own; a run that fails ends no other, and the same command goes on.
Imports no TensorFlow.
"""

import argparse
import math
import sys
from collections import Counter
from pathlib import Path

from rethink_tf.config.arguments import Parser
from rethink_tf.console import counted, duration, say
from rethink_tf.data import registry as datasets
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.experiments.plan import EXPERIMENTS, SCALES, planned, require_rows, rows, setting
from rethink_tf.experiments.sweep import display
from rethink_tf.experiments.sweep import local as slots
from rethink_tf.experiments.sweep import ray as ray_tasks
from rethink_tf.experiments.sweep.jobs import ENDED, Job, jobs_of
from rethink_tf.experiments.sweep.scheduler import drive
from rethink_tf.runs import results
from rethink_tf.runs.status import DAMAGED, INCOMPLETE, MISSING, RUNNING
from rethink_tf.training import run as train
from rethink_tf.training.devices import setup as devices

EXECUTORS = ("local", "ray")
LAST_LINES = 6
_TIME_LEFT = """
The time left comes from runs in RUNS_DIR: their rates, and what each took besides (data,
compiling). Not counted, since no run records it: the start of Python and TensorFlow, some seconds.
"""
MOST_TASKS = 1000


def _parser() -> Parser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser("rethink_tf.cli.sweep", __doc__, formatter_class=raw, epilog=_TIME_LEFT)
    add = parser.add_argument
    add("names", nargs="*", metavar="EXPERIMENT", help="such as table1; --list names them")
    add("--list", action="store_true", help="list the experiments and stop")
    add("--all", action="store_true", help="all experiments whose flagfiles are here")
    add("--dry_run", action="store_true", help="list the runs, their state, the time left; stop")
    add("--seeds", type=int, default=1, help="runs of each row: seeds 0, 1, ... [1]")
    add("--scale", default="paper", choices=SCALES, help="epochs, examples, evaluations [paper]")
    add("--runs_dir", default="runs", help="folder of the runs [runs]")
    add("--data_dir", help="as of rethink_tf.main")
    add("--cache_dir", help="as of rethink_tf.main")
    add("--checkpoint_every", type=int, help="as of rethink_tf.main")
    add("--executor", default="local", choices=EXECUTORS,
        help="this machine, or Ray: a cluster on loopback, or that of RAY_ADDRESS, whose ports a "
        "firewall must keep others out of [local]")  # fmt: skip
    add("--slots", type=int, default=0,
        help="runs side by side, on this machine [one a GPU, or for two cores]")  # fmt: skip
    add("--threads", type=int, default=0, help="of each run [the cores of its slot; Ray: 1]")
    add("--gpus_per_run", type=float, help="with Ray: a fraction shares a GPU [1 if there are any]")
    add("--rows", default="*", metavar="PATTERN", help="only these flagfiles, such as mlp_* [all]")
    add("--shard", default="0/1", help="i/n: the i-th part of n, i from 0 [0/1]")
    return parser


def main(argv: list[str]) -> int:
    """The command; returns its exit code."""
    if "--help" in argv:
        say(_parser().format_help().rstrip())
        return ExitCode.DONE
    asked = _parser().parse_args(argv)
    if asked.list:
        say(listing())
        return ExitCode.DONE
    jobs = _jobs(asked)
    if asked.dry_run:
        say(states(jobs, asked))
        return ExitCode.DONE
    _require_data(jobs, asked.data_dir)
    flags = [f"--runs_dir={asked.runs_dir}"]
    for name in ("data_dir", "cache_dir", "checkpoint_every"):
        if getattr(asked, name) is not None:
            flags.append(f"--{name}={getattr(asked, name)}")
    executor = _executor(asked)
    view = display.choose(Path(asked.runs_dir))
    try:
        stopped = drive(jobs, executor, view, flags)
    finally:
        view.end()
        executor.close()
    say(verdict(jobs))
    if stopped is not None:
        return stopped
    codes = [job.code for job in jobs if job.failed]
    # A signal that was not sent from here: somebody, or the kernel for want of memory.
    return next((code if code > 0 else ExitCode.TERMINATED for code in codes), ExitCode.DONE)


def _jobs(asked) -> list[Job]:
    names = list(dict.fromkeys(asked.names))
    if asked.all:
        problems = {name: _problem(name) for name in EXPERIMENTS}
        names = [name for name, problem in problems.items() if problem is None]
        for problem in filter(None, problems.values()):
            say(f"left out: {problem}")
    if not names:
        raise RequestError(f"expected experiments, such as table1; --list names all "
                           f"{len(EXPERIMENTS)}, --all runs them")  # fmt: skip
    require_rows(names, asked.rows)
    for name, low in (("slots", 0), ("threads", 0), ("checkpoint_every", 0)):
        value = getattr(asked, name)
        if value is not None and not low <= value <= 1_000_000:
            raise RequestError(f"--{name}: expected a whole number from {low}, received {value}")
    _check_executor(asked)
    plans = [
        plan
        for name in names
        for plan in planned(
            name, asked.scale, asked.seeds, runs_dir=asked.runs_dir, only=asked.rows
        )
    ]
    return jobs_of(plans, Path(asked.runs_dir), shard(asked.shard))


def shard(text: str) -> tuple[int, int]:
    """(i, n) of --shard=i/n; RequestError where it is none."""
    part, _, count = text.partition("/")
    if part.isdecimal() and count.isdecimal() and len(text) < 20 and int(part) < int(count):
        return int(part), int(count)
    raise RequestError(f"--shard: expected i/n with i from 0 to n - 1, received {text}")


def _check_executor(asked) -> None:
    """Refuses flags that the executor would not heed, and shares that no GPU has."""
    gpus = asked.gpus_per_run
    if asked.executor == "ray" and asked.slots:
        raise RequestError("--slots: expected none with --executor=ray, which runs what fits; "
                           "--threads and --gpus_per_run say what a run takes")  # fmt: skip
    if asked.executor != "ray" and gpus is not None:
        raise RequestError("--gpus_per_run: expected --executor=ray with it; --slots shares GPUs")
    if gpus is not None and not (math.isfinite(gpus) and (0 <= gpus <= 1 or gpus == int(gpus) > 0)):
        raise RequestError(
            f"--gpus_per_run: expected a share from 0 to 1, or whole GPUs, received {gpus:g}"
        )


def _executor(asked):
    if asked.executor == "ray":
        return ray_tasks.RayTasks(asked.threads or 1, asked.gpus_per_run, MOST_TASKS)
    gpus = slots.visible_gpus()
    return slots.Slots(_slots(asked, gpus), asked.threads, gpus)


def _slots(asked, gpus: list[str]) -> int:
    return asked.slots or slots.default_slots(devices.cores(), len(gpus))


def _require_data(jobs, data_dir) -> None:
    """Refuses, once and before anything is trained, data sets that are not there, and finished
    runs on another part of a set than is."""
    needed = set()
    for job in jobs:
        name, state = setting(job.plan.config, "dataset"), job.state()
        if state in (MISSING, INCOMPLETE, RUNNING):
            needed.add(name)
        elif state != DAMAGED:
            summary = results.read_summary(job.run_dir)
            train.refuse_other_images(name, summary, job.run_dir, data_dir)
    for name in sorted(needed - {None}):
        datasets.require(name, data_dir)


def _problem(name: str) -> str | None:
    try:
        rows(name)
    except RequestError as error:
        return str(error)
    return None


def listing() -> str:
    """All experiments: number of runs, title."""
    lines = []
    for name, found in EXPERIMENTS.items():
        problem = _problem(name)
        count = "not here" if problem else counted(len(planned(name)), "run")
        lines.append(f"{name:<15} {count:>8}  {problem or found.title}")
    return "\n".join(lines)


def states(jobs: list[Job], asked) -> str:
    """Each run with its state and the time that it still takes, and all of them in a line."""
    count = _slots(asked, slots.visible_gpus())
    clock = display.Clock(Path(asked.runs_dir), jobs, count, asked.threads)
    found = Counter()
    lines = [f"{'state':<10} {'left':>7}  {'run':<28} what"]
    for job in jobs:
        state = job.settle() if job.plan.run_id else job.state()
        found[state] += 1
    total = clock.left(jobs)
    for job in jobs:
        left = None if job.stage == ENDED else clock.of(job)
        named = job.plan.run_id or f"(waits for {job.plan.parent.run_id})"
        shown = "-" if left is None else duration(left)
        lines.append(f"{job.state():<10} {shown:>7}  {named:<28} {job.name}")
    parts = [", ".join(f"{number} {state}" for state, number in found.items())] if jobs else []
    place = f"{counted(count, 'slot')}{' of this machine' * (asked.executor == 'ray')}"
    parts.append(f"{display.words(*total)} on {place}")
    lines.append(f"{counted(len(jobs), 'run')} at scale {asked.scale}: {'; '.join(parts)}")
    return "\n".join(lines)


def verdict(jobs: list[Job]) -> str:
    """What became of the runs; of each that failed the exit code and the end of its log."""
    failed = [job for job in jobs if job.failed]
    done = sum(job.stage == ENDED and not job.failed for job in jobs)
    lines = [f"{counted(len(jobs), 'run')}: {done} done, {len(failed)} failed, "
             f"{len(jobs) - done - len(failed)} left"]  # fmt: skip
    for job in failed:
        lines.append(f"{job.name}: {display.outcome(job)}{'; ' + job.why if job.why else ''}")
        if not job.before and job.began:
            lines.append(f"  {job.log} ends:")
            lines += [f"    {line}" for line in _end_of(job.log)]
    return "\n".join(lines)


def _end_of(log: Path) -> list[str]:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError as error:
        return [f"cannot be read: {error.strerror}"]
    return [line for line in lines if line.strip()][-LAST_LINES:]


if __name__ == "__main__":
    from rethink_tf.main import guarded

    sys.exit(guarded(main, sys.argv[1:]))

"""Trains what is missing of tables and figures: rethink-tf sweep table1 figure1b

Each run is a process of its own; a run that fails ends no other, and the same command resumes.
Imports no TensorFlow.
"""

import dataclasses
from collections import Counter
from pathlib import Path

from rethink_tf import environment
from rethink_tf.config import fields
from rethink_tf.config.command_line import CommandLine, Parsed
from rethink_tf.config.run_config import PRECISIONS, check_field
from rethink_tf.console import counted, duration, say
from rethink_tf.data import registry as datasets
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.experiments import rates
from rethink_tf.experiments.plan import (
    CHANGEABLE,
    EXPERIMENTS,
    SCALES,
    experiment,
    planned,
    require_rows,
    rows,
    setting,
)
from rethink_tf.experiments.sweep import display
from rethink_tf.experiments.sweep import local as slots
from rethink_tf.experiments.sweep import ray as ray_tasks
from rethink_tf.experiments.sweep.jobs import ENDED, Job, jobs_of
from rethink_tf.experiments.sweep.scheduler import drive
from rethink_tf.narrowing import present
from rethink_tf.runs import results
from rethink_tf.runs.status import DAMAGED, INCOMPLETE, MISSING, RUNNING
from rethink_tf.storage import files
from rethink_tf.training import run as train

EXECUTORS = ("local", "ray")
LAST_LINES = 6
MOST_TASKS = 1000


_GROUP = "This command"
_RUNS = "Of every run"


@dataclasses.dataclass(frozen=True)
class Flags:
    """Which runs, how many side by side, and where."""

    list: bool = fields.field(False, bool, "list the experiments and stop", group=_GROUP)
    all: bool = fields.field(
        False,
        bool,
        "all experiments that have flagfiles",
        group=_GROUP,
    )
    dry_run: bool = fields.field(
        False,
        bool,
        "list the runs, their state and the time left, then stop",
        group=_GROUP,
    )
    seeds: int = fields.field(
        1,
        int,
        "number of runs of each row, with seeds 0 to N - 1",
        group=_GROUP,
        low=1,
        high=1000,
    )
    scale: str = fields.field(
        "paper",
        str,
        "size of the runs: epochs, examples and evaluations",
        group=_GROUP,
        choices=SCALES,
    )
    precision: str | None = fields.field(
        None,
        str,
        "precision in place of the row's; reports include such runs and mark them",
        group=_GROUP,
        choices=PRECISIONS,
        by="the row's",
    )
    eval_every: int | None = fields.field(
        None,
        int,
        "evaluate after every N-th epoch, in place of the row's; reports mark such runs too",
        group=_GROUP,
        low=1,
        high=1_000_000,
        by="the row's",
    )
    rows: str = fields.field(
        "*",
        str,
        "use only the flagfiles that match this pattern, such as mlp_*",
        group=_GROUP,
        by="all",
    )
    shard: str = fields.field(
        "0/1",
        str,
        "i/n: do the i-th of n parts; i starts at 0",
        group=_GROUP,
    )
    executor: str = fields.field(
        "local",
        str,
        "local: this machine. ray: the cluster at RAY_ADDRESS, whose ports a firewall must "
        "protect; without RAY_ADDRESS a new cluster on this machine, on loopback",
        group=_GROUP,
        choices=EXECUTORS,
    )
    slots: int = fields.field(
        0,
        int,
        "number of runs at the same time on this machine",
        group=_GROUP,
        low=0,
        high=1_000_000,
        by="one per GPU, or one per two cores",
    )
    gpus_per_run: float | None = fields.field(
        None,
        float,
        "with Ray: GPUs for each run; a fraction shares a GPU",
        group=_GROUP,
        low=0.0,
        high=10**6,
        by="1 if there is a GPU",
    )
    runs_dir: str = fields.field("runs", str, "folder of the runs", group=_RUNS)
    data_dir: str | None = fields.field(
        None,
        str,
        "folder of data sets prepared by TFDS",
        group=_RUNS,
        by="TFDS_DATA_DIR, else ~/tensorflow_datasets",
    )
    cache_dir: str | None = fields.field(
        None,
        str,
        "folder that caches decoded data sets",
        group=_RUNS,
        by="~/.cache/rethink_tf",
    )
    checkpoint_every: int | None = fields.field(
        None,
        int,
        "epochs between checkpoints",
        group=_RUNS,
        low=0,
        high=1_000_000,
        by="5",
    )
    threads: int = fields.field(
        0,
        int,
        "threads of each run",
        group=_RUNS,
        low=0,
        high=4096,
        by="the number of cores per slot; Ray: 1",
    )


LINE = CommandLine(
    "rethink-tf sweep",
    """
    Trains the missing runs of tables and figures. Each run is a separate process. A run that fails
    does not stop the others. The same command resumes.

    The time left is estimated from the runs in RUNS_DIR. For a type of run that is not there yet,
    --dry_run assumes rates of two cores of a server in float32, and marks the time with ~. The
    start of Python and TensorFlow, some seconds per run, is not counted.
    """,
    (Flags,),
    positionals="[EXPERIMENT ...]",
    positionals_help="EXPERIMENT: such as table1; --list names them",
)


def main(argv: list[str]) -> int:
    """The command; returns its exit code."""
    return LINE.run(argv, _sweep)


def _sweep(parsed: Parsed) -> int:
    asked = parsed[Flags]
    if asked.list:
        for name in parsed.positionals:
            experiment(name)  # refuses an unknown name
        say(listing())
        return ExitCode.DONE
    runs_dir = Path(asked.runs_dir)
    if runs_dir.exists() and not runs_dir.is_dir():
        raise RequestError(f"--runs_dir={runs_dir}: expected a folder, it is a file")
    jobs = _jobs(parsed.positionals, asked)
    if asked.dry_run:
        say(states(jobs, asked))
        return ExitCode.DONE
    files.require_writable_folder(runs_dir)
    _require_data(jobs, asked.data_dir)
    flags = [f"--runs_dir={asked.runs_dir}"]
    for name in ("data_dir", "cache_dir", "checkpoint_every"):
        if getattr(asked, name) is not None:
            flags.append(f"--{name}={getattr(asked, name)}")
    executor = _executor(asked)
    view = display.choose(runs_dir)
    try:
        stopped = drive(jobs, executor, view, flags)
    finally:
        view.end()
        executor.close()
    say(verdict(jobs))
    if stopped is not None:
        say("stopped; the same command resumes")
        return stopped
    codes = [job.code for job in jobs if job.failed and job.code is not None]
    # A negative code is a signal from elsewhere: a user, or the kernel when memory runs out.
    return next((code if code > 0 else ExitCode.TERMINATED for code in codes), ExitCode.DONE)


def _jobs(words: tuple[str, ...], asked: Flags) -> list[Job]:
    names = list(dict.fromkeys(words))
    if asked.all:
        problems = {name: _problem(name) for name in EXPERIMENTS}
        names = [name for name, problem in problems.items() if problem is None]
        for problem in filter(None, problems.values()):
            say(f"left out: {problem}")
    if not names:
        raise RequestError(
            f"expected experiments, such as table1; --list names all "
            f"{len(EXPERIMENTS)}, --all runs them"
        )
    require_rows(names, asked.rows, asked.scale)
    _check_executor(asked)
    changes = {
        name: check_field(name, getattr(asked, name))
        for name in CHANGEABLE
        if getattr(asked, name) is not None
    }
    plans = [
        plan
        for name in names
        for plan in planned(
            name,
            asked.scale,
            asked.seeds,
            runs_dir=asked.runs_dir,
            only=asked.rows,
            changes=changes,
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
        raise RequestError(
            "--slots: expected none with --executor=ray, which starts as many runs as fit; "
            "--threads and --gpus_per_run set the resources of a run"
        )
    if asked.executor != "ray" and gpus is not None:
        raise RequestError("--gpus_per_run: expected --executor=ray with it; --slots shares GPUs")
    if gpus is not None and not (0 <= gpus <= 1 or gpus == int(gpus)):
        raise RequestError(
            f"--gpus_per_run: expected a share from 0 to 1, or whole GPUs, received {gpus:g}"
        )


def _executor(asked):
    if asked.executor == "ray":
        return ray_tasks.RayTasks(asked.threads or 1, asked.gpus_per_run, MOST_TASKS)
    gpus = slots.visible_gpus()
    return slots.Slots(_slots(asked, gpus), asked.threads, gpus)


def _slots(asked, gpus: list[str]) -> int:
    return asked.slots or slots.default_slots(environment.cores(), len(gpus))


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
    for name, design in EXPERIMENTS.items():
        problem = _problem(name)
        count = "not here" if problem else counted(len(planned(name)), "run")
        lines.append(f"{name:<15} {count:>8}  {problem or design.title}")
    return "\n".join(lines)


def states(jobs: list[Job], asked) -> str:
    """Each run with its state and the time that it still takes, and all of them in a line."""
    count = _slots(asked, slots.visible_gpus())
    clock = display.Clock(Path(asked.runs_dir), jobs, count, asked.threads)
    counts: Counter[str] = Counter()
    lines = [f"{'state':<10} {'left':>7}  {'run':<28} what"]
    for job in jobs:
        state = job.settle() if job.plan.run_id else job.state()
        counts[state] += 1
    total, assumed = clock.left(jobs), []
    for job in jobs:
        left = None if job.stage == ENDED else clock.seconds_of(job)
        parent = job.plan.parent
        named = job.plan.run_id or f"(waits for {present(parent, 'a parent').run_id})"
        shown = "-" if left is None else duration(left)
        guess = rates.seconds_assumed(job.plan.config, job.epochs_done())
        if left is None and guess is not None and job.stage != ENDED:
            assumed.append(guess)
            shown = f"~{duration(guess)}"
        lines.append(f"{job.state():<10} {shown:>7}  {named:<28} {job.name}")
    if assumed:
        lines.append(
            f"~ is not measured: {counted(len(assumed), 'run')} would take about "
            f"{duration(sum(assumed))} one after the other, at the speed assumed for two cores of "
            "a server, in float32"
        )
    parts = [", ".join(f"{number} {state}" for state, number in counts.items())] if jobs else []
    place = f"{counted(count, 'slot')}{' of this machine' * (asked.executor == 'ray')}"
    parts.append(f"{display.time_left(*total)} on {place}")
    lines.append(f"{counted(len(jobs), 'run')} at scale {asked.scale}: {'; '.join(parts)}")
    return "\n".join(lines)


def verdict(jobs: list[Job]) -> str:
    """What became of the runs; of each that failed the exit code and the end of its log."""
    failed = [job for job in jobs if job.failed]
    done = sum(job.stage == ENDED and not job.failed for job in jobs)
    lines = [
        f"{counted(len(jobs), 'run')}: {done} done, {len(failed)} failed, "
        f"{len(jobs) - done - len(failed)} left"
    ]
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

"""What a sweep shows while it runs: a live table on a terminal, plain lines elsewhere.

Imports no TensorFlow.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rethink_tf.console import counted, duration, say
from rethink_tf.errors import ExitCode, StorageError
from rethink_tf.experiments import rates
from rethink_tf.experiments.sweep.jobs import ENDED, STARTED, Job
from rethink_tf.narrowing import present
from rethink_tf.printable import printable
from rethink_tf.runs import results

MEASURED_EVERY = 60.0  # seconds between measurements of the rates
TOLD_EVERY = 60.0  # seconds between lines of progress where the output is no terminal


class Clock:
    """The time that a sweep still takes, from rates measured in its own runs folder."""

    def __init__(self, runs_dir: Path, jobs: Sequence[Job], slots: int, threads: int):
        self.runs_dir, self.slots, self.threads = runs_dir, max(1, slots), threads
        models = (getattr(job.plan.config, "model", None) for job in jobs)
        self.models: set[str] = {model for model in models if model is not None}
        self.measured_at = float("-inf")

    def left(self, jobs: Sequence[Job]) -> tuple[float, int]:
        """Seconds until all jobs are done, and how many could not be counted."""
        if time.monotonic() - self.measured_at > MEASURED_EVERY:
            self.rates = rates.measure(self.runs_dir, self.models, self.threads)
            self.measured_at = time.monotonic()
        open_jobs = [job for job in jobs if job.stage != ENDED]
        times = [self.seconds_of(job) for job in open_jobs]
        known = [seconds for seconds in times if seconds is not None]
        # A run uses one slot, so the longest one is a lower bound.
        seconds = max([sum(known) / self.slots, *known], default=0.0)
        return seconds, len(times) - len(known)

    def seconds_of(self, job: Job) -> float | None:
        """Seconds that one job still takes by itself; None: no such run was measured."""
        return rates.seconds_left(job.plan.config, self.rates, job.epochs_done())


def time_left(seconds: float, unknown: int) -> str:
    """The time left as text."""
    if not unknown:
        return f"about {duration(seconds)} left"
    them = f"{counted(unknown, 'run')} of types not measured here yet"
    return f"about {duration(seconds)} left, and {them}" if seconds else f"time unknown: {them}"


def outcome(job: Job) -> str:
    """How a job ended, in words."""
    if job.code == ExitCode.DONE:
        return _accuracies(job)
    code = present(job.code, "the exit code of a job that has ended")
    if code < 0:
        return f"killed by signal {-code}"
    known = code in list(ExitCode)
    return f"exit code {int(code)}{' ' + ExitCode(code).name if known else ''}"


def _accuracies(job: Job) -> str:
    try:
        summary = results.read_summary(present(job.run_dir, "a run directory")) or {}
    except StorageError as error:
        return str(error)
    pairs = [(name, summary.get(f"{name}_accuracy")) for name in ("train", "test")]
    return "  ".join(f"{name} {100 * value:.2f}" for name, value in pairs if value is not None)


def last_line(job: Job) -> dict[str, Any]:
    """The last epoch of a running job's history; empty before the first."""
    try:
        lines = results.read_history(present(job.run_dir, "a run directory"))
    except StorageError:
        return {}
    return lines[-1] if lines else {}


def _epoch(job: Job, before: str) -> str:
    """The epoch that a running job has reached; nothing for what is no training."""
    trains = hasattr(job.plan.config, "epochs")
    return f"{before}{last_line(job).get('epoch', 0)}" if trains else ""


class Plain:
    """A line at each start and end, and one of progress every minute."""

    def __init__(self, runs_dir: Path, tell: Callable[[str], None] = say):
        self.runs_dir, self.say = runs_dir, tell

    def begin(self, jobs: Sequence[Job], executor: Any) -> None:
        """Says what there is to do."""
        self.jobs = [job for job in jobs if job.stage != ENDED]
        self.clock = Clock(self.runs_dir, jobs, executor.count, executor.threads)
        self.queued = executor.queues  # with a queue it is not known when a run really starts
        before = len(jobs) - len(self.jobs)
        self.said_at = time.monotonic()
        self.say(
            f"{counted(len(jobs), 'run')}: {before} already ended, {len(self.jobs)} to do; "
            f"{executor.description}; {time_left(*self.clock.left(jobs))}"
        )

    def _place(self, job: Job) -> str:
        return f"[{self.jobs.index(job) + 1}/{len(self.jobs)}]"

    def started(self, job: Job) -> None:
        """Says that a run was started."""
        verb = "queued " if self.queued else "started"
        self.say(f"{self._place(job)} {verb}  {job.name}  {job.plan.run_id}")

    def elsewhere(self, job: Job) -> None:
        """Says that another process trains a run."""
        self.say(f"{self._place(job)} waits    {job.name}  another process trains it")

    def ended(self, job: Job) -> None:
        """Says how a run ended."""
        timed = job.began and not self.queued
        took = f"{duration(time.monotonic() - job.began)}  " if timed else ""
        done = "done   " if job.code == ExitCode.DONE else "FAILED "
        self.say(f"{self._place(job)} {done}  {job.name}  {took}{job.why or outcome(job)}")

    def tick(self, jobs: Sequence[Job]) -> None:
        """Says how far it is, every minute."""
        if time.monotonic() - self.said_at < TOLD_EVERY:
            return
        self.said_at = time.monotonic()
        running = [job for job in jobs if job.stage == STARTED]
        at = ", ".join(f"{job.name}{_epoch(job, ': epoch ')}" for job in running)
        ended = sum(job.stage == ENDED for job in jobs)
        parts = [f"{ended} of {len(jobs)} ended", at, time_left(*self.clock.left(jobs))]
        self.say("; ".join(part for part in parts if part))

    def usual_epoch(self, job: Job) -> float | None:
        """Seconds of an epoch by runs of the kind; None: not measured, or it is no training."""
        epochs = getattr(job.plan.config, "epochs", None)
        if not epochs:
            return None
        left = self.clock.seconds_of(job)
        return None if left is None else left / max(1, epochs - job.epochs_done())

    def silent(self, job: Job, seconds: float, usual: float, pid: int | None) -> None:
        """Names a run that has stopped answering, and what can be done."""
        process = f"process {pid}; kill {pid} makes it save and stop; " if pid else ""
        self.say(
            f"{self._place(job)} SILENT   {job.name}  no progress for {duration(seconds)}; one "
            f"epoch usually takes {duration(usual)}; {process}{job.log}"
        )

    def stopping(self, count: int) -> None:
        """Says that the runs are being stopped."""
        self.say(f"stopping {counted(count, 'run')}; the same command resumes")

    def end(self) -> None:
        """Nothing is left open."""


class Live(Plain):
    """The lines of `Plain`, and below them a table with a line for each running job."""

    def __init__(self, runs_dir: Path):
        from rich.console import Console
        from rich.live import Live as Display

        console = Console()
        # No thread of its own, since processes are started from this thread.
        self.display = Display(console=console, auto_refresh=False, transient=True)

        def tell(line: str) -> None:
            console.print(printable(line, lines=True), markup=False, highlight=False)

        super().__init__(runs_dir, tell)
        self.drawn_at = float("-inf")

    def begin(self, jobs, executor):
        """Starts the table."""
        super().begin(jobs, executor)
        self.display.start()

    def tick(self, jobs):
        """Draws the table anew, at most once a second."""
        if time.monotonic() - self.drawn_at >= 1.0:
            self.drawn_at = time.monotonic()
            self.display.update(self.table(jobs), refresh=True)

    def table(self, jobs: Sequence[Job]):
        """The running jobs, and what is left of the sweep, as a rich table."""
        from rich.table import Table
        from rich.text import Text

        ended = sum(job.stage == ENDED for job in jobs)
        failed = sum(job.failed for job in jobs)
        title = f"{ended} of {len(jobs)} ended" + (f", {failed} failed" if failed else "")
        table = Table(title=f"{title}; {time_left(*self.clock.left(jobs))}", title_justify="left")
        table.add_column("run")
        for name in ("epoch", "loss", "running", "test", "images/s", "left"):
            table.add_column(name, justify="right")
        for job in jobs:
            if job.stage == STARTED:
                table.add_row(Text(printable(job.name)), *self._cells(job))
        return table

    def _cells(self, job: Job) -> list[str]:
        line, left = last_line(job), self.clock.seconds_of(job)
        epochs = getattr(job.plan.config, "epochs", None)
        timing = line.get("timing") or {}
        cells = [(_epoch(job, "") or None, f"{{}}/{epochs}")]
        cells += [(line.get("loss"), "{:.4f}"), (line.get("accuracy"), "{:.2%}")]
        cells += [
            (line.get("test_accuracy"), "{:.2%}"),
            (timing.get("images_per_second"), "{:.0f}"),
        ]
        shown = ["-" if value is None else text.format(value) for value, text in cells]
        return [*shown, "-" if left is None else duration(left)]

    def stopping(self, count):
        """Ends the table, and says that the runs are being stopped."""
        self.display.stop()
        super().stopping(count)

    def end(self):
        """Ends the table."""
        self.display.stop()


def choose(runs_dir: Path) -> Plain:
    """The table on a terminal, else the lines."""
    return Live(runs_dir) if sys.stdout.isatty() else Plain(runs_dir)

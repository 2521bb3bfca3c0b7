"""The course of a sweep: starts what is ready, collects what has ended, stops cleanly.

An executor (`local.Slots`, `ray.RayTasks`) has `free()`, `start(job, argv, threads, log)`,
`poll()`, `stop(signum)`, `pid(job)`, `close()`, and `count`, `threads`, `words`, `queues` (whether
it is given more than it can run at once). Imports no TensorFlow.
"""

import functools
import signal
import time
from collections.abc import Sequence
from typing import Any

from rethink_tf.errors import ExitCode, StorageError
from rethink_tf.experiments.plan import TRAINING
from rethink_tf.experiments.sweep.jobs import ENDED, STARTED, WAITING, Job
from rethink_tf.experiments.sweep.watch import Watch
from rethink_tf.narrowing import present
from rethink_tf.runs import results
from rethink_tf.runs.status import RUNNING

TICK = 0.5  # seconds
BUSY = 2.0  # seconds between two looks at a run that another process trains
_CODES = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}


class Interrupt:
    """Notes SIGINT and SIGTERM in place of what they do otherwise; a context manager."""

    def __init__(self):
        self.signum: int | None = None

    def __enter__(self):
        self._before = {s: signal.signal(s, self._note) for s in _CODES}
        return self

    def _note(self, signum, _frame):
        self.signum = self.signum or signum

    def __exit__(self, *_):
        for signum, handler in self._before.items():
            signal.signal(signum, handler)


def drive(jobs: Sequence[Job], executor: Any, view: Any, flags: Sequence[str]) -> ExitCode | None:
    """Carries the jobs out.

    Args:
        jobs: parents before those that start from them; each is ended or started here.
        executor: see above.
        view: told of each start and end, and of each tick (`display`).
        flags: given to each run besides its own.

    Returns:
        None, or the exit code of the signal that stopped it.
    """
    for job in jobs:
        if job.plan.run_id is not None:
            job.settle()
            job.before = job.stage == ENDED
    watch = Watch()
    with Interrupt() as interrupt:
        view.begin(jobs, executor)
        try:
            while any(job.stage != ENDED for job in jobs):
                if interrupt.signum is not None:
                    view.stopping(sum(job.stage == STARTED for job in jobs))
                    executor.stop(interrupt.signum)
                    return _CODES[signal.Signals(interrupt.signum)]
                for job, code in executor.poll():
                    _collect(job, code, view)
                _start_ready(jobs, executor, view, flags)
                _name_silent(jobs, executor, view, watch)
                view.tick(jobs)
                time.sleep(TICK)
        except BaseException:  # such as a full disk: no run continues without the sweep
            executor.stop(signal.SIGTERM)
            raise
    return None


def _name_silent(jobs: Sequence[Job], executor: Any, view: Any, watch: Watch) -> None:
    """Names runs that have stopped answering; whether to end one is left to who reads it."""
    for job in jobs:
        if job.stage == STARTED:
            silence = watch.silent(job, functools.partial(view.usual_epoch, job))
            if silence is not None:
                view.silent(job, *silence, executor.pid(job))


def _collect(job: Job, code: int, view: Any) -> None:
    if code == ExitCode.IN_USE:
        _defer(job, view)
        return
    job.end(code)
    view.ended(job)


def _defer(job: Job, view: Any) -> None:
    if not job.retry_at:
        view.elsewhere(job)
    job.stage, job.retry_at, job.began = WAITING, time.monotonic() + BUSY, 0.0


def _start_ready(jobs: Sequence[Job], executor: Any, view: Any, flags: Sequence[str]) -> None:
    """Starts runs in their order, as many as there is room for."""
    for job in jobs:
        if executor.free() <= 0:
            return
        if job.stage != WAITING or time.monotonic() < job.retry_at:
            continue
        if job.parent is not None and job.parent.stage != ENDED:
            continue
        if job.parent is not None and job.parent.failed:
            job.end(
                int(present(job.parent.code, "an exit code")),
                f"its parent failed: {job.parent.name}",
            )
        else:
            job.plan_again()
        if job.stage == WAITING and job.settle() == RUNNING:  # trained by another process
            _defer(job, view)
        elif job.stage == WAITING:
            threads = _threads(job, executor.threads)
            argv = [*job.plan.argv, *_taken(job, flags), f"--threads={threads}"]
            job.stage, job.began = STARTED, time.monotonic()
            job.remove_old_logs()
            executor.start(job, argv, threads, job.log)
            view.started(job)
        if job.stage == ENDED:
            view.ended(job)


def _taken(job: Job, flags: Sequence[str]) -> list[str]:
    """The flags that a job's module knows: what is no training writes no checkpoints."""
    trains = job.plan.command == TRAINING
    return [flag for flag in flags if trains or not flag.startswith("--checkpoint_every")]


def _threads(job: Job, wanted: int) -> int:
    """Those that an unfinished run began with: with others it could not go on exactly."""
    try:
        record = results.read_config(present(job.run_dir, "a run directory"))
    except StorageError:
        return wanted
    begun = record.get("threads") if record else None
    return begun if isinstance(begun, int) and begun > 0 else wanted

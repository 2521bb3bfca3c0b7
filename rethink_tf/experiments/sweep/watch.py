"""Runs of a sweep that stop answering: no progress for several times their usual epoch.

Imports no TensorFlow.
"""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rethink_tf.errors import StorageError
from rethink_tf.runs import results

EPOCHS = 5  # times the usual epoch without progress, and
# At least so many seconds, which a busy machine, a checkpoint or a compilation may take.
LEAST = 120.0


@dataclasses.dataclass
class _Seen:
    """What was last seen of a run, since when, and whether it was named for it."""

    mark: tuple
    since: float
    named: bool = False


class Watch:
    """Notes the progress of running jobs by the files of their runs and by what they print."""

    def __init__(self):
        self._seen: dict[int, _Seen] = {}

    def silent(self, job: Any, expected: Callable[[], float | None]) -> tuple[float, float] | None:
        """Whether a running job has stopped answering; told once for each silence.

        Args:
            job: a `jobs.Job` that was started.
            expected: seconds of one of its epochs by runs of its kind; None: not measured.

        Returns:
            Seconds without progress, and seconds of its usual epoch; None: it answers, it has not
            begun, or nothing is known of its epochs.
        """
        now, mark = time.monotonic(), _mark(job)
        seen = self._seen.get(id(job))
        if seen is None or seen.mark != mark:
            self._seen[id(job)] = _Seen(mark, now)
            return None
        quiet = now - seen.since
        if seen.named or quiet < LEAST or mark[0] is None:  # no log: still queued
            return None
        usual = _own_epoch(job) or expected()
        if usual is None or quiet < EPOCHS * usual:
            return None
        seen.named = True
        return quiet, usual


def _mark(job: Any) -> tuple:
    """Something that changes with whatever a run prints or writes; its log's part comes first."""
    names = (results.CONFIG, results.HISTORY, results.CHECKPOINTS, results.SAMPLES)
    return tuple(_stamp(path) for path in (job.log, *(job.run_dir / name for name in names)))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _own_epoch(job: Any) -> float | None:
    """Seconds of the longest epoch that the run has behind it, with its evaluation."""
    try:
        lines = results.read_history(job.run_dir)
    except StorageError:
        return None
    timings = [line["timing"] for line in lines if isinstance(line.get("timing"), dict)]
    parts = [[t.get(name) for name in ("train_seconds", "eval_seconds")] for t in timings]
    return max((sum(filter(None, values)) for values in parts), default=None)

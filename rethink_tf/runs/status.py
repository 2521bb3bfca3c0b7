"""The state of a run directory, from its files and its lock alone. Imports no TensorFlow."""

import fcntl
import os
from pathlib import Path

from rethink_tf.errors import StorageError
from rethink_tf.runs import agreement, results

MISSING, RUNNING, INCOMPLETE, DAMAGED = "missing", "running", "incomplete", "damaged"
FINISHED, INVALID, DIVERGED = "done", results.INVALID, results.DIVERGED


def state(run_dir: Path | str) -> str:
    """How far a run is: missing, running, incomplete, done, INVALID, DIVERGED; or damaged.

    `running`: a living process holds its lock. `damaged`: its summary cannot be read, is another
    run's, or does not agree with the files beside it; the run's own command says what to do.
    """
    run_dir = Path(run_dir)
    try:
        summary = agreement.read_summary(run_dir, run_dir.name)
    except StorageError:
        return DAMAGED
    if summary is not None:
        return FINISHED if summary["status"] == results.DONE else summary["status"]
    if _locked(run_dir / results.LOCK):
        return RUNNING
    return INCOMPLETE if (run_dir / results.CONFIG).exists() else MISSING


def _locked(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False

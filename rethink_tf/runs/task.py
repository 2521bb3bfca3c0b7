"""Runs that are no trainings: a folder RUNS_DIR/<run id> with config.json first, summary.json last.

So the sweep, the report and their states know them like a training. Imports no TensorFlow.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rethink_tf import console, environment
from rethink_tf.config.command_line import CommandLine, Parsed
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.runs import agreement, results
from rethink_tf.storage import lock as run_lock
from rethink_tf.storage import paths

RUNS_DIR = "folder of runs: results go to RUNS_DIR/<run id>, once"


def run_id(kind: str, values: dict[str, Any]) -> str:
    """The kind and 12 hex digits over the plain settings of a run."""
    text = json.dumps(values, sort_keys=True)
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def identify(
    kind: str,
    line: CommandLine,
    values_of: Callable[[Parsed], dict[str, Any]],
    argv: Sequence[str],
) -> tuple[dict[str, Any], str]:
    """What a command line asks for: (its plain settings, run id).

    Args:
        kind: of the run.
        line: of the command.
        values_of: the plain settings of a parsed command line.
        argv: the command line.
    """
    parsed = line.parse(argv)
    if parsed is None:
        raise RequestError(f"{kind}: expected flags of a run, received --help")
    values = values_of(parsed)
    return values, run_id(kind, values)


@contextlib.contextmanager
def telling_what_is_kept(kept: Callable[[], str]) -> Iterator[None]:
    """Adds to a Ctrl-C within the block what is kept, in the words that `kept` returns."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {kept()}") from None


def carry_out(
    runs_dir: Path | str,
    kind: str,
    values: dict[str, Any],
    compute: Callable[[Path], dict[str, Any]],
    *,
    argv: Sequence[str],
    threads: int,
    say: Callable[[str], None] = console.say,
) -> int:
    """Does a run, or reads it back where it is finished; returns its exit code.

    Args:
        runs_dir: folder of the runs.
        kind: of the run, the first part of its id.
        values: its plain settings, which name it.
        compute: of the run's folder; returns what the summary says beyond what all have, `status`
            included. What it leaves in the folder is there when an interrupted run resumes.
        argv: the command line, recorded.
        threads: of the arithmetic, recorded; 0 for as many as there are cores.
        say: takes a line where the run is finished already.

    Raises:
        InUseError: another process does this run.
        StorageError: its folder cannot be written, or is damaged.
    """
    named = run_id(kind, values)
    shown = Path(runs_dir) / named
    folder = paths.absolute(shown)
    with run_lock.locked(folder):
        summary = agreement.read_summary(folder, named)
        if summary is not None:
            say(f"finished before: {shown}, {summary['status']}")
        else:
            facts = {"run_id": named, "config": values}
            results.write_config(
                folder,
                facts
                | {
                    "argv": list(argv),
                    "threads": threads or environment.cores(),
                    "git_commit": environment.git_commit(),
                },
            )
            computed = compute(folder)
            summary = {"status": results.DONE, "reason": None, "kind": kind, **computed, **facts}
            results.finish(folder, summary)
            say(f"{shown}/{results.SUMMARY}")
    return ExitCode.DONE if summary["status"] == results.DONE else ExitCode.INVALID

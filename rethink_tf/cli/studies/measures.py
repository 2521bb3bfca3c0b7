"""Norms, margins and sharpness of finished runs: rethink-tf measures RUN [RUN ...]"""

from pathlib import Path

from rethink_tf import console
from rethink_tf.analysis import measures
from rethink_tf.config.command_line import Parsed
from rethink_tf.config.flags import Options
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.experiments.studies.measures import (
    STUDY,
    Flags,
    folder_of,
    plan,
    refuse_other_weights,
    task_of,
)
from rethink_tf.narrowing import present
from rethink_tf.runs import results
from rethink_tf.runs import task as tasks
from rethink_tf.storage.paths import absolute

MOST_RUNS = 100
LINE = STUDY.line


def main(argv: list[str]) -> int:
    """Measures the runs that are named, each as a run, and prints them side by side."""
    return LINE.run(argv, lambda parsed: _measure(parsed, argv))


def _measure(parsed: Parsed, argv: list[str]) -> int:
    options, named_runs = parsed[Options], parsed.positionals
    runs_dir = absolute(options.runs_dir)
    if (single := parsed[Flags].of) is not None:  # the form that a sweep uses
        task = plan(parsed)
        refuse_other_weights(single, runs_dir, task.values)
        return STUDY.carry_out(task, options, argv)
    if not 1 <= len(named_runs) <= MOST_RUNS:
        raise RequestError(
            f"expected 1 to {MOST_RUNS} folders or ids of finished runs, received {len(named_runs)}"
        )
    planned = [task_of(named, parsed) for named in named_runs]
    for named, task in zip(named_runs, planned, strict=True):
        folder = folder_of(named, runs_dir)
        if results.read_summary(folder) is None:
            below = folder.parent == runs_dir
            shown = Path(options.runs_dir) / folder.name if below else folder
            raise RequestError(f"{named}: expected a finished run; {shown} is not finished")
        refuse_other_weights(named, runs_dir, task.values)
        console.say(f"{named}: measuring")
        STUDY.carry_out(task, options, argv)
    ids = [tasks.run_id(STUDY.name, task.values) for task in planned]
    summaries = [
        present(results.read_summary(runs_dir / run_id), f"summary of {run_id}") for run_id in ids
    ]
    console.say(measures.table(summaries, list(named_runs)))
    return ExitCode.DONE

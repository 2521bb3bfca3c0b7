"""Adds finished runs to the results that are shipped: rethink-tf ship RUN"""

import dataclasses
from pathlib import Path

from rethink_tf import console
from rethink_tf.config import fields
from rethink_tf.config.command_line import CommandLine, Parsed
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.report import measured
from rethink_tf.report.collection import Run, collect, read_folder
from rethink_tf.runs import results

_GROUP = "This command"


@dataclasses.dataclass(frozen=True)
class Flags:
    """Where runs are shipped to, and what they were trained on."""

    machine: str | None = fields.field(
        None,
        str,
        "description of the machine on which the runs were trained",
        group=_GROUP,
        by="recorded in the run",
    )
    out: str = fields.field(
        str(measured.FOLDER),
        str,
        "folder of the shipped results",
        group=_GROUP,
        by="the one in this package",
    )


LINE = CommandLine(
    "rethink-tf ship",
    "Adds finished runs to the results that are shipped with the package.",
    (Flags,),
    positionals="RUN [RUN ...]",
    least=1,
    positionals_help="RUN: the folder of a finished run, or a folder of runs",
)


def _runs_of(folder: Path) -> list[Run]:
    """The run of a folder, or the DONE ones of a folder of runs."""
    run = read_folder(folder)
    if run is None:
        there = collect(folder, [])
        finished = [run for run in there.runs if run.status == results.DONE]
        if not finished:
            raise RequestError(
                f"{folder}: expected a finished run or a folder of finished runs; found neither"
            )
        left = [run.run_id for run in there.runs if run.status != results.DONE]
        for name in [*left, *there.unfinished]:
            console.say(f"{folder / name}: not DONE, left out")
        for name, why in there.broken.items():
            console.say(f"{folder / name}: left out: {why}")
        return finished
    return [run]


def main(argv: list[str]) -> int:
    """The command."""
    return LINE.run(argv, _ship)


def _ship(parsed: Parsed) -> int:
    asked = parsed[Flags]
    runs = [run for name in parsed.positionals for run in _runs_of(Path(name))]
    for path in measured.add(runs, Path(asked.out), asked.machine):
        console.say(f"{path}: {path.stat().st_size:,} bytes")
    return ExitCode.DONE

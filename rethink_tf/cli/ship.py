"""Adds finished runs to the results that are shipped: rethink-tf ship RUN"""

import argparse
from pathlib import Path

from rethink_tf import console
from rethink_tf.config.arguments import Parser
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.report import measured
from rethink_tf.report.collection import Run, collect, read_folder
from rethink_tf.runs import results


def _parser() -> Parser:
    parser = Parser("rethink-tf ship", "Adds finished runs to the data that is shipped.")
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="folder of a finished run, or of runs"
    )
    parser.add_argument("--machine", metavar="WORDS", help="what they were trained on, in words")
    parser.add_argument(
        "--out", default=str(measured.FOLDER), metavar="DIR", help="[of this package]"
    )
    return parser


def _found(folder: Path) -> list[Run]:
    """The run of a folder, or the DONE ones of a folder of runs."""
    run = read_folder(folder)
    if run is None:
        there = collect(folder, [])
        found = [run for run in there.runs if run.status == results.DONE]
        if not found:
            raise RequestError(
                f"{folder}: expected a finished run or a folder of some; found neither"
            )
        left = [run.run_id for run in there.runs if run.status != results.DONE]
        for name in [*left, *there.unfinished, *there.broken]:
            console.say(f"{folder / name}: not DONE, left out")
        return found
    return [run]


def main(argv: list[str]) -> int:
    """The command."""
    asked: argparse.Namespace | None = _parser().parsed(argv)
    if asked is None:
        return ExitCode.DONE
    runs = [run for name in asked.runs for run in _found(Path(name))]
    for path in measured.add(runs, Path(asked.out), asked.machine):
        console.say(f"{path}: {path.stat().st_size:,} bytes")
    return ExitCode.DONE

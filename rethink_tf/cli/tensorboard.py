"""What TensorBoard shows of many runs together: rethink-tf tensorboard --runs_dir=DIR"""

import argparse
from pathlib import Path

from rethink_tf import console
from rethink_tf.config.arguments import Parser
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.report import tensorboard
from rethink_tf.report.collection import collect
from rethink_tf.runs import results
from rethink_tf.training.devices import setup as devices


def _parser() -> Parser:
    parser = Parser(
        "rethink-tf tensorboard",
        "Writes what TensorBoard shows of all finished runs of a folder together: the HParams "
        "table, Custom Scalars, curves by corruption.",
    )
    parser.add_argument("--runs_dir", default="runs", metavar="DIR", help="[runs]")
    return parser


def main(argv: list[str]) -> int:
    """The command."""
    asked: argparse.Namespace | None = _parser().parsed(argv)
    if asked is None:
        return ExitCode.DONE
    found = collect(asked.runs_dir, [])
    runs = [run for run in tensorboard.trained(found) if found.readable(run)]
    for run in found.runs:
        if run.status != results.DONE:
            console.say(f"left out: {run.run_id} is {run.status}: {run.summary['reason']}")
    for name, why in found.broken.items():
        console.say(f"left out: {name} cannot be read: {why}")
    if not runs:
        raise RequestError(f"--runs_dir={asked.runs_dir}: expected finished runs, found none")
    devices.start()
    folder = Path(asked.runs_dir) / tensorboard.FOLDER
    tensorboard.write(folder, runs)
    count = console.counted(len(runs), "run")
    console.say(f"{folder}: {count}; tensorboard --logdir {asked.runs_dir}")
    return ExitCode.DONE

"""What TensorBoard shows of many runs together: rethink-tf tensorboard --runs_dir=DIR"""

from pathlib import Path

from rethink_tf import console
from rethink_tf.config.command_line import CommandLine, FlagSet, Parsed
from rethink_tf.config.flags import Options
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.printable import printable
from rethink_tf.report import tensorboard
from rethink_tf.report.collection import collect
from rethink_tf.runs import agreement, results

LINE = CommandLine(
    "rethink-tf tensorboard",
    "Writes TensorBoard views of all finished runs in a folder: the HParams table, Custom Scalars, "
    "curves by corruption. Then type: tensorboard --logdir RUNS_DIR",
    (FlagSet(Options, only=("runs_dir",)),),
)


def main(argv: list[str]) -> int:
    """The command."""
    return LINE.run(argv, _write)


def _write(parsed: Parsed) -> int:
    asked = parsed[Options]
    collection = collect(asked.runs_dir, [])
    runs = [run for run in tensorboard.trained(collection) if collection.readable(run)]
    for run in collection.runs:
        if run.status != results.DONE:
            why = printable(run.summary["reason"])
            console.say(f"left out: {run.run_id} is {run.status}: {why}")
    for name, why in collection.broken.items():
        console.say(f"left out: {printable(name)} cannot be read: {printable(why)}")
    if not runs:
        raise RequestError(f"--runs_dir={asked.runs_dir}: expected finished runs, found none")
    folder = Path(asked.runs_dir) / tensorboard.FOLDER
    tensorboard.write(folder, runs)
    count = console.counted(len(runs), "run")
    if old := sum(agreement.before_seals(run.summary) for run in runs):
        count += f", {old} of them {agreement.BEFORE_SEALS}"
    if collection.broken:
        count += f", {len(collection.broken)} cannot be read"
    console.say(f"{folder}: {count}; tensorboard --logdir {asked.runs_dir}")
    return ExitCode.DONE

"""One study of the theory as a run, as a sweep starts it: rethink-tf theory --experiment=NAME"""

from pathlib import Path
from typing import Any

from rethink_tf import console
from rethink_tf.config import flags
from rethink_tf.data import registry as datasets
from rethink_tf.errors import ExitCode
from rethink_tf.experiments import theory_tasks
from rethink_tf.runs import task as plain_runs


def main(argv: list[str]) -> int:
    """Runs one command line (without the program's name) and returns its exit code."""
    request = theory_tasks.request_of(argv)
    if request is None:
        console.say(flags.usage("rethink-tf theory", theory_tasks.flag_help()))
        return ExitCode.DONE
    name, _, options, _ = request
    values, compute = theory_tasks.planned(*request)
    if values.get("dataset") in datasets.DATASETS:
        datasets.require(values["dataset"], options.data_dir)

    def carried_out(_folder: Path) -> dict[str, Any]:
        return {"audit": [], **compute()}

    return plain_runs.carry_out(options.runs_dir, name, values, carried_out, argv=argv,
                                threads=options.threads)  # fmt: skip

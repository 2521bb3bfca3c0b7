"""What the commands that solve a kernel interpolant as a run share."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from rethink_tf import console
from rethink_tf.config import fields
from rethink_tf.config.command_line import CommandLine, Parsed
from rethink_tf.config.run_config import RunConfig
from rethink_tf.data import registry as datasets
from rethink_tf.experiments.kernels import data as kernel_data
from rethink_tf.experiments.kernels import request
from rethink_tf.experiments.kernels.request import Settings
from rethink_tf.runs import task as tasks

NOTHING_KEPT = "nothing is kept: type --cache_dir=DIR, with which the same command resumes"


@dataclasses.dataclass(frozen=True)
class Where:
    """Where the run lies."""

    runs_dir: str = fields.field(
        "runs",
        str,
        tasks.RUNS_DIR,
        group="Where and how",
    )


def identify(
    line: CommandLine,
    kind: str,
    argv: Sequence[str],
    check: Callable[[Settings], object] = lambda settings: None,
) -> tuple[dict[str, Any], str]:
    """What a command line asks for: (its plain configuration, run id).

    Args:
        line: of the command.
        kind: the first part of the run id.
        argv: the command line.
        check: refuses settings that this command does not take.

    Raises:
        RequestError: what `check` refuses; see `request.configuration`.
    """

    def values_of(parsed: Parsed) -> dict[str, Any]:
        settings = parsed[Settings]
        check(settings)
        places = settings.data_dir, settings.cache_dir
        run, _ = kernel_data.resolved(request.data_of(parsed), *places)
        return request.configuration(run, settings)

    return tasks.identify(kind, line, values_of, argv)


def data_and_values(parsed: Parsed) -> tuple[RunConfig, dict[str, Any]]:
    """The resolved data of a run, which are there, and the plain settings that name the run.

    Prints which data set was chosen where none is named.

    Raises:
        RequestError: see `request.configuration`; the data are not there.
    """
    settings = parsed[Settings]
    run, why = kernel_data.resolved(
        request.data_of(parsed), settings.data_dir, settings.cache_dir, console.say
    )
    values = request.configuration(run, settings)
    if why:
        console.say(why)
    datasets.require(run.dataset, settings.data_dir)
    return run, values

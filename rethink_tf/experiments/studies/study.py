"""A study: a command line that describes a task, and the run of this task."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rethink_tf import console
from rethink_tf.config.command_line import CommandLine, FlagSet, Parsed
from rethink_tf.config.flags import PLACES, Options
from rethink_tf.config.run_config import RunConfig, check_field
from rethink_tf.data import registry as datasets
from rethink_tf.data.types import Split
from rethink_tf.plotting import style
from rethink_tf.runs import task as tasks
from rethink_tf.storage import files
from rethink_tf.training.devices import setup as devices

WHERE = FlagSet(Options, only=PLACES)
DATA = FlagSet(RunConfig, only=("dataset", "seed"))


def no_figures(_result: dict[str, Any]) -> dict[str, Any]:
    """Of a study that draws nothing."""
    return {}


@dataclasses.dataclass(frozen=True)
class Task:
    """What a command line of a study asks for.

    Attributes:
        values: its plain settings, which name the run.
        compute: computes it; returns what the summary says beyond what all runs have.
        figures: of what `compute` returned: title: matplotlib Figure, written beside the summary.
        message: of what `compute` returned: what is printed.
    """

    values: dict[str, Any]
    compute: Callable[[], dict[str, Any]]
    figures: Callable[[dict[str, Any]], dict[str, Any]] = no_figures
    message: Callable[[dict[str, Any]], str] = lambda result: ""


@dataclasses.dataclass(frozen=True)
class Study:
    """A study of the theory.

    Attributes:
        name: of the study, the first part of its runs' ids.
        line: its command line.
        plan: what a command line asks for.
    """

    name: str
    line: CommandLine
    plan: Callable[[Parsed], Task]

    def identify(self, argv: Sequence[str]) -> tuple[dict[str, Any], str]:
        """What a command line asks for: (its plain configuration, run id)."""
        return tasks.identify(self.name, self.line, lambda p: self.plan(p).values, argv)

    def carry_out(self, task: Task, options: Options, argv: Sequence[str]) -> int:
        """Does a task as a run, or reads it back where it is finished, and prints where it lies.

        Args:
            task: of `plan`.
            options: where the run lies, and its threads.
            argv: the command line, recorded.

        Returns:
            The exit code.
        """

        def compute(folder: Path) -> dict[str, Any]:
            result = task.compute()
            if message := task.message(result):
                console.say(message)
            for title, figure in task.figures(result).items():
                path = folder / f"{title}.png"
                files.write_atomically(path, style.png(style.pixels_of(figure)))
                console.say(str(path))
            return {"audit": [], **result}

        return tasks.carry_out(
            options.runs_dir, self.name, task.values, compute, argv=argv, threads=options.threads
        )


@dataclasses.dataclass(frozen=True)
class Data:
    """The data set of a study.

    Attributes:
        name: as it was asked for.
        identity: what counts of it: its name, of a set of one's own the hash of its content.
        num_train: training images.
        load: reads it: (training Split, test Split).
    """

    name: str
    identity: str
    num_train: int
    load: Callable[[], tuple[Split, Split]]


def data_of(parsed: Parsed) -> Data:
    """The data set that the flags name; one left open is chosen, and that is printed.

    Raises:
        RequestError: it cannot be had, or its images do not fit into memory.
    """
    options = parsed[Options]
    name = check_field("dataset", parsed[RunConfig].dataset)
    if name is None:
        name, why = datasets.choose_default(options.data_dir)
        console.say(why)
    datasets.require_in_memory(name)
    known = datasets.info(name, options.data_dir, options.cache_dir)

    def load() -> tuple[Split, Split]:
        datasets.require(name, options.data_dir)
        return datasets.load(
            name,
            data_dir=options.data_dir,
            cache_dir=options.cache_dir,
            report=console.say,
            start=lambda: devices.start(options.threads),
        )

    return Data(name, known.content or name, known.num_train, load)


def print_chosen(num_train: int, chosen: dict[str, Any], usual: dict[str, Any]) -> None:
    """Prints the sizes that were chosen because the training set is small.

    Args:
        num_train: training images that there are.
        chosen: flag: value.
        usual: flag: value where there are enough images.
    """
    other = [
        f"--{flag}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
        for flag, value in chosen.items()
        if value != usual[flag]
    ]
    if other:
        console.say(f"chosen for {num_train:,} training images: {' '.join(other)}")

"""The commands of `rethink_tf.theory`: flags and data in; lines, a JSON file and figures out.

The theory itself knows no flags, no files and no data sets by name.
"""

import inspect
from collections.abc import Callable
from typing import Any

from rethink_tf import console
from rethink_tf.config import run_config
from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import FIELDS, RunConfig
from rethink_tf.data import registry as datasets
from rethink_tf.data import types
from rethink_tf.errors import RequestError
from rethink_tf.experiments.kernels import data as kernel_data

OF_DATA = ("dataset", "seed")  # the flags of a run that these commands take


def refuse_others(wanted: RunConfig, taken) -> None:
    """Refuses flags of a run that would change nothing here: RequestError."""
    others = [n for n in FIELDS if getattr(wanted, n) != FIELDS[n].default and n not in taken]
    if others:
        raise RequestError(
            f"--{others[0]}: expected, of the flags of a run, "
            f"{' and '.join(f'--{name}' for name in taken) or 'none'} only; leave it out"
        )


def load(wanted: RunConfig, options: Options) -> tuple[types.Split, types.Split]:
    """The training and the test Split that the flags name; a data set left open is chosen, said."""
    name = run_config.check_field("dataset", wanted.dataset)
    if name is None:
        name, why = datasets.choose_default(options.data_dir)
        console.say(why)
    kernel_data.require_in_memory(name)
    datasets.require(name, options.data_dir)
    from rethink_tf.training.devices import setup as devices

    return datasets.load(
        name,
        data_dir=options.data_dir,
        cache_dir=options.cache_dir,
        report=console.say,
        start=lambda: devices.start(options.threads),
    )


def whole(name: str, text: str, low: int, high: int) -> int:
    """A flag's text as a whole number within bounds; RequestError with what was expected."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 12 else -1
    if not low <= number <= high:
        raise RequestError(
            f"--{name}: expected a whole number from {low} to {high}, received {text}"
        )
    return number


def arguments(name: str) -> list[str]:
    """The arguments of a command's function that flags of its own set."""
    return [argument for argument, *_ in _ARGUMENTS[name].values()]


def numbers(name: str, extras: dict[str, str | None]) -> dict[str, Any]:
    """The command's own flags, those that were given, as arguments of its function."""
    found = {}
    for flag, (argument, low, high, listed) in _ARGUMENTS[name].items():
        text = extras[flag]
        if text is None:
            continue
        values = [whole(flag, part.strip(), low, high) for part in text.split(",")]
        if len(values) > 1 and not listed:
            raise RequestError(f"--{flag}: expected one whole number, received {text}")
        found[argument] = tuple(values) if listed else values[0]
    return found


def _science(name: str):
    """The module of a command's experiment."""
    from rethink_tf.theory import expressivity_runs, implicit

    return {"expressivity": expressivity_runs, "implicit": implicit}[name]


def function(name: str) -> Callable:
    """What computes a command's experiment; its defaults are those of the flags."""
    return _science(name).run


def sizes(name: str, num_train: int, given: dict[str, Any], say=console.say) -> dict[str, Any]:
    """The sizes that were not given, as the training set allows; those that are not usual are said.

    Args:
        name: of the command.
        num_train: training images that there are.
        given: arguments that flags set.
        say: takes the line; None for none.
    """
    found = {
        key: value for key, value in _science(name).sizes(num_train).items() if key not in given
    }
    flags = {argument: flag for flag, (argument, *_) in _ARGUMENTS[name].items()}
    usual = inspect.signature(function(name)).parameters
    other = [
        f"--{flags[key]}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
        for key, value in found.items()
        if value != usual[key].default
    ]
    if other and say is not None:
        say(f"taken, as there are {num_train:,} training images: {' '.join(other)}")
    return found


def _expressivity(train, test, *, progress, **kinds) -> dict[str, Any]:
    from rethink_tf.theory import expressivity_runs

    return expressivity_runs.run(train, **kinds)


def _implicit(train, test, **kinds) -> dict[str, Any]:
    from rethink_tf.theory import implicit

    return implicit.run(train, test, **kinds)


def _draw_expressivity(found) -> dict[str, Any]:
    from rethink_tf.plotting import theory_figures

    return {"float64": theory_figures.precision(found)}


def _draw_implicit(found) -> dict[str, Any]:
    from rethink_tf.plotting import theory_figures
    from rethink_tf.theory.norm_choices import EXACT

    return {"sgd": theory_figures.descent(found["sgd"]), "norm": theory_figures.norms(found, EXACT)}


NEED_TENSORFLOW = ("expressivity",)
# Where things lie; help of the flags that all these commands take.
PLACES = {
    "runs_dir": "folder of the runs; each has its own folder RUNS_DIR/<run_id> [runs]",
    "data_dir": "folder of TFDS-prepared sets [TFDS_DATA_DIR, else ~/tensorflow_datasets]",
    "cache_dir": "folder of decoded sets [~/.cache/rethink_tf]",
    "threads": "threads for TensorFlow's arithmetic; 0: as many as there are cores [0]",
}
_OUT = "folder for the JSON file and the figures [the command's name]"
# command: its flags, its function of two Splits, its figures.
COMMANDS: dict[str, tuple[dict[str, str], Callable, Callable]] = {
    "expressivity": (
        {
            "counts": "numbers of images, each of which is memorised [50,500,2000, or all]",
            "depths": "depths of the networks: 2 is Theorem 1, others Corollary 1 [2,3,6]",
            "largest": "n up to which it is sought where float64 fails [10000000]",
            "out": _OUT,
        },
        _expressivity,
        _draw_expressivity,
    ),
    "implicit": (
        {
            "images": "images that SGD fits, fewer than pixels [100, or 1 in 100 and at least 10]",
            "steps": "steps of SGD [20000]",
            "choice_images": "images for preprocessings [1000, or 1 in 30 and at least 50]",
            "out": _OUT,
        },
        _implicit,
        _draw_implicit,
    ),
}
# command: {flag: (argument, low, high, whether several)}
_ARGUMENTS = {
    "expressivity": {
        "counts": ("counts", 1, 200_000, True),
        "depths": ("depths", 2, 1000, True),
        "largest": ("largest", 1000, 10_000_000, False),
    },
    "implicit": {
        "images": ("examples", 2, 100_000, False),
        "steps": ("steps", 1, 100_000_000, False),
        "choice_images": ("choice_examples", 10, 20_000, False),
    },
}

"""Section 5 as a study: SGD finds the least norm; the norm does not predict the test error."""

import dataclasses
from typing import Any

from rethink_tf import console
from rethink_tf.config import fields
from rethink_tf.config.command_line import CommandLine, Parsed
from rethink_tf.config.run_config import RunConfig
from rethink_tf.experiments.studies.study import DATA, WHERE, Study, Task, data_of, print_chosen
from rethink_tf.runs import results
from rethink_tf.theory import implicit

_GROUP = "This study"
USUAL = {"images": 100, "choice_images": 1000}
_ARGUMENTS = {"images": "examples", "choice_images": "choice_examples"}


@dataclasses.dataclass(frozen=True)
class Flags:
    """How many images are fitted, and for how long."""

    images: int | None = fields.field(
        None,
        int,
        "number of images that SGD fits; it must be smaller than the number of pixels",
        group=_GROUP,
        low=2,
        high=100_000,
        by="100, or 1% of the images and at least 10",
    )
    steps: int = fields.field(
        20_000,
        int,
        "steps of SGD",
        group=_GROUP,
        low=1,
        high=100_000_000,
    )
    choice_images: int | None = fields.field(
        None,
        int,
        "number of images for the comparison of preprocessings",
        group=_GROUP,
        low=10,
        high=20_000,
        by="1000, or 1 in 30 and at least 50",
    )


LINE = CommandLine(
    "rethink-tf implicit",
    "Section 5 of the paper: with fewer images than pixels, SGD ends at the solution of least "
    "norm. The norm does not tell which preprocessing predicts best. Writes "
    f"RUNS_DIR/<run id>/{results.SUMMARY} and two figures.",
    (Flags, DATA, WHERE),
)


def plan(parsed: Parsed) -> Task:
    """What a command line asks for."""
    flags, seed, data = parsed[Flags], parsed[RunConfig].seed, data_of(parsed)
    usual = implicit.sizes(data.num_train)
    chosen = {
        flag: usual[argument]
        for flag, argument in _ARGUMENTS.items()
        if getattr(flags, flag) is None
    }
    images, choice_images = (
        chosen.get(flag, getattr(flags, flag)) for flag in ("images", "choice_images")
    )
    settings = {"examples": images, "steps": flags.steps, "choice_examples": choice_images}
    values = {
        "experiment": "implicit",
        "dataset": data.identity,
        "seed": seed,
        "settings": settings,
    }

    def compute() -> dict[str, Any]:
        splits = data.load()
        print_chosen(data.num_train, chosen, USUAL)
        progress = console.StageProgress()
        return implicit.run(*splits, **settings, seed=seed, say=console.say, progress=progress)

    return Task(values, compute, _figures)


def _figures(result: dict[str, Any]) -> dict[str, Any]:
    from rethink_tf.plotting import theory_figures
    from rethink_tf.theory.norm_choices import EXACT

    return {
        "implicit_sgd": theory_figures.descent(result["sgd"]),
        "implicit_norm": theory_figures.norms(result, EXACT),
    }


STUDY = Study("implicit", LINE, plan)
identify = STUDY.identify

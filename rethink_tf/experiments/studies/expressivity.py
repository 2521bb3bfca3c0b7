"""Theorem 1 and Corollary 1 as a study: a network of 2n + d weights fits any n labels."""

import dataclasses
from typing import Any

from rethink_tf import console
from rethink_tf.config import fields
from rethink_tf.config.command_line import CommandLine, Parsed
from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import RunConfig
from rethink_tf.experiments.studies.study import DATA, WHERE, Study, Task, data_of, print_chosen
from rethink_tf.runs import results
from rethink_tf.theory import expressivity_runs
from rethink_tf.training.devices import setup as devices

_GROUP = "This study"


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is memorised, and by which networks."""

    counts: tuple[int, ...] | None = fields.field(
        None,
        "ints",
        "numbers of images; a network is built for each number",
        group=_GROUP,
        low=1,
        high=200_000,
        by="50,500,2000, or all",
    )
    depths: tuple[int, ...] = fields.field(
        expressivity_runs.DEPTHS,
        "ints",
        "depths of the networks: 2 is Theorem 1, larger depths are Corollary 1",
        group=_GROUP,
        low=2,
        high=1000,
        by="2,3,6",
    )
    largest: int = fields.field(
        10_000_000,
        int,
        "largest n in the search for the n at which float64 fails",
        group=_GROUP,
        low=1000,
        high=10_000_000,
    )


LINE = CommandLine(
    "rethink-tf expressivity",
    "Builds the network of the paper's Theorem 1 for real images: two layers with 2n + d weights "
    f"fit any n labels. Writes RUNS_DIR/<run id>/{results.SUMMARY} and a figure.",
    (Flags, DATA, WHERE),
)


def plan(parsed: Parsed) -> Task:
    """What a command line asks for."""
    flags, seed, data = parsed[Flags], parsed[RunConfig].seed, data_of(parsed)
    chosen = expressivity_runs.sizes(data.num_train) if flags.counts is None else {}
    settings = {"counts": flags.counts, "depths": flags.depths, "largest": flags.largest} | chosen
    plain = {key: list(v) if isinstance(v, tuple) else v for key, v in settings.items()}
    values = {
        "experiment": "expressivity",
        "dataset": data.identity,
        "seed": seed,
        "settings": plain,
    }

    def compute() -> dict[str, Any]:
        train, _ = data.load()
        print_chosen(data.num_train, chosen, {"counts": expressivity_runs.COUNTS})
        devices.start(parsed[Options].threads)
        return expressivity_runs.run(train, **settings, seed=seed, say=console.say)

    return Task(values, compute, _figures)


def _figures(result: dict[str, Any]) -> dict[str, Any]:
    from rethink_tf.plotting import theory_figures

    return {"expressivity_float64": theory_figures.precision(result)}


STUDY = Study("expressivity", LINE, plan)
identify = STUDY.identify

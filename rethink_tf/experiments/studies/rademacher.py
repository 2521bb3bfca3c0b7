"""Equation 1 as a study: the correlation with random signs that a network reaches."""

import dataclasses
from typing import Any

from rethink_tf import console
from rethink_tf.analysis import rademacher
from rethink_tf.config import fields, run_config
from rethink_tf.config.command_line import CommandLine, Parsed
from rethink_tf.config.flags import Options, run_without, wanted
from rethink_tf.data import registry as datasets
from rethink_tf.experiments.studies.study import WHERE, Study, Task
from rethink_tf.runs import results
from rethink_tf.runs.request import prepare
from rethink_tf.storage import content_hash
from rethink_tf.training.devices import setup as devices


@dataclasses.dataclass(frozen=True)
class Flags:
    """How often signs are drawn."""

    draws: int = fields.field(
        1,
        int,
        "number of random sign vectors; a network is trained on each",
        group="This study",
        low=1,
        high=rademacher.MOST_DRAWS,
    )


LINE = CommandLine(
    "rethink-tf rademacher",
    "Equation 1 of the paper: trains a network with two outputs on random signs and prints the "
    "correlation that it reaches, a lower bound of its empirical Rademacher complexity. Takes the "
    f"flags of a run except those of labels. Writes RUNS_DIR/<run id>/{results.SUMMARY}.",
    (Flags, run_without(rademacher.LABELS), WHERE),
)


def plan(parsed: Parsed) -> Task:
    """What a command line asks for."""
    asked, options, draws = wanted(parsed), parsed[Options], parsed[Flags].draws
    rademacher.require_no_labels(asked)
    run = prepare(asked, options)
    values = {
        "experiment": "rademacher",
        "dataset": content_hash.ContentRef.parse(run.dataset).sha256 or run.dataset,
        "seed": run.seed,
        "examples": run.examples,
        "epochs": run.epochs,
        "draws": draws,
        "network": {"model": run.model, **run_config.identity(run)},
    }

    def compute() -> dict[str, Any]:
        datasets.require(run.dataset, options.data_dir)
        devices.start(options.threads)
        places = {"data_dir": options.data_dir, "cache_dir": options.cache_dir}
        return rademacher.run(run, draws=draws, **places, progress=console.StageProgress())

    return Task(values, compute, message=_message)


def _message(result: dict[str, Any]) -> str:
    return f"empirical Rademacher complexity at least {result['complexity']:.4f}"


STUDY = Study("rademacher", LINE, plan)
identify = STUDY.identify

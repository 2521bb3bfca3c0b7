"""Norms, margins and sharpness of finished runs as a study: a run for each that is measured."""

import dataclasses
from pathlib import Path
from typing import Any

from rethink_tf import console
from rethink_tf.analysis import measures
from rethink_tf.config import fields
from rethink_tf.config.command_line import CommandLine, FlagSet, Parsed
from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import RunConfig
from rethink_tf.errors import RequestError, StorageError
from rethink_tf.experiments.studies.study import WHERE, Study, Task
from rethink_tf.runs import agreement, pretrained, results
from rethink_tf.runs import task as tasks
from rethink_tf.training.devices import setup as devices

_GROUP = "This study"


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is measured, and how finely."""

    of: str | None = fields.field(
        None,
        str,
        "the same as RUN: folder or id of a finished run, or the flagfile that trains it",
        group=_GROUP,
        by="none",
    )
    sharpness_examples: int = fields.field(
        measures.EXAMPLES,
        int,
        "number of training examples on which sharpness is measured",
        group=_GROUP,
        low=1,
        high=10**6,
    )
    sharpness_draws: int = fields.field(
        measures.DRAWS,
        int,
        "number of noise draws for sharpness",
        group=_GROUP,
        low=1,
        high=1000,
    )
    signs: int = fields.field(
        0,
        int,
        "number of random sign vectors; each is trained as long as the run",
        group=_GROUP,
        low=0,
        high=100,
    )


LINE = CommandLine(
    "rethink-tf measures",
    "Measures norms, margins, distance from initialisation and sharpness of finished runs, and "
    "prints them side by side. Each run's measures are written to "
    f"RUNS_DIR/<run id>/{results.SUMMARY}.",
    (Flags, FlagSet(RunConfig, only=("seed",)), WHERE),
    positionals="RUN [RUN ...]",
    positionals_help="RUN: the folder or the id of a finished run, or the flagfile that trains it",
)


def plan(parsed: Parsed) -> Task:
    """What a command line asks for that names one run."""
    named = [*parsed.positionals, *([parsed[Flags].of] if parsed[Flags].of else [])]
    if len(named) != 1:
        raise RequestError(f"expected one run, or --of=RUN; received {len(named)}")
    return task_of(named[0], parsed)


def task_of(named: str, parsed: Parsed) -> Task:
    """The task of measuring one run, which is named by its folder, its id or its flagfile."""
    flags, options = parsed[Flags], parsed[Options]
    folder = folder_of(named, Path(options.runs_dir))
    settings = {
        "examples": flags.sharpness_examples,
        "draws": flags.sharpness_draws,
        "signs": flags.signs,
    }
    usual = {"examples": measures.EXAMPLES, "draws": measures.DRAWS, "signs": 0}
    values = {"experiment": "measures", "of": _run_id(folder), "seed": parsed[RunConfig].seed}
    if settings != usual:
        values["settings"] = settings

    def compute() -> dict[str, Any]:
        # A damaged run is named before TensorFlow starts.
        if agreement.read(folder) is None:
            raise RequestError(f"{named}: there is no finished run in {folder}")
        devices.start(options.threads)
        places = {"data_dir": options.data_dir, "cache_dir": options.cache_dir}
        progress = console.StageProgress()
        values = measures.measure_run(folder, **settings, **places, progress=progress)
        return {key: value for key, value in values.items() if key != "run_dir"}

    return Task(values, compute)


def _run_id(folder: Path) -> str:
    """The id of the run in a folder, which may have another name; by its name until it began."""
    try:
        record = results.read_config(folder) or {}
    except StorageError:  # the measurement itself names the damage
        record = {}
    return str(record.get("run_id") or folder.name)


def refuse_other_weights(named: str, runs_dir: Path, values: dict[str, Any]) -> None:
    """Refuses finished measures of a run of the same id that ended with other weights.

    Another machine, or other threads, give the same configuration other bits.
    """
    measured = results.read_summary(runs_dir / tasks.run_id(STUDY.name, values)) or {}
    known, run = measured.get("weights_hash"), results.read_summary(folder_of(named, runs_dir))
    if known is not None and run is not None and run.get("weights_hash") != known:
        raise StorageError(
            f"{named}: expected weights of hash {known}, which {measured['run_id']} in {runs_dir} "
            f"has measured, found {run.get('weights_hash')}; type another --runs_dir"
        )


def folder_of(named: str, runs_dir: Path) -> Path:
    """A run's folder, by its path, its id below the folder of the runs, or its flagfile."""
    return results.find_folder(named, runs_dir) or pretrained.folder_of(named, runs_dir)


STUDY = Study("measures", LINE, plan)
identify = STUDY.identify

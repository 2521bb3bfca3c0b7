"""Theorem 1, implicit regularisation, equation 1 and measures as runs, for sweeps and reports.

    rethink-tf theory --experiment=rademacher --model=mlp_1x512 \
        --dataset=cifar10

does what the command of that name does, and writes RUNS_DIR/<run id>/summary.json. Imports no
TensorFlow before it computes.
"""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rethink_tf import console
from rethink_tf.config import flags, run_config
from rethink_tf.config.flags import Options
from rethink_tf.data import registry as datasets
from rethink_tf.errors import RequestError
from rethink_tf.experiments import theory_studies
from rethink_tf.runs import pretrained, results
from rethink_tf.runs import task as plain_runs
from rethink_tf.runs.request import prepare
from rethink_tf.storage import content_hash
from rethink_tf.training.devices import setup as devices

SIGNS, MEASURES = "rademacher", "measures"
NAMES = (*theory_studies.COMMANDS, SIGNS, MEASURES)


def flag_help() -> dict[str, str]:
    """Name and help of the flags beyond a run's."""
    found = {"experiment": f"what is done: one of {', '.join(NAMES)}"}
    for extra, _, _ in theory_studies.COMMANDS.values():
        found |= {flag: text for flag, text in extra.items() if flag != "out"}
    return found | {
        "draws": "of rademacher: how often signs are drawn, each a training [1]",
        "of": "of measures: a finished run, its folder or id, or the flagfile that trains it",
    }


def request_of(argv: Sequence[str]):
    """(name, wanted, options, the flags beyond a run's); None where it asks for help."""
    request = flags.parse_with(list(argv), flag_help())
    if request is None:
        return None
    wanted, options, extras = request
    name = extras.pop("experiment")
    if name not in NAMES:
        raise RequestError(f"--experiment: expected one of {', '.join(NAMES)}; received {name}")
    own = {SIGNS: ("draws",), MEASURES: ("of",)}.get(name) or theory_studies.COMMANDS[name][0]
    others = [flag for flag, text in extras.items() if text is not None and flag not in own]
    if others:
        raise RequestError(f"--{others[0]}: expected none with --experiment={name}; leave it out")
    return name, wanted, options, extras


def _signs(wanted, options: Options, extras) -> tuple[dict[str, Any], Callable]:
    from rethink_tf.analysis import rademacher

    rademacher.require_no_labels(wanted)
    draws = theory_studies.whole("draws", extras["draws"] or "1", 1, rademacher.MOST_DRAWS)
    run = prepare(wanted, options)
    values = {
        "experiment": SIGNS, "dataset": content_hash.parts(run.dataset)[1] or run.dataset,
        "seed": run.seed, "examples": run.examples, "epochs": run.epochs, "draws": draws,
        "network": {"model": run.model, **run_config.identity(run)},
    }  # fmt: skip

    def compute() -> dict[str, Any]:
        devices.start(options.threads)
        places = {"data_dir": options.data_dir, "cache_dir": options.cache_dir}
        return rademacher.run(run, draws=draws, **places, progress=console.StageProgress())

    return values, compute


def _measures(wanted, options: Options, extras) -> tuple[dict[str, Any], Callable]:
    theory_studies.refuse_others(wanted, ("seed",))
    seed = run_config.check_field("seed", wanted.seed)
    if extras["of"] is None:
        raise RequestError("--of: expected a finished run, or the flagfile that trains it")
    folder = pretrained.folder_of(extras["of"], Path(options.runs_dir))

    def compute() -> dict[str, Any]:
        from rethink_tf.analysis import measures

        if results.read_summary(folder) is None:
            raise RequestError(f"--of={extras['of']}: there is no finished run in {folder}")
        devices.start(options.threads)
        places = {"data_dir": options.data_dir, "cache_dir": options.cache_dir}
        found = measures.of_run(folder, **places, progress=console.StageProgress())
        return {key: value for key, value in found.items() if key != "run_dir"}

    return {"experiment": MEASURES, "of": folder.name, "seed": seed}, compute


def _theory(name: str, wanted, options: Options, extras) -> tuple[dict[str, Any], Callable]:
    theory_studies.refuse_others(wanted, theory_studies.OF_DATA)
    seed = run_config.check_field("seed", wanted.seed)
    if wanted.dataset is None:
        raise RequestError("--dataset: expected a data set, such as cifar10; received none")
    dataset = run_config.check_field("dataset", wanted.dataset)
    given = theory_studies.numbers(name, extras)
    known = datasets.info(dataset, options.data_dir, options.cache_dir)
    given |= theory_studies.sizes(name, known.num_train, given, say=None)
    fixed = inspect.signature(theory_studies.function(name)).parameters
    arguments = theory_studies.arguments(name)
    kinds = {key: given.get(key, fixed[key].default) for key in arguments}
    plain = {key: list(v) if isinstance(v, tuple) else v for key, v in kinds.items()}

    def compute() -> dict[str, Any]:
        splits = theory_studies.load(wanted, options)
        if name == "expressivity":
            devices.start(options.threads)
        say = {"say": console.say, "progress": console.StageProgress()}
        return theory_studies.COMMANDS[name][1](*splits, **kinds, seed=seed, **say)

    # Named as no setting of a training, since these are numbers of points, not of a training set.
    of = known.content or dataset  # of a foreign set the content counts, not the path
    return {"experiment": name, "dataset": of, "seed": seed, "settings": plain}, compute


def planned(name: str, wanted, options: Options, extras) -> tuple[dict[str, Any], Callable]:
    if name == SIGNS:
        return _signs(wanted, options, extras)
    if name == MEASURES:
        return _measures(wanted, options, extras)
    return _theory(name, wanted, options, extras)


def identify(argv: Sequence[str]) -> tuple[dict[str, Any], str]:
    """What a command line asks for: (its plain configuration, run id)."""
    request = request_of(argv)
    values, _ = planned(*request)
    return values, plain_runs.run_id(request[0], values)

"""The tables and figures as data: rows (flagfiles) x axes (text) x seeds, at one of three scales.

A run of an experiment is an ordinary run: what its row's flagfile, its place on the axes, its seed
and its scale resolve to. A scale is nothing but `epochs`, `examples` and `eval_every`, so the same
values typed by hand are the same run. Imports no TensorFlow.
"""

import dataclasses
import fnmatch
import functools
import importlib
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rethink_tf import command_line, config, parents, resolution
from rethink_tf.errors import RequestError
from rethink_tf.run_progress import state as state

ROOT = Path(__file__).resolve().parent.parent
FLAGFILES = ROOT / "flags"
SCALES = ("paper", "cpu", "smoke")
SCALED = ("examples", "epochs", "eval_every")
MAIN = "rethink_tf.main"


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A table or figure.

    Attributes:
        title: what it shows, in a line.
        rows: flagfiles below flags/, as patterns.
        axes: flag: its values, separated by blanks; each row is run at each combination.
        scales: scale: {pattern of a row or of a model: (examples, epochs, eval_every)}; the first
            that fits counts, where none fits the run is at the paper's scale.
        children: the experiment whose runs start from these; says which epochs to keep.
        module: what is run. One other than rethink_tf.main is given the flags of the file, not its
            name, with --seed, --runs_dir, --threads and what the sweep was given; has a function
            `identify(argv)` -> (configuration, run id); writes RUNS_DIR/<run id>/summary.json last.
    """

    title: str
    rows: tuple[str, ...]
    axes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    scales: Mapping[str, Mapping] = dataclasses.field(default_factory=dict)
    children: str | None = None
    module: str = MAIN


# `cpu`: each experiment ends in a night (10 hours) on two cores, which train so many images/s: MLPs
# 40,000 (hence at the paper's scale), AlexNet 1,500, Inception and WRN-28-1 150, ResNet-18 40,
# ResNet-50 20, Inception v3 7. Experiments that share runs share the scale.
_CIFAR = {
    "cpu": {
        "mlp_*": (50_000, 70, 1),
        "inception_crop": (5_000, 200, 20),
        "inception_flip_rotate": (5_000, 200, 20),
        "inception*": (5_000, 40, 10),
        "alexnet_fashion_*": (5_000, 70, 10),
        "resnet_*": (1_000, 20, 20),
        "alexnet*": (20_000, 70, 10),
    },
    "smoke": {"*": (200, 2, 2)},
}
_IMAGENET = {"cpu": {"*": (500, 30, 30)}, "smoke": {"*": (16, 1, 1)}}
_CAPACITY = {
    "cpu": {"*_all": (1_000, 30, 30), "*_10000": (500, 30, 30)},
    "smoke": {"*_all": (32, 1, 1), "*_10000": (16, 1, 1)},
}
# Longer than 50 epochs at every scale: some of the transfers start from that epoch.
_LEVELS = {"cpu": {"*": (3_000, 60, 20)}, "smoke": {"*": (128, 51, 51)}}
_TRANSFER = {"cpu": {"*": (10_000, 150, 10)}, "smoke": {"*": (200, 2, 2)}}
_WRN = {"cpu": {"*": (2_500, 300, 50)}, "smoke": {"*": (200, 2, 2)}}
_PROBABILITIES = {"corrupt": "0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1"}

EXPERIMENTS: dict[str, Experiment] = {
    "table1": Experiment(
        "Training and test accuracy on CIFAR-10, true and random labels",
        ("table1/*.flags",), scales=_CIFAR,
    ),
    "table2": Experiment(
        "Training and test accuracy on ImageNet, true and random labels",
        ("table2/*.flags",), scales=_IMAGENET,
    ),
    "table3": Experiment(
        "Kernel interpolation of MNIST and CIFAR-10", ("table3/*.flags",),
        module="rethink_tf.theory.kernels",
    ),
    "table4": Experiment(
        "Random labels of CIFAR-10 with explicit regularisers", ("table4/*.flags",), scales=_CIFAR,
    ),
    "figure1a": Experiment(
        "Learning curves on CIFAR-10 under five corruptions", ("figure1a/*.flags",), scales=_CIFAR,
    ),
    "figure1b": Experiment(
        "Time to overfit against label corruption", ("figure1bc/*.flags",), _PROBABILITIES, _CIFAR,
    ),
    "figure1c": Experiment(
        "Test error against label corruption", ("figure1bc/*.flags",), _PROBABILITIES, _CIFAR,
    ),
    "figure2a": Experiment(
        "ImageNet: regularisers and early stopping", ("figure2a/*.flags",), scales=_IMAGENET,
    ),
    "figure2b": Experiment(
        "CIFAR-10: batch normalisation and early stopping", ("figure2b/*.flags",), scales=_CIFAR,
    ),
    "capacity": Experiment(
        "Memorisation by size of a ResNet, Fashion-MNIST", ("capacity/*.flags",), scales=_CAPACITY,
    ),
    "regularisation": Experiment(
        "Weight decay, dropout, corrupted data", ("regularisation/*.flags",), scales=_CIFAR,
    ),
    "levels": Experiment(
        "Levels of randomisation of labels and pixels", ("levels/*.flags",), scales=_LEVELS,
        children="transfer",
    ),
    "transfer": Experiment(
        "The levels' features on Fashion-MNIST", ("transfer/*.flags",), scales=_TRANSFER,
    ),
    "wrn": Experiment(
        "WRN-28-1 as in the first author's demonstration", ("wrn/*.flags",), scales=_WRN,
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Planned:
    """One run of an experiment.

    Attributes:
        experiment, row: its name, and the flagfile's without folder and ending.
        axes: flag: value, as text.
        seed, scale: see `planned`.
        argv: what the module is given to train it, but for where things lie.
        config: resolved; of a run whose parent is not finished, with the weights hash left open.
        run_id: None where its parent is not finished, since its weights are part of what it is.
        module: what is run.
        parent: the run that it starts from.
        waits: why there is no run_id, in words; None where there is one.
    """

    experiment: str
    row: str
    axes: dict[str, str]
    seed: int
    scale: str
    argv: tuple[str, ...]
    config: Any
    run_id: str | None
    module: str = MAIN
    parent: "Planned | None" = None
    waits: str | None = None


def experiment(name: str) -> Experiment:
    """The experiment of a name; RequestError with the known ones otherwise."""
    if name not in EXPERIMENTS:
        raise RequestError(f"expected one of {', '.join(EXPERIMENTS)}; received {name}")
    return EXPERIMENTS[name]


def rows(name: str) -> list[Path]:
    """The flagfiles of an experiment, in the order of their names.

    Raises:
        RequestError: unknown name; there are none; its module is not there.
    """
    found = experiment(name)
    if found.module != MAIN:
        _identify(name)
    paths = _paths(found)
    if not paths:
        raise RequestError(
            f"{name}: expected flagfiles {', '.join(found.rows)} in {FLAGFILES}, found none"
        )
    return paths


def _identify(name: str):
    """The function of an experiment's module that names a run by its flags."""
    try:
        return importlib.import_module(EXPERIMENTS[name].module).identify
    except (ModuleNotFoundError, AttributeError) as error:
        raise RequestError(f"{name}: needs {EXPERIMENTS[name].module}: {error}") from None


def planned(
    name: str, scale: str = "paper", seeds: int = 1, *, runs_dir: Path | str = "runs"
) -> list[Planned]:
    """All runs of an experiment, parents not included.

    Args:
        name: a key of EXPERIMENTS.
        scale: one of SCALES.
        seeds: how many; 0, 1, ...
        runs_dir: where the parents of transferred runs lie.

    Returns:
        The runs, by row, then axes, then seed. Runs that experiments share have equal run ids.

    Raises:
        RequestError: unknown name or scale; flagfiles are not there, or contradict the scale.
    """
    if scale not in SCALES:
        raise RequestError(f"--scale: expected one of {', '.join(SCALES)}; received {scale}")
    if not 1 <= seeds <= 1000:
        raise RequestError(f"--seeds: expected a whole number from 1 to 1000, received {seeds}")
    paths, axes = rows(name), EXPERIMENTS[name].axes
    points = [
        dict(zip(axes, values, strict=True))
        for values in itertools.product(*(text.split() for text in axes.values()))
    ]
    return [
        _plan(name, path, point, seed, scale, Path(runs_dir))
        for path in paths
        for point in points
        for seed in range(seeds)
    ]


def plan_again(plan: Planned, runs_dir: Path | str) -> Planned:
    """A run as it is planned now: with its run id where its parent is finished by now."""
    (path,) = (path for path in rows(plan.experiment) if path.stem == plan.row)
    return _plan(plan.experiment, path, plan.axes, plan.seed, plan.scale, Path(runs_dir))


def _plan(name: str, path: Path, axes, seed: int, scale: str, runs_dir: Path) -> Planned:
    found = EXPERIMENTS[name]
    point = tuple(f"--{flag}={value}" for flag, value in axes.items())
    common = {"experiment": name, "row": path.stem, "axes": axes, "seed": seed, "scale": scale}
    if found.module != MAIN:
        asked = tuple(x for x in path.read_text().splitlines() if x.startswith("--")) + point
        argv = (*asked, *_scale_flags(_scaled(found, scale, path.stem, "")), f"--seed={seed}")
        resolved, run_id = _identify(name)(list(argv))
        return Planned(**common, argv=argv, config=resolved, run_id=run_id, module=found.module)
    asked = (f"--flagfile={_shown(path)}", *point)
    wanted = _parsed(asked)
    scaled = _scaled(found, scale, path.stem, wanted.model)
    wanted = dataclasses.replace(wanted, seed=seed, **scaled)
    argv = asked + _scale_flags(scaled) + ((f"--seed={seed}",) if seed else ())
    kept = _epochs_to_keep(found.children).get(path) if found.children else None
    if kept:
        argv += (f"--keep_epochs={kept}",)
    parent, waits = _parent(wanted.init_from, seed, scale, runs_dir), None
    if parent is not None:
        argv += (f"--init_from={parent.run_id}",)
        wanted, waits = parents.adopt_later(wanted, parent.config, runs_dir / parent.run_id)
    resolved = config.resolve(wanted)
    run_id = config.run_id(resolved) if waits is None else None
    return Planned(**common, argv=argv, config=resolved, run_id=run_id, parent=parent, waits=waits)


def _shown(path: Path) -> str:
    """A flagfile as it is typed where the commands are run, else its whole path."""
    return str(path.relative_to(ROOT) if Path.cwd() == ROOT else path)


@functools.cache
def _parsed(argv: tuple[str, ...]) -> config.RunConfig:
    return command_line.parse(list(argv))[0]


def _scaled(found: Experiment, scale: str, row: str, model: str) -> dict[str, int]:
    """The fields that a scale sets."""
    for pattern, values in found.scales.get(scale, {}).items():
        if any(fnmatch.fnmatchcase(text or "", pattern) for text in (row, model)):
            return dict(zip(SCALED, values, strict=True))
    return {}


def _scale_flags(scaled: dict[str, int]) -> tuple[str, ...]:
    return tuple(f"--{name}={value}" for name, value in scaled.items())


@functools.cache
def _epochs_to_keep(children: str) -> dict[Path, str]:
    """Flagfile: the epochs of it from which an experiment's runs start, as --keep_epochs."""
    found: dict[Path, set[int]] = {}
    for path in rows(children):
        wanted = _parsed((f"--flagfile={_shown(path)}",))
        if wanted.init_epoch is not None:
            found.setdefault(ROOT / wanted.init_from, set()).add(wanted.init_epoch)
    return {path: ",".join(map(str, sorted(epochs))) for path, epochs in found.items()}


def _parent(named: str | None, seed: int, scale: str, runs_dir: Path) -> Planned | None:
    """The run that --init_from=FLAGFILE means, at the same scale and seed."""
    if named is None or resolution.is_random(named):
        return None
    path = ROOT / named
    for name, found in EXPERIMENTS.items():
        if not found.axes and path.suffix == ".flags" and path in _paths(found):
            return _plan(name, path, {}, seed, scale, runs_dir)
    raise RequestError(f"--init_from={named}: expected a flagfile that is a row of an experiment")


def _paths(found: Experiment) -> list[Path]:
    return [path for pattern in found.rows for path in sorted(FLAGFILES.glob(pattern))]

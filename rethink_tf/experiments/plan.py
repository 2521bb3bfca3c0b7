"""The runs of a table or figure (`catalogue`): rows x axes x seeds at a scale, resolved and named.

A run of an experiment is an ordinary run: what its row's flagfile, its place on the axes, its seed
and its scale resolve to. A scale is nothing but `epochs`, `examples` and `eval_every`, so the same
values typed by hand are the same run. Imports no TensorFlow.
"""

import dataclasses
import difflib
import fnmatch
import functools
import importlib
import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rethink_tf.config import flags, resolution, run_config
from rethink_tf.errors import RequestError
from rethink_tf.experiments.catalogue import EXPERIMENTS as EXPERIMENTS
from rethink_tf.experiments.catalogue import SCALED as SCALED
from rethink_tf.experiments.catalogue import SCALES as SCALES
from rethink_tf.experiments.catalogue import TRAINING as TRAINING
from rethink_tf.experiments.catalogue import Experiment as Experiment
from rethink_tf.narrowing import present
from rethink_tf.runs import pretrained
from rethink_tf.runs.status import state as state

ROOT = Path(__file__).resolve().parents[2]
FLAGFILES = ROOT / "flags"
# Settings that `sweep` may change in all rows. The report marks the runs in which they differ.
CHANGEABLE = ("precision", "eval_every")
OF = "--of="  # for tasks that are not trainings: the run they start from


@dataclasses.dataclass(frozen=True)
class Planned:
    """One run of an experiment.

    Attributes:
        experiment, row: its name, and the flagfile's without folder and ending.
        axes: flag: value, as text.
        seed, scale: see `planned`.
        argv: its flags, but for where things lie.
        config: resolved; of a run whose parent is not finished, with the weights hash left open; of
            what is no training a dict.
        run_id: None where its parent is not finished, since its weights are part of what it is.
        command: see `Experiment`.
        parent: the run that it starts from.
        waits: why there is no run_id, in words; None where there is one.
        changes: the settings of CHANGEABLE in which it was asked to differ from its row.
    """

    experiment: str
    row: str
    axes: dict[str, str]
    seed: int
    scale: str
    argv: tuple[str, ...]
    config: Any
    run_id: str | None
    command: tuple[str, ...] = TRAINING
    parent: "Planned | None" = None
    waits: str | None = None
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def experiment(name: str) -> Experiment:
    """The experiment of a name; RequestError with the known ones otherwise."""
    if name not in EXPERIMENTS:
        near = difflib.get_close_matches(name, EXPERIMENTS, n=1, cutoff=0.6)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise RequestError(f"expected one of {', '.join(EXPERIMENTS)}; received {name}{hint}")
    return EXPERIMENTS[name]


def rows(name: str) -> list[Path]:
    """The flagfiles of an experiment, in the order of their names.

    Raises:
        RequestError: unknown name; there are none; the module that identifies its runs is missing.
    """
    design = experiment(name)
    if design.command != TRAINING:
        _identify(name)
    paths = _paths(design)
    if not paths:
        raise RequestError(
            f"{name}: expected flagfiles {', '.join(design.rows)} in {FLAGFILES}, found none"
        )
    return paths


def _identify(name: str):
    """The function that names a run by its flags."""
    try:
        module = present(EXPERIMENTS[name].identified_by, f"the module that names runs of {name}")
        return importlib.import_module(module).identify
    except (ModuleNotFoundError, AttributeError) as error:
        raise RequestError(f"{name}: needs {EXPERIMENTS[name].identified_by}: {error}") from None


def planned(
    name: str,
    scale: str = "paper",
    seeds: int = 1,
    *,
    runs_dir: Path | str = "runs",
    only: str = "*",
    changes: Mapping[str, Any] | None = None,
) -> list[Planned]:
    """All runs of an experiment, parents not included.

    Args:
        name: a key of EXPERIMENTS.
        scale: one of SCALES.
        seeds: how many; 0, 1, ...
        runs_dir: where the parents of transferred runs lie.
        only: pattern of the rows wanted, such as mlp_*; the names of flagfiles without ending. Rows
            that the scale leaves out are not among them.
        changes: values of settings of CHANGEABLE, in place of those of the rows and the scale; the
            runs that others start from stay as they are.

    Returns:
        The runs, by row, then axes, then seed. Runs that experiments share have equal run ids.

    Raises:
        RequestError: unknown name or scale; flagfiles are not there, or contradict the scale or the
            changes; changes to what is no training.
    """
    if scale not in SCALES:
        raise RequestError(f"--scale: expected one of {', '.join(SCALES)}; received {scale}")
    if not 1 <= seeds <= 1000:
        raise RequestError(f"--seeds: expected a whole number from 1 to 1000, received {seeds}")
    if changes and experiment(name).command != TRAINING:
        raise RequestError(
            f"--{next(iter(changes))}: expected experiments that train networks; {name} does not"
        )
    paths, axes = rows(name), EXPERIMENTS[name].axes
    points = [
        dict(zip(axes, values, strict=True))
        for values in itertools.product(*(text.split() for text in axes.values()))
    ]
    return [
        _plan(name, path, point, seed, scale, Path(runs_dir), changes or {})
        for path in paths
        if fnmatch.fnmatchcase(path.stem, only) and not _left_out(name, scale, path.stem)
        for point in points
        for seed in range(seeds)
    ]


def require_rows(names: Iterable[str], only: str, scale: str = "paper") -> None:
    """Refuses a pattern that is of no row of any of the experiments at a scale: RequestError."""
    if only == "*":
        return
    there = {
        path.stem
        for name in names
        for path in _paths(experiment(name))
        if not _left_out(name, scale, path.stem)
    }
    if not fnmatch.filter(sorted(there), only):
        known = ", ".join(sorted(there)) or "rows of an experiment"
        at = "" if scale == "paper" else f" at scale {scale}"
        raise RequestError(f"--rows: expected a pattern of {known}{at}; received {only}")


def _left_out(name: str, scale: str, row: str) -> bool:
    """Whether a scale leaves a row out."""
    patterns = EXPERIMENTS[name].left_out.get(scale, ())
    return any(fnmatch.fnmatchcase(row, pattern) for pattern in patterns)


def plan_again(plan: Planned, runs_dir: Path | str) -> Planned:
    """A run as it is planned now: with its run id where its parent is finished by now."""
    (path,) = (path for path in rows(plan.experiment) if path.stem == plan.row)
    place = (plan.axes, plan.seed, plan.scale, Path(runs_dir), plan.changes)
    return _plan(plan.experiment, path, *place)


def _plan(
    name: str, path: Path, axes, seed: int, scale: str, runs_dir: Path, changes: Mapping[str, Any]
) -> Planned:
    design = EXPERIMENTS[name]
    point = tuple(f"--{flag}={value}" for flag, value in axes.items())
    common: dict[str, Any] = {
        "experiment": name,
        "row": path.stem,
        "axes": axes,
        "seed": seed,
        "scale": scale,
    }
    if design.command != TRAINING:
        asked = tuple(x for x in path.read_text().splitlines() if x.startswith("--")) + point
        of = [word.partition("=")[2] for word in asked if word.startswith(OF)]
        parent = _parent(of[0], seed, scale, runs_dir) if of else None
        if parent is not None:
            asked = tuple(word for word in asked if not word.startswith(OF))
            asked += (f"{OF}{parent.run_id}",)
        argv = (*asked, *_scale_flags(_scaled(design, scale, path.stem, "")), f"--seed={seed}")
        resolved, run_id = _identify(name)(list(argv))
        return Planned(
            **common,
            argv=argv,
            config=resolved,
            run_id=run_id,
            command=design.command,
            parent=parent,
        )
    asked = (f"--flagfile={_shown(path)}", *point)
    wanted = _parsed(asked)
    scaled = {**_scaled(design, scale, path.stem, wanted.model), **changes}
    argv = asked + _scale_flags(scaled) + ((f"--seed={seed}",) if seed else ())
    kept = _epochs_to_keep(design.children).get(path) if design.children else None
    if kept:
        argv += (f"--keep_epochs={kept}",)
    parent, waits = _parent(wanted.init_from, seed, scale, runs_dir), None
    if parent is None:
        resolved = dataclasses.replace(_resolved(asked, tuple(scaled.items())), seed=seed)
    else:
        wanted = dataclasses.replace(wanted, seed=seed, **scaled)
        argv += (f"--init_from={parent.run_id}",)
        wanted, waits = pretrained.adopt_later(
            wanted, parent.config, runs_dir / present(parent.run_id, "the run id of a parent")
        )
        resolved = run_config.resolve(wanted)
    run_id = run_config.run_id(resolved) if waits is None else None
    return Planned(
        **common,
        argv=argv,
        config=resolved,
        run_id=run_id,
        parent=parent,
        waits=waits,
        changes=changes,
    )


def _shown(path: Path) -> str:
    """A flagfile as it is typed where the commands are run, else its whole path."""
    return str(path.relative_to(ROOT) if Path.cwd() == ROOT else path)


@functools.lru_cache(maxsize=4096)
def _resolved(argv: tuple[str, ...], changes: tuple[tuple[str, Any], ...]) -> run_config.RunConfig:
    """A row at a scale, resolved; seeds differ in nothing else."""
    return run_config.resolve(dataclasses.replace(_parsed(argv), seed=0, **dict(changes)))


@functools.cache
def _parsed(argv: tuple[str, ...]) -> run_config.RunConfig:
    return present(flags.parse(list(argv)), "a run, no --help")[0]


def _scaled(design: Experiment, scale: str, row: str, model: str) -> dict[str, Any]:
    """The fields that a scale sets, of what is no training the flags."""
    for pattern, values in design.scales.get(scale, {}).items():
        if any(fnmatch.fnmatchcase(text or "", pattern) for text in (row, model)):
            return values if isinstance(values, dict) else dict(zip(SCALED, values, strict=True))
    return {}


def setting(config: Any, name: str) -> Any:
    """A setting of a run's configuration, of a training or of another; None where it has none."""
    return config.get(name) if isinstance(config, dict) else getattr(config, name, None)


def _scale_flags(scaled: dict[str, Any]) -> tuple[str, ...]:
    return tuple(f"--{name}={value}" for name, value in scaled.items())


@functools.cache
def _epochs_to_keep(children: str) -> dict[Path, str]:
    """Flagfile: the epochs of it from which an experiment's runs start, as --keep_epochs."""
    kept: dict[Path, set[int]] = {}
    for path in rows(children):
        wanted = _parsed((f"--flagfile={_shown(path)}",))
        if wanted.init_epoch is not None:
            kept.setdefault(ROOT / present(wanted.init_from, "--init_from"), set()).add(
                wanted.init_epoch
            )
    return {path: ",".join(map(str, sorted(epochs))) for path, epochs in kept.items()}


def _parent(named: str | None, seed: int, scale: str, runs_dir: Path) -> Planned | None:
    """The run that --init_from=FLAGFILE, or --of=FLAGFILE, means, at the same scale and seed."""
    if named is None or resolution.is_random(named):
        return None
    path = ROOT / named
    for name, design in EXPERIMENTS.items():
        if not design.axes and path.suffix == ".flags" and path in _paths(design):
            return _plan(name, path, {}, seed, scale, runs_dir, {})
    raise RequestError(f"--init_from={named}: expected a flagfile that is a row of an experiment")


def _paths(design: Experiment) -> list[Path]:
    return _flagfiles(FLAGFILES, design.rows)


@functools.cache
def _flagfiles(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return [path for pattern in patterns for path in sorted(folder.glob(pattern))]

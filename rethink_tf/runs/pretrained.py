"""The run that a transfer starts from: finding it, naming it in a configuration, its weights.

`adopt` turns the flag into run id, epoch and weights hash, and copies the parent's network, input
size and preprocessing. Imports no TensorFlow.
"""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf.config import flags, resolution, run_config
from rethink_tf.config.parent_ref import ParentRef, is_parent_ref
from rethink_tf.config.run_config import FIELDS, OF_THE_PARENT, RunConfig
from rethink_tf.data import registry as datasets
from rethink_tf.data.registry import DATASETS
from rethink_tf.data.sources import custom as custom_data
from rethink_tf.errors import RequestError, StorageError
from rethink_tf.narrowing import present
from rethink_tf.runs import agreement, checkpoint, results, schema
from rethink_tf.storage import content_hash
from rethink_tf.storage.paths import absolute


@dataclasses.dataclass(frozen=True)
class Parent:
    """What a transferred run starts from.

    Attributes:
        config: of the parent, resolved.
        run_dir: None for freshly drawn weights.
        run_id: `random:DATASET` for freshly drawn weights.
        epoch: after which the weights were taken; 0 for freshly drawn ones.
        weights_hash: of all variables; None for freshly drawn ones.
        image_shape: (height, width, channels) of the images of its data set, before the crop.
        num_classes: of its data set.
    """

    config: RunConfig
    run_dir: Path | None
    run_id: str
    epoch: int
    weights_hash: str | None
    image_shape: tuple[int, int, int]
    num_classes: int

    def record(self) -> schema.ParentRecord:
        """The parent as config.json and summary.json have it."""
        return {"run_id": self.run_id, "epoch": self.epoch, "weights_hash": self.weights_hash}


def adopt(wanted: RunConfig, runs_dir: Path | str) -> RunConfig:
    """Identifies the parent of a configuration, and copies the parent's settings.

    Args:
        wanted: not yet resolved; `model`, `preprocess` and `input_size` may be None with a parent.
        runs_dir: folder of the runs.

    Returns:
        `wanted` where it has no parent; else with `init_from` in its one form.

    Raises:
        RequestError: the parent is not there or not finished, has no such epoch, or is itself a
            transferred run; a setting contradicts it.
        StorageError: its files are damaged.
    """
    named = wanted.init_from
    if named is None or is_parent_ref(named):
        return wanted
    epoch = run_config.check_field("init_epoch", wanted.init_epoch)
    if resolution.is_random(named):
        return _drawn(wanted)
    run_dir, how = _locate(named, Path(runs_dir))
    summary = agreement.read_summary(run_dir)
    if summary is None:
        raise RequestError(f"--init_from={named}: there is no finished run in {run_dir}; {how}")
    if summary.get("status") != results.DONE:
        raise RequestError(
            f"--init_from={named}: expected a run that ended {results.DONE}, {run_dir} ended "
            f"{summary.get('status')}"
        )
    own = _config_of(run_dir, summary)
    _require_names(run_dir, summary)
    if own.init_from is not None:
        raise RequestError(
            f"--init_from={named}: expected a run trained from the start, {summary['run_id']} is "
            "itself transferred"
        )
    for name in OF_THE_PARENT:
        given = getattr(wanted, name)
        its = _shown(getattr(own, name))
        if given is not None and _shown(given) != its:
            raise RequestError(
                f"--{name}: expected {its}, that of the parent "
                f"{summary['run_id']}, received {given}; leave it out"
            )
    epoch, known = _epoch_and_hash(named, run_dir, summary, epoch)
    return dataclasses.replace(
        wanted,
        init_from=str(ParentRef(str(run_dir), summary["run_id"], epoch, known)),
        init_epoch=epoch,
        **{name: getattr(own, name) for name in OF_THE_PARENT},
    )


def _shown(value: Any) -> Any:
    return content_hash.shown(value) if isinstance(value, str) else value


def adopt_later(wanted: RunConfig, own: RunConfig, run_dir: Path) -> tuple[RunConfig, str | None]:
    """As `adopt`, for a parent that may not be trained yet.

    Args:
        wanted: as for `adopt`, but for the parent.
        own: resolved, of the parent.
        run_dir: of the parent.

    Returns:
        The configuration, and None; where the parent cannot be adopted yet, the configuration with
        `open` in place of its weights hash, which names no run, and why.
    """
    try:
        return adopt(dataclasses.replace(wanted, init_from=str(run_dir)), run_dir.parent), None
    except (RequestError, StorageError) as error:
        epoch = wanted.init_epoch or own.epochs
        named = str(ParentRef(str(run_dir), run_config.run_id(own), epoch, "open"))
        of_the_parent = {name: getattr(own, name) for name in OF_THE_PARENT}
        changes = {"init_from": named, "init_epoch": epoch, **of_the_parent}
        return dataclasses.replace(wanted, **changes), str(error)


def _drawn(wanted: RunConfig) -> RunConfig:
    """Freshly drawn weights have the child's network; its input by the data set named, if any."""
    name = present(wanted.init_from, "--init_from").partition(":")[2]
    left: dict[str, Any] = {
        n: FIELDS[n].default for n in OF_THE_PARENT if getattr(wanted, n) is None
    }
    if wanted.input_size is None and name in DATASETS:
        left["input_size"] = resolution.input_size(DATASETS[name])
    return dataclasses.replace(wanted, **left)


def _locate(named: str, runs_dir: Path) -> tuple[Path, str]:
    """The run directory that was typed in some form, and what to type where it is not there."""
    if named.endswith(".flags"):
        return _of_flagfile(named, runs_dir)
    for folder in (Path(named), runs_dir / named):
        if os.path.isdir(folder):  # returns False for impossible names, where others raise
            return folder, "let it finish first"
    raise RequestError(
        f"--init_from: expected a run's folder, a run id below {runs_dir}, a file .flags, or "
        f"random; received {named}"
    )


def folder_of(named: str, runs_dir: Path) -> Path:
    """The folder of a run, there or not, by a path, a run id below `runs_dir`, or a flagfile.

    Raises:
        RequestError: the flagfile cannot be read, or is no run.
    """
    if named.endswith(".flags"):
        return _of_flagfile(named, runs_dir)[0]
    return Path(named) if os.path.isdir(named) else runs_dir / named


def _of_flagfile(path: str, runs_dir: Path) -> tuple[Path, str]:
    try:
        parsed = flags.parse([f"--flagfile={path}"])
        wanted, options = present(parsed, "a run, no --help")
        own = run_config.resolve(wanted, options.data_dir, options.cache_dir)
    except RequestError as error:
        raise RequestError(f"--init_from={path}: {error}") from None
    where = "" if str(runs_dir) == "runs" else f" --runs_dir={runs_dir}"
    command = f"python -m rethink_tf.main --flagfile={path}{where}"
    return runs_dir / run_config.run_id(own), f"train it first: {command}"


def _config_of(run_dir: Path, summary: dict) -> RunConfig:
    try:
        return run_config.from_dict(summary["config"])
    except (KeyError, TypeError):
        raise StorageError(f"{run_dir}: its summary lacks its configuration") from None


def _require_names(run_dir: Path, summary: dict) -> None:
    """Refuses a summary that lacks what a child names its parent by."""
    for name, kind, expected in (
        ("run_id", str, "text"),
        ("epochs", int, "a whole number"),
        ("weights_hash", str, "text"),
    ):
        if type(summary.get(name)) is not kind:
            raise StorageError(
                f"{run_dir}: damaged: expected {expected} in {name} of its summary, found "
                f"{summary.get(name)!s:.40}; delete {results.SUMMARY} and train it again"
            )


def _epoch_and_hash(named: str, run_dir: Path, summary: dict, epoch: int | None) -> tuple[int, str]:
    last = summary["epochs"]
    if epoch is None or epoch == last:
        return last, summary["weights_hash"]
    kept = results.snapshots(run_dir)
    if epoch not in kept:
        there = ", ".join(map(str, [*kept, *([] if last in kept else [last])]))
        raise RequestError(
            f"--init_epoch: expected one of {there}, the kept epochs of {summary['run_id']} and "
            f"its last one, received {epoch}; to keep it, train with --keep_epochs={epoch}"
        )
    return epoch, checkpoint.weights_hash(results.read_snapshot(run_dir, epoch))


def load_parent(
    child: RunConfig,
    data_dir: Path | str | None = None,
    cache_dir: Path | str | None = None,
    report: Callable[[str], None] = print,
) -> Parent | None:
    """The parent of a resolved configuration, None where it has none.

    Args:
        child: resolved.
        data_dir, cache_dir, report: see `registry.load`.

    Raises:
        RequestError: that run does not exist any more.
        StorageError: its folder holds another run now.
    """
    if child.init_from is None:
        return None
    if resolution.is_random(child.init_from):
        name = child.init_from.partition(":")[2]
        drawn = dataclasses.replace(child, dataset=name, init_from=None, freeze="none")
        info = datasets.info(
            name,
            data_dir,
            cache_dir,
            input_size=child.input_size,
            augment=child.augment,
            report=report,
        )
        seen = info.image_shape, info.num_classes
        return Parent(drawn, None, content_hash.shown(child.init_from), 0, None, *seen)
    ref = run_config.parent_ref(child)
    folder = absolute(ref.folder)
    summary = agreement.read_summary(folder)
    if summary is None:
        raise RequestError(f"--init_from: expected the finished run {ref.run_id} in {folder}")
    if summary.get("run_id") != ref.run_id:
        raise StorageError(f"{folder}: expected {ref.run_id}, found {summary.get('run_id')}")
    own = _config_of(Path(folder), summary)
    seen = _seen(own, Path(folder), summary)
    return Parent(own, Path(folder), ref.run_id, ref.epoch, ref.weights_hash, *seen)


def _seen(own: RunConfig, folder: Path, summary: dict) -> tuple[tuple[int, int, int], int]:
    """Image shape and classes of a finished run's data set, which need not be there any more."""
    if not custom_data.is_custom(own.dataset):
        info = datasets.info(own.dataset)
        return info.image_shape, info.num_classes
    shape: Any = summary.get("image_shape")
    classes: Any = summary.get("classes")
    numbers = [*shape, classes] if isinstance(shape, list) else []
    if len(numbers) != 4 or not all(type(n) is int and n > 0 for n in numbers):
        raise StorageError(
            f"{folder}: expected image_shape and classes of its data set in its summary, found "
            f"{shape!s:.40} and {classes!s:.40}; move its folder away and train it again"
        )
    height, width, channels = shape
    return (height, width, channels), classes


def parent_in_words(child: RunConfig) -> list[str]:
    """The parent of a resolved configuration in words, from it alone; nothing where it has none."""
    if child.init_from is None:
        return []
    last = "last layer only" if child.freeze == "all_but_last" else "fine-tuned"
    if resolution.is_random(child.init_from):
        return [f"random weights, {last}"]
    ref = run_config.parent_ref(child)
    return [f"from {ref.run_id} after epoch {ref.epoch}, {last}"]


def stored(parent: Parent, say: Callable[[str], None]) -> dict[str, list[np.ndarray]]:
    """The weights of a trained parent, as stored.

    Returns:
        `trainable` and `others` (statistics and seed states, then sums of the epoch) from its
        newest checkpoint, or `all` from a snapshot; each in the model's order.

    Raises:
        RequestError: neither is there.
        StorageError: the snapshot is damaged.
    """
    folder, epoch = present(parent.run_dir, "the parent's run directory"), parent.epoch
    saved = checkpoint.newest(folder / results.CHECKPOINTS, say)
    if saved is not None and (saved[0]["epoch"], saved[0]["step"]) == (epoch, 0):
        arrays = saved[1]
        # One row per replica; the rows are equal at the end of an epoch.
        others = [arrays[name][0] for name in sorted(arrays) if name.startswith("local")]
        trainable = [arrays[name] for name in sorted(arrays) if name.startswith("weight")]
        return {"trainable": trainable, "others": others}
    if epoch in results.snapshots(folder):
        return {"all": results.read_snapshot(folder, epoch)}
    raise RequestError(
        f"--init_from: expected weights of epoch {epoch} in {folder}, found neither a sound "
        "checkpoint nor a snapshot of it; move its folder away and train it again"
    )

"""Where a run resumes: its own checkpoint, or that of a shorter run of equal configuration.

Imports no TensorFlow.
"""

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rethink_tf.config.run_config import RunConfig, run_id
from rethink_tf.errors import RequestError, StorageError
from rethink_tf.runs import agreement, checkpoint, results
from rethink_tf.runs import schema as records


@dataclasses.dataclass(frozen=True)
class ResumePoint:
    """A checkpoint to resume from: its header, its arrays, and the run directory that holds it.

    `differed` lists where the run was resumed in a changed environment, including this time, as in
    the summary.
    """

    header: dict[str, Any]
    arrays: dict[str, Any]
    run_dir: Path
    differed: tuple[str, ...] = ()


def resume_point(
    config: RunConfig,
    run_dir: Path,
    environment: records.Environment,
    mode: str,
    say: Callable[[str], None],
) -> ResumePoint | None:
    """The checkpoint that this run resumes from, or None for a start at the beginning.

    Args:
        config: resolved.
        run_dir: of this run.
        environment: what must not change for a bit-equal continuation.
        mode: `exact` refuses another environment, `anyway` resumes in it, `restart` starts over.
        say: takes lines for the reader.

    Raises:
        RequestError: the environment differs; names both values and what to type.
    """
    if mode == "restart":
        return None
    unfinished = _was_begun(run_dir, say)
    check = partial(_check_header, run_id(config))
    stored = checkpoint.newest(run_dir / results.CHECKPOINTS, say, check)
    point: ResumePoint | None
    if stored is not None:
        point = ResumePoint(*stored, run_dir)
    else:
        point = _shorter(config, run_dir, say)
        if point is None and unfinished:
            say(f"{run_dir}: an unfinished run without a checkpoint lies here; it starts over")
    if point is None:
        return None
    if not _is_readable(point, run_dir, say):
        return None
    differences = _differences(point.header["environment"], environment)
    differed = tuple(point.header.get("differed", ()))
    if (differed or differences) and point.run_dir != run_dir:
        say(f"{point.run_dir}: not continued, since {'; '.join((*differed, *differences))}")
        return None
    labels = [environment["labels_hash"], point.header["environment"].get("labels_hash")]
    if labels[0] != labels[1] and point.run_dir == run_dir:
        raise RequestError(
            f"{run_dir}: expected a checkpoint for labels of hash {labels[0]}, found one for "
            f"{labels[1]}; add --resume=restart to start over"
        )
    if differences and mode == "exact":
        raise RequestError(
            f"{run_dir}: its checkpoint cannot be continued exactly: {'; '.join(differences)}; "
            "add --resume=anyway to resume nevertheless, or --resume=restart to start over"
        )
    if point.run_dir == run_dir and "history" in point.header:
        _say_damage(run_dir, point.header, say)
    if differences:
        place = f"after epoch {point.header['epoch']}, step {point.header['step']} of the next"
        differed = (*differed, f"{place}: {'; '.join(differences)}")
    return dataclasses.replace(point, differed=differed)


def _was_begun(run_dir: Path, say: Callable[[str], None]) -> bool:
    """Whether a run has begun here: its config.json is there, though it may be damaged."""
    try:
        return results.read_config(run_dir) is not None
    except StorageError:
        say(f"{run_dir}/{results.CONFIG}: damaged; it is written anew")
        return True


def _is_readable(point: ResumePoint, run_dir: Path, say: Callable[[str], None]) -> bool:
    """Whether this version resumes a checkpoint's format; refuses one of the run's own."""
    form = checkpoint.header_format(point.header)
    if form not in checkpoint.RESUMABLE:
        if point.run_dir != run_dir:
            say(f"{point.run_dir}: not continued, since its checkpoint is of format {form!s:.20}")
            return False
        raise RequestError(
            f"{run_dir}: its checkpoint is of format {form!s:.20}, this version reads "
            f"{', '.join(map(str, checkpoint.RESUMABLE))}; use the version that wrote it, or add "
            "--resume=restart to start over"
        )
    return True


def _check_header(wanted: str, header: dict[str, Any]) -> None:
    """Raises ValueError for a header that this version did not write for the run `wanted`."""
    if header.get("run_id", wanted) != wanted:  # earlier versions wrote neither id nor history
        raise ValueError(f"it is of {header['run_id']!s:.60}, not of {wanted}")
    environment, lines = header.get("environment"), header.get("history")
    if (
        not isinstance(environment, dict)
        or not isinstance(header.get("best"), dict)
        or not isinstance(environment.get("versions", {}), dict)
    ):
        raise ValueError("its header is not whole")
    if lines is not None:
        if not isinstance(lines, list) or len(lines) != header["epoch"]:
            raise ValueError("its history is not whole")
        try:
            records.check_history(Path("its history"), lines)
        except StorageError as error:
            raise ValueError(str(error)) from None


def _say_damage(run_dir: Path, header: dict[str, Any], say: Callable[[str], None]) -> None:
    """Says where the history is not what the checkpoint says, which is what counts."""
    try:
        if results.read_history(run_dir)[: header["epoch"]] != header["history"]:
            say(f"{run_dir}: its history is damaged; it is written anew from the checkpoint")
    except StorageError as error:
        say(f"{error}; it is written anew from the checkpoint")


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    def flat(values: Mapping[str, Any]) -> dict[str, Any]:
        versions = dict(values.get("versions", {}))
        versions.pop("rethink_tf", None)  # the checkpoint's format decides instead
        return {**{k: v for k, v in values.items() if k != "versions"}, **versions}

    then, now = flat(then), flat(now)
    return [
        f"{name} was {then.get(name)} and is {now.get(name)}"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]


def _shorter(config: RunConfig, run_dir: Path, say: Callable[[str], None]) -> ResumePoint | None:
    """The longest finished run beside this one that differs in having fewer epochs only.

    One whose files do not agree with each other is named and not used.
    """
    for epochs, path in _shorter_runs(config, run_dir):
        shorter = run_id(dataclasses.replace(config, epochs=epochs))
        try:
            agreement.read_summary(path, shorter)
        except StorageError as error:
            say(f"not continued: {error}")
            continue
        stored = checkpoint.newest(path / results.CHECKPOINTS, say, partial(_check_header, shorter))
        if stored is not None:
            say(f"{path}: the same run with {epochs} epochs; this one resumes from it")
            return ResumePoint(*stored, path)
    return None


def _shorter_runs(config: RunConfig, run_dir: Path) -> list[tuple[int, Path]]:
    """Epochs and folders of the runs that `_shorter` chooses from, by their summaries; longest
    first.

    There are none where the learning rate of an epoch depends on the length of the run.
    """
    wanted, shorter = dataclasses.asdict(config), []
    if config.lr_schedule == "cosine":
        return []
    for path in run_dir.parent.glob(f"{run_dir.name.rpartition('-')[0]}-*"):
        try:
            summary = results.read_summary(path) if path != run_dir else None
            if summary is None or summary["status"] != results.DONE:
                continue
            epochs = summary["config"]["epochs"]
            same = {**agreement.with_defaults(summary["config"]), "epochs": config.epochs} == wanted
            # The shorter run evaluated its last epoch. A longer run does so only if it is due.
            if same and 0 < epochs < config.epochs and epochs % config.eval_every == 0:
                shorter.append((epochs, path))
        except (StorageError, KeyError, TypeError):
            continue  # unreadable, so it cannot be used
    return sorted(shorter, reverse=True)


def begin(
    run_dir: Path, record: dict[str, Any], point: ResumePoint | None, now: dict[str, Any]
) -> list[dict[str, Any]]:
    """Writes config.json and cuts the history to the checkpoint; returns the lines that stay.

    Args:
        run_dir: of this run.
        record: config.json of a fresh run.
        point: the checkpoint that it resumes from, if any.
        now: environment and command line, added to `resumed` in config.json.

    Raises:
        StorageError: neither the checkpoint nor the file has the history up to the checkpoint.
    """
    if point is None:
        results.start(run_dir, record)
        return []
    kept = point.header.get("history")
    if kept is None:  # an earlier version's checkpoint
        kept = _history_of_file(point)
    if point.run_dir != run_dir:
        results.start(run_dir, record)
    place = {"epoch": point.header["epoch"], "step": point.header["step"]}
    place["from"] = point.run_dir.name
    results.add_resumed(run_dir, record, place | now)
    shutil.rmtree(run_dir / results.TENSORBOARD, ignore_errors=True)
    results.rewrite_history(run_dir, kept)
    return kept


def _history_of_file(point: ResumePoint) -> list[dict[str, Any]]:
    """The history that lies beside a checkpoint, up to it."""
    try:
        kept = results.read_history(point.run_dir)[: point.header["epoch"]]
    except StorageError as error:
        raise StorageError(f"{error}; add --resume=restart to start over") from None
    if len(kept) != point.header["epoch"]:
        raise StorageError(
            f"{point.run_dir}: expected {point.header['epoch']} epochs in its history, found "
            f"{len(kept)}; add --resume=restart to start over"
        )
    return kept

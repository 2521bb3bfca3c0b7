"""The shipped runs as small data: rethink-tf ship RUN...

Each file of `measured/` has one object a line for each run of a network: run id, configuration,
summary, history by column (of more than 100 epochs some, with those at which a threshold was
reached), the machine with the hours that the run took and the commit that it was run from, whether
it is of a version that wrote no digests, and a digest over all of that. Paths are not kept.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rethink_tf.config.parent_ref import ParentRef, is_parent_ref
from rethink_tf.config.run_config import RunConfig
from rethink_tf.errors import RequestError, StorageError
from rethink_tf.report import derived
from rethink_tf.report.collection import MEASURED, Run, as_run, lacks, part_of, why_inexact
from rethink_tf.report.history import History, column
from rethink_tf.runs import history_agreement, results
from rethink_tf.runs import schema as records
from rethink_tf.storage import files
from rethink_tf.storage.content_hash import ContentRef

FOLDER = Path(__file__).resolve().parent / "measured"
MOST_EPOCHS = 100
DIGITS = 6  # significant digits; fractions of 50,000 examples need five
HISTORY_KEYS = (
    "epoch",
    "loss",
    "accuracy",
    "train_loss",
    "train_accuracy",
    "clean_accuracy",
    "corrupted_accuracy",
    "corrupted_original_accuracy",
    "test_loss",
    "test_accuracy",
    "train_top5_accuracy",
    "test_top5_accuracy",
    "learning_rate",
)
LEFT_OUT = ("config", "audit", "timing", "run_id", "parent", "run_dir", "differed", records.DIGESTS)


def _rounded(value: Any) -> Any:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def kept_places(history: Sequence[dict[str, Any]], most: int = MOST_EPOCHS) -> list[int]:
    """Where about `most` lines of a history are: evenly spaced, the last, the best test accuracy,
    and those at which a threshold was reached first."""
    count = len(history)
    if count <= most:
        return list(range(count))
    step = -(-count // most)
    kept = {0, count - 1, *range(step - 1, count, step)}
    epochs = column(history, "epoch")
    reached = {derived.reached(history, threshold) for threshold in derived.thresholds()}
    kept |= {place for place, epoch in enumerate(epochs) if epoch in reached}
    tested = [-1.0 if x is None else x for x in column(history, "test_accuracy")]
    if max(tested) >= 0:
        kept.add(tested.index(max(tested)))
    return sorted(kept)


def kept_lines(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most about MOST_EPOCHS lines of a history, see `kept_places`."""
    lines = list(history)
    return [lines[place] for place in kept_places(lines)]


def record(run: Run, machine: str | None) -> dict[str, Any]:
    """A run as one object of a file of `measured/`.

    Args:
        run: DONE, out of a folder.
        machine: what it was trained on, in words; None: as config.json says.

    Raises:
        RequestError: it is not DONE, is not exact, or is of a part of its data set.
        StorageError: its history is damaged, or not there as a whole.
    """
    if run.status != results.DONE:
        raise RequestError(f"{run.place}: expected a run that is DONE, this one is {run.status}")
    if why := why_inexact(run):
        raise RequestError(f"{run.place}: expected a run that is exact; this one {why}")
    if part := part_of(run):
        raise RequestError(f"{run.place}: expected a run on all images, this one is on {part}")
    if why := lacks(run):
        raise StorageError(f"{run.place}/{why}")
    lines = kept_lines(run.history())
    keys = [key for key in HISTORY_KEYS if any(x.get(key) is not None for x in lines)]
    summary = {key: _rounded(v) for key, v in run.summary.items() if key not in LEFT_OUT}
    if tested := run.corrupted_test:
        summary["corrupted_test_error"] = _rounded(tested.mean)
        summary["corrupted_test_draws"] = len(tested.corrupted_errors)
    checks = run.summary["audit"]
    return sealed(
        {
            "run_id": run.run_id,
            "config": _without_paths(dict(run.summary["config"])),
            "summary": summary
            | {"audit_passed": sum(bool(c["passed"]) for c in checks), "audit_checks": len(checks)},
            "history": {key: [_rounded(x.get(key)) for x in lines] for key in keys},
            "machine": run.machine | ({"name": machine} if machine else {}) | _times(run),
            "before_seals": run.before_seals,
        }
    )


def sealed(entry: dict[str, Any]) -> dict[str, Any]:
    """An object of a file of `measured/` with the digest over all else in it."""
    entry = {key: value for key, value in entry.items() if key != records.DIGESTS}
    return entry | {records.DIGESTS: records.digest(entry)}


def _times(run: Run) -> dict[str, Any]:
    """What a run took by its own record: `train_seconds`, and `hours` of training and evaluation,
    of a kernel's solutions, of leave-one-out, or of the networks that the last process of
    memorisation scores trained; not the start, nor the reading of data.
    """
    history = run.history()
    seconds = history.train_seconds + history.eval_seconds
    seconds += (run.summary.get("seconds") or {}).get("all", 0.0)
    if run.summary.get("kind") == "memorisation":
        seconds += (run.summary.get("timing") or {}).get("seconds", 0.0)
    for solution in run.summary.get("solutions") or ():
        seconds += sum((solution.get("seconds") or {}).values())
    return {"train_seconds": round(history.train_seconds), "hours": _rounded(seconds / 3600)}


def hours(run: Run) -> float | None:
    """Hours of a run; for the first shipped runs, of training only."""
    times = run.machine if run.source == MEASURED else _times(run)
    return times.get("hours") or (times.get("train_seconds") or 0) / 3600 or None


def _without_paths(config: dict[str, Any]) -> dict[str, Any]:
    """Noise files and parents by content and id alone, as they count; one's own model and data set
    by the file's or the folder's name and by content."""
    model = ContentRef.parse(config.get("model") or "")
    if model.path.endswith(".keras"):
        config["model"] = str(dataclasses.replace(model, path=Path(model.path).name))
    data = ContentRef.parse(config.get("dataset") or "")
    kind, _, place = data.path.partition(":")
    if kind in ("folder", "npz") and place:
        path = f"{kind}:{Path(place).name or kind}"
        config["dataset"] = str(dataclasses.replace(data, path=path))
    if config.get("labels_from"):
        content = ContentRef.parse(config["labels_from"])
        config["labels_from"] = str(dataclasses.replace(content, path="labels"))
    matrix = ContentRef.parse(config.get("label_noise") or "")
    if matrix.sha256:
        config["label_noise"] = str(dataclasses.replace(matrix, path="matrix.csv"))
    if is_parent_ref(config.get("init_from")):
        parent = ParentRef.parse(config["init_from"])
        config["init_from"] = str(dataclasses.replace(parent, folder=parent.run_id))
    return config


def _as_run(path: Path, entry: Any) -> Run:
    """A Run of one object; StorageError where it is damaged or does not agree with itself."""
    parts = ("config", "summary", "history", "machine")
    if not isinstance(entry, dict) or not all(isinstance(entry.get(p), dict) for p in parts):
        raise StorageError(f"{path}: damaged: expected objects of {', '.join(parts)}")
    summary = entry["summary"] | {"config": entry["config"], "run_id": entry.get("run_id")}
    records.check_summary(path, summary)
    columns = entry["history"]
    if not all(isinstance(column, list) for column in columns.values()):
        raise StorageError(f"{path}: damaged: expected the history by column")
    if len({len(column) for column in columns.values()}) > 1:
        raise StorageError(f"{path}: damaged: expected columns of equal length")
    lines = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    run = as_run(
        path,
        summary,
        MEASURED,
        History(lines),
        entry["machine"],
        before_seals=bool(entry.get("before_seals")),
    )
    if isinstance(run.config, RunConfig):
        named = Path(f"{path}: {run.run_id}")
        history_agreement.check_history(named, Path("its history"), summary, lines, whole=False)
    if entry.get(records.DIGESTS) != sealed(entry)[records.DIGESTS]:
        has = "is wrong" if records.DIGESTS in entry else "is missing"
        raise StorageError(
            f"{path}: damaged: the digest of {entry.get('run_id')!s:.60} {has}; add the run anew "
            "with rethink-tf ship RUN, or report without these runs: --measured=none"
        )
    return run


def read(folder: Path | str | None = None) -> list[Run]:
    """All measured runs, by run id.

    Args:
        folder: of .jsonl files; default: what is shipped. One that is not there has none.

    Raises:
        StorageError: a file is damaged.
    """
    runs = {}
    for path in sorted(Path(folder or FOLDER).glob("*.jsonl")):
        for entry in _entries(path):
            run = _as_run(path, entry)
            runs[run.run_id] = run
    return [runs[run_id] for run_id in sorted(runs)]


def _entries(path: Path) -> list[Any]:
    with files.storage(path):
        content = path.read_bytes()
    try:
        return [files.parse(line) for line in content.splitlines() if line.strip()]
    except ValueError:
        raise StorageError(f"{path}: damaged: expected one JSON object a line") from None


def add(runs: list[Run], folder: Path, machine: str | None) -> list[Path]:
    """Adds runs to the files of their networks; a run replaces one with the same id.

    Two processes that add to the same folder wait for each other, so that no run is lost.
    """
    by_file: dict[Path, dict[str, Any]] = {}
    for run in runs:
        path = folder / f"{run.run_id.rpartition('-')[0]}.jsonl"
        by_file.setdefault(path, {})[run.run_id] = record(run, machine)
    with _alone_in(folder):
        there = {path: _entries(path) if path.exists() else [] for path in by_file}
        for path, added in by_file.items():
            entries = {old["run_id"]: old for old in there[path]} | added
            lines = [json.dumps(entries[run_id]) + "\n" for run_id in sorted(entries)]
            files.write_atomically(path, "".join(lines).encode())
    return list(by_file)


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    with files.storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)

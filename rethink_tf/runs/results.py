"""Writes and reads the files of a run. No other module knows their names.

A run directory `runs/<run_id>/` holds:

config.json    written first: `schema.ConfigRecord`.
history.jsonl  one object an epoch, flushed: `schema.HistoryLine`.
summary.json   written last, by rename, the mark of a finished run: `schema.Summary`. A task
               that is not a training (`task`) has `kind` and nothing about epochs; an interrupted
               kernel run also has solutions.json, the systems solved so far.
examples.npz   one row per training example: `index true given`, `fitted_since` (the evaluated epoch
               from which on it was always fitted, 0: not fitted), `forgotten` (how often),
               `margin` (logit of the given label minus the largest other, at the end). Training
               dynamics (`training.per_example` defines them): `first_fitted aum confidence
               variability cumulative_loss el2n_E`, and what they are taken over:
               `evaluated_epochs`, int32 [T], `dynamics_complete`, false where earlier epochs were
               evaluated without a record.
samples.png    training examples as the model sees them, original and under each corruption, drawn
               before the first epoch; missing where it could not be drawn (the run says why).
tb/            TensorBoard events of the same scalars and the picture; with --profile a trace.
checkpoints/   the two newest checkpoints.
snapshots/     weights after the epochs named by --keep_epochs, one .npz each.
lock           held by the living process that trains here.

The keys and their meaning stand in `runs.schema`. Imports no TensorFlow.
"""

import difflib
import hashlib
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf.errors import RequestError, StorageError
from rethink_tf.runs import schema as records
from rethink_tf.storage import files, paths

CONFIG, HISTORY, SUMMARY = "config.json", "history.jsonl", "summary.json"
EXAMPLES, SAMPLES, TENSORBOARD, LOCK = "examples.npz", "samples.png", "tb", "lock"
EXAMPLES_GRID = ("evaluated_epochs", "dynamics_complete")  # arrays without a row for each example
CHECKPOINTS, SNAPSHOTS = "checkpoints", "snapshots"
DONE, INVALID, DIVERGED = records.DONE, records.INVALID, records.DIVERGED


def find_folder(named: str, runs_dir: Path | str) -> Path | None:
    """The absolute folder of a run, by its path or by its id below the folder of the runs.

    None where neither holds a config.json or a history.jsonl.
    """
    for folder in (paths.absolute(named), paths.absolute(runs_dir) / named):
        if any((folder / name).is_file() for name in (CONFIG, HISTORY)):
            return folder
    return None


def require_folder(named: str, runs_dir: Path | str) -> Path:
    """As `find_folder`; RequestError where there is no such run."""
    folder = find_folder(named, runs_dir)
    if folder is None:
        raise RequestError(
            f"{named}: expected the folder of a run, or its id below --runs_dir={runs_dir}; there "
            f"is none{_meant(named, runs_dir)}"
        )
    return folder


MOST_MEANT = 4


def _meant(named: str, runs_dir: Path | str) -> str:
    """What was probably meant by a name that is no run's: runs of this beginning, or one alike."""
    place = paths.absolute(runs_dir)
    try:
        known = sorted(path.name for path in place.iterdir() if (path / CONFIG).is_file())
    except OSError:
        return f" ({place} is not a folder)" if place.exists() else f" ({place} does not exist)"
    word = Path(named).name
    if word == Path(runs_dir).name or paths.absolute(named) == place:
        begun = known
    else:
        begun = [name for name in known if word and name.startswith(word)]
    meant = begun or difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if not meant:
        return " (flags are written --name=value)"
    more = f", ... ({len(meant)} in all)" if len(meant) > MOST_MEANT else ""
    return f"; did you mean {' or '.join(meant[:MOST_MEANT])}{more}?"


def start(run_dir: Path, config: dict[str, Any]) -> None:
    """Begins a run afresh: removes what an unfinished run left, writes config.json."""
    for name in (HISTORY, SUMMARY, EXAMPLES, SAMPLES):
        with files.storage(run_dir / name):
            (run_dir / name).unlink(missing_ok=True)
    with files.storage(run_dir):
        for name in (TENSORBOARD, CHECKPOINTS, SNAPSHOTS):
            shutil.rmtree(run_dir / name, ignore_errors=True)
    write_config(run_dir, config)


def write_config(run_dir: Path, config: dict[str, Any]) -> None:
    """Writes config.json of a run that begins, marked as one whose summary will have digests."""
    files.write_json(run_dir / CONFIG, {records.FORMAT: records.WITH_DIGESTS, **config})


def add_resumed(run_dir: Path, record: dict[str, Any], entry: dict[str, Any]) -> None:
    """Notes in config.json from where, and in which environment, a run was resumed.

    Args:
        run_dir: of the run.
        record: config.json of a fresh run, used if that file is lost or damaged.
        entry: epoch, step, run, environment, command line.
    """
    try:
        config = read_config(run_dir) or record
    except StorageError:
        config = record
    files.write_json(run_dir / CONFIG, {**config, "resumed": [*config.get("resumed", []), entry]})


def append_history(run_dir: Path, line: dict[str, Any]) -> dict[str, Any]:
    """Adds one epoch's object to history.jsonl, flushes it to disk and returns it as written."""
    line = files.without_nan(line)
    with files.storage(run_dir / HISTORY), open(run_dir / HISTORY, "ab") as file:
        file.write((json.dumps(line) + "\n").encode())
        file.flush()
        os.fsync(file.fileno())
    return line


def rewrite_history(run_dir: Path, lines: list[dict[str, Any]]) -> None:
    """Replaces history.jsonl, atomically."""
    files.write_atomically(run_dir / HISTORY, _lines(lines))


def _lines(history: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(files.without_nan(line)) + "\n" for line in history).encode()


def save_examples(run_dir: Path, **columns: np.ndarray) -> None:
    """Writes examples.npz."""
    files.write_atomically(run_dir / EXAMPLES, _npz(columns))


def save_snapshot(run_dir: Path, epoch: int, weights: dict[str, np.ndarray]) -> None:
    """Keeps the weights after an epoch, as snapshots/epoch-000005.npz."""
    with files.storage(run_dir / SNAPSHOTS):
        (run_dir / SNAPSHOTS).mkdir(exist_ok=True)
    files.write_atomically(_snapshot(run_dir, epoch), _npz(weights))


def missing_snapshots(run_dir: Path, epochs: tuple[int, ...], done: int) -> list[int]:
    """Those of the epochs up to `done` whose weights are not kept here."""
    return [e for e in epochs if e <= done and not _snapshot(run_dir, e).exists()]


def _snapshot(run_dir: Path, epoch: int) -> Path:
    return run_dir / SNAPSHOTS / f"epoch-{epoch:06d}.npz"


def snapshots(run_dir: Path) -> list[int]:
    """The epochs whose weights a run kept, ascending."""
    files_kept = (Path(run_dir) / SNAPSHOTS).glob("epoch-*.npz")
    return sorted(int(path.stem.removeprefix("epoch-")) for path in files_kept)


def read_snapshot(run_dir: Path, epoch: int) -> list[np.ndarray]:
    """The variables of a snapshot, in the model's order.

    Raises:
        StorageError: it is not there, or damaged.
    """
    path = _snapshot(Path(run_dir), epoch)
    try:
        with np.load(path, allow_pickle=False) as file:
            return [file[name] for name in sorted(file.files)]
    except Exception as error:  # NumPy and zipfile raise many types for damaged files
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise StorageError(f"{path}: a damaged snapshot: {why}") from None


def _npz(arrays: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def read_examples(run_dir: Path) -> dict[str, np.ndarray]:
    """The columns of examples.npz: arrays of one length, a row for each training example.

    Raises:
        StorageError: it is not there, damaged, or has columns of unequal length.
    """
    arrays = _read_examples(run_dir)
    return {name: column for name, column in arrays.items() if name not in EXAMPLES_GRID}


def read_examples_grid(run_dir: Path) -> tuple[np.ndarray, bool] | None:
    """The epochs that the training dynamics in examples.npz are taken over.

    Returns:
        int32 [T], the evaluated epochs that are recorded, and whether these are all that were
        evaluated; None for a run of a version that recorded no training dynamics.

    Raises:
        StorageError: see `read_examples`.
    """
    arrays = _read_examples(run_dir)
    if any(name not in arrays for name in EXAMPLES_GRID):
        return None
    epochs, complete = (arrays[name] for name in EXAMPLES_GRID)
    return epochs, bool(complete)


def _read_examples(run_dir: Path) -> dict[str, np.ndarray]:
    path = Path(run_dir) / EXAMPLES
    try:
        with np.load(path, allow_pickle=False) as file:
            columns = {name: file[name] for name in file.files}
        lengths = {len(columns[name]) for name in ("index", "true", "given", "fitted_since")}
    except Exception as error:  # NumPy and zipfile raise many types for damaged files
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise StorageError(f"{path}: damaged: {why:.200}") from None
    if len(lengths) > 1:
        raise StorageError(f"{path}: damaged: expected columns of equal length")
    return columns


def file_digest(run_dir: Path, name: str) -> str | None:
    """SHA-256 of a file of a run, hexadecimal; None where it is not there."""
    path = Path(run_dir) / name
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, IsADirectoryError, ValueError):
        return None
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None


def summary_digest(summary: dict[str, Any]) -> str:
    """The digest of a summary including the digests in it, except its own."""
    digests = {name: v for name, v in summary[records.DIGESTS].items() if name != SUMMARY}
    return records.digest({**summary, records.DIGESTS: digests})


def finish(
    run_dir: Path, summary: dict[str, Any], history: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Writes summary.json, the mark of a finished run, with the digests of the files beside it.

    Args:
        run_dir: of the run.
        summary: JSON values.
        history: the lines as the run knows them, so that a changed file is noticed; None: those of
            the file.

    Returns:
        The summary as it was written, with the digests.
    """
    digests = {name: file_digest(run_dir, name) for name in (CONFIG, HISTORY, EXAMPLES)}
    if history:
        digests[HISTORY] = hashlib.sha256(_lines(history)).hexdigest()
    digests = {name: digest for name, digest in digests.items() if digest is not None}
    summary = files.without_nan(summary) | {records.DIGESTS: digests}
    summary[records.DIGESTS][SUMMARY] = summary_digest(summary)
    files.write_json(run_dir / SUMMARY, summary)
    return summary


def read_config(run_dir: Path, digests: dict[str, str] | None = None) -> dict[str, Any] | None:
    """config.json, or None where there is none; StorageError where it is damaged.

    `digests` takes its digest, as `files.read_json` says.
    """
    path = Path(run_dir) / CONFIG
    # Without it a finished run is not used either, so deleting it would not help.
    config = files.read_json(path, digests, records.ANEW)
    if config is not None and not isinstance(config.get("resumed", []), list):
        raise StorageError(f"{path}: damaged: expected a list in resumed; {records.ANEW}")
    return config


def read_summary(run_dir: Path) -> dict[str, Any] | None:
    """summary.json of a finished run, or None; StorageError where it is damaged."""
    path = Path(run_dir) / SUMMARY
    summary = files.read_json(path)
    if summary is not None:
        records.check_summary(path, summary)
    return summary


def read_history(run_dir: Path, digests: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """The epochs of a run; a last line cut short by a crash is left out.

    `digests` takes the digest of the file, as `files.read_json` says.

    Raises:
        StorageError: it cannot be read, or a line is not the object of its epoch.
    """
    path = Path(run_dir) / HISTORY
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None
    if digests is not None:
        digests[HISTORY] = hashlib.sha256(content).hexdigest()
    try:
        lines = [files.parse(line) for line in content.split(b"\n")[:-1]]
    except ValueError:
        told = f"{path}: expected one JSON object a line; {records.ANEW}"
        raise StorageError(told) from None
    records.check_history(path, lines)
    return lines

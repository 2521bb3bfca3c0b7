"""What a run writes and how runs are read back: the only module that knows file names.

A run directory `runs/<run_id>/` holds:

config.json    written first: `config` (resolved fields), `run_id`, `argv`, `versions`,
               `git_commit`, `devices`, `replicas`, `workers`, `threads`, `xla`, `deterministic`,
               `audit` (before training), `parameters labels_hash changed_fraction`, `classes
               image_shape` of the data, `parent`: run id, epoch, weights hash, or null, `arrivals`:
               what was made of a foreign model and data; `resumed`, where it went on: epoch, step,
               run, environment, command line.
history.jsonl  one object an epoch, flushed: `epoch` (from 1), `learning_rate`;
               `loss accuracy` online means of the epoch's own batches, before each update;
               exact passes, null in epochs that are not evaluated:
               `train_loss train_accuracy` the whole training set, labels as given,
               `train_top5_accuracy test_top5_accuracy best_test_top5_accuracy` the label among the
               five classes predicted first (null for 5 classes or fewer),
               `clean_accuracy` examples whose given label is the true one,
               `corrupted_accuracy corrupted_original_accuracy` the others, against the given and
               against the original labels, `test_loss test_accuracy best_test_accuracy`;
               `label_checksum` of what entered the loss; all wall-clock figures under `timing`.
summary.json   written last, by rename: the mark of a finished run. `status` DONE, INVALID or
               DIVERGED, `reason`, `run_id`, `config`, `epochs` done, the last value of every key of
               the history, `best_test_accuracy best_test_epoch`, `changed_fraction`, `labels_hash`,
               `train_examples test_examples`, `weights_hash` (of what was trained: with
               --freeze=all_but_last of the last layer), `parent replicas workers parameters audit
               classes image_shape arrivals timing` (seconds of the last process: all, each
               checkpoint, the restore);
               `exact`, false where the run went on in a changed environment (--resume=anyway) and
               so may not be what an uninterrupted one is; `differed`, after which epoch and step
               that was and what had changed, one entry each time.
               Of what is no training (`plain_runs`): `kind`, kernels or another, in place of all
               of epochs; beside it solutions.json, what an interrupted kernel run had solved.
examples.npz   one row per training example: `index true given`, `fitted_since` (the evaluated epoch
               from which on it was always fitted, 0: not fitted), `forgotten` (how often),
               `margin` (logit of the given label less the largest other, at the end). The summary
               has their medians, as `clean_fitted_since_median` and so on.
samples.png    training examples as the model sees them, original and under each corruption, drawn
               before the first epoch; missing where it could not be drawn (the run says why).
tb/            TensorBoard events of the same scalars and the picture; with --profile a trace.
checkpoints/   the two newest checkpoints.
snapshots/     weights after the epochs named by --keep_epochs, one .npz each.
lock           held by the living process that trains here.

Accuracies are fractions from 0 to 1; null stands where there is none. Imports no TensorFlow.
"""

import contextlib
import errno
import io
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf.storage import array_cache
from rethink_tf.runs import schema as records
from rethink_tf import temporaries
from rethink_tf.errors import StorageError

CONFIG, HISTORY, SUMMARY = "config.json", "history.jsonl", "summary.json"
EXAMPLES, SAMPLES, TENSORBOARD, LOCK = "examples.npz", "samples.png", "tb", "lock"
CHECKPOINTS, SNAPSHOTS = "checkpoints", "snapshots"
DONE, INVALID, DIVERGED = records.DONE, records.INVALID, records.DIVERGED


@contextlib.contextmanager
def storage(path: Path):
    """Turns a failing write or read below `path` into one clear line."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path}: {error.strerror or error}; nothing finished was lost"
        ) from None


def _plain(value):
    """JSON without NaN: no number is null."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_atomically(path: Path, content: bytes) -> None:
    """Writes beside, fsyncs and renames: a reader sees the old content or the new, never half."""
    with storage(path):
        beside = temporaries.beside(path)
        temporaries.sweep(path)
        try:
            with open(beside, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
            # Or a power cut may take the new name back.
            array_cache.sync_folder(path.parent)
        finally:
            beside.unlink(missing_ok=True)


def require_writable(path: Path) -> None:
    """Refuses, before an hour's work, a file that it could not be written to (StorageError)."""
    with storage(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        beside = temporaries.beside(path)
        beside.touch()
        beside.unlink()


def write_json(path: Path, value: dict[str, Any]) -> None:
    """A JSON file, atomically."""
    write_atomically(path, (json.dumps(_plain(value), indent=1) + "\n").encode())


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = records.parse(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        raise StorageError(f"{path}: expected JSON, found something else; delete it") from None
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None
    if not isinstance(value, dict):
        raise StorageError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def start(run_dir: Path, config: dict[str, Any]) -> None:
    """Begins a run afresh: removes what an unfinished run left, writes config.json."""
    for name in (HISTORY, SUMMARY, EXAMPLES, SAMPLES):
        with storage(run_dir / name):
            (run_dir / name).unlink(missing_ok=True)
    with storage(run_dir):
        for name in (TENSORBOARD, CHECKPOINTS, SNAPSHOTS):
            shutil.rmtree(run_dir / name, ignore_errors=True)
    write_json(run_dir / CONFIG, config)


def add_resumed(run_dir: Path, record: dict[str, Any], entry: dict[str, Any]) -> None:
    """Notes in config.json from where, and in which environment, a run went on.

    Args:
        run_dir: of the run.
        record: what config.json says of a fresh run; it stands where that file is lost or damaged.
        entry: epoch, step, run, environment, command line.
    """
    try:
        config = read_config(run_dir) or record
    except StorageError:
        config = record
    write_json(run_dir / CONFIG, {**config, "resumed": [*config.get("resumed", []), entry]})


def append_history(run_dir: Path, line: dict[str, Any]) -> dict[str, Any]:
    """Adds one epoch's object to history.jsonl, flushes it to disk and returns it as written."""
    line = _plain(line)
    with storage(run_dir / HISTORY), open(run_dir / HISTORY, "ab") as file:
        file.write((json.dumps(line) + "\n").encode())
        file.flush()
        os.fsync(file.fileno())
    return line


def rewrite_history(run_dir: Path, lines: list[dict[str, Any]]) -> None:
    """Replaces history.jsonl, atomically."""
    content = "".join(json.dumps(_plain(line)) + "\n" for line in lines)
    write_atomically(run_dir / HISTORY, content.encode())


def save_examples(run_dir: Path, **columns: np.ndarray) -> None:
    """Writes examples.npz."""
    write_atomically(run_dir / EXAMPLES, _npz(columns))


def save_snapshot(run_dir: Path, epoch: int, weights: dict[str, np.ndarray]) -> None:
    """Keeps the weights after an epoch, as snapshots/epoch-000005.npz."""
    with storage(run_dir / SNAPSHOTS):
        (run_dir / SNAPSHOTS).mkdir(exist_ok=True)
    write_atomically(_snapshot(run_dir, epoch), _npz(weights))


def missing_snapshots(run_dir: Path, epochs: tuple[int, ...], done: int) -> list[int]:
    """Those of the epochs up to `done` whose weights are not kept here."""
    return [e for e in epochs if e <= done and not _snapshot(run_dir, e).exists()]


def _snapshot(run_dir: Path, epoch: int) -> Path:
    return run_dir / SNAPSHOTS / f"epoch-{epoch:06d}.npz"


def snapshots(run_dir: Path) -> list[int]:
    """The epochs whose weights a run kept, ascending."""
    found = (Path(run_dir) / SNAPSHOTS).glob("epoch-*.npz")
    return sorted(int(path.stem.removeprefix("epoch-")) for path in found)


def read_snapshot(run_dir: Path, epoch: int) -> list[np.ndarray]:
    """The variables of a snapshot, in the model's order.

    Raises:
        StorageError: it is not there, or damaged.
    """
    path = _snapshot(Path(run_dir), epoch)
    try:
        with np.load(path, allow_pickle=False) as file:
            return [file[name] for name in sorted(file.files)]
    except Exception as error:  # NumPy and zipfile raise a dozen kinds for damaged files
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise StorageError(f"{path}: a damaged snapshot: {why}") from None


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def finish(run_dir: Path, summary: dict[str, Any]) -> None:
    """Writes summary.json, the mark of a finished run."""
    write_json(run_dir / SUMMARY, summary)


def read_config(run_dir: Path) -> dict[str, Any] | None:
    """config.json, or None where there is none; StorageError where it is damaged."""
    path = Path(run_dir) / CONFIG
    config = _read_json(path)
    if config is not None and not isinstance(config.get("resumed", []), list):
        raise StorageError(f"{path}: damaged: expected a list in resumed; delete it")
    return config


def read_summary(run_dir: Path) -> dict[str, Any] | None:
    """summary.json of a finished run, or None; StorageError where it is damaged."""
    path = Path(run_dir) / SUMMARY
    summary = _read_json(path)
    if summary is not None:
        records.check_summary(path, summary)
    return summary


def read_finished(run_dir: Path, run_id: str) -> dict[str, Any] | None:
    """As `read_summary`, whole and of this very run; StorageError otherwise."""
    summary = read_summary(run_dir)
    if summary is not None:
        records.check_finished(Path(run_dir) / SUMMARY, run_id, summary)
    return summary


def read_history(run_dir: Path) -> list[dict[str, Any]]:
    """The epochs of a run; a last line cut short by a crash is left out.

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
    try:
        lines = [records.parse(line) for line in content.split(b"\n")[:-1]]
    except ValueError:
        raise StorageError(f"{path}: expected one JSON object a line") from None
    records.check_history(path, lines)
    return lines


def load_runs(runs_dir: Path | str) -> list[dict[str, Any]]:
    """Summaries of all finished runs below a folder, in the order of their run ids.

    Args:
        runs_dir: folder of run directories.

    Returns:
        The summaries, each with its `run_dir` added.
    """
    found = []
    for path in sorted(Path(runs_dir).glob(f"*/{SUMMARY}")):
        summary = read_summary(path.parent)
        if summary is not None:
            found.append({**summary, "run_dir": str(path.parent)})
    return found

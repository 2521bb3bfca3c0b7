"""Atomic checkpoints: one file each, written beside, fsynced and renamed, with a checksum.

A checkpoint is a dict of NumPy arrays and a JSON header. Nothing in it is ever unpickled. Imports
no TensorFlow.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf import results

_MAGIC = b"rethink_tf checkpoint 1 sha256 "
_HEADER = "header"
KEPT = 2


def pack(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> bytes:
    """JSON values and arrays as bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **{_HEADER: np.array(json.dumps(header))}, **arrays)
    return buffer.getvalue()


def unpack(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Takes `pack` back."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(str(arrays.pop(_HEADER))), arrays


def save(folder: Path, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Path:
    """Writes a checkpoint and removes all but the two newest.

    Args:
        folder: of the checkpoints.
        header: JSON values; `epoch` and `step` order the checkpoints.
        arrays: of plain dtypes.

    Raises:
        StorageError: it could not be written; the older ones are untouched.
    """
    content = pack(header, arrays)
    digest = hashlib.sha256(content).hexdigest().encode()
    path = folder / f"{header['epoch']:06d}-{header['step']:08d}.ckpt"
    with results.storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    results.write_atomically(path, _MAGIC + digest + b"\n" + content)
    # The run's lock is held: what lies beside is a killed process's.
    for old in [*stored(folder)[:-KEPT], *folder.glob(".*.ckpt.*")]:
        old.unlink(missing_ok=True)
    return path


def weights_hash(arrays: Iterable[np.ndarray]) -> str:
    """sha256 over all variables of a model, in its order, 16 hex digits."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def stored(folder: Path) -> list[Path]:
    """The checkpoints of a folder, oldest first."""
    return sorted(folder.glob("*.ckpt"))


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of one checkpoint; ValueError where it is damaged."""
    content = path.read_bytes()
    start, _, rest = content.partition(b"\n")
    if not start.startswith(_MAGIC):
        raise ValueError("not a checkpoint")
    if hashlib.sha256(rest).hexdigest().encode() != start[len(_MAGIC) :]:
        raise ValueError("its checksum is wrong")
    return unpack(rest)


def newest(folder: Path, say: Callable[[str], None]):
    """Header and arrays of the newest sound checkpoint, or None; damaged ones are named."""
    found, damaged = None, []
    for path in reversed(stored(folder)):
        try:
            found = read(path)
            break
        except (ValueError, OSError, KeyError) as error:
            damaged.append(f"{path}: damaged ({error})")
    then = "no older checkpoint is sound" if found is None else "the older checkpoint is used"
    for line in damaged:
        say(f"{line}; {then}")
    return found

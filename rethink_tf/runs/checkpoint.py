"""Atomic checkpoints: one file each, written beside, fsynced and renamed, with a checksum.

A checkpoint is a dict of NumPy arrays and a JSON header. Nothing in it is ever unpickled. Imports
no TensorFlow.
"""

import errno
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf.errors import StorageError
from rethink_tf.narrowing import present
from rethink_tf.storage import files

_MAGIC = b"rethink_tf checkpoint 1 sha256 "
# FORMAT is raised by hand when the content of a checkpoint changes. A header without a number is of
# format 1. Checkpoints of other versions are resumed if their format is in RESUMABLE.
FORMAT, SEALED = 2, 2  # from SEALED on a checkpoint has a sum of image words
RESUMABLE = (1, 2)
_HEADER = "header"
_NAME = re.compile(r"(\d{6,})-(\d{8,})\.ckpt")
KEPT = 2


def pack(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> bytes:
    """JSON values and arrays as bytes."""
    buffer = io.BytesIO()
    content: dict[str, Any] = {_HEADER: np.array(json.dumps(header)), **arrays}
    np.savez(buffer, **content)
    return buffer.getvalue()


def unpack(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The inverse of `pack`."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return files.parse(str(arrays.pop(_HEADER))), arrays


def header_format(header: dict[str, Any]) -> Any:
    """The format number of a checkpoint's header."""
    return header.get("format", 1)


def save(folder: Path, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Path:
    """Writes a checkpoint and removes all but this and the one before.

    A later one is removed too: it was damaged, since the run resumed from an earlier one.

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
    with files.storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    files.write_atomically(path, _MAGIC + digest + b"\n" + content)
    checkpoints = stored(folder)
    kept = [old for old in checkpoints if _place(old) <= _place(path)][-KEPT:]
    # The run's lock is held, so temporary files are from a killed process.
    with files.storage(folder):
        for old in [*checkpoints, *folder.glob(".*.ckpt.*")]:
            if old not in kept:
                old.unlink(missing_ok=True)
    return path


def weights_hash(arrays: Iterable[np.ndarray]) -> str:
    """sha256 over all variables of a model, in its order, 16 hex digits."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def stored(folder: Path) -> list[Path]:
    """The checkpoints of a folder, oldest first; other files are skipped."""
    files = [path for path in folder.glob("*.ckpt") if _NAME.fullmatch(path.name)]
    return sorted((path for path in files if path.is_file()), key=_place)


def _place(path: Path) -> tuple[int, int]:
    """(epoch, step) by a checkpoint's name."""
    epoch, step = present(_NAME.fullmatch(path.name), f"a checkpoint, {path}").groups()
    return int(epoch), int(step)


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of one checkpoint.

    Raises:
        ValueError: it is damaged; says how.
        OSError: it cannot be read.
    """
    content = path.read_bytes()
    start, _, rest = content.partition(b"\n")
    if not start.startswith(_MAGIC):
        raise ValueError("not a checkpoint")
    if hashlib.sha256(rest).hexdigest().encode() != start[len(_MAGIC) :]:
        raise ValueError("its checksum is wrong")
    try:
        header, arrays = unpack(rest)
    except Exception as error:  # NumPy and zipfile raise many types for damaged archives
        raise ValueError((str(error).splitlines() or [type(error).__name__])[0]) from None
    place = [header.get("epoch"), header.get("step")] if isinstance(header, dict) else []
    if place != list(_place(path)) or {type(number) for number in place} != {int}:
        raise ValueError("its epoch and step differ from those in its name")
    return header, arrays


def newest(
    folder: Path, say: Callable[[str], None], check: Callable[[dict[str, Any]], None] | None = None
) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """Header and arrays of the newest sound checkpoint, or None; damaged ones are named.

    Args:
        folder: of the checkpoints.
        say: takes lines for the reader.
        check: raises ValueError for a header that is not to be used.

    Raises:
        StorageError: one cannot be read, which does not mean that it is damaged.
    """
    newest_sound, damaged = None, []
    for path in reversed(stored(folder)):
        try:
            header, arrays = read(path)
            if check is not None:
                check(header)
            newest_sound = header, arrays
            break
        except ValueError as error:
            why = str(error)
        except OSError as error:
            if error.errno != errno.EIO:  # a bad sector raises EIO
                raise StorageError(f"{path}: {error.strerror}; nothing finished was lost") from None
            why = str(error.strerror)
        damaged.append(f"{path}: damaged ({why})")
    none = newest_sound is None
    then = "no older checkpoint is sound" if none else "the older checkpoint is used"
    for line in damaged:
        say(f"{line}; {then}")
    return newest_sound

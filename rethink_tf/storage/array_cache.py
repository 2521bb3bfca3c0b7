"""A folder of NumPy arrays on disk, written whole or not at all, and checked by hash when read.

It holds decoded images, which can be made again. So nothing here may stop a run: a damaged entry is
rebuilt, and if nothing can be written the run continues without a cache. Any
number of processes may use one entry at once.
"""

import errno
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf.storage import temporaries

HASHES_FILE = "hashes.json"
# Age at which the next writer removes files of a killed process of another machine. Those of this
# machine are removed at once. No write takes this long.
STALE_SECONDS = 24 * 3600


class DamagedCache(Exception):
    """An entry is damaged. `load_or_build` handles this error itself."""


def load(
    folder: Path, check: Callable[[dict[str, np.ndarray]], object] | None = None
) -> dict[str, np.ndarray] | None:
    """Read an entry.

    Args:
        folder: the entry's folder, as given to `store`.
        check: raises for arrays that are intact but wrong.

    Returns:
        The arrays by name, bit for bit as stored, or None if there is no such folder.

    Raises:
        DamagedCache: a file is missing, unreadable, or its hash, dtype or shape is another; or
            `check` raised.
    """
    folder = Path(folder)
    if not folder.exists():
        return None
    try:
        expected = json.loads((folder / HASHES_FILE).read_text(encoding="utf-8"))
        arrays = {n: _load_one(folder / f"{n}.npy", fact) for n, fact in expected.items()}
        if check is not None:
            check(arrays)
        return arrays
    except Exception as error:  # JSON and NumPy raise many types for damaged files
        raise DamagedCache(f"{folder}: {_first_line(error)}") from error


def _load_one(path: Path, expected: dict) -> np.ndarray:
    with path.open("rb") as file:
        # The hash is checked first, since a damaged header could ask for terabytes.
        if hashlib.file_digest(file, "sha256").hexdigest() != expected["sha256"]:
            raise DamagedCache(f"{path}: its sha256 is not the one in {HASHES_FILE}")
        file.seek(0)
        array = np.load(file, allow_pickle=False)
    if array.dtype.str != expected["dtype"] or list(array.shape) != expected["shape"]:
        raise DamagedCache(
            f"{path}: expected {expected['dtype']} {expected['shape']}, "
            f"got {array.dtype.str} {list(array.shape)}"
        )
    return array


def store(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes an entry completely or not at all, even at a power cut.

    If another process finished the same entry first, theirs is kept.

    Args:
        folder: the entry's folder; its parents are made.
        arrays: arrays of plain dtypes by name; a name is a Python identifier.

    Raises:
        OSError: it cannot be written (read-only, disk full). Nothing is left behind.
        ValueError: an array of Python objects, or a name that is no identifier.
    """
    folder = Path(folder)
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        if not name.isidentifier() or array.dtype.hasobject:
            raise ValueError(
                f"expected an identifier and a plain dtype, got {name!r}: {array.dtype}"
            )
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(folder)
    # Next to the entry, so on the same file system: only then is the rename atomic.
    temporary = _beside(folder)
    try:
        temporary.mkdir()
        hashes = {}
        for name, array in arrays.items():
            path = temporary / f"{name}.npy"
            with path.open("xb") as file:
                np.save(file, array, allow_pickle=False)
                _sync(file)
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            hashes[name] = {
                "sha256": digest,
                "dtype": array.dtype.str,
                "shape": list(array.shape),
            }
        with (temporary / HASHES_FILE).open("x", encoding="utf-8") as file:
            json.dump(hashes, file, indent=1)
            _sync(file)
        sync_folder(temporary)
        try:
            os.rename(temporary, folder)
        except OSError:
            if not (folder / HASHES_FILE).exists():
                raise
            return  # Another process was first.
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def load_or_build(
    folder: Path,
    build: Callable[[], dict[str, np.ndarray]],
    *,
    report: Callable[[str], None] = print,
    check: Callable[[dict[str, np.ndarray]], object] | None = None,
) -> dict[str, np.ndarray]:
    """Read an entry, or build it and keep it for the next time.

    Args:
        folder: the entry's folder. The caller puts into its name all that the arrays depend on.
        build: makes the arrays; called if there is no entry or a damaged one; its errors propagate.
        report: gets one line if the entry was damaged, and one if it cannot be kept.
        check: see `load`.

    Returns:
        The arrays by name.
    """
    folder = Path(folder)
    try:
        arrays = load(folder, check)
    except DamagedCache as error:
        report(f"cache entry is damaged and is written again ({error})")
        arrays = None
        _remove(folder)
    except OSError:
        arrays = None  # The folder cannot be read; `store` below reports why.
    if arrays is not None:
        return arrays
    arrays = build()
    try:
        store(folder, arrays)
    except OSError as error:
        report(
            f"cannot keep decoded arrays in {folder.parent} ({_first_line(error)}); the run "
            "continues, and the next run decodes again; to keep them, type --cache_dir=DIR with a "
            "writable folder"
        )
    return arrays


def _beside(folder: Path) -> Path:
    return temporaries.beside(folder, secrets.token_hex(4))


def _remove(folder: Path) -> None:
    """Takes the entry away in one step, so that nobody reads a half-deleted one."""
    grave = _beside(folder)
    try:
        os.rename(folder, grave)
    except OSError:
        return  # Already removed, or read-only, which `store` then reports.
    shutil.rmtree(grave, ignore_errors=True)


def _remove_stale(folder: Path) -> None:
    temporaries.sweep(folder)
    for path in folder.parent.glob(f".{folder.name}.*"):
        try:
            old = time.time() - path.stat().st_mtime > STALE_SECONDS
        except OSError:
            continue  # Its owner has just removed it.
        if old:
            shutil.rmtree(path, ignore_errors=True)


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Brings the names in a folder to disk, so that a rename survives a power cut.

    Raises:
        OSError: it cannot be opened, or the disk fails.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot sync a folder
            raise
    finally:
        os.close(descriptor)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

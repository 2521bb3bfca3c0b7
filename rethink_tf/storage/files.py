"""Atomic writes, and reads whose errors say what is wrong."""

import contextlib
import errno
import hashlib
import json
import math
import os
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rethink_tf.errors import StorageError
from rethink_tf.storage import array_cache, temporaries

DEEPEST = 16  # levels of nested JSON; the files of a run have five


@contextlib.contextmanager
def storage(path: Path) -> Iterator[None]:
    """Turns a failing write or read below `path` into one clear line."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: {_reason(path, error)}; nothing finished was lost") from None


def _reason(path: Path, error: OSError) -> str:
    """Why `path` cannot be written or read, with what is in the way and what to type."""
    told = error.strerror or str(error)
    with contextlib.suppress(OSError):
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            for place in (*reversed(path.parents), path):
                if place.exists() and not place.is_dir():
                    return f"{told}: expected a folder, but {place} is a file"
        folder = path.parent
        if error.errno == errno.ENOENT and not folder.exists():
            return f"{told}; type mkdir -p {shlex.quote(str(folder))}"
    return told


def without_nan(value: Any) -> Any:
    """JSON without NaN and infinity, which become null."""
    if isinstance(value, dict):
        return {k: without_nan(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a temporary file, fsyncs and renames it: a reader sees the old content or the new."""
    with storage(path):
        beside = temporaries.beside(path)
        temporaries.sweep(path)
        try:
            with open(beside, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
            # Otherwise a power cut may undo the rename.
            array_cache.sync_folder(path.parent)
        finally:
            beside.unlink(missing_ok=True)


def require_writable(path: Path) -> None:
    """Refuses a file that could not be written, before the work begins (StorageError)."""
    with storage(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        beside = temporaries.beside(path)
        beside.touch()
        beside.unlink()


def require_writable_folder(path: Path) -> None:
    """Refuses a folder that could not be made or written, before the work begins (StorageError).

    A folder that is not there is not made: the work may be refused for another reason.
    """
    with storage(path):
        there = next((one for one in (path, *path.parents) if os.path.lexists(one)), path)
        beside = temporaries.beside(there / "new")
        beside.touch()
        beside.unlink()


def write_json(path: Path, value: dict[str, Any]) -> None:
    """A JSON file, atomically."""
    write_atomically(path, (json.dumps(without_nan(value), indent=1) + "\n").encode())


def read_json(
    path: Path, digests: dict[str, str] | None = None, then: str = "delete it"
) -> dict[str, Any] | None:
    """The JSON object of a file; None where there is no file.

    Args:
        path: of the file.
        digests: takes the SHA-256 of what was read by the file's name, so that whoever compares it
            need not read the file again.
        then: what to do about a damaged file, in words.

    Raises:
        StorageError: it cannot be read, or holds something else.
    """
    try:
        content = path.read_bytes()
        if digests is not None:
            digests[path.name] = hashlib.sha256(content).hexdigest()
        value = parse(content)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        raise StorageError(f"{path}: expected JSON, found something else; {then}") from None
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None
    if not isinstance(value, dict):
        found = type(value).__name__
        raise StorageError(f"{path}: expected a JSON object, found {found}; {then}")
    return value


def parse(content: bytes | str) -> Any:
    """JSON of few levels.

    Raises:
        ValueError: it is not JSON, or so deeply nested that writing it again could end in a
            RecursionError.
    """
    try:
        value = json.loads(content)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if isinstance(content, str):
        opened = content.count("{") + content.count("[")
    else:
        opened = content.count(b"{") + content.count(b"[")
    if opened < DEEPEST:  # the usual case: too few brackets to be too deep
        return value
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for v in level for inner in _parts(v)]
    if level:
        raise ValueError("nested too deep")
    return value


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()

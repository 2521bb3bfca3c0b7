"""Default folders of data, and the meaning of relative paths."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from rethink_tf.errors import RequestError

_start: Path | None = None  # the folder from which relative paths start; None: the current one


@contextlib.contextmanager
def from_here() -> Iterator[None]:
    """Within it, relative paths start from the folder that was the current one at its beginning.

    A user's code may change the current folder when it is imported, built or called. The typed
    paths then still name the same files. If several are nested, the outermost counts.
    """
    global _start
    before = _start
    if before is None:
        # The current folder was removed: only absolute paths work.
        with contextlib.suppress(OSError):
            _start = Path.cwd()
    try:
        yield
    finally:
        _start = before


def absolute(path: str | os.PathLike) -> Path:
    """An absolute path, independent of the current folder: see `from_here`."""
    return (_start or Path()) / path


def data_directory(data_dir: str | os.PathLike | None = None) -> Path:
    """Where the TFDS sets lie: the argument, else $TFDS_DATA_DIR, else ~/tensorflow_datasets.

    Raises:
        RequestError: it is a URL (gs://...); the records are read and hashed as local files.
    """
    folder = str(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    if "://" in folder:
        raise RequestError(
            f"data_dir: expected a local folder, got {folder}; copy the set to this machine and "
            "type --data_dir=FOLDER"
        )
    return _expanded("data_dir", folder)


def cache_directory(cache_dir: str | os.PathLike | None = None) -> Path:
    """Where decoded arrays are kept: the argument, else $XDG_CACHE_HOME/rethink_tf, else
    ~/.cache/rethink_tf."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "rethink_tf"
    return _expanded("cache_dir", cache_dir or default)


def _expanded(name: str, folder: str | os.PathLike) -> Path:
    """A folder whose ~ is the home directory; RequestError where there is none."""
    try:
        return absolute(Path(folder).expanduser())
    except RuntimeError:
        raise RequestError(
            f"{name}: expected a folder, got {folder}: there is no such home directory"
        ) from None

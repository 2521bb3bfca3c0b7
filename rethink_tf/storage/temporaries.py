"""Names of temporary files, and the removal of those that killed processes left.

`.NAME.PID-MACHINE` is in the folder of NAME, so on the same file system. Imports no TensorFlow.
"""

import contextlib
import functools
import glob
import hashlib
import os
import platform
import re
import shutil
from pathlib import Path

_NAME = re.compile(r"\.(?P<name>.+)\.(?P<pid>[1-9]\d{0,9})(-(?P<machine>[0-9a-f]{8}))?(-\w+)?")


@functools.cache
def machine() -> str:
    """8 hex digits of this machine and its namespace of process ids (a container has its own)."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:8]


def beside(path: Path, more: str = "") -> Path:
    """The path to which a file is written before it gets its name.

    Args:
        path: of the file.
        more: word characters that tell several files of one process apart.
    """
    end = f"-{more}" if more else ""
    return path.with_name(f".{path.name}.{os.getpid()}-{machine()}{end}")


def sweep(path: Path) -> None:
    """Removes what killed processes of this machine left of one file or folder."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        _remove_if_left(left, path.name)


def sweep_folder(folder: Path, *, locked: bool = False) -> None:
    """Removes what killed processes of this machine left in a folder.

    Args:
        folder: whose files are looked at, none below.
        locked: whether nobody else writes here; then files without a machine in their name are
            removed too.
    """
    for left in folder.glob(".*"):
        _remove_if_left(left, None, locked)


def _remove_if_left(left: Path, name: str | None, locked: bool = False) -> None:
    match = _NAME.fullmatch(left.name)
    if match is None or (name is not None and match["name"] != name):
        return
    if match["machine"] is None and not locked:
        return  # from an earlier version: another machine may be writing it
    if match["machine"] not in (None, machine()) or lives(int(match["pid"])):
        return
    with contextlib.suppress(OSError):  # another process may remove it at the same time
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()


def lives(pid: int) -> bool:
    """Whether a process of this machine has the id, also one that may not be signalled."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True

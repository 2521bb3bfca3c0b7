"""The memory that a computation needs and the memory that is available, in bytes."""

import resource
import sys
from pathlib import Path

from rethink_tf.errors import RequestError

GIB = 2**30
_STATUS = Path("/proc/self/status")
_MEMINFO, _CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def available() -> int | None:
    """What this process may still take: the machine's, or its control group's if less.

    None where the system does not tell.
    """
    found = []
    try:
        lines = _MEMINFO.read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
    except (OSError, ValueError, IndexError):
        pass
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        taken = int((_CGROUP / "memory.current").read_text())
        # The page cache counts as used, but is freed when memory is needed.
        lines = (_CGROUP / "memory.stat").read_text().splitlines()
        kept = [int(line.split()[1]) for line in lines if line.startswith("inactive_file ")]
        found.append(limit - taken + sum(kept))
    except (OSError, ValueError, IndexError):  # no such group, or "max"
        pass
    return min(found) if found else None


def peak() -> int:
    """The most memory that this process has held so far, in bytes.

    From /proc on Linux, where `getrusage` also counts what the parent held when it started this
    process.
    """
    try:
        lines = _STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest if sys.platform == "darwin" else largest * 1024  # bytes there, else KiB


def text(parts: dict[str, int]) -> str:
    """`kernel matrix 7.40 GB, features 12 MB: 7.41 GB` of named sizes, in 10**9 or 10**6 bytes."""
    listed = ", ".join(f"{name} {amount(size)}" for name, size in parts.items())
    return f"{listed}: {amount(sum(parts.values()))}"


def amount(size: int) -> str:
    """Bytes in words: `7.40 GB`, `12 MB`."""
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.3g} MB"


def announced(parts: dict[str, int], free: int | None) -> str:
    """The line that says what will be taken and, where it is known, what there is."""
    return f"memory: {text(parts)}" + ("" if free is None else f"; {amount(free)} available")


def require(parts: dict[str, int], free: int | None, suggestion: str) -> None:
    """Refuses what does not fit.

    Args:
        parts: named sizes.
        free: as `available` says; None refuses nothing.
        suggestion: what to type instead.

    Raises:
        RequestError: the sum is larger than `free`.
    """
    if free is not None and sum(parts.values()) > free:
        raise RequestError(f"memory: needed {text(parts)}, available {amount(free)}; {suggestion}")

"""How much memory a computation will take and there is, before it is taken. Sizes in bytes."""

from pathlib import Path

from rethink_tf.errors import RequestError

GIB = 2**30
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
        found.append(limit - int((_CGROUP / "memory.current").read_text()))
    except (OSError, ValueError):  # no such group, or "max"
        pass
    return min(found) if found else None


def text(parts: dict[str, int]) -> str:
    """`kernel matrix 7.4 GB, features 0.2 GB: 7.6 GB` of named sizes, in 10**9 bytes."""
    listed = ", ".join(f"{name} {size / 1e9:.2f} GB" for name, size in parts.items())
    return f"{listed}: {sum(parts.values()) / 1e9:.2f} GB"


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
        raise RequestError(
            f"memory: needed {text(parts)}, available {free / 1e9:.2f} GB; {suggestion}"
        )

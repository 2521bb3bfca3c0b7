"""A full disk, and the one line that is said of it."""

import resource
from contextlib import contextmanager


@contextmanager
def no_space():
    """No file can grow, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text

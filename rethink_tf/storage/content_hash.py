"""Values that name a file by its path, and by what is in it. Imports no TensorFlow.

A resolved value stands as path, a mark and the hash of the content: `FILE@sha256:3f0a...`. The
hash is part of a run's identity; the path is only recorded.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

from rethink_tf.errors import RequestError

CONTENT = "@sha256:"


def parts(value: str) -> tuple[str, str]:
    """Path and hash of a value; the hash is "" where it is not resolved yet."""
    path, _, known = value.partition(CONTENT)
    return path, known


def shown(value: str) -> str:
    """A value for the reader: without its hash."""
    return parts(value)[0]


def brief(value: Any) -> str:
    """A value as text, of a hash the first 12 digits: for the eye, not for identity."""
    return re.sub(rf"({CONTENT}[0-9a-f]{{12}})[0-9a-f]+", r"\1", str(value))


def folder_name(text: str) -> str:
    """Text as a short part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", text)[:40].strip("._") or "unnamed"


def file_hash(path: str | Path, flag: str) -> str:
    """sha256 of a file's bytes; RequestError in the name of `flag` where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RequestError(f"--{flag}: {path} cannot be read: {error.strerror}") from None

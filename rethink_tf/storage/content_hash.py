"""Values that name a file by its path and by a hash of its content. Imports no TensorFlow.

A resolved value stands as path, a mark and the hash of the content: `FILE@sha256:3f0a...`. The
hash is part of a run's identity; the path is only recorded.
"""

import dataclasses
import hashlib
import re
from pathlib import Path
from typing import Any

from rethink_tf.errors import RequestError

_MARK = "@sha256:"


@dataclasses.dataclass(frozen=True)
class ContentRef:
    """A file, a module or a data set by its path and the hash of its content.

    Attributes:
        path: as it was typed; only recorded.
        sha256: hash of the content, hexadecimal; "" where it is not resolved yet.
    """

    path: str
    sha256: str = ""

    def __str__(self) -> str:
        return f"{self.path}{_MARK}{self.sha256}" if self.sha256 else self.path

    @classmethod
    def parse(cls, value: str) -> "ContentRef":
        """The inverse of `str`."""
        path, _, sha256 = value.partition(_MARK)
        return cls(path, sha256)


def shown(value: str) -> str:
    """A value for the reader: without its hash."""
    return ContentRef.parse(value).path


def brief(value: Any) -> str:
    """A value as text with the first 12 digits of its hash, for display only."""
    return re.sub(rf"({_MARK}[0-9a-f]{{12}})[0-9a-f]+", r"\1", str(value))


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

"""Class-dependent label noise: a file of the probabilities by which classes replace each other.

    rethink-tf train --corrupt=1 --label_noise=matrix.csv

K lines of K numbers with commas between them, no names; `#` begins a comment. Line i is true class
i: the probabilities of the labels that it is given. Imports no TensorFlow.
"""

import hashlib
import os
from pathlib import Path

import numpy as np

from rethink_tf.errors import RequestError
from rethink_tf.storage import paths
from rethink_tf.storage.content_hash import ContentRef

TOLERANCE = 1e-6  # by which the sum of a row may differ from 1
MOST_CLASSES = 2048


def is_matrix(value: str) -> bool:
    """Whether a value of --label_noise names a file and not a kind of noise."""
    return ContentRef.parse(value).path.endswith(".csv")


def read(path: str, flag: str = "label_noise") -> np.ndarray:
    """A matrix of probabilities: float64 [K, K], each row of sum 1 to `TOLERANCE`.

    Args:
        path: of the file.
        flag: that names it, for the messages.

    Raises:
        RequestError: it cannot be read, is not square, or a row is no distribution.
    """
    name = f"--{flag}={path}"
    lines = [line.partition("#")[0].strip() for line in _text(path, name).splitlines()]
    rows = [_numbers(line, name, number) for number, line in enumerate(lines, 1) if line]
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows):
            raise RequestError(
                f"{name}: expected as many columns as rows, received {len(rows)} rows, of which "
                f"row {number} has {len(row)} columns"
            )
    if not 2 <= len(rows) <= MOST_CLASSES:
        raise RequestError(f"{name}: expected 2 to {MOST_CLASSES} rows, received {len(rows)}")
    matrix = np.array(rows)
    for number, row in enumerate(matrix, 1):
        if not (row >= 0).all():  # also refuses NaN
            raise RequestError(
                f"{name}: expected probabilities from 0 to 1, row {number} has "
                f"{row[~(row >= 0)][0]:g}"
            )
        if not abs(row.sum() - 1) <= TOLERANCE:
            raise RequestError(
                f"{name}: expected rows that sum to 1, row {number} sums to {row.sum():.7g}; "
                "divide each row by its sum"
            )
    return matrix


def _text(path: str, name: str) -> str:
    place = paths.absolute(path)
    try:
        if os.path.exists(place) and not os.path.isfile(place):
            raise RequestError(f"{name}: expected a file, received a folder, pipe or device")
        return Path(place).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RequestError(f"{name}: cannot be read: {error.strerror or error}") from None
    except ValueError:  # bytes that are not text, or an impossible file name
        raise RequestError(f"{name}: cannot be read: it is no text") from None


def _numbers(line: str, name: str, number: int) -> list[float]:
    values = []
    for cell in line.split(","):
        try:
            values.append(float(cell))
        except ValueError:
            raise RequestError(
                f"{name}: expected numbers with commas between them, line {number} has "
                f"{cell.strip()[:40]!r}"
            ) from None
    return values


def content_hash(matrix: np.ndarray) -> str:
    """sha256 over the numbers, hexadecimal: however they are written."""
    return hashlib.sha256(matrix.astype("<f8").tobytes()).hexdigest()


def resolved(value: str, num_classes: int) -> str:
    """A value of --label_noise that names a file, with the file's hash added.

    Raises:
        RequestError: see `read`, or the matrix is of another number of classes.
    """
    ref = ContentRef.parse(value)
    if ref.sha256:
        return value
    matrix = read(ref.path)
    _refuse_other_size(f"--label_noise={ref.path}", matrix, num_classes)
    return str(ContentRef(ref.path, content_hash(matrix)))


def matrix_of(value: str, num_classes: int) -> np.ndarray | None:
    """The matrix that a value of --label_noise names, float64 [K, K]; None for a kind of noise.

    Raises:
        RequestError: see `resolved`, or the file changed since its hash was taken.
    """
    if not is_matrix(value):
        return None
    ref = ContentRef.parse(value)
    matrix = read(ref.path)
    _refuse_other_size(f"--label_noise={ref.path}", matrix, num_classes)
    if ref.sha256 and content_hash(matrix) != ref.sha256:
        raise RequestError(f"--label_noise={ref.path}: its content changed since it was named")
    return matrix


def _refuse_other_size(name: str, matrix: np.ndarray, num_classes: int) -> None:
    if len(matrix) != num_classes:
        raise RequestError(
            f"{name}: expected {num_classes} rows, one for each class, received {len(matrix)}"
        )

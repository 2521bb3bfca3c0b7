"""Noise files: the given and the true label of each example, by index.

    rethink-tf noise --export=noise.csv --dataset=cifar10 --corrupt=0.5

Columns (arrays) `index`, `true`, `given`; a header with dataset, seed, p, definition, version and,
for a custom data set, a hash of its examples.
CSV or .npz by the file's ending; both are read with NumPy alone. Imports no TensorFlow.
"""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf.data.label_file import COLUMNS, read_table, refuse_fractions
from rethink_tf.errors import RequestError
from rethink_tf.storage import paths


@dataclasses.dataclass(frozen=True)
class Noise:
    """A noise file's content: `index` int64 [N] ascending, `true` and `given` int32 [N], `header`
    a dict of strings and numbers."""

    index: np.ndarray
    true: np.ndarray
    given: np.ndarray
    header: dict[str, Any]


def write(path: Path | str, noise: Noise) -> None:
    """Writes a noise file, .npz or CSV by its ending, atomically.

    In a CSV the header stands in lines `# key=value` above the column names.
    """
    from rethink_tf.storage import files

    path = Path(path)
    columns = {name: getattr(noise, name) for name in COLUMNS}
    if path.suffix == ".npz":
        buffer = io.BytesIO()
        np.savez_compressed(buffer, header=np.array(json.dumps(noise.header)), **columns)
        content = buffer.getvalue()
    elif path.suffix == ".csv":
        lines = [f"# {key}={value}" for key, value in noise.header.items()]
        rows = np.stack(list(columns.values()), axis=1).tolist()
        lines += [",".join(COLUMNS), *(",".join(map(str, row)) for row in rows)]
        content = ("\n".join(lines) + "\n").encode()
    else:
        raise RequestError(f"--export: expected a name that ends in .csv or .npz, received {path}")
    files.write_atomically(path, content)


def read(path: Path | str) -> Noise:
    """Reads a noise file, by whatever program it was written.

    Raises:
        RequestError: not there, or not index, true and given of one length, whole numbers, with
            every index once. Pickled objects are never loaded.
    """
    table = read_table(paths.absolute(path))
    if lacking := [name for name in COLUMNS if name not in table]:
        raise RequestError(
            f"{path}: expected columns {', '.join(COLUMNS)} as CSV or .npz, found no "
            f"{', '.join(lacking)}"
        )
    columns, header = {name: table[name] for name in COLUMNS}, table.get("header", {})
    lengths = {name: column.shape for name, column in columns.items()}
    if len(set(lengths.values())) != 1 or columns["index"].ndim != 1 or not columns["index"].size:
        raise RequestError(f"{path}: expected three columns of one length, received {lengths}")
    if not isinstance(header, dict):
        raise RequestError(f"{path}: expected a header of JSON, found {str(header)[:60]!r}")
    for name, column in columns.items():
        if column.dtype.kind not in "iuf":
            raise RequestError(f"{path}: expected whole numbers in {name}, found {column.dtype}")
        refuse_fractions(f"{path}: {name}", column)
        # As Python integers, since float16 cannot hold 2**31.
        least, most = int(column.min()), int(column.max())
        if least < 0 or most >= 2**31:
            wrong = least if least < 0 else most
            raise RequestError(f"{path}: expected {name} from 0 to {2**31 - 1}, found {wrong}")
    order = np.argsort(columns["index"], kind="stable")
    index, true, given = (columns[name][order] for name in COLUMNS)
    if (np.diff(index) == 0).any():
        twice = int(index[1:][np.diff(index) == 0][0])
        raise RequestError(f"{path}: expected every index once, found {twice} twice")
    return Noise(index.astype(np.int64), true.astype(np.int32), given.astype(np.int32), header)


def for_training(path: Path | str, split, name: str = "--labels_from") -> np.ndarray:
    """The labels that a noise file gives the examples of a training Split: int32 [N].

    Raises:
        RequestError: an example is missing from the file, its true label is not the data set's, or
            a given label is no class.
    """
    noise = read(path)
    place = np.searchsorted(noise.index, split.index)
    place = np.minimum(place, len(noise.index) - 1)
    missing = noise.index[place] != split.index
    if missing.any():
        raise RequestError(
            f"{name}={path}: expected all {split.num_examples} training examples, "
            f"{int(missing.sum())} are missing, first index {int(split.index[missing][0])}"
        )
    wrong = noise.true[place] != split.labels
    if wrong.any():
        raise RequestError(
            f"{name}={path}: its true labels are not this data set's: {int(wrong.sum())} of "
            f"{split.num_examples} differ, first at index {int(split.index[wrong][0])}"
        )
    given = noise.given[place]
    if given.max() >= split.num_classes:
        raise RequestError(
            f"{name}={path}: expected classes 0 to {split.num_classes - 1}, found {given.max()}"
        )
    return given


def content_hash(path: Path | str) -> str:
    """16 hex digits over a file's (index, given), the same for CSV and .npz."""
    from rethink_tf.corruptions.checksum import labels_hash

    noise = read(path)
    return labels_hash(noise.index, noise.given)

"""Reads labels as int64 [N] from arrays, one-hot rows, batches and files. Imports NumPy alone."""

import csv
import json
import math
import os
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf.errors import RequestError

COLUMNS = ("index", "true", "given")
# Usual marks of labels to ignore, signed and unsigned.
IGNORED = (-1, -100, 255, 65535, 2**31 - 1, 2**32 - 1, 2**64 - 1)
MAX_CLASSES = 2048  # the table of true against given classes has the square of this many cells


def _array(name: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # of PyTorch: on a GPU, with gradients
        why = _first_line(error)
        raise RequestError(f"{name}: expected labels, an array cannot be made: {why}") from None


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") and np.ndim(value) > 0


def _batch(name: str, batch: Any) -> Any:
    """The labels of a batch: itself, or the last of (images, labels) as data loaders yield."""
    if isinstance(batch, dict):
        raise RequestError(f"{name}: expected batches of labels, received dicts; select their key")
    pair = isinstance(batch, tuple | list) and len(batch) > 1
    return batch[-1] if pair and all(map(_is_array, batch)) else batch


def _stacked(name: str, values: Any) -> tuple[np.ndarray, int | None]:
    """Labels [N] and one-hot columns of an array, a list of numbers or of rows, or an iterable of
    batches."""
    if hasattr(values, "__array__") or isinstance(values, str | bytes | dict):
        return _vector(name, _array(name, values))
    if not isinstance(values, Iterable):
        raise RequestError(f"{name}: expected labels, received {type(values).__name__}")
    plain = isinstance(values, list | tuple)
    values = list(values)
    if not values or (plain and not any(map(_is_array, values)) and not _pairs(values)):
        return _vector(name, _array(name, values))
    if not plain and not any(map(np.iterable, values)):
        return _vector(name, _array(name, values))
    parts = [_vector(name, _array(name, _batch(name, batch))) for batch in values]
    widths = {columns for _, columns in parts}
    if len(widths) > 1:
        said = " and ".join("none" if w is None else str(w) for w in sorted(widths, key=str))
        raise RequestError(f"{name}: expected batches of one form, received one-hot columns {said}")
    return np.concatenate([labels for labels, _ in parts]), widths.pop()


def _pairs(values: list) -> bool:
    return any(isinstance(v, tuple | list) and any(map(_is_array, v)) for v in values)


def _vector(name: str, array: np.ndarray) -> tuple[np.ndarray, int | None]:
    """[N], of [N], [N, 1], or one-hot [N, K], and K of these."""
    if array.dtype.kind not in "biuf":
        raise RequestError(f"{name}: expected whole numbers, received {array.dtype} values")
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0], None
    if array.ndim == 2:
        if not (((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all()):
            raise RequestError(
                f"{name}: expected labels [N] or one-hot rows, received {list(array.shape)} with "
                "rows that are not one 1 among zeros"
            )
        return array.argmax(axis=1), array.shape[1]
    if array.ndim != 1:
        raise RequestError(f"{name}: expected labels [N], received shape {list(array.shape)}")
    return array, None


def as_labels(name: str, values: Any, num_classes: int | None = None) -> np.ndarray:
    """Turns labels of any accepted form into an array.

    Args:
        name: of the argument, for messages.
        values: integers [N] or [N, 1] (floats that are whole too), one-hot [N, K]; an array, a
            list, anything with `__array__`; or an iterable of such batches, or of batches
            (images, labels), whose last entry counts.
        num_classes: upper limit of the labels, exclusive; by default MAX_CLASSES.

    Returns:
        int64 [N].

    Raises:
        RequestError: empty, not whole numbers, negative, NaN, or beyond the classes.
    """
    return with_classes(name, values, num_classes)[0]


def with_classes(
    name: str, values: Any, num_classes: int | None = None
) -> tuple[np.ndarray, int | None]:
    """`as_labels`, and the number of columns where the labels were one-hot, None where not.

    A class without examples is a column of zeros, so the largest label is not enough.
    """
    labels, columns = _stacked(name, values)
    if not labels.size:
        raise RequestError(f"{name}: expected labels, received none")
    if columns is not None and num_classes is not None and columns > num_classes:
        raise RequestError(
            f"{name}: expected one-hot rows of at most {num_classes} classes, received {columns}"
        )
    refuse_fractions(name, labels)
    limit = num_classes or MAX_CLASSES
    low, high = labels.min(), labels.max()
    if low < 0 or high >= limit:
        outside = low if low < 0 else high
        what = f"expected classes 0 to {limit - 1}"
        hint = _ignored(labels, outside) if outside in IGNORED or num_classes is not None else ""
        hint = hint or ("" if num_classes or low < 0 else "; are these identities?")
        place = int(np.flatnonzero(labels == outside)[0])
        at = "" if hint.startswith(" (") else f" at position {place}"
        raise RequestError(f"{name}: {what}, found {int(outside)}{at}{hint}")
    if num_classes is None and columns is None and high == 255:
        rest = labels[labels != 255]
        if not rest.size or rest.max() < 128:
            ends = f"the largest is {int(rest.max())}" if rest.size else "there are none"
            raise RequestError(
                f"{name}: expected classes, of which {ends}, found 255{_ignored(labels, high)}"
            )
    return labels.astype(np.int64), columns


def _ignored(labels: np.ndarray, label) -> str:
    """What to do about a label that is no class but a mark; "" for one that is no usual mark."""
    if label not in IGNORED:
        return ""
    count = int((labels == label).sum())
    return f" ({count:,} of {len(labels):,}); if it marks examples to ignore, remove them"


def num_classes_of(highest: int, *columns: int | None) -> int:
    """How many classes there are by the largest label and the columns of one-hot rows, if any."""
    return max(2, highest + 1, *(each or 0 for each in columns))


def absent_note(labels: np.ndarray, columns: int | None) -> str:
    """In words, the classes of one-hot rows without an example; "" where there are none."""
    absent = [] if not columns else np.setdiff1d(np.arange(columns), labels).tolist()
    if not absent:
        return ""
    more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
    which = f"class{'es'[: 2 * (len(absent) > 1)]} {', '.join(map(str, absent[:5]))}{more}"
    return f"one-hot rows of {columns} classes, {which} without an example"


def refuse_fractions(name: str, numbers: np.ndarray) -> None:
    """Refuses floats [N] that are not whole, or not finite: RequestError."""
    if numbers.dtype.kind == "f":
        wrong = np.flatnonzero(~(np.isfinite(numbers) & (numbers == np.floor(numbers))))
        if len(wrong):
            raise RequestError(
                f"{name}: expected whole numbers, found {numbers[wrong[0]]} at position {wrong[0]}"
            )


def read_table(path: Path | str) -> dict[str, Any]:
    """The columns of a file by name, unchecked: an .npy's array is named by "".

    The first line of a CSV that is not a comment has the names. `header`, if there is one, is a
    dict of the `# key=value` lines, or of the JSON in an .npz; text if that is not JSON.

    Raises:
        RequestError: there is no such file, or it is damaged, has another form, or holds objects.
    """
    path = Path(path)
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise RequestError(f"{path}: expected a file, received a pipe or a device")
    try:
        path.open("rb").close()  # report an unreadable file before an unknown ending
        if path.suffix == ".csv":
            return _read_csv(path)
        if path.suffix not in (".npz", ".npy"):
            raise RequestError(f"{path}: expected a file .npz, .npy or .csv")
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            # Other arrays in the file are not read.
            table = {name: loaded[name] for name in loaded.files if name in COLUMNS}
            if "header" in loaded.files:
                table["header"] = _json_or_text(str(loaded["header"]))
            return table
    except OSError as error:
        raise RequestError(f"{path}: cannot be read: {error.strerror or error}") from None
    except RequestError:
        raise
    except Exception as error:  # NumPy and zipfile raise a dozen kinds for damaged files
        why = _first_line(error)
        if "Object arrays" in why:
            why = "it holds Python objects, which are never loaded; save whole numbers"
        elif "allow_pickle" in why:
            why = "it is no NumPy file (damaged, or of Python objects, which are never loaded)"
        elif isinstance(error, zipfile.BadZipFile):
            why = f"{why}; it is damaged or cut short"
        raise RequestError(f"{path}: cannot be read: {why}") from None


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _records(lines: list[tuple[int, str]]) -> tuple[list[int], list[str]]:
    """Lines of a CSV, those joined that a quoted line break divides, and their first line's number.

    Args:
        lines: number in the file, counted from 1, and text.
    """
    numbers: list[int] = []
    records: list[str] = []
    is_open = False
    for number, line in lines:
        if is_open:
            records[-1] += "\n" + line
        else:
            numbers.append(number)
            records.append(line)
        is_open ^= line.count('"') % 2 == 1
    return numbers, records


def _check_cells(
    path: Path, numbers: list[int], rows: list[str], names: list[str], places: dict[str, int]
) -> None:
    """Refuses rows with more or fewer fields than there are names, and cells that are no classes.

    Args:
        path: for the message.
        numbers: the rows' lines in the file, counted from 1 as an editor counts.
        rows: without the names and comments.
        names: of all columns.
        places: of the columns that are read: their position.
    """
    for number, cells in zip(numbers, csv.reader(rows), strict=False):
        if len(cells) != len(names):
            raise RequestError(
                f"{path}: line {number}: expected {len(names)} fields ({','.join(names)}), "
                f"received {len(cells)}"
            )
        for name, place in places.items():
            try:
                value = float(cells[place])
            except ValueError:
                value = 0.5  # text is refused below like a fraction
            if math.isfinite(value) and value != math.floor(value):
                raise RequestError(
                    f"{path}: line {number}: expected a whole number in the column {name}, "
                    f"received {cells[place]!r:.60}; number the classes from 0, the same in true "
                    "and given"
                )
            if value < 0 and name != "index":
                mark = "; if it marks examples to ignore, remove them" if value in IGNORED else ""
                raise RequestError(
                    f"{path}: line {number}: expected a class from 0 in the column {name}, "
                    f"received {cells[place]!r:.60}{mark}"
                )


_NAMES = (
    f"expected a first line with the names {','.join(COLUMNS)} (for an audit, index is optional)"
)


def _instead_of_names(rows: list[str]) -> str:
    """What came in place of a first line with names, and what to change."""
    if not rows:
        return "received an empty file"
    separators = {";": "semicolons", "\t": "tabs"}
    other = next((called for mark, called in separators.items() if mark in rows[0]), None)
    hint = f"; separate the columns by commas, not by {other}" if other else ""
    return f"received {rows[0]!r:.60}{hint}"


def _read_csv(path: Path) -> dict[str, Any]:
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    comments = [line[1:].strip() for line in lines if line.startswith("#") and "=" in line]
    numbers, rows = _records(
        [(n, line) for n, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    )
    try:
        names = [name.strip() for name in next(csv.reader(rows[:1]), [])]
    except csv.Error as error:  # a field longer than the reader allows
        raise RequestError(f"{path}: cannot be read: {error}") from None
    used = [name for name in COLUMNS if name in names]
    if not used:
        raise RequestError(f"{path}: {_NAMES}, {_instead_of_names(rows)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns about an empty table; `as_labels` refuses it
        places = {name: names.index(name) for name in used}
        _check_cells(path, numbers[1:], rows[1:], names, places)
        table = np.loadtxt(
            rows[1:],
            delimiter=",",
            dtype=np.float64,
            ndmin=2,
            quotechar='"',
            comments=None,
            usecols=list(places.values()),
        )
    # From 2**53 on float64 does not hold every whole number.
    if (large := table[np.abs(table) >= 2**53]).size:
        raise RequestError(f"{path}: expected numbers below 2**53, found {large[0]:.0f}")
    columns = {name: table[:, i] if table.size else table.ravel() for i, name in enumerate(used)}
    return columns | {"header": dict(line.split("=", 1) for line in comments)}


def read_labels(path: Path | str, true: Path | str | None = None) -> dict[str, Any]:
    """Reads true and given labels, in the file's order.

    Args:
        path: .npz or .csv with `true` and `given` (`index` optional), or .npy [N, 2] of these two;
            with `true`, .npy (or a column `given`) of the given labels alone.
        true: file of the true labels, .npy (or a column `true`).

    Returns:
        `index` (None where there is none), `true`, `given`, unchecked arrays, and `header`.

    Raises:
        RequestError: not there, or not of these forms.
    """
    table = read_table(path)
    if true is not None:
        table = table | {"given": _column(path, table, "given")}
        table["true"] = _column(true, read_table(true), "true")
    elif "" in table:
        if table[""].ndim != 2 or table[""].shape[1] != 2:
            raise RequestError(
                f"{path}: expected shape [N, 2] (true, given), received {list(table[''].shape)}; "
                "type --true=FILE for the true labels"
            )
        table = {"true": table[""][:, 0], "given": table[""][:, 1]}
    for name in ("true", "given"):
        if name not in table:
            hint = "; type --true=FILE for the true labels" if name == "true" else ""
            raise RequestError(f"{path}: expected true and given, found no {name}{hint}")
        if not np.size(table[name]):
            raise RequestError(f"{path}: expected labels, received none")
    return {
        "index": table.get("index"),
        "true": table["true"],
        "given": table["given"],
        "header": table.get("header", {}),
    }


def _column(path: Path | str, table: dict[str, Any], name: str) -> np.ndarray:
    if name not in table and "" not in table:
        raise RequestError(f"{path}: expected labels {name}, found none")
    return table[name] if name in table else table[""]


def read_again(path: Path | str, index: np.ndarray | None, paired: bool) -> np.ndarray:
    """The given labels of a second pass, in the order of the first where both name examples.

    Args:
        path: a file as in `read_labels`, with the given labels at least.
        index: [N], identities in the first pass, or None.
        paired: whether an .npy [N, 2] is (true, given), as in the first pass's file.
    """
    table = read_table(path)
    given = _column(path, table, "given")
    if paired and "given" not in table and given.ndim == 2 and given.shape[1] == 2:
        return given[:, 1]
    if index is None or "index" not in table:
        return given
    first, second = np.ravel(index), np.ravel(table["index"])
    numbers = all(values.dtype.kind in "iuf" for values in (first, second))
    if not numbers or not np.array_equal(np.sort(first), np.sort(second)):
        raise RequestError(f"{path}: expected the same index values as in the first pass")
    if given.shape[:1] != second.shape:
        raise RequestError(
            f"{path}: expected {len(second)} given labels, one for each index, received shape "
            f"{list(given.shape)}"
        )
    place = np.empty(len(first), np.int64)
    place[np.argsort(first, kind="stable")] = np.argsort(second, kind="stable")
    return given[place]

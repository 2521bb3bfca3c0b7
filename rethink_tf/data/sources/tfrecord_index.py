"""Where each JPEG image of a TFDS set lies in its TFRecord files: random access to examples.

One scan over the framing (length, checksum, data, checksum) gives every record's place; labels and
names are read from the records' own bytes, and no image is decoded. Importing this module loads no
TensorFlow.
"""

import json
import os
import re
import struct
from pathlib import Path

import numpy as np

from rethink_tf.data.sources import tfds as tfds_source
from rethink_tf.errors import RequestError
from rethink_tf.storage.paths import data_directory

# Names of the splits here and in TFDS.
SPLITS = {"train": "train", "test": "validation"}
COLUMNS = {
    "index": np.int64,
    "labels": np.int32,
    "shard": np.int32,
    "offset": np.int64,
    "length": np.int64,
}
MOST_UNREADABLE = 0.001  # largest share of unreadable images
# Bytes of a record before its data, and bytes of a record that are not data.
_HEADER, _FRAME = 12, 16
_NUMBER_BITS = 22  # for the number of an image within its synset


def identity(name: str, label: int) -> int:
    """The permanent identity of an example, from its file's name; below 2**32, for the random bits.

    A training image is numbered within its synset, and the label is the synset's rank among the
    1,000: label * 2**22 + number. A validation image has a number alone. So a part of the set, in
    whatever order, has the identities of the whole.

    Args:
        name: such as n01440764_10026.JPEG or ILSVRC2012_val_00000293.JPEG.
        label: 0 to 999.

    Raises:
        ValueError: a name of another kind.
    """
    match = re.fullmatch(r"n\d{8}_(\d{1,7})\.JPEG", name)
    if match and int(match[1]) < 1 << _NUMBER_BITS:
        return label << _NUMBER_BITS | int(match[1])
    match = re.fullmatch(r"ILSVRC2012_val_(\d{8})\.JPEG", name)
    if match:
        return int(match[1])
    raise ValueError(f"expected a file_name like n01440764_10026.JPEG, got {name!r}")


def made_of_others(summary: dict, data_dir=None) -> str | None:
    """The message about a finished run that used other images than those now on disk.

    Part of a set has the same run ids as the whole, so the numbers of training examples are
    compared, without unreadable images. None if they agree, or cannot be compared.

    Args:
        summary: of the run, on a streamed set.
        data_dir: see `paths`.
    """
    name = summary["config"]["dataset"]
    folder = tfds_source.prepared_folder(name, data_directory(data_dir))
    done = summary.get("train_examples")  # not written by earlier versions
    if folder is None or done is None or summary["config"]["examples"] is not None:
        return None
    here, more = (sum(_shard_lengths(folder, split)) for split in SPLITS)
    if here - MOST_UNREADABLE * (here + more) <= done <= here:
        return None
    return (
        f"finished on {done:,.0f} training images of {name}, {folder} has {here:,}; a part "
        "has the run id of the whole: type another --runs_dir"
    )


def shards(folder: Path, name: str, split: str) -> list[Path]:
    """The record files of a split, in order, as the folder's metadata names them.

    Args:
        folder: of one prepared version.
        name: the TFDS name of the set.
        split: "train" or "test".

    Raises:
        RequestError: the metadata cannot be read, or name another format.
    """
    counts = _shard_lengths(folder, split)
    stem = f"{name}-{SPLITS[split]}.tfrecord"
    return [folder / f"{stem}-{i:05d}-of-{len(counts):05d}" for i in range(len(counts))]


def _shard_lengths(folder: Path, split: str) -> list[int]:
    try:
        facts = json.loads((folder / "dataset_info.json").read_text())
        if facts.get("fileFormat") != "tfrecord":
            raise ValueError(f"expected tfrecord files, got {facts.get('fileFormat')}")
        parts = {part["name"]: part for part in facts["splits"]}
        return [int(length) for length in parts[SPLITS[split]]["shardLengths"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(folder, error) from error


def damaged(folder: Path, problem: object) -> RequestError:
    """The error for a folder that is damaged."""
    if isinstance(problem, KeyError):
        problem = f"expected {problem.args[0]}, got none"
    reason = (str(problem).splitlines() or [type(problem).__name__])[0]
    return RequestError(
        f"{folder}: damaged or no TFDS set of JPEG images ({reason[:300]}); prepare it again, or "
        "type --data_dir=DIR with an intact set"
    )


def read(path: Path, offset: int, length: int) -> bytes:
    """Exactly these bytes of a file; OSError where it has become shorter."""
    # Opened at each call, since many systems do not allow a thousand open files.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        data = os.pread(descriptor, length, offset)
    finally:
        os.close(descriptor)
    if len(data) != length:
        raise OSError(f"{path}: expected {length} bytes at {offset}, got {len(data)}")
    return data


def _varint(data, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _fields(data, at: int, end: int):
    """The fields of a protocol buffer: (number, start, end), or (number, value, None)."""
    while at < end:
        tag, at = _varint(data, at)
        value, at = _varint(data, at)
        if tag & 7 == 0:
            yield tag >> 3, value, None
        elif tag & 7 == 2:
            if at + value > end:
                raise ValueError("a field is longer than its record")
            yield tag >> 3, at, at + value
            at += value
        else:
            raise ValueError(f"a field of wire type {tag & 7}")


def parse(data) -> tuple[tuple[int, int], int, str]:
    """What a tf.train.Example of the set holds, without a copy of its image.

    Args:
        data: the record's bytes.

    Returns:
        (start, length) of the JPEG within `data`, label, file name.

    Raises:
        ValueError: it is no such Example.
    """
    fields = {}
    try:
        for _, start, end in _fields(data, 0, len(data)):  # Example.features
            for _, low, high in _fields(data, start, end):  # Features.feature, a map
                (_, *key), (_, *value) = _fields(data, low, high)
                (_, *kind), *_ = _fields(data, *value)  # bytes_list or int64_list
                (_, first, last), *_ = _fields(data, *kind)
                fields[bytes(data[slice(*key)]).decode()] = first, last
        first, last = fields["label"]
        label = first if last is None else _varint(data, first)[0]  # packed
        start, end = fields["image"]
        return (start, end - start), label, bytes(data[slice(*fields["file_name"])]).decode()
    except (IndexError, TypeError, KeyError, UnicodeDecodeError) as error:
        raise ValueError(f"expected image, label and file_name in a record ({error})") from None


def scan(folder: Path, name: str, num_classes: int) -> tuple[dict[str, np.ndarray], list[str]]:
    """The place, label and identity of every example of both splits.

    Each record's checksums are verified; broken framing makes the folder a damaged one.

    Args:
        folder: of one prepared version.
        name: the TFDS name of the set.
        num_classes: the expected number of classes.

    Returns:
        For each split, `{split}_{column}` with the `COLUMNS`, in ascending order of identity:
        `offset` and `length` are those of the JPEG within its shard; and `{split}_names`, bytes.
        Then, the names of the examples whose data fail their checksum; they are left out.

    Raises:
        RequestError: the folder is damaged, or holds another set than expected.
    """
    arrays, lost = {}, []
    labels = folder / "label.labels.txt"  # the synset of each label, if the set names them
    synsets = labels.read_text(errors="replace").split() if labels.exists() else None
    if synsets and len(synsets) < num_classes:
        problem = f"expected {num_classes} synsets, got {len(synsets)}"
        raise damaged(folder, f"{labels.name}: {problem}")
    for split in SPLITS:
        expected, rows, seen = _shard_lengths(folder, split), [], 0
        for number, path in enumerate(shards(folder, name, split)):
            before = seen
            for start, data, intact in _records(folder, path):
                seen += 1
                try:
                    (at, length), label, file_name = parse(data)
                    if not 0 <= label < num_classes:
                        raise ValueError(f"expected labels below {num_classes}, got {label}")
                    synset = synsets[label] if synsets else ""
                    if split == "train" and not file_name.startswith(synset):
                        raise ValueError(f"label {label} is {synset}, not {file_name}")
                    row = (identity(file_name, label), label, number, start + at, length, file_name)
                except ValueError as error:
                    if intact:
                        raise damaged(folder, f"{path.name} at {start}: {error}") from None
                    file_name = f"the record at {start} of {path.name}"
                if intact:
                    rows.append(row)
                else:
                    lost.append(file_name)
            if seen - before != expected[number]:
                problem = f"{path.name}: expected {expected[number]} records, got {seen - before}"
                raise damaged(folder, problem)
        if not rows:
            raise damaged(folder, f"expected examples in {SPLITS[split]}, got none")
        *columns, names = zip(*sorted(rows), strict=True)
        for (column, dtype), values in zip(COLUMNS.items(), columns, strict=True):
            arrays[f"{split}_{column}"] = np.array(values, dtype)
        arrays[f"{split}_names"] = np.array(names, "S")
        if len(set(columns[0])) != len(rows):
            raise damaged(folder, f"expected each file_name once in {split}")
    return arrays, lost


def _records(folder: Path, path: Path):
    """Every record of a file: (offset of its data, the data, whether their checksum is right)."""
    import tensorflow as tf

    # The only reader that verifies checksums at an offset. It is private, so TensorFlow is pinned.
    from tensorflow.python.lib.io import tf_record

    try:
        size, at = path.stat().st_size, 0
        reader = tf_record.tf_record_random_reader(str(path))
        while at < size:
            try:
                data, after = reader.read(at)
                intact = True
            except (tf.errors.DataLossError, IndexError):  # IndexError: past the end
                header = read(path, at, min(_HEADER, size - at))
                after = at + _FRAME + (struct.unpack_from("<Q", header)[0] if header[8:] else size)
                if after > size:
                    raise damaged(folder, f"{path.name}: broken or cut short at {at}") from None
                data, intact = read(path, at + _HEADER, after - at - _FRAME), False
            yield at + _HEADER, data, intact
            at = after
    except (OSError, tf.errors.OpError) as error:
        raise damaged(folder, error) from error

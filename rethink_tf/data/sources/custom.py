"""Custom data: `folder:PATH`, `npz:FILE` or `tfds:NAME`, checked and read into plain arrays.

A set is identified by its examples: the hash of their contents is part of a run's identity. The
path is only recorded. Importing this module loads no TensorFlow.
"""

import dataclasses
import functools
import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rethink_tf.data import label_file
from rethink_tf.data.sources import custom_tfds, image_folder
from rethink_tf.data.sources import tfds as tfds_source
from rethink_tf.errors import RequestError
from rethink_tf.narrowing import present
from rethink_tf.printable import printable
from rethink_tf.storage import array_cache, content_hash
from rethink_tf.storage.paths import absolute, cache_directory, data_directory

KINDS = ("folder", "npz", "tfds")
FORMS = "folder:PATH, npz:FILE, tfds:NAME"
SHOWN = 12  # classes whose counts are printed one by one


@dataclasses.dataclass(frozen=True, eq=False)
class Opened:
    """A set that was found and checked.

    Attributes:
        num_classes, image_shape, num_train, num_test: of the set.
        content: its hash.
        class_names: where it names them.
        notes: what was done to it, in words.
        load: returns its arrays, {train,test}_{index,images,labels}. Before TensorFlow decodes
            them, it calls its argument.
    """

    num_classes: int
    image_shape: tuple[int, int, int]
    num_train: int
    num_test: int
    content: str
    class_names: tuple[str, ...] | None
    notes: tuple[str, ...]
    load: Callable[..., dict[str, np.ndarray]]


def is_custom(spec: str) -> bool:
    """Whether a data set's name is one of `FORMS`."""
    kind, colon, name = content_hash.shown(str(spec)).partition(":")
    return kind in KINDS and bool(colon and name)


def meant(value: str) -> str | None:
    """The form that was probably meant by the path of a file or folder alone; None for others."""
    path = absolute(str(value))
    try:
        if str(value).endswith(".npz"):
            return f"npz:{value}"
        return f"folder:{value}" if value and path.is_dir() else None
    except (OSError, ValueError):  # a name that is too long, a null character
        return None


def open_set(
    spec: str, data_dir=None, cache_dir=None, input_size=None, augment="none", report=print
) -> Opened:
    """Finds and checks a set.

    Args:
        spec: one of `FORMS`; where it carries a hash, the content must be that.
        data_dir: where TFDS's sets lie; see `paths`.
        cache_dir: where decoded images of folders are kept; see `paths`.
        input_size: of the run, if known: images of folders are brought to it.
        augment: of the run; for random crops the images are brought to 8/7 of it.
        report: takes lines for the reader.

    Raises:
        RequestError: not there, not readable, not what a run needs; its content is another.
    """
    ref = content_hash.ContentRef.parse(spec)
    name, known = ref.path, ref.sha256
    kind, _, where = name.partition(":")
    if kind == "folder":
        cache = cache_directory(cache_dir)
        opened = _folder(absolute(where), cache, input_size, augment, report)
    elif kind == "npz":
        path = absolute(where)
        opened = _npz(str(path), _stamp(path))
    else:
        place = data_directory(data_dir), cache_directory(cache_dir)
        opened = _tfds(where, *place, input_size, augment, report)
    if known and known != opened.content:
        raise RequestError(f"--dataset={name}: its content changed since it was named")
    return opened


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise RequestError(f"--dataset: {path} cannot be read: {error.strerror}") from None
    if path.is_dir():
        raise RequestError(
            f"--dataset: expected a file .npz, {path} is a folder; for a folder of images type "
            f"--dataset=folder:{path}"
        )
    return stat.st_size, stat.st_mtime_ns


_last_folder: dict[str, Opened] = {}


def _folder(root: Path, cache_dir: Path, input_size, augment: str, report) -> Opened:
    try:
        listing = image_folder.listing(root)
        fingerprint = listing.fingerprint()
    except OSError as error:  # a name that is too long, a folder without permission to read
        why = f"{str(root)[:200]} cannot be read: {error.strerror}"
        raise RequestError(f"--dataset: {why}") from None
    if input_size is None:
        input_size = image_folder.input_side(image_folder.own_side(listing), augment)
    side = present(
        image_folder.wanted_side(input_size, augment), "a side, as there is an input size"
    )
    key = f"folder-{fingerprint[:24]}-{side}"
    if key not in _last_folder:

        def build():
            arrays, notes = image_folder.read(listing, side)
            return arrays | {"notes": np.frombuffer(json.dumps(notes).encode(), np.uint8)}

        arrays = array_cache.load_or_build(cache_dir / key, build, report=report)
        notes = json.loads(arrays.pop("notes").tobytes())
        _last_folder.clear()  # a data set may fill the memory, so only one is kept
        _last_folder[key] = _of_arrays(arrays, len(listing.classes), listing.classes, notes)
    return _last_folder[key]


def _of_arrays(arrays, num_classes: int, class_names, notes) -> Opened:
    digest = hashlib.sha256(str(num_classes).encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return Opened(
        num_classes,
        arrays["train_images"].shape[1:],
        len(arrays["train_labels"]),
        len(arrays["test_labels"]),
        digest.hexdigest(),
        class_names,
        tuple(notes),
        lambda start=None: arrays,
    )


@functools.lru_cache(maxsize=1)
def _npz(path: str, _stamp) -> Opened:
    names = ("x_train", "y_train", "x_test", "y_test")
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise ValueError("it holds one array, without names")
        with loaded:
            missing = [name for name in names if name not in loaded.files]
            if missing:
                raise RequestError(
                    f"--dataset: expected {', '.join(names)} in {path}, found "
                    f"{', '.join(loaded.files) or 'nothing'}"
                )
            given = {name: loaded[name] for name in names}
    except RequestError:
        raise
    except Exception as error:  # NumPy and zipfile raise a dozen kinds for damaged files
        why = (str(error).splitlines() or [type(error).__name__])[0]
        if "Object arrays" in why:
            why = "it holds Python objects, which are never loaded; save plain arrays"
        elif isinstance(error, EOFError):
            why = "it is empty"
        elif "allow_pickle" in why or isinstance(error, zipfile.BadZipFile):
            why = "it is no .npz file, or is damaged or cut short; write it again with np.savez"
        raise RequestError(f"--dataset: {path} cannot be read: {why}") from None
    return from_arrays(*(given[name] for name in names), source=path)


def from_arrays(
    x_train, y_train, x_test, y_test, *, source: str = "the arrays", columns: int | None = None
) -> Opened:
    """A set of arrays as Keras' data sets have them.

    Args:
        x_train, x_test: [N, H, W] or [N, H, W, 1 or 3]: uint8; or other integers from 0 to 255, or
            floats that are such whole numbers; or floats from 0 to 1, which are brought to 0 to
            255 and rounded (one of the notes says so). Another range is refused.
        y_train, y_test: integers [N] or [N, 1], 0 to K - 1, or one-hot [N, K], whose K classes
            are kept where some have no example (one of the notes says so).
        source: for messages.
        columns: K of labels that were one-hot.

    Raises:
        RequestError: arrays of another kind; says which and what came.
    """
    arrays: dict[str, np.ndarray] = {}
    notes: list[str] = []
    for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        images, note = _images(f"x_{part} of {source}", np.asarray(x))
        notes += note
        if np.asarray(y).dtype.hasobject:
            raise RequestError(f"--dataset: y_{part} of {source}: expected whole numbers")
        labels, wide = label_file.with_classes(f"--dataset: y_{part} of {source}", y)
        labels, columns = labels.astype(np.int32), max(columns or 0, wide or 0) or None
        if len(images) != len(labels):
            raise RequestError(
                f"--dataset: expected as many images as labels, {source} has {len(images)} and "
                f"{len(labels)} for {part}"
            )
        index = np.arange(len(labels), dtype=np.int64)
        arrays |= {f"{part}_index": index, f"{part}_images": images, f"{part}_labels": labels}
    shapes = arrays["train_images"].shape[1:], arrays["test_images"].shape[1:]
    if shapes[0] != shapes[1]:
        raise RequestError(
            f"--dataset: {source}: expected test images {shapes[0]}, got {shapes[1]}"
        )
    highest = [int(arrays[f"{part}_labels"].max()) for part in ("train", "test")]
    num_classes = label_file.num_classes_of(highest[0], columns)
    absent = np.setdiff1d(np.arange(num_classes), arrays["train_labels"]).tolist()
    if columns is None and absent and highest[0]:
        first = "; are the labels counted from 1?" if absent == [0] else ""
        notes.append(
            f"{source}: labels 0 to {highest[0]} are {num_classes} classes, of which "
            f"{len(absent):,} {'has' if len(absent) == 1 else 'have'} no training example, such "
            f"as {absent[0]}{first}"
        )
    if highest[1] >= num_classes:
        raise RequestError(
            f"--dataset: {source}: test label {highest[1]} is no class of the training set, whose "
            f"labels end at {num_classes - 1}"
        )
    if not highest[0]:
        raise RequestError(f"--dataset: {source}: expected at least two classes, found one")
    if told := label_file.absent_note(arrays["train_labels"], columns):
        notes.append(f"training labels: {told}")
    return _of_arrays(arrays, num_classes, None, notes)


def _images(name: str, x: np.ndarray) -> tuple[np.ndarray, list[str]]:
    if x.ndim == 3:
        x = x[..., None]
    if x.dtype.kind not in "biuf" or x.ndim != 4 or x.shape[-1] not in (1, 3) or not x.size:
        raise RequestError(
            f"--dataset: {name}: expected images [N, H, W] or [N, H, W, 1 or 3], received "
            f"{x.dtype} {list(x.shape)}"
        )
    if x.dtype == np.uint8:
        return x, []
    if x.dtype.kind == "f" and not (finite := np.isfinite(x)).all():
        wrong = np.flatnonzero(~finite.reshape(len(x), -1).all(axis=1))
        raise RequestError(
            f"--dataset: {name}: expected numbers, found NaN or infinity in {len(wrong):,} of "
            f"{len(x):,} images, the first at position {wrong[0]}"
        )
    low, high = float(x.min()), float(x.max())
    if x.dtype.kind in "iu" and low >= 0 and high <= 255:
        return x.astype(np.uint8), []
    if x.dtype.kind == "f" and low >= 0 and high <= 1:
        return np.round(x * 255).astype(np.uint8), [f"{name}: 0 to 1 taken as 0 to 255, rounded"]
    if x.dtype.kind == "f" and low >= 0 and high <= 255 and (x == np.floor(x)).all():
        return x.astype(np.uint8), []
    parts = ", not all whole" if x.dtype.kind == "f" and 0 <= low and high <= 255 else ""
    raise RequestError(
        f"--dataset: {name}: expected whole numbers from 0 to 255, as np.round(x) gives, or floats "
        f"from 0 to 1, received {x.dtype} from {low:g} to {high:g}{parts}"
    )


def _tfds(name: str, data_dir: Path, cache_dir: Path, input_size, augment, report) -> Opened:
    prepared = custom_tfds.prepared_set(name, data_dir, input_size, augment)
    counts = {part: count for part, (_, count) in prepared.splits.items()}
    notes = list(prepared.notes)
    if prepared.is_split_here:
        notes.append(
            f"{printable(name.partition('#')[0])} has no test split: split by the hash of each "
            f"position, {counts['train']} for training, {counts['test']} for testing"
        )
    rule = f"{prepared.content()} {prepared.image_shape} {prepared.is_split_here}"
    content = hashlib.sha256(rule.encode()).hexdigest()

    def load(start=None):
        def build():
            if start is not None:
                start()
            return custom_tfds.decode(prepared)

        entry = f"tfds-{content_hash.folder_name(name)}-{content[:24]}-{tfds_source.decoder()}"
        return array_cache.load_or_build(cache_dir / entry, build, report=report)

    return Opened(
        prepared.num_classes,
        prepared.image_shape,
        counts["train"],
        counts["test"],
        content,
        prepared.class_names,
        tuple(notes),
        load,
    )


def describe(train, test, class_names=None) -> list[str]:
    """Counts per class in a line, classes without examples, and images that occur twice.

    Args:
        train, test: `datasets.Split`s.
        class_names: of the K classes; default: their numbers.
    """
    names = [printable(n) for n in class_names or range(train.num_classes)]
    counts = [np.bincount(s.labels, minlength=train.num_classes) for s in (train, test)]
    if train.num_classes <= SHOWN:
        each = ", ".join(f"{n} {a}+{b}" for n, a, b in zip(names, *counts, strict=True))
        lines = [f"training+test images of each class: {each}"]
    else:
        spans = [f"{c.min()} to {c.max()}" for c in counts]
        lines = [f"{train.num_classes} classes, {spans[0]} training, {spans[1]} test images each"]
    for part, count in zip(("training", "test"), counts, strict=True):
        empty = [names[k] for k in np.flatnonzero(count == 0)]
        if empty:
            lines.append(f"classes without a {part} image: {image_folder.some(empty)}")
    seen = [hashlib.sha256(image.tobytes()).digest() for image in train.images]
    known = set(seen)
    twice = len(seen) - len(known)
    if twice:
        lines.append(f"{twice} training images equal another one: their labels may contradict")
    both = sum(hashlib.sha256(image.tobytes()).digest() in known for image in test.images)
    if both:
        lines.append(f"{both} test images are also in the training set")
    return lines

"""A folder of images, one folder for each class, read with Pillow into square uint8 arrays.

The i-th example is the i-th file in the order of "class/name". Imports no TensorFlow.
"""

import dataclasses
import hashlib
import os
import statistics
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from rethink_tf.data.sources import image_files
from rethink_tf.errors import RequestError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
TEST_NAMES = ("test", "val", "validation")
TEST_SHARE = 0.2
LARGEST = 224  # of a side that nobody asked for
NAMED = 5
READING = 2  # to be raised whenever `read` makes other arrays, or says other things, of equal files


@dataclasses.dataclass(frozen=True)
class Listing:
    """The files of a folder, in order: `parts` maps a split to [(class, path)].

    Left out are the folders `unused` beside train and test, and `ignored` files that are no images.
    """

    root: Path
    classes: tuple[str, ...]
    parts: dict[str, list[tuple[int, Path]]]
    ignored: int
    unused: tuple[str, ...] = ()

    @property
    def files(self) -> list[Path]:
        return [path for part in self.parts.values() for _, path in part]

    def fingerprint(self) -> str:
        """Changes with the name, size or time of any image, and with what is left out."""
        digest = hashlib.sha256(f"{READING} {self.ignored}".encode())
        for name in self.unused:
            digest.update(os.fsencode(name) + b"/")
        for path in self.files:
            stat = path.stat()
            name = path.relative_to(self.root)
            digest.update(os.fsencode(name))  # a name may be of any bytes
            digest.update(f"\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()


def listing(root: Path) -> Listing:
    """The images below root/train/<class>/ and root/test/<class>/, or below root/<class>/.

    Raises:
        RequestError: no such folder, no classes, a class without images, unequal classes.
    """
    if not root.is_dir():
        raise RequestError(f"--dataset: expected a folder {root}, there is none")
    tests = [name for name in TEST_NAMES if (root / name).is_dir()]
    given = (root / "train").is_dir()
    if given and not tests:
        raise RequestError(
            f"--dataset: {root} has a folder train but none of {', '.join(TEST_NAMES)}; give one, "
            f"or --dataset=folder:{root / 'train'} to have it split"
        )
    folders = {"train": root / "train", "test": root / tests[0]} if given else {"all": root}
    classes = _folders(folders["train" if given else "all"])
    if len(classes) < 2:
        raise RequestError(
            f"--dataset: expected {root}/<class>/<image> with at least two classes, found "
            f"{len(classes)} folders"
        )
    parts, ignored, empty = {}, 0, []
    for name, folder in folders.items():
        strange = sorted(set(_folders(folder)) - set(classes))
        if strange:
            raise RequestError(
                f"--dataset: {folder} has classes that train has not: {some(strange)}"
            )
        parts[name] = []
        for number, label in enumerate(classes):
            files = [p for p in (folder / label).rglob("*") if p.is_file()]
            images = [p for p in files if _is_image(p)]
            ignored += sum(1 for p in files if not p.name.startswith(".")) - len(images)
            if not images and name != "test":
                empty.append(label)
            parts[name] += [(number, p) for p in sorted(images, key=lambda p: p.as_posix())]
    if empty:
        raise RequestError(
            f"--dataset: class folders of {root} without an image: {some(empty)}; fill or remove "
            f"them (images end in {' '.join(ENDINGS)})"
        )
    if given and not parts["test"]:
        raise RequestError(f"--dataset: {folders['test']} holds no image")
    taken = {path.name for path in folders.values()}
    unused = [name for name in _folders(root) if name not in taken] if given else []
    return Listing(root, tuple(classes), parts, ignored, tuple(unused))


def _folders(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".")


def some(names) -> str:
    """The first names of a list, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(map(str, names[:NAMED])) + (f" and {more} more" if more > 0 else "")


def read(found: Listing, side: int) -> tuple[dict[str, np.ndarray], list[str]]:
    """Decodes all images.

    Args:
        found: what `listing` gave.
        side: height and width to bring the images to.

    Returns:
        The arrays of both splits by name, and what was done in words.

    Raises:
        RequestError: images that cannot be read, or whose numbers have no known scale, by name.
    """
    files = found.files
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        heads = list(pool.map(image_files.head, files))
        sizes = Counter(size for size, *_ in filter(None, heads))
        colour = any(is_colour for _, is_colour, _ in filter(None, heads))
        bits = [head[2] if head else None for head in heads]
        _refuse_unscaled(found, [p for p, each in zip(files, bits, strict=True) if each == 32])
        images = list(pool.map(lambda path: image_files.decode(path, side, colour), files))
    broken = [str(p.relative_to(found.root)) for p, x in zip(files, images, strict=True) if not x]
    if broken:
        raise RequestError(
            f"--dataset: {len(broken)} of {len(files)} images of {found.root} cannot be read: "
            f"{some(broken)}; mend or remove them"
        )
    notes = []
    if len(sizes) > 1 or set(sizes) != {(side, side)}:
        low, high = min(sizes), max(sizes)
        many = f"{len(sizes)} sizes, {_by(low)} to {_by(high)}" if len(sizes) > 1 else _by(low)
        notes.append(f"images of {many}: the shorter side brought to {side}, the centre cut out")
    grey = sum(not is_colour for _, is_colour, _ in heads)
    if colour and grey:
        notes.append(f"{grey} grey images among {len(files) - grey} in colour: all brought to RGB")
    if deep := bits.count(16):
        notes.append(f"images of 16 bits a pixel: {deep}; their upper 8 bits are taken")
    if found.unused:
        notes.append(f"folders used for neither training nor testing: {some(found.unused)}")
    if found.ignored:
        notes.append(f"{found.ignored} files are no images by their names and were left out")
    pixels = np.stack([x[0] for x in images])
    labels = np.array([n for part in found.parts.values() for n, _ in part], np.int32)
    if "all" in found.parts:
        test = stratified([x[1] for x in images], labels)
        if not test.any():
            raise RequestError(
                f"--dataset: {found.root} leaves no image for testing: every class has one image, "
                "or equal ones; add images, or folders train and test"
            )
        index = np.arange(len(files), dtype=np.int64)
        notes.append(
            f"no train and test folders: split within each class by the hash of each file, "
            f"{(~test).sum()} for training, {test.sum()} for testing"
        )
        chosen = {"train": ~test, "test": test}
    else:
        first = len(found.parts["train"])
        index = np.concatenate([np.arange(len(p), dtype=np.int64) for p in found.parts.values()])
        chosen = {"train": np.arange(len(files)) < first, "test": np.arange(len(files)) >= first}
    arrays = {}
    for name, rows in chosen.items():
        arrays |= {f"{name}_index": index[rows], f"{name}_images": pixels[rows]}
        arrays[f"{name}_labels"] = labels[rows]
    return arrays, notes


def _refuse_unscaled(found: Listing, paths: list[Path]) -> None:
    if paths:
        names = [str(p.relative_to(found.root)) for p in paths]
        raise RequestError(
            f"--dataset: {len(paths)} of {len(found.files)} images of {found.root} hold floats or "
            f"other numbers whose black and white are not known: {some(names)}; save them with 8 "
            "or 16 bits"
        )


def stratified(hashes: list[bytes], labels: np.ndarray) -> np.ndarray:
    """Which examples are for testing: of each class the fifth with the smallest hashes.

    Equal contents stay on one side, so no test image is also a training image.

    Args:
        hashes: of each example's content.
        labels: integer [N].

    Returns:
        bool [N]. A class of one example has none for testing.
    """
    test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = sorted(np.flatnonzero(labels == label), key=lambda i: (hashes[i], i))
        count = max(1, round(TEST_SHARE * len(rows))) if len(rows) > 1 else 0
        while 0 < count < len(rows) and hashes[rows[count]] == hashes[rows[count - 1]]:
            count -= 1
        test[rows[:count]] = True
    return test


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def own_side(found: Listing) -> int:
    """The shorter side that all images share, else the median of them, at most LARGEST."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        shorter = [min(head[0]) for head in pool.map(image_files.head, found.files) if head]
    if len(set(shorter)) < 2:
        return shorter[0] if shorter else 1  # where none can be read, `read` says so
    return min(LARGEST, round(statistics.median(shorter)))


def wanted_side(input_size: int | None, augment: str) -> int | None:
    """The side that images are brought to for a run's input: 8/7 of it where it is cropped at
    random, as CIFAR-10's 32 for 28."""
    if input_size is None or augment != "crop":
        return input_size
    return -(-input_size * 8 // 7)


def input_side(side: int, augment: str) -> int:
    """The input that images of a side are for; `wanted_side` of it is at most the side."""
    return side if augment != "crop" else max(4, side * 7 // 8)

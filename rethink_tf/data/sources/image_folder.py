"""A folder of images, one folder for each class, read with Pillow into square uint8 arrays.

The i-th example is the i-th file in the order of "class/name". Imports no TensorFlow.
"""

import dataclasses
import hashlib
import os
import statistics
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from rethink_tf.data.sources import folder_tree, image_files, split_names
from rethink_tf.data.sources.folder_tree import ENDINGS, some
from rethink_tf.errors import RequestError
from rethink_tf.printable import printable

TEST_SHARE = 0.2
LARGEST = 224  # largest side in pixels if none is asked for
READING = 3  # raise it when `read` returns other arrays or notes for the same files
_DEEPEST = 4  # levels of folders below a split, as in seg_train/seg_train


@dataclasses.dataclass(frozen=True)
class Listing:
    """The files of a folder, in order: `parts` maps a split to [(class, path)].

    `notes` say in words which folders were taken, and what was left out.
    """

    root: Path
    classes: tuple[str, ...]
    parts: dict[str, list[tuple[int, Path]]]
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> list[Path]:
        """The images of all parts, in order."""
        return [path for part in self.parts.values() for _, path in part]

    def fingerprint(self) -> str:
        """Changes with the name, size or time of any image, and with the notes."""
        digest = hashlib.sha256(str(READING).encode())
        for note in self.notes:
            digest.update(os.fsencode(note) + b"\n")
        for path in self.files:
            stat = path.stat()
            name = path.relative_to(self.root)
            digest.update(os.fsencode(name))  # a file name may contain any bytes
            digest.update(f"\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        return digest.hexdigest()


def listing(root: Path) -> Listing:
    """The images below root/train/<class>/ and root/test/<class>/, or below root/<class>/.

    The folders of the splits may be spelt in any usual way (`split_names`), and lie in a folder of
    the same split, as seg_train/seg_train. Where there is no folder for testing, that for
    validation is used for it, and the notes say so. Hidden folders and files are not read, at any
    depth; links to folders are followed.

    Raises:
        RequestError: no such folder, no classes, a class without images, unequal classes; splits
            that cannot be told; links that lead nowhere, or twice to one folder.
        OSError: a folder cannot be read.
    """
    if not root.is_dir():
        if not root.exists():
            raise RequestError(f"--dataset: expected a folder {root}, there is none")
        npz = f"; type --dataset=npz:{root}" if root.suffix == ".npz" else ""
        raise RequestError(f"--dataset: expected a folder, {root} is a file{npz}")
    tree = folder_tree.Tree()
    folders, notes = _splits(root, tree)
    given = "train" in folders
    first = folders["train" if given else "all"]
    classes = _names(first)
    _refuse_dead(root, tree, folders.values())
    if len(classes) < 2:
        raise RequestError(
            f"--dataset: expected {printable(first)}/<class>/<image> with at least two classes, "
            f"found {len(classes)} folder{'s' * (len(classes) != 1)}{_further_down(first, classes)}"
        )
    if given:
        folder_tree.enter(tree, root)
    parts: dict[str, list[tuple[int, Path]]] = {}
    empty: list[str] = []
    loose: list[Path] = []
    for name, folder in folders.items():
        strange = sorted(set(_names(folder)) - set(classes))
        if strange:
            raise RequestError(
                f"--dataset: {printable(folder)} has classes that are missing in "
                f"{printable(first.relative_to(root))}: {some(strange)}"
            )
        folder_tree.enter(tree, folder)
        loose += [entry.path for entry in folder_tree.entries(folder) if entry.is_image]
        parts[name] = _images_by_class(tree, folder, classes)
        if name != "test":
            filled = {number for number, _ in parts[name]}
            empty += [label for number, label in enumerate(classes) if number not in filled]
    deeper = sum(
        path.parent != folders[name] / classes[number]
        for name, part in parts.items()
        for number, path in part
    )
    _refuse_dead(root, tree)
    if empty:
        raise RequestError(
            f"--dataset: class folders of {printable(first)} without an image: {some(empty)}; fill "
            f"or remove them (images end in {' '.join(ENDINGS)})"
        )
    if given and not parts["test"]:
        raise RequestError(f"--dataset: {printable(folders['test'])} holds no image")

    notes += _notes(root, tree, loose, deeper)
    return Listing(root, tuple(classes), parts, tuple(notes))


def _images_by_class(
    tree: folder_tree.Tree, folder: Path, classes: list[str]
) -> list[tuple[int, Path]]:
    """(class, image) of all images of a split's folder; a class of it may have no folder."""
    images = []
    for number, label in enumerate(classes):
        if (folder / label).is_dir():
            _refuse_splits_within(folder / label)
            images += [(number, path) for path in folder_tree.images(tree, folder / label)]
    return images


def _notes(root: Path, tree: folder_tree.Tree, loose: list[Path], deeper: int) -> list[str]:
    """What was left out of a folder, or read from an unusual place, a line for each kind.

    Args:
        root: of the data set.
        tree: what was seen below it.
        loose: images that lie in no class folder.
        deeper: number of images that lie deeper in their class folders.
    """

    def shown(paths: Iterable[Path]) -> str:
        return some(path.relative_to(root) for path in paths)

    notes = []
    if tree.others:
        notes.append(f"{tree.others} files without an image's file ending were left out")
    if tree.hidden:
        notes.append(f"{len(tree.hidden)} hidden files or folders left out: {shown(tree.hidden)}")
    if loose:
        notes.append(f"{len(loose)} images in no class folder were left out: {shown(loose)}")
    if deeper:
        notes.append(f"{deeper} images are in subfolders of their class folders: they are used")
    if tree.linked:
        notes.append(f"{len(tree.linked)} links to folders were followed: {shown(tree.linked)}")
    return notes


def _splits(root: Path, tree: folder_tree.Tree) -> tuple[dict[str, Path], list[str]]:
    """The folders of classes by split ("train" and "test", or "all"), and what to say of them."""
    names = _names(root)
    by_part = split_names.by_part(names)
    trains, others = by_part[split_names.TRAIN], by_part["test"] + by_part["validation"]
    if not trains and not others:
        _refuse_half(root, names, [n for n in names if split_names.part_of(n)])
        return {"all": root}, []
    if not (trains and others):
        alone = trains or others
        _refuse_half(root, names, alone)
        verb = "is a class" if len(alone) == 1 else "are classes"
        return {"all": root}, [f"{some(alone)} {verb}, no split: it holds no class folders"]
    train = root / _only(root, trains, "training")
    train = _inner(train, split_names.TRAIN)
    if not _names(train):
        raise RequestError(
            f"--dataset: expected {printable(train)}/<class>/<image>, found no class folders there"
        )
    unlabelled = []
    for part in split_names.FOR_TESTING:
        usable = [n for n in by_part[part] if _names(_inner(root / n, part))]
        unlabelled += [n for n in by_part[part] if n not in usable]
        if usable:
            break
    else:
        raise RequestError(
            f"--dataset: expected class folders in {some(root / n for n in unlabelled)}, found "
            "none: images without classes cannot be tested on"
        )
    name = _only(root, usable, "testing")
    test = _inner(root / name, part)
    notes = []
    taken = [str(path.relative_to(root)) for path in (train, test)]
    if taken != ["train", "test"]:
        kind = "" if part == split_names.TEST else ", a folder for validation"
        notes.append(
            f"training images from {printable(taken[0])}, test images from "
            f"{printable(taken[1])}{kind}"
        )
    unused = [n for n in names if n not in (trains[0], name)]
    if unused:
        notes.append(f"folders used for neither training nor testing: {some(unused)}")
    if unlabelled:
        notes.append(f"without class folders, so without labels: {some(unlabelled)}")
    tree.dead += [
        entry.path
        for entry in folder_tree.entries(root)
        if entry.kind == "dead" and split_names.part_of(entry.path.name)
    ]
    return {"train": train, "test": test}, notes


def _refuse_half(root: Path, names: list[str], alone: list[str]) -> None:
    """Refuses folders that speak of one split alone, unless all folders hold images and no folders:
    pictures of a train, or of tests beside controls, are a class like the others."""
    if not alone or (len(names) > 1 and not any(_names(root / name) for name in names)):
        return
    here = some(alone)
    parts = (split_names.part_of(name) for name in alone)
    if any(part is not None and part[0] == split_names.TRAIN for part in parts):
        missing = "testing, such as test, testing, val, validation or dev"
        instead = f"type --dataset=folder:{printable(root / alone[0])} to have it split, "
    else:
        missing, instead = "training, such as train or training", ""
    raise RequestError(
        f"--dataset: {printable(root)} has a folder {here} but none for {missing}; add one, "
        f"{instead}or rename {here} where it is a class"
    )


def _only(root: Path, names: list[str], purpose: str) -> str:
    if len(names) > 1:
        raise RequestError(
            f"--dataset: expected one folder for {purpose} in {printable(root)}, found "
            f"{some(names)}; rename or move those that are not to be used"
        )
    return names[0]


def _inner(folder: Path, part: str) -> Path:
    """The folder of classes: below one of the same split, or one named `images`, alone in it."""
    for _ in range(_DEEPEST):
        within = folder_tree.entries(folder)
        names = [entry.path.name for entry in within if entry.kind == "folder"]
        if len(names) != 1 or any(entry.is_image for entry in within):
            break
        spoken = split_names.part_of(names[0])
        same = split_names.is_generic(names[0]) or (spoken is not None and spoken[0] == part)
        if not same or not _names(folder / names[0]):
            break
        folder = folder / names[0]
    return folder


def _refuse_splits_within(folder: Path) -> None:
    by_part = split_names.by_part(_names(folder))
    if by_part["train"] and split_names.for_testing(by_part):
        raise RequestError(
            f"--dataset: {printable(folder)} holds a training and a test set of its own: expected "
            "train/<class>/<image> and test/<class>/<image>, splits first"
        )


def _names(folder: Path) -> list[str]:
    """The folders in a folder that are not hidden."""
    return [e.path.name for e in folder_tree.entries(folder) if e.kind == "folder"]


def _further_down(folder: Path, names: list[str]) -> str:
    if len(names) == 1 and _names(folder / names[0]):
        return f"; its folders lie further down: --dataset=folder:{printable(folder / names[0])}"
    return ""


def _refuse_dead(root: Path, tree: folder_tree.Tree, folders=()) -> None:
    """Refuses links that lead nowhere: those met in the tree, and those in `folders` themselves."""
    dead = list(tree.dead)
    for folder in folders:
        dead += [e.path for e in folder_tree.entries(folder) if e.kind == "dead"]
    if dead:
        verb = "link leads" if len(dead) == 1 else "links lead"
        raise RequestError(
            f"--dataset: {len(dead)} {verb} nowhere in {printable(root)}: "
            f"{some(path.relative_to(root) for path in dead)}; fetch what they name (git annex "
            "get, dvc pull), or remove them"
        )


def read(listed: Listing, side: int) -> tuple[dict[str, np.ndarray], list[str]]:
    """Decodes all images.

    Args:
        listed: what `listing` gave.
        side: height and width after resizing.

    Returns:
        The arrays of both splits by name, and what was done in words.

    Raises:
        RequestError: images that cannot be read, or whose numbers have no known scale, by name.
    """
    files = listed.files
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        read_heads = list(pool.map(image_files.head, files))
        colour = any(head.colour for head in read_heads if head)
        bits = [head.bits if head else None for head in read_heads]
        _refuse_unscaled(listed, [p for p, each in zip(files, bits, strict=True) if each == 32])
        read_images = list(pool.map(lambda path: image_files.decode(path, side, colour), files))
    known = zip(files, read_heads, read_images, strict=True)
    broken = [p.relative_to(listed.root) for p, head, x in known if not (head and x)]
    if broken:
        raise RequestError(
            f"--dataset: {len(broken)} of {len(files)} images of {printable(listed.root)} cannot "
            f"be read: {some(broken)}; mend or remove them"
        )
    heads = [head for head in read_heads if head]
    images = [image for image in read_images if image]
    notes = [*_conversions(listed, heads, images, side), *listed.notes]
    pixels = np.stack([x.pixels for x in images])
    labels = np.array([n for part in listed.parts.values() for n, _ in part], np.int32)
    if "all" in listed.parts:
        test = stratified([x.digest for x in images], labels)
        if not test.any():
            raise RequestError(
                f"--dataset: {printable(listed.root)} leaves no image for testing, since every "
                "class has only one distinct image; add images, or folders train and test"
            )
        index = np.arange(len(files), dtype=np.int64)
        notes.append(
            f"no train and test folders: split within each class by the hash of each file, "
            f"{(~test).sum()} for training, {test.sum()} for testing"
        )
        chosen = {"train": ~test, "test": test}
    else:
        first = len(listed.parts["train"])
        index = np.concatenate([np.arange(len(p), dtype=np.int64) for p in listed.parts.values()])
        chosen = {"train": np.arange(len(files)) < first, "test": np.arange(len(files)) >= first}
    arrays: dict[str, np.ndarray] = {}
    for name, rows in chosen.items():
        arrays |= {f"{name}_index": index[rows], f"{name}_images": pixels[rows]}
        arrays[f"{name}_labels"] = labels[rows]
    return arrays, notes


def _conversions(
    listed: Listing, heads: list[image_files.Head], images: list[image_files.Decoded], side: int
) -> list[str]:
    """What was changed in the images of a folder, a line for each kind.

    Args:
        listed: what `listing` gave.
        heads, images: of its files, in their order.
        side: height and width that the images were brought to.
    """
    files = listed.files
    notes = []
    sizes = Counter(head.size for head in heads)
    if len(sizes) > 1 or set(sizes) != {(side, side)}:
        low, high = min(sizes), max(sizes)
        many = f"{len(sizes)} sizes, {_by(low)} to {_by(high)}" if len(sizes) > 1 else _by(low)
        notes.append(f"images of {many}: shorter side resized to {side}, centre cropped")
    grey = sum(not head.colour for head in heads)
    if 0 < grey < len(files):
        notes.append(f"{grey} grey and {len(files) - grey} colour images: all converted to RGB")
    if deep := sum(head.bits == 16 for head in heads):
        notes.append(f"{deep} images with 16 bits per channel: the upper 8 bits are used")
    notes += _transparent(listed, images)
    several = [p for p, head in zip(files, heads, strict=True) if head.frames > 1]
    if several:
        names = some(path.relative_to(listed.root) for path in several)
        notes.append(f"{len(several)} images with several frames: the first is used: {names}")
    return notes


def _refuse_unscaled(listed: Listing, paths: list[Path]) -> None:
    if paths:
        names = some(path.relative_to(listed.root) for path in paths)
        raise RequestError(
            f"--dataset: {len(paths)} of {len(listed.files)} images of {printable(listed.root)} "
            f"hold floats or other numbers whose black and white are not known: {names}; "
            "save them with 8 or 16 bits"
        )


def _transparent(listed: Listing, images: list[image_files.Decoded]) -> list[str]:
    """What is said of transparent images, which are put on white.

    Raises:
        RequestError: most of them hold nothing that is seen on white.
    """
    several = [x for x in images if x.transparent]
    blank = [p for p, x in zip(listed.files, images, strict=True) if x.blank]
    names = some(path.relative_to(listed.root) for path in blank)
    if len(blank) > len(several) / 2:
        raise RequestError(
            f"--dataset: {len(several)} images of {printable(listed.root)} are transparent, and "
            f"{len(blank)} of these are blank on a white background: {names}; save them without "
            "transparency, on a background of your choice"
        )
    lost = f"; {len(blank)} of them are blank there: {names}" if blank else ""
    note = f"{len(several)} transparent images: drawn on a white background{lost}"
    return [note] if several else []


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


def own_side(listed: Listing) -> int:
    """The shorter side that all images share, else the median of them, at most LARGEST."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        shorter = [min(head.size) for head in pool.map(image_files.head, listed.files) if head]
    if len(set(shorter)) < 2:
        return shorter[0] if shorter else 1  # if no image can be read, `read` reports it
    return min(LARGEST, round(statistics.median(shorter)))


def wanted_side(input_size: int | None, augment: str) -> int | None:
    """The side to which images are resized for a run's input size.

    With random crops it is 8/7 of the input size, like CIFAR-10's 32 for 28."""
    if input_size is None or augment != "crop":
        return input_size
    return -(-input_size * 8 // 7)


def input_side(side: int, augment: str) -> int:
    """The largest input size whose `wanted_side` is at most the side of the images."""
    return side if augment != "crop" else max(4, side * 7 // 8)

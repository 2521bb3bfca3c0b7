"""Any image classification set that TFDS has prepared: its metadata, and decoding it.

The metadata is read from JSON, so TensorFlow starts only for decoding.
"""

import dataclasses
import functools
import hashlib
import json
from pathlib import Path

import numpy as np

from rethink_tf.data.sources import image_files, image_folder, split_names
from rethink_tf.data.sources import tfds as tfds_source
from rethink_tf.data.sources.folder_tree import some
from rethink_tf.errors import RequestError
from rethink_tf.printable import printable


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A prepared version.

    Attributes:
        folder: of the version.
        image_key, label_key: the features that are used.
        image_shape, num_classes, class_names: of what they hold.
        splits: maps "train" and "test" to (TFDS split, number of examples); both are of one TFDS
            split where there is no test split.
        chosen: image and label feature where they are not those called "image" and "label", or the
            first of their kind: a part of the set's identity.
        notes: what was chosen, and what is not used, in words.
    """

    folder: Path
    image_key: str
    label_key: str
    image_shape: tuple[int, int, int]
    num_classes: int
    class_names: tuple[str, ...] | None
    splits: dict[str, tuple[str, int]]
    chosen: tuple[str, str] | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_split_here(self) -> bool:
        """Whether training and test examples are of one TFDS split."""
        return self.splits["train"][0] == self.splits["test"][0]

    def content(self) -> str:
        """sha256 over the bytes of the records that are used, and the features; of a choice that
        these do not tell, over that too."""
        known = self._records()
        if self.chosen is None:
            return known
        return hashlib.sha256(f"{known} {self.chosen}".encode()).hexdigest()

    def _records(self) -> str:
        used = tuple(sorted({name for name, _ in self.splits.values()}))
        return _content(self.folder, used, tfds_source.fingerprint(self.folder))


@functools.lru_cache(maxsize=4)  # a run asks several times, and reading large records takes time
def _content(folder: Path, splits: tuple[str, ...], _fingerprint: str) -> str:
    digest = hashlib.sha256((folder / "features.json").read_bytes())
    for split in splits:
        digest.update(split.encode())
        for path in sorted(folder.glob(f"*-{split}.*")):
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def prepared_set(name: str, data_dir: Path, input_size: int | None, augment: str) -> Prepared:
    """Reads the metadata of a set.

    The labels are the feature that is typed, NAME#FEATURE; else the one in the set's
    `supervised_keys`; else the only class label, or the one called "label", as the notes say.

    Raises:
        RequestError: not prepared, or no image classification set; several features that could be
            meant; images of many sizes and no --input_size.
    """
    name, _, wanted = name.partition("#")
    folder = tfds_source.prepared_folder(name, data_dir)
    if folder is None:
        raise RequestError(
            f"--dataset: expected {data_dir}/{name}/x.y.z, prepared by TFDS, found none; type "
            f"--data_dir=DIR, or prepare it: tfds build {name} --data_dir={data_dir}"
        )
    try:
        info = json.loads((folder / "dataset_info.json").read_text())
        features = json.loads((folder / "features.json").read_text())["featuresDict"]["features"]
        images = [key for key, feature in features.items() if "image" in feature]
        labels = [key for key, feature in features.items() if "classLabel" in feature]
        plain = _plain(images, "image"), _plain(labels, "label")
        counts = {s["name"]: sum(map(int, s["shardLengths"])) for s in info["splits"]}
        num_train = counts["train"]
        supervised = _supervised(info)
        image, label, notes = _choice(name, images, labels, supervised, wanted)
        height, width, channels = map(int, features[image]["image"]["shape"]["dimensions"])
        num_classes = int(features[label]["classLabel"]["numClasses"])
    except (OSError, KeyError, IndexError, ValueError, TypeError, AttributeError):
        raise RequestError(
            f"--dataset: expected images and class labels with a split train in {folder}; its "
            "metadata say otherwise"
        ) from None
    shape = _shape(name, (height, width, channels), input_size, augment)
    test = _test_split(name, counts)
    if test:
        splits = {"train": ("train", num_train), "test": (test, counts[test])}
    else:
        num_test = round(image_folder.TEST_SHARE * num_train)
        splits = {"train": ("train", num_train - num_test), "test": ("train", num_test)}
    if test and test != "test":
        notes.append(f"{name} has no split test: its split {test} is used for testing")
    unused = [split for split, count in counts.items() if count and split not in ("train", test)]
    if unused:
        notes.append(f"splits used for neither training nor testing: {some(unused)}")
    names = folder / f"{label}.labels.txt"
    named = tuple(names.read_text().split("\n"))[:num_classes] if names.is_file() else ()
    classes = named if len(named) == num_classes else None
    chosen = None if (image, label) == plain else (image, label)
    return Prepared(folder, image, label, shape, num_classes, classes, splits, chosen, tuple(notes))


def _shape(
    name: str, stored: tuple[int, int, int], input_size: int | None, augment: str
) -> tuple[int, int, int]:
    """The shape of the images as they are read; those of many sizes are resized."""
    height, width, channels = stored
    if channels not in (1, 3):
        raise RequestError(f"--dataset: expected 1 or 3 channels, {name} has {channels}")
    if min(height, width) >= 0:
        return stored
    side = image_folder.wanted_side(input_size, augment)
    if side is None:
        raise RequestError(
            f"--input_size: {name} has images of many sizes; type the size to which they are "
            "resized, such as --input_size=64"
        )
    return side, side, channels


def _plain(keys: list[str], usual: str) -> str:
    return usual if usual in keys else keys[0]


def _supervised(info: dict) -> tuple[str | None, str | None]:
    """The features that a set itself names as input and target; None for what is no single one."""
    keys = info.get("supervisedKeys") or {}
    if "tuple" in keys:
        items = keys["tuple"]["items"]
        return items[0].get("featureKey"), items[1].get("featureKey")
    return keys.get("input"), keys.get("output")  # the form of older versions of TFDS


def _choice(
    name: str, images: list[str], labels: list[str], supervised, wanted: str
) -> tuple[str, str, list[str]]:
    """The features of images and of labels, and what to say of the choice."""
    notes = []
    image = supervised[0] if supervised[0] in images else _only(images, "image")
    if image is None:
        raise RequestError(
            f"--dataset: {name} has several image features and names none for training: "
            f"{some(images)}; expected one, or one called image"
        )
    if len(images) > 1:
        others = some(key for key in images if key != image)
        notes.append(f"images are the feature {printable(image)}; not used: {others}")
    if wanted and wanted not in labels:
        raise RequestError(
            f"--dataset: expected one of {name}'s class labels after #: {some(labels)}; received "
            f"{wanted}"
        )
    label = wanted or (supervised[1] if supervised[1] in labels else _only(labels, "label"))
    if label is None:
        raise RequestError(
            f"--dataset: {name} has several class labels and names none for training: "
            f"{some(labels)}; type one of them: --dataset=tfds:{name}#{printable(labels[0])}"
        )
    if len(labels) > 1 or label != "label":
        why = "" if wanted or label != supervised[1] else ", by the set's supervised_keys"
        unused = [key for key in labels if key != label]
        more = f"; not used: {some(unused)}" if unused else ""
        notes.append(f"labels are the feature {printable(label)}{why}{more}")
    return image, label, notes


def _only(keys: list[str], usual: str) -> str | None:
    """The key that is meant without a choice; IndexError where there is none."""
    if usual in keys or len(keys) <= 1:
        return _plain(keys, usual)
    return None


def _test_split(name: str, counts: dict[str, int]) -> str | None:
    """The TFDS split to test on: test, else what its name says, as `validation`; None: none."""
    if counts.get("test"):
        return "test"
    known = split_names.by_part(split for split, count in counts.items() if count)
    names = split_names.for_testing(known)
    if len(names) > 1:
        raise RequestError(
            f"--dataset: expected a split test, or one like it; {name} has several: {some(names)}"
        )
    return names[0] if names else None


def decode(prepared: Prepared) -> dict[str, np.ndarray]:
    """The arrays of both splits by name, in ascending order of identity: the rank on disk."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    arrays: dict[str, np.ndarray] = {}
    try:
        builder = tfds.builder_from_directory(prepared.folder)
        read = {
            s: _decode_split(tfds, tf, builder, s, prepared) for s, _ in prepared.splits.values()
        }
    except (tf.errors.OpError, AssertionError, KeyError, OSError, ValueError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise RequestError(f"--dataset: {prepared.folder} cannot be read: {why}") from error
    for name, (split, count) in prepared.splits.items():
        images, labels = read[split]
        index = np.arange(len(labels), dtype=np.int64)
        if prepared.is_split_here:
            order = sorted(index, key=lambda i: hashlib.sha256(str(i).encode()).digest())
            num_test = prepared.splits["test"][1]
            index = np.sort(order[:num_test] if name == "test" else order[num_test:])
        if len(index) != count or labels.min() < 0 or labels.max() >= prepared.num_classes:
            raise RequestError(
                f"--dataset: {prepared.folder}: expected {count} examples of "
                f"{prepared.num_classes} classes for {name}, found "
                f"{len(index)} with labels {labels.min()} to {labels.max()}"
            )
        arrays |= {f"{name}_index": index, f"{name}_images": images[index]}
        arrays[f"{name}_labels"] = labels[index]
    return arrays


def _decode_split(tfds, tf, builder, split: str, prepared: Prepared):
    options = tf.data.Options()
    options.autotune.enabled = False
    config = tfds.ReadConfig(
        options=options,
        try_autocache=False,
        add_tfds_id=True,
        interleave_cycle_length=1,
        num_parallel_calls_for_decode=4,
        num_parallel_calls_for_interleave_files=1,
    )
    ids, images, labels = [], [], []
    data = builder.as_dataset(split=split, shuffle_files=False, read_config=config)
    for example in data.as_numpy_iterator():
        image = example[prepared.image_key]
        if image.dtype != np.uint8:
            raise ValueError(f"expected 8-bit images, found {image.dtype}")
        if image.shape != prepared.image_shape:
            image = image_files.as_square(image, prepared.image_shape[0])
        ids.append(example["tfds_id"])
        images.append(image)
        labels.append(example[prepared.label_key])
    order = np.argsort(tfds_source.disk_positions(np.array(ids)), kind="stable")
    return np.stack(images)[order], np.array(labels, np.int32)[order]

"""Any image classification set that TFDS has prepared: its metadata, and decoding it.

What is known of it comes from the metadata's JSON, so TensorFlow starts only for decoding.
"""

import dataclasses
import functools
import hashlib
import json
from pathlib import Path

import numpy as np

from rethink_tf.data.sources import image_files, image_folder
from rethink_tf.data.sources import tfds as tfds_source
from rethink_tf.errors import RequestError


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A prepared version. `splits` maps "train" and "test" to (TFDS split, number of examples);
    both are of one TFDS split where there is no test split."""

    folder: Path
    image_key: str
    label_key: str
    image_shape: tuple[int, int, int]
    num_classes: int
    class_names: tuple[str, ...] | None
    splits: dict[str, tuple[str, int]]

    @property
    def is_split_here(self) -> bool:
        return self.splits["train"][0] == self.splits["test"][0]

    def content(self) -> str:
        """sha256 over the bytes of the records that are used, and the features."""
        used = tuple(sorted({name for name, _ in self.splits.values()}))
        return _content(self.folder, used, tfds_source.fingerprint(self.folder))


@functools.lru_cache(maxsize=4)  # a run asks several times, and the records may be large
def _content(folder: Path, splits: tuple[str, ...], _fingerprint: str) -> str:
    digest = hashlib.sha256((folder / "features.json").read_bytes())
    for split in splits:
        digest.update(split.encode())
        for path in sorted(folder.glob(f"*-{split}.*")):
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def find(name: str, data_dir: Path, input_size: int | None, augment: str) -> Prepared:
    """What the metadata say of a set.

    Raises:
        RequestError: not prepared, or no image classification set; images of many sizes and no
            --input_size.
    """
    folder = tfds_source.prepared_folder(name, data_dir)
    if folder is None:
        raise RequestError(
            f"--dataset: expected {data_dir}/{name}/x.y.z, prepared by TFDS, found none; type "
            f"--data_dir=DIR, or prepare it: tfds build {name} --data_dir={data_dir}"
        )
    try:
        info = json.loads((folder / "dataset_info.json").read_text())
        features = json.loads((folder / "features.json").read_text())["featuresDict"]["features"]
        keys = (
            [k for k, v in features.items() if "image" in v],
            [k for k, v in features.items() if "classLabel" in v],
        )
        counts = {s["name"]: sum(map(int, s["shardLengths"])) for s in info["splits"]}
        image, label = (
            ("image" if "image" in keys[0] else keys[0][0]),
            ("label" if "label" in keys[1] else keys[1][0]),
        )
        shape = tuple(int(n) for n in features[image]["image"]["shape"]["dimensions"])
        num_classes = int(features[label]["classLabel"]["numClasses"])
        num_train = counts["train"]
    except (OSError, KeyError, IndexError, ValueError, TypeError):
        raise RequestError(
            f"--dataset: expected images and class labels with a split train in {folder}; its "
            "metadata say otherwise"
        ) from None
    if shape[2] not in (1, 3):
        raise RequestError(f"--dataset: expected 1 or 3 channels, {name} has {shape[2]}")
    if min(shape) < 0:
        side = image_folder.wanted_side(input_size, augment)
        if side is None:
            raise RequestError(
                f"--input_size: {name} has images of many sizes; type the size to bring them to, "
                "such as --input_size=64"
            )
        shape = (side, side, shape[2])
    test = next((s for s in image_folder.TEST_NAMES if counts.get(s)), None)
    if test:
        splits = {"train": ("train", num_train), "test": (test, counts[test])}
    else:
        num_test = round(image_folder.TEST_SHARE * num_train)
        splits = {"train": ("train", num_train - num_test), "test": ("train", num_test)}
    names = folder / f"{label}.labels.txt"
    classes = tuple(names.read_text().split("\n"))[:num_classes] if names.is_file() else ()
    classes = classes if len(classes) == num_classes else None
    return Prepared(folder, image, label, shape, num_classes, classes, splits)


def decode(found: Prepared) -> dict[str, np.ndarray]:
    """The arrays of both splits by name, in ascending order of identity: the rank on disk."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    arrays = {}
    try:
        builder = tfds.builder_from_directory(found.folder)
        read = {s: _decode_split(tfds, tf, builder, s, found) for s, _ in found.splits.values()}
    except (tf.errors.OpError, AssertionError, KeyError, OSError, ValueError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise RequestError(f"--dataset: {found.folder} cannot be read: {why}") from error
    for name, (split, count) in found.splits.items():
        images, labels = read[split]
        index = np.arange(len(labels), dtype=np.int64)
        if found.is_split_here:
            order = sorted(index, key=lambda i: hashlib.sha256(str(i).encode()).digest())
            num_test = found.splits["test"][1]
            index = np.sort(order[:num_test] if name == "test" else order[num_test:])
        if len(index) != count or labels.min() < 0 or labels.max() >= found.num_classes:
            raise RequestError(
                f"--dataset: {found.folder}: expected {count} examples of {found.num_classes} "
                f"classes for {name}, found {len(index)} with labels {labels.min()} to "
                f"{labels.max()}"
            )
        arrays |= {f"{name}_index": index, f"{name}_images": images[index]}
        arrays[f"{name}_labels"] = labels[index]
    return arrays


def _decode_split(tfds, tf, builder, split: str, found: Prepared):
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
        image = example[found.image_key]
        if image.dtype != np.uint8:
            raise ValueError(f"expected 8-bit images, found {image.dtype}")
        if image.shape != found.image_shape:
            image = image_files.as_square(image, found.image_shape[0])
        ids.append(example["tfds_id"])
        images.append(image)
        labels.append(example[found.label_key])
    order = np.argsort(tfds_source.disk_positions(np.array(ids)), kind="stable")
    return np.stack(images)[order], np.array(labels, np.int32)[order]

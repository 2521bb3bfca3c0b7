"""Corrupted data for one's own `model.fit`: the same corruption and the same audit as a run's."""

from typing import Any

import numpy as np
import tensorflow as tf

from rethink_tf.audit.label_checks import Check
from rethink_tf.config.run_config import check_field
from rethink_tf.corruptions.corruption import Corruption
from rethink_tf.data import label_file, pipeline, types
from rethink_tf.data.sources import custom as custom_data
from rethink_tf.data.types import Table
from rethink_tf.errors import RequestError
from rethink_tf.training import input_pipeline

STAND_IN = 500
MOST_CHANNELS = 4


def corrupted_dataset(
    train: Table,
    corrupt: float = 1.0,
    pixels: str = "original",
    seed: int = 0,
    *,
    test: Any = None,
) -> tuple:
    """Corrupts a training set, audits it, and gives it as tf.data.

    Args:
        train: arrays (x, y), or a finite tf.data.Dataset of (image, label), batched or not. Images
            are uint8, or floats from 0 to 1, or floats that are whole numbers to 255, [H, W] or
            [H, W, 1 or 3], and come with their channels; a label is an integer from 0, of shape []
            or [1], or one-hot [K]. An example's identity is its position, so the data set must not
            shuffle.
        corrupt: probability with which each label is replaced by a uniform class.
        pixels: `original`, `shuffled`, `random` or `gaussian`.
        seed: of both corruptions.
        test: the test set in the same form. Its pixels are corrupted too, its labels never.

    Returns:
        (tf.data.Dataset of (image, given label), list of the checks); with `test` (training set,
        test set, checks). Images keep their scale; Gaussian ones are float32. Not
        batched and not shuffled; labels int64.

    Raises:
        RequestError: an argument has another form.
        AuditError: the corrupted data are not as configured.
    """
    corrupt, pixels = check_field("corrupt", corrupt), check_field("pixels", pixels)
    seed = check_field("seed", seed)
    splits, up_to_one, note = _splits(train, test)
    moments = input_pipeline.moments(splits[0].images) if pixels == "gaussian" else None
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")  # hides warnings of AutoGraph about code that needs no conversion
    try:
        source = input_pipeline.Source(
            splits[0],
            splits[1],
            Corruption(corrupt=corrupt, pixels=pixels, seed=seed),
            pipeline.standardise,
            moments=moments,
        )
        *tables, checks = input_pipeline.corrupt(source)
    finally:
        logger.setLevel(level)
    scales = [1 / 255 if one else None for one in up_to_one]
    made = [_dataset(table, scale) for table, scale in zip(tables, scales, strict=True)]
    if note:
        checks.append(Check("absent_classes", True, note))
    if test is None:
        return made[0], [check for check in checks if not check.name.startswith("test_")]
    return (*made, checks)


def _splits(train: Any, test: Any) -> tuple[list[types.Split], list[bool], str]:
    """Both Splits, which of them had floats from 0 to 1, and a note of classes that are absent."""
    *first, columns = _arrays("train", train)
    *second, wide = _arrays("test", train if test is None else test)
    if test is None:
        second = [a[:STAND_IN] for a in second]
    columns = max(columns or 0, wide or 0) or None
    classes = label_file.num_classes_of(int(first[1].max()), columns)
    if second[1].max() >= classes:  # never true if training examples stand in for a test set
        raise RequestError(f"test: label {second[1].max()} is no class of the training set")
    arrays = custom_data.from_arrays(*first, *second, columns=columns).load()
    splits = [
        types.Split(
            part,
            arrays[f"{part}_index"],
            arrays[f"{part}_images"],
            arrays[f"{part}_labels"],
            classes,
        )
        for part in ("train", "test")
    ]
    up_to_one = [x.dtype.kind == "f" and x.max() <= 1 for x in (first[0], second[0])]
    return splits, up_to_one, label_file.absent_note(first[1], columns)


def _arrays(name: str, given: Any) -> tuple[np.ndarray, np.ndarray, int | None]:
    """(images, labels, their columns where one-hot) of arrays or of a tf.data.Dataset."""
    if isinstance(given, tf.data.Dataset):
        given = _of_dataset(name, given)
    try:
        x, y = given
        x = np.asarray(x)
    except (TypeError, ValueError):
        raise RequestError(
            f"{name}: expected arrays (x, y) or a tf.data.Dataset, received {type(given).__name__}"
        ) from None
    return x, *label_file.with_classes(f"{name}: y", y)


def _of_dataset(name: str, given: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """(images, labels) of a tf.data.Dataset, its batches joined."""
    spec = given.element_spec
    plain = isinstance(spec, tuple) and len(spec) == 2
    if not (plain and all(isinstance(part, tf.TensorSpec) for part in spec)):
        raise RequestError(
            f"{name}: expected a tf.data.Dataset of (image, label), two dense tensors, received "
            f"elements {spec}"
        )
    if given.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise RequestError(f"{name}: expected a finite tf.data.Dataset, received a repeated one")
    rows = list(given.as_numpy_iterator())
    if not rows:
        raise RequestError(f"{name}: expected examples, received none")
    join = np.concatenate if _batched(name, spec, rows) else np.stack
    columns = []
    for column, what in zip(zip(*rows, strict=True), ("images", "labels"), strict=True):
        try:
            columns.append(join(column))
        except ValueError as error:
            raise RequestError(f"{name}: expected {what} of one shape: {error}") from None
    images, labels = columns
    return images, labels


def _batched(name: str, spec: Any, rows: Any) -> bool:
    """Whether the elements of a data set are batches: by their shapes.

    Ranks alone do not tell: an image [H, W, 3] with a label [1] has those of a batch [B, H, W] of
    grey images with labels [B]. A batch has as many images as labels in every element, and its
    last dimension, a width, is not a number of channels.

    Raises:
        RequestError: neither one example nor a batch.
    """
    image, label = (np.shape(part) for part in rows[0])
    ranks = len(image), len(label)
    alike = all(np.shape(x)[:1] == np.shape(y)[:1] for x, y in rows)
    if ranks == (3, 1):
        static = [part.shape[0] if part.shape.rank else None for part in spec]
        channels = image[-1] <= MOST_CHANNELS  # an image with 2 or 4 channels is refused later
        return alike and not channels and (None in static or static[0] == static[1])
    if ranks in ((2, 0), (2, 1), (3, 0)):
        return False
    if ranks in ((3, 2), (4, 1), (4, 2)) and alike:
        return True
    raise RequestError(
        f"{name}: elements of shapes {list(image)} and {list(label)}: expected an image [H, W] or "
        "[H, W, 1 or 3] with a label [], [1] or one-hot [K], or batches of these"
    )


def _dataset(table: types.Table, scale: float | None) -> tf.data.Dataset:
    images = table.images if scale is None else table.images * np.float32(scale)
    made = tf.data.Dataset.from_tensor_slices((images, table.given.astype(np.int64)))
    options = tf.data.Options()
    options.autotune.enabled = False  # its thread delays the end of short passes to 2.55 or 5.11 s
    return made.with_options(options)

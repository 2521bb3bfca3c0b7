"""The data of one run: load, take, crop, corrupt, audit. From a RunConfig to two audited Tables."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from rethink_tf import (
    audit,
    corruptions,
    datasets,
    foreign_data,
    image_shape,
    noise,
    parents,
    pipeline,
    pixel_audit,
)
from rethink_tf.audit import Check
from rethink_tf.config import RunConfig, labels_path
from rethink_tf.datasets import Split
from rethink_tf.errors import RequestError
from rethink_tf.parents import Parent
from rethink_tf.pipeline import Table


@dataclasses.dataclass(frozen=True)
class Source:
    """What the corrupting pipeline reads: the two Splits, cropped, and its arguments.

    `preprocess` makes of its images what the model sees; `norm` is its mean and deviation.
    `class_names` are those that a foreign set gives its classes.
    """

    train: Split
    test: Split
    corruption: dict[str, Any]
    preprocess: Callable
    norm: tuple[Any, Any] = (None, None)
    class_names: tuple[str, ...] | None = None


def moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation per channel of uint8 [N, H, W, C]: float64 [C] each.

    From the histogram: exact, and without a copy of the images in float64.
    """
    values = np.arange(256)
    counts = np.stack(
        [np.bincount(images[..., c].ravel(), minlength=256) for c in range(images.shape[-1])]
    )
    mean = counts @ values / counts.sum(axis=1)
    variance = (counts * (values - mean[:, None]) ** 2).sum(axis=1) / counts.sum(axis=1)
    return mean, np.sqrt(variance)


def load(config: RunConfig, *, data_dir=None, cache_dir=None, say=print) -> Source:
    """The clean data of a resolved configuration, and how they are to be corrupted.

    With a parent the images have its channels and its input size; its own moments norm them.
    """
    places = {"data_dir": data_dir, "cache_dir": cache_dir, "report": say}
    parent = parents.of(config, **places)
    train, test = _loaded(config, places)
    if parent is not None:
        channels = parent.image_shape[-1]
        train, test = (
            dataclasses.replace(split, images=image_shape.with_channels(split.images, channels))
            for split in (train, test)
        )
    # Noise and norm match the original set, whatever part of it is taken or cropped.
    needed = config.pixels == "gaussian" or config.preprocess == "channel_norm"
    mean, deviation = moments(train.images) if needed else (None, None)
    norm = (mean, deviation)
    if parent is not None and config.preprocess == "channel_norm":
        norm = _moments_of(parent, places)
    if config.examples is not None:
        train = datasets.take(train, config.examples, seed=config.seed)
    given = None
    if config.labels_from is not None:
        path, expected = labels_path(config)
        given = noise.for_training(path, train)
        if noise.content_hash(path) != expected:
            raise RequestError(f"--labels_from={path}: its content changed since it was named")
    train, test = (
        dataclasses.replace(split, images=_window(split.images, config, parent))
        for split in (train, test)
    )
    corruption = {
        "probability": config.corrupt,
        "noise": config.label_noise,
        "given": given,
        "pixels": config.pixels,
        "mix": config.pixel_mix,
        "fraction": config.shuffle_fraction,
        "mean": mean,
        "deviation": deviation,
        "seed": config.seed,
    }
    preprocess = pipeline.preprocessing(config.preprocess, *norm)
    names = info(config, data_dir, cache_dir).class_names
    return Source(train, test, corruption, preprocess, norm, names)


def _loaded(config: RunConfig, places: dict[str, Any]) -> tuple[Split, Split]:
    size = {"input_size": config.input_size, "augment": config.augment}
    return datasets.load(config.dataset, **size, **places)


def _moments_of(parent: Parent, places: dict[str, Any]):
    """Of the parent's own training images, which must be there."""
    try:
        return moments(_loaded(parent.config, places)[0].images)
    except RequestError as error:
        raise RequestError(
            f"--init_from: expected the data of {parent.run_id}, whose moments norm the images: "
            f"{error}"
        ) from None


def info(config: RunConfig, data_dir=None, cache_dir=None) -> datasets.DatasetInfo:
    """What is known of the data set of a resolved configuration."""
    size = {"input_size": config.input_size, "augment": config.augment}
    return datasets.info(config.dataset, data_dir, cache_dir, **size)


def arrivals(source: Source, known: datasets.DatasetInfo, model: str) -> list[str]:
    """What is to be said of a model and a data set that are not ours.

    Args:
        source: the data.
        known: of the same data set.
        model: what was made of the model (`models.arrival`).
    """
    said = [model] if model else []
    if known.content:
        said += known.notes
        said += foreign_data.describe(source.train, source.test, known.class_names)
    return said


def _window(images: np.ndarray, config: RunConfig, parent: Parent | None) -> np.ndarray:
    """The part of the images that is resident; of a size that the parent did not see, resized."""
    if parent is None or images.shape[1:3] == parent.image_shape[:2]:
        return pipeline.window(images, config.input_size, config.augment)
    if config.augment == "crop":
        raise RequestError(
            f"--augment=crop: expected images of {parent.image_shape[0]}x{parent.image_shape[1]}, "
            f"as the parent's; {config.dataset}'s are resized to {config.input_size} and leave no "
            "room; type --augment=none"
        )
    return image_shape.resized(images, config.input_size)


def corrupt(source: Source) -> tuple[Table, Table, list[Check]]:
    """Reads the pipeline and measures what it yields.

    Returns:
        The training and the test Table, and the checks made of them.

    Raises:
        AuditError: a check failed.
    """
    train, test, how = source.train, source.test, source.corruption
    first = pipeline.collect(pipeline.corrupted(train, **how), train.num_classes)
    second = pipeline.collect(pipeline.corrupted(train, **how), train.num_classes)
    test_table = pipeline.collect(pipeline.corrupted(test, **how), test.num_classes)
    if how["given"] is None:
        twin = corruptions.corrupt_labels(
            train.labels,
            train.index,
            probability=how["probability"],
            num_classes=train.num_classes,
            seed=how["seed"],
            noise=how["noise"],
        )
    else:
        twin = how["given"]
    checks = audit.before_training(
        first,
        second,
        test_table,
        source=train,
        test_source=test,
        twin=twin,
        # A file's labels may be of any kind: only what holds for all kinds is checked.
        probability=None if how["given"] is not None else how["probability"],
        noise=how["noise"],
    )
    pixel_arguments = ("pixels", "mix", "fraction", "mean", "deviation", "seed")
    checks += pixel_audit.before_training(
        train,
        first.images,
        test,
        test_table.images,
        **{name: how[name] for name in pixel_arguments},
    )
    checks.append(audit.equal("same_images_over_two_passes", second.images, first.images, "images"))
    sample = first.images[:: max(1, first.num_examples // pixel_audit.SAMPLE)]
    seen = source.preprocess(sample).numpy()
    if source.preprocess is pipeline.standardise:
        checks.append(pixel_audit.standardised(seen))
    else:
        checks.append(pixel_audit.channel_normed(seen, sample, *source.norm))
    audit.refuse_failures(checks)
    return first, test_table, checks

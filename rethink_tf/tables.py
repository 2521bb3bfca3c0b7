"""The data of one run: load, take, crop, corrupt, audit. From a RunConfig to two audited Tables."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from rethink_tf import audit, corruptions, datasets, noise, pipeline, pixel_audit
from rethink_tf.audit import Check
from rethink_tf.config import RunConfig, labels_path
from rethink_tf.datasets import Split
from rethink_tf.errors import RequestError
from rethink_tf.pipeline import Table

# Of a streamed set: for mean and deviation (which are then right to about one grey level), and for
# the audit of each split's pixels.
MOMENT_IMAGES, AUDITED_IMAGES = 2000, 100


@dataclasses.dataclass(frozen=True)
class Source:
    """What the corrupting pipeline reads: the two Splits, cropped, and its arguments.

    `preprocess` makes of its images what the model sees.
    """

    train: Split
    test: Split
    corruption: dict[str, Any]
    preprocess: Callable


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


def _sample(images, config: RunConfig):
    """All images where they are in memory; where they are streamed, MOMENT_IMAGES of them."""
    if isinstance(images, np.ndarray):
        return images
    images = images.resized(config.input_size)
    return images[images.spread(MOMENT_IMAGES)]


def load(config: RunConfig, *, data_dir=None, cache_dir=None, say=print) -> Source:
    """The clean data of a resolved configuration, and how they are to be corrupted."""
    train, test = datasets.load(config.dataset, data_dir=data_dir, cache_dir=cache_dir, report=say)
    # Noise and norm match the original set, whatever part of it is taken or cropped.
    needed = config.pixels == "gaussian" or config.preprocess == "channel_norm"
    mean, deviation = moments(_sample(train.images, config)) if needed else (None, None)
    if config.examples is not None:
        train = datasets.take(train, config.examples, seed=config.seed)
    given = None
    if config.labels_from is not None:
        path, expected = labels_path(config)
        given = noise.for_training(path, train)
        if noise.content_hash(path) != expected:
            raise RequestError(f"--labels_from={path}: its content changed since it was named")
    train, test = (
        dataclasses.replace(
            split, images=pipeline.window(split.images, config.input_size, config.augment)
        )
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
    preprocess = pipeline.preprocessing(config.preprocess, mean, deviation)
    return Source(train, test, corruption, preprocess)


PIXEL_ARGUMENTS = ("pixels", "mix", "fraction", "mean", "deviation", "seed")


def table(split: Split, how: dict[str, Any]) -> Table:
    """One pass of the pipeline over a split; images that are streamed are not read yet.

    Args:
        split: cropped, or streamed at the size wanted.
        how: arguments of `pipeline.corrupted`.
    """
    if not split.streamed:
        return pipeline.collect(pipeline.corrupted(split, **how), split.num_classes)
    empty = np.zeros([split.num_examples, 1, 1, 1], np.uint8)
    bare = dataclasses.replace(split, images=empty)
    labels = pipeline.corrupted(bare, **how | {"pixels": "original"})
    images = split.images.corrupted(**{name: how[name] for name in PIXEL_ARGUMENTS})
    return dataclasses.replace(pipeline.collect(labels, split.num_classes), images=images)


def corrupt(source: Source) -> tuple[Table, Table, list[Check]]:
    """Reads the pipeline and measures what it yields.

    Where images are streamed, every label is measured, and the pixels of AUDITED_IMAGES of each
    split.

    Returns:
        The training and the test Table, and the checks made of them.

    Raises:
        AuditError: a check failed.
    """
    train, test, how = source.train, source.test, source.corruption
    first, second, test_table = (table(split, how) for split in (train, train, test))
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
    if train.streamed:
        lost = train.images.left_out
        told = f"{len(lost)} of the set cannot be read and are left out: {', '.join(lost[:20])}"
        checks.append(Check("unreadable_images", True, told if lost else "none"))
    train, got, again = _audited(train, first, second)
    test, test_got = _audited(test, test_table)
    checks += pixel_audit.before_training(
        train, got, test, test_got, **{name: how[name] for name in PIXEL_ARGUMENTS}
    )
    checks.append(audit.equal("same_images_over_two_passes", again, got, "images"))
    sample = got[:: max(1, len(got) // pixel_audit.SAMPLE)]
    seen = source.preprocess(sample).numpy()
    if source.preprocess is pipeline.standardise:
        checks.append(pixel_audit.standardised(seen))
    else:
        checks.append(pixel_audit.channel_normed(seen, sample, **source.preprocess.keywords))
    audit.refuse_failures(checks)
    return first, test_table, checks


def _audited(split: Split, *passes: Table):
    """The examples of a split whose pixels are audited, and their images in each pass."""
    if not split.streamed:
        return split, *(table.images for table in passes)
    rows = split.images.spread(AUDITED_IMAGES)
    part = {"index": split.index[rows], "labels": split.labels[rows]}
    part = dataclasses.replace(split, images=split.images[rows], **part)
    return part, *(table.images[rows] for table in passes)

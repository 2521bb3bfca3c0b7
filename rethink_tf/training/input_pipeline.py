"""The data of one run: load, take, crop, corrupt, audit. From a RunConfig to two audited Tables."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from rethink_tf.audit import dataset as audit
from rethink_tf.audit import pixels as pixel_audit
from rethink_tf.audit import seal
from rethink_tf.audit.dataset import Check
from rethink_tf.audit.reference_input import ReferenceInput
from rethink_tf.audit.seal import Seal
from rethink_tf.config.run_config import RunConfig, labels_ref
from rethink_tf.corruptions import labels as corruptions
from rethink_tf.corruptions.corruption import Corruption, Moments
from rethink_tf.data import example_hash, noise_file, pipeline, resize, types
from rethink_tf.data import registry as datasets
from rethink_tf.data.sources import custom as custom_data
from rethink_tf.data.types import Split, Table
from rethink_tf.errors import RequestError
from rethink_tf.narrowing import present
from rethink_tf.runs import pretrained
from rethink_tf.runs.pretrained import Parent
from rethink_tf.storage import content_hash
from rethink_tf.training.seal_checks import Sealed

# Per example of a streamed set, in the host: place, identity and labels, and those of the audit.
PLACE_BYTES = 120
# Of a streamed set: for mean and deviation (which are then right to about one grey level), and for
# the audit of each split's pixels.
MOMENT_IMAGES, AUDITED_IMAGES = 2000, 100


@dataclasses.dataclass(frozen=True)
class Source:
    """What the corrupting pipeline reads: the two Splits, cropped, and its arguments.

    Attributes:
        train, test: the clean examples.
        corruption: as configured.
        preprocess: makes of the corrupted images what the model sees.
        norm: mean and standard deviation that `preprocess` takes; None where it takes none.
        class_names: those that a custom set gives its classes.
        moments: of the original training images, where Gaussian pixels or `norm` need them.
        file_labels: int32 [N], training labels of the file `corruption.labels_from`, or None.
    """

    train: Split
    test: Split
    corruption: Corruption
    preprocess: Callable
    norm: Moments | None = None
    class_names: tuple[str, ...] | None = None
    moments: Moments | None = None
    file_labels: np.ndarray | None = None


def moments(images: np.ndarray) -> Moments:
    """Mean and standard deviation per channel of uint8 [N, H, W, C]: float64 [C] each.

    From the histogram: exact, and without a copy of the images in float64.
    """
    values = np.arange(256)
    counts = np.stack(
        [np.bincount(images[..., c].ravel(), minlength=256) for c in range(images.shape[-1])]
    )
    mean = counts @ values / counts.sum(axis=1)
    variance = (counts * (values - mean[:, None]) ** 2).sum(axis=1) / counts.sum(axis=1)
    return Moments(mean, np.sqrt(variance))


def _moments(images: Any, size: int) -> Moments:
    """Of all images where they are in memory; of MOMENT_IMAGES where they are streamed."""
    if isinstance(images, np.ndarray):
        return moments(images)
    images = images.resized(size)
    return moments(images[images.spread(MOMENT_IMAGES)])


def load(config: RunConfig, *, data_dir=None, cache_dir=None, say=print) -> Source:
    """The clean data of a resolved configuration, and how they are to be corrupted.

    With a parent the images have its channels and its input size; its own moments norm them.
    """
    places = {"data_dir": data_dir, "cache_dir": cache_dir, "report": say}
    parent = pretrained.of(config, **places)
    train, test = _loaded(config, places)
    if parent is not None:
        channels = parent.image_shape[-1]
        train, test = (
            dataclasses.replace(split, images=resize.with_channels(split.images, channels))
            for split in (train, test)
        )
    # Noise and norm match the original set, whatever part of it is taken or cropped.
    needed = config.pixels == "gaussian" or config.preprocess == "channel_norm"
    measured = _moments(train.images, config.input_size) if needed else None
    norm = None
    if config.preprocess != "standardise":
        norm = pipeline.FIXED_NORMS.get(config.preprocess, measured)
    if parent is not None and config.preprocess == "channel_norm":
        norm = _moments_of(parent, places)
    if config.examples is not None:
        train = datasets.take(train, config.examples, seed=config.seed)
    file_labels = None
    if config.labels_from is not None:
        ref = labels_ref(config)
        path = ref.path
        header = noise_file.read(path).header
        example_hash.refuse_other_examples(
            f"--labels_from={path}", header, config.dataset, data_dir
        )
        file_labels = noise_file.for_training(path, train)
        if noise_file.content_hash(path) != ref.sha256:
            raise RequestError(f"--labels_from={path}: its content changed since it was named")
    train, test = (
        dataclasses.replace(split, images=_window(split.images, config, parent))
        for split in (train, test)
    )
    return Source(
        train,
        test,
        config.corruption,
        pipeline.preprocessing(config.preprocess, norm),
        norm,
        info(config, data_dir, cache_dir).class_names,
        measured,
        file_labels,
    )


def _loaded(config: RunConfig, places: dict[str, Any]) -> tuple[Split, Split]:
    size = {"input_size": config.input_size, "augment": config.augment}
    return datasets.load(config.dataset, **size, **places)


def _moments_of(parent: Parent, places: dict[str, Any]) -> Moments:
    """Of the parent's own training images, which must be there."""
    try:
        return _moments(_loaded(parent.config, places)[0].images, parent.config.input_size)
    except RequestError as error:
        raise RequestError(
            f"--init_from: expected the data of {parent.run_id}, whose moments norm the images: "
            f"{error}"
        ) from None


def info(config: RunConfig, data_dir=None, cache_dir=None) -> types.DatasetInfo:
    """What is known of the data set of a resolved configuration."""
    size = {"input_size": config.input_size, "augment": config.augment}
    return datasets.info(config.dataset, data_dir, cache_dir, **size)


def arrivals(source: Source, known: types.DatasetInfo, model: list[str]) -> list[str]:
    """What is to be said of a model and a data set that are not ours.

    Args:
        source: the data.
        known: of the same data set.
        model: what was made of the model (`models.conversions`).
    """
    said = list(model)
    if known.content:
        said += known.notes
        said += custom_data.describe(source.train, source.test, known.class_names)
    return said


def _window(images: np.ndarray, config: RunConfig, parent: Parent | None) -> np.ndarray:
    """The part of the images that is resident; of a size that the parent did not see, resized.

    Images that are streamed are brought to the size as they are read.
    """
    streamed = not isinstance(images, np.ndarray)
    if parent is None or streamed or images.shape[1:3] == parent.image_shape[:2]:
        return pipeline.window(images, config.input_size, config.augment)
    if config.augment == "crop":
        raise RequestError(
            f"--augment=crop: expected images of {parent.image_shape[0]}x{parent.image_shape[1]}, "
            f"as the parent's; {content_hash.shown(config.dataset)}'s are resized to "
            f"{config.input_size} and leave no room; type --augment=none"
        )
    return resize.resized(images, config.input_size)


def memory(config: RunConfig, info: types.DatasetInfo, channels: int) -> str:
    """The memory that the data of a run take, in words; `channels` are those of its images."""
    entries = np.prod(info.image_shape)
    if config.augment == "none" or info.streamed:
        entries = config.input_size**2 * channels
    examples = (config.examples or info.num_train) + info.num_test
    each = 4 if config.pixels == "gaussian" else 1
    if info.streamed:
        batch = config.batch_size * entries * each / 1e6
        return (
            f"{batch:.1f} MB on the device, one batch; in the host about "
            f"{PLACE_BYTES * examples / 1e6:.0f} MB of places and labels for up to {examples:,} "
            f"images, and {4 * batch:.1f} MB of images read ahead"
        )
    resident = examples * entries * each / 1e6
    whole = (info.num_train + info.num_test) * np.prod(info.image_shape) / 1e6
    return (
        f"{resident:.1f} MB on the device; in the host up to "
        f"{4 * resident + 2 * whole + 300:.1f} MB while it is corrupted and audited"
    )


def table(source: Source, split: Split) -> Table:
    """One pass of the pipeline over a split; images that are streamed are not read yet.

    Args:
        source: of which the corruption is taken.
        split: one of its splits: cropped, or streamed at the size wanted.
    """
    corruption, moments = source.corruption, source.moments
    measured = {"moments": moments, "file_labels": source.file_labels}
    if not split.streamed:
        return pipeline.collect(
            pipeline.corrupted(split, corruption, **measured), split.num_classes
        )
    empty = np.zeros([split.num_examples, 1, 1, 1], np.uint8)
    bare = dataclasses.replace(split, images=empty)
    labels_only = dataclasses.replace(corruption, pixels="original")
    labels = pipeline.corrupted(bare, labels_only, **measured)
    images = split.images.corrupted(corruption, moments)
    return dataclasses.replace(pipeline.collect(labels, split.num_classes), images=images)


@dataclasses.dataclass(frozen=True)
class Audited:
    """Two Tables that passed the audit, the checks that were made, and the seals."""

    train: Table
    test: Table
    checks: list[Check]
    train_seal: Seal
    test_seal: Seal


def corrupt(source: Source) -> tuple[Table, Table, list[Check]]:
    """Tables and checks of `audited`, for those who hold no pass against the seals."""
    found = audited(source)
    return found.train, found.test, found.checks


def audited(source: Source) -> Audited:
    """Reads the pipeline, measures what it yields, and seals it.

    Where images are streamed, every label is measured, and the pixels of AUDITED_IMAGES of each
    split.

    Raises:
        AuditError: a check failed.
    """
    train, test, corruption = source.train, source.test, source.corruption
    first, second, test_table = (table(source, split) for split in (train, train, test))
    if source.file_labels is None:
        reference = corruptions.corrupt_labels(
            train.labels,
            train.index,
            corrupt=corruption.corrupt,
            num_classes=train.num_classes,
            seed=corruption.seed,
            label_noise=corruption.label_noise,
        )
    else:
        reference = source.file_labels
    checks = audit.before_training(
        first,
        second,
        test_table,
        source=train,
        test_source=test,
        reference=reference,
        corruption=corruption,
    )
    if train.streamed:
        lost = train.images.left_out
        told = f"{len(lost)} of the set cannot be read and are left out: {', '.join(lost[:20])}"
        checks.append(Check("unreadable_images", True, told if lost else "none"))
        for split in (train, test):
            rows = _audited_rows(split)
            files = [data for _, data, _ in split.images.jpegs(rows).as_numpy_iterator()]
            checks.append(pixel_audit.decoded_alike(split, files, split.images[rows]))
    train, got, again = _audited(train, first, second)
    test, test_got = _audited(test, test_table)
    checks += pixel_audit.before_training(train, got, test, test_got, corruption, source.moments)
    checks.append(audit.equal("same_images_over_two_passes", again, got, "images"))
    sample = got[:: max(1, len(got) // pixel_audit.SAMPLE)]
    seen = source.preprocess(sample).numpy()
    if source.preprocess is pipeline.standardise:
        checks.append(pixel_audit.standardised(seen))
    else:
        norm = present(source.norm, "the norm of the preprocessing")
        checks.append(pixel_audit.channel_normed(seen, sample, norm))
    audit.refuse_failures(checks)
    seals = [
        seal.seal(split, given, images, corruption, source.moments, _audited_rows(split))
        for split, given, images in (
            (source.train, reference, got),
            (source.test, source.test.labels, test_got),
        )
    ]
    return Audited(first, test_table, checks, *seals)


def sealed(config: RunConfig, source: Source, found: Audited) -> Sealed:
    """The seals of a run's data, and what the model must get of the source."""
    inputs = [
        ReferenceInput(
            split, source.corruption, source.moments, config.input_size, config.seed, source.norm
        )
        for split in (source.train, source.test)
    ]
    return Sealed(found.train_seal, found.test_seal, *inputs, config.augment)


def _audited_rows(split: Split) -> np.ndarray | None:
    """Rows of streamed images whose pixels are audited."""
    return split.images.spread(AUDITED_IMAGES) if split.streamed else None


def _audited(split: Split, *passes: Table):
    """The examples of a split whose pixels are audited, and their images in each pass."""
    if not split.streamed:
        return split, *(table.images for table in passes)
    rows = _audited_rows(split)
    part = {"index": split.index[rows], "labels": split.labels[rows]}
    part = dataclasses.replace(split, images=split.images[rows], **part)
    return part, *(table.images[rows] for table in passes)

"""The data of one run: load, take, crop, corrupt, audit. From a RunConfig to two audited Tables."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf.audit import label_checks, seal
from rethink_tf.audit import pixels as pixel_audit
from rethink_tf.audit.check import Check
from rethink_tf.audit.reference_input import ReferenceInput
from rethink_tf.audit.seal import Seal
from rethink_tf.config.run_config import RunConfig, labels_ref
from rethink_tf.corruptions import labels as corruptions
from rethink_tf.corruptions.corruption import Corruption, Moments
from rethink_tf.data import example_hash, noise_file, noise_matrix, pipeline, resize, types
from rethink_tf.data import registry as datasets
from rethink_tf.data.sources import custom as custom_data
from rethink_tf.data.types import Split, Table
from rethink_tf.errors import RequestError
from rethink_tf.narrowing import present
from rethink_tf.runs import pretrained
from rethink_tf.runs.pretrained import Parent
from rethink_tf.storage import content_hash
from rethink_tf.storage.content_hash import ContentRef
from rethink_tf.training.seal_checks import Sealed

# Host memory per example of a streamed set: its place, identity and labels, also for the audit.
PLACE_BYTES = 120
# Images of a streamed set that are used for mean and standard deviation (then right to about one
# grey level), and for the audit of the pixels of each split.
MOMENT_IMAGES, AUDITED_IMAGES = 2000, 100
Folder = Path | str | None


@dataclasses.dataclass(frozen=True)
class Source:
    """What the corrupting pipeline reads: the two Splits, cropped, and its arguments.

    Attributes:
        train, test: the clean examples.
        corruption: as configured.
        preprocess: turns corrupted images into the input of the model.
        norm: mean and standard deviation that `preprocess` uses, or None.
        class_names: those that a custom set gives its classes.
        moments: of the original training images, where Gaussian pixels or `norm` need them.
        file_labels: int32 [N], training labels of the file `corruption.labels_from`, or None.
        held_out: whether `test` are training examples that are held out.
    """

    train: Split
    test: Split
    corruption: Corruption
    preprocess: Callable
    norm: Moments | None = None
    class_names: tuple[str, ...] | None = None
    moments: Moments | None = None
    file_labels: np.ndarray | None = None
    held_out: bool = False


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


def load(
    config: RunConfig,
    *,
    data_dir: Folder = None,
    cache_dir: Folder = None,
    say: Callable[[str], None] = print,
) -> Source:
    """The clean data of a resolved configuration, and how they are to be corrupted.

    With a parent, the images get its number of channels and its input size.
    """
    parent = pretrained.load_parent(config, data_dir, cache_dir, say)
    train, test = _clean_splits(config, data_dir, cache_dir, say)
    if parent is not None:
        channels = parent.image_shape[-1]
        train, test = (
            dataclasses.replace(split, images=resize.with_channels(split.images, channels))
            for split in (train, test)
        )
    # Noise and norm use the moments of the whole original set, not of the part or crop in use.
    needed = config.pixels == "gaussian" or config.preprocess == "channel_norm"
    measured = _moments(train.images, config.input_size) if needed else None
    norm = None
    if config.preprocess != "standardise":
        norm = pipeline.FIXED_NORMS.get(config.preprocess, measured)
    if parent is not None and config.preprocess == "channel_norm":
        norm = _moments_of_parent(parent, data_dir, cache_dir, say)
    if config.held_out:
        test = _held_out(train, config)
        if parent is not None:
            _refuse_seen_by_parent(train, test, config, parent)
    if config.examples is not None:
        train = datasets.take(train, config.examples, seed=config.seed)
    file_labels = None
    if config.labels_from is not None:
        file_labels = _labels_of_file(config, train, data_dir)
    train, test = (
        dataclasses.replace(split, images=_window(split.images, config, parent))
        for split in (train, test)
    )
    return Source(
        train,
        test,
        dataclasses.replace(
            config.corruption, matrix=noise_matrix.matrix_of(config.label_noise, train.num_classes)
        ),
        pipeline.preprocessing(config.preprocess, norm),
        norm,
        info(config, data_dir, cache_dir).class_names,
        measured,
        file_labels,
        config.held_out > 0,
    )


def _labels_of_file(config: RunConfig, train: Split, data_dir: Folder) -> np.ndarray:
    """The labels of --labels_from for the training examples: int32 [N]."""
    ref = labels_ref(config)
    path = ref.path
    header = noise_file.read(path).header
    example_hash.refuse_other_examples(f"--labels_from={path}", header, config.dataset, data_dir)
    labels = noise_file.for_training(path, train)
    if noise_file.content_hash(path) != ref.sha256:
        raise RequestError(f"--labels_from={path}: its content changed since it was named")
    return labels


def _clean_splits(
    config: RunConfig, data_dir: Folder, cache_dir: Folder, say: Callable[[str], None]
) -> tuple[Split, Split]:
    return datasets.load(
        config.dataset,
        data_dir=data_dir,
        cache_dir=cache_dir,
        report=say,
        input_size=config.input_size,
        augment=config.augment,
    )


def _held_out(train: Split, config: RunConfig) -> Split:
    """The training examples that are tested on in place of the test set, under its name.

    They are the next ones in the order in which `datasets.take` takes examples, so that a run
    without them trains on the same examples.
    """
    trained = present(config.examples, "the number of examples of a run that holds some out")
    whole = datasets.take(train, trained + config.held_out, seed=config.seed)
    part = datasets.take(train, trained, seed=config.seed)
    rows = np.flatnonzero(~np.isin(whole.index, part.index))
    return Split(
        "test", whole.index[rows], whole.images[rows], whole.labels[rows], whole.num_classes
    )


def _refuse_seen_by_parent(train: Split, test: Split, config: RunConfig, parent: Parent) -> None:
    """Refuses held-out examples that the parent was trained on: its weights know their labels.

    Args:
        train: all training examples.
        test: those that are held out.
        config, parent: of the run.
    """
    own, seen = parent.config, train.index
    drawn = parent.run_dir is None
    if drawn or _content(own.dataset) != _content(config.dataset):
        return
    if own.examples is not None:
        seen = datasets.take(train, own.examples, seed=own.seed).index
    if shared := int(np.isin(test.index, seen).sum()):
        raise RequestError(
            f"--held_out: expected examples that {parent.run_id} was not trained on, received "
            f"{shared} of {test.num_examples} that it was; train it with the same --held_out, "
            "--examples and --seed"
        )


def _content(dataset: str) -> str:
    """A resolved data set's name, or the hash of one's own."""
    return ContentRef.parse(dataset).sha256 or dataset


def _moments_of_parent(
    parent: Parent, data_dir: Folder, cache_dir: Folder, say: Callable[[str], None]
) -> Moments:
    """Of the parent's own training images, which must be there."""
    try:
        train, _ = _clean_splits(parent.config, data_dir, cache_dir, say)
        return _moments(train.images, parent.config.input_size)
    except RequestError as error:
        raise RequestError(
            f"--init_from: expected the data of {parent.run_id}, whose moments norm the images: "
            f"{error}"
        ) from None


def info(config: RunConfig, data_dir: Folder = None, cache_dir: Folder = None) -> types.DatasetInfo:
    """What is known of the data set of a resolved configuration."""
    return datasets.info(
        config.dataset,
        data_dir,
        cache_dir,
        input_size=config.input_size,
        augment=config.augment,
    )


def conversions(source: Source, known: types.DatasetInfo, model: list[str]) -> list[str]:
    """What was changed in a custom model and data set, a sentence each.

    Args:
        source: the data.
        known: of the same data set.
        model: what was made of the model (`models.conversions`).
    """
    sentences = list(model)
    (height, width), size = known.image_shape[:2], source.train.images.shape[1]
    if min(height, width) < size and not known.streamed:
        sentences.append(f"images of {height}x{width} are resized whole to {size}x{size}")
    if known.content:
        sentences += known.notes
        sentences += custom_data.describe(source.train, source.test, known.class_names)
    return sentences


def _window(images: Any, config: RunConfig, parent: Parent | None) -> Any:
    """The part of the images that is resident; resized whole where they are smaller than the input,
    or of a size that the parent did not see.

    Images that are streamed are brought to the size as they are read.
    """
    streamed = not isinstance(images, np.ndarray)
    as_known = parent is None or images.shape[1:3] == parent.image_shape[:2]
    if streamed or (as_known and min(images.shape[1:3]) >= config.input_size):
        return pipeline.window(images, config.input_size, config.augment)
    if parent is not None and config.augment == "crop":
        raise RequestError(
            f"--augment=crop: expected images of {parent.image_shape[0]}x{parent.image_shape[1]}, "
            f"as the parent's; {content_hash.shown(config.dataset)}'s are resized to "
            f"{config.input_size} and leave no room; type --augment=none"
        )
    return resize.resized(images, config.input_size)


def memory(config: RunConfig, info: types.DatasetInfo, channels: int) -> str:
    """The memory that the data of a run need, as text; `channels` of its images."""
    entries = math.prod(info.image_shape)
    if config.augment == "none" or info.streamed:
        entries = config.input_size**2 * channels
    examples = (config.examples or info.num_train) + (config.held_out or info.num_test)
    each = 4 if config.pixels == "gaussian" else 1
    if info.streamed:
        batch = config.batch_size * entries * each / 1e6
        return (
            f"{batch:.1f} MB on the device, one batch; in the host about "
            f"{PLACE_BYTES * examples / 1e6:.0f} MB of places and labels for up to {examples:,} "
            f"images, and {4 * batch:.1f} MB of images read ahead"
        )
    resident = examples * entries * each / 1e6
    whole = (info.num_train + info.num_test) * math.prod(info.image_shape) / 1e6
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
    corruption, labels = source.corruption.of_split(split.name), source.file_labels
    if not split.streamed:
        dataset = pipeline.corrupted(split, corruption, moments=source.moments, file_labels=labels)
        return pipeline.collect(dataset, split.num_classes)
    empty = np.zeros([split.num_examples, 1, 1, 1], np.uint8)
    bare = dataclasses.replace(split, images=empty)
    labels_only = dataclasses.replace(corruption, pixels="original")
    dataset = pipeline.corrupted(bare, labels_only, file_labels=labels)
    images = split.images.corrupted(corruption, source.moments)
    return dataclasses.replace(pipeline.collect(dataset, split.num_classes), images=images)


@dataclasses.dataclass(frozen=True)
class Audited:
    """Two Tables that passed the audit, the checks that were made, and the seals."""

    train: Table
    test: Table
    checks: list[Check]
    train_seal: Seal
    test_seal: Seal


def corrupt(source: Source) -> tuple[Table, Table, list[Check]]:
    """Tables and checks of `audited`, for callers that compare no pass with the seals."""
    tables = audited(source)
    return tables.train, tables.test, tables.checks


def audited(source: Source) -> Audited:
    """Reads the pipeline, measures what it yields, and seals it.

    Where images are streamed, every label is measured, and the pixels of AUDITED_IMAGES of each
    split.

    Raises:
        AuditError: a check failed.
    """
    train, test, corruption = source.train, source.test, source.corruption
    first, second, test_table = (table(source, split) for split in (train, train, test))
    reference = _reference_labels(source)
    checks = label_checks.before_training(
        first,
        second,
        test_table,
        source=train,
        test_source=test,
        reference=reference,
        corruption=corruption,
    )
    if source.held_out:
        checks.append(label_checks.not_trained_on(test_table.index, first.index))
    checks += _checks_of_files(source)
    part, got, again = _audited_images(train, first, second)
    test_part, test_got = _audited_images(test, test_table)
    checks += pixel_audit.before_training(
        part, got, test_part, test_got, corruption, source.moments
    )
    checks.append(label_checks.equal("same_images_over_two_passes", again, got, "images"))
    checks.append(_check_of_preprocessing(source, got))
    label_checks.refuse_failures(checks)
    train_seal, test_seal = (
        seal.seal(
            split,
            given,
            images,
            corruption.of_split(split.name),
            source.moments,
            _audited_rows(split),
        )
        for split, given, images in ((train, reference, got), (test, test.labels, test_got))
    )
    return Audited(first, test_table, checks, train_seal, test_seal)


def _reference_labels(source: Source) -> np.ndarray:
    """The training labels by the NumPy reference, or those of the file: int32 [N]."""
    if source.file_labels is not None:
        return source.file_labels
    train, corruption = source.train, source.corruption
    return corruptions.corrupt_labels(
        train.labels,
        train.index,
        corrupt=corruption.corrupt,
        num_classes=train.num_classes,
        seed=corruption.seed,
        label_noise=corruption.label_noise,
        matrix=corruption.matrix,
    )


def _checks_of_files(source: Source) -> list[Check]:
    """Of streamed images: which cannot be read, and whether another decoder gives the same."""
    if not source.train.streamed:
        return []
    lost = source.train.images.left_out
    detail = f"{len(lost)} of the set cannot be read and are left out: {', '.join(lost[:20])}"
    checks = [Check("unreadable_images", True, detail if lost else "none")]
    for split in (source.train, source.test):
        rows = _audited_rows(split)
        files = [data for _, data, _ in split.images.jpegs(rows).as_numpy_iterator()]
        checks.append(pixel_audit.decoded_alike(split, files, split.images[rows]))
    return checks


def _check_of_preprocessing(source: Source, images: np.ndarray) -> Check:
    """Whether a sample of the images comes to the model as the preprocessing says."""
    sample = images[:: max(1, len(images) // pixel_audit.SAMPLE)]
    seen = source.preprocess(sample).numpy()
    if source.preprocess is pipeline.standardise:
        return pixel_audit.standardised(seen)
    norm = present(source.norm, "the norm of the preprocessing")
    return pixel_audit.channel_normed(seen, sample, norm)


def sealed(config: RunConfig, source: Source, tables: Audited) -> Sealed:
    """The seals of a run's data, and the expected input of the model."""
    train_inputs, test_inputs = (
        ReferenceInput(
            split,
            source.corruption.of_split(split.name),
            source.moments,
            config.input_size,
            config.seed,
            source.norm,
        )
        for split in (source.train, source.test)
    )
    return Sealed(tables.train_seal, tables.test_seal, train_inputs, test_inputs, config.augment)


def _audited_rows(split: Split) -> np.ndarray | None:
    """Rows of streamed images whose pixels are audited."""
    return split.images.spread(AUDITED_IMAGES) if split.streamed else None


def _audited_images(split: Split, *passes: Table) -> tuple[Any, ...]:
    """The examples of a split whose pixels are audited, and their images in each pass."""
    if not split.streamed:
        return split, *(table.images for table in passes)
    rows = _audited_rows(split)
    part = dataclasses.replace(
        split, index=split.index[rows], labels=split.labels[rows], images=split.images[rows]
    )
    return part, *(table.images[rows] for table in passes)

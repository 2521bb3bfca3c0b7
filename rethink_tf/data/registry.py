"""The data sets: TFDS's CIFAR and MNIST families, and digits that need no download.

A set becomes two `Split`s of plain arrays. Each example has a permanent identity. All random draws
of the package depend on that identity, never on the order in which a file is read.
Importing this module loads no TensorFlow, and neither does a set that was decoded before; images
that are streamed need it.
"""

import dataclasses
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rethink_tf.data import subset
from rethink_tf.data.sources import custom as custom_data
from rethink_tf.data.sources import digits
from rethink_tf.data.sources import tfds as tfds_source
from rethink_tf.data.types import _FIELDS, DatasetInfo, Split
from rethink_tf.errors import RequestError
from rethink_tf.narrowing import present
from rethink_tf.storage import array_cache
from rethink_tf.storage.content_hash import ContentRef
from rethink_tf.storage.paths import cache_directory, data_directory

_CIFAR10 = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_CIFAR100 = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
_MNIST = "https://storage.googleapis.com/cvdf-datasets/mnist/train-images-idx3-ubyte.gz"
_FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz"
DATASETS: dict[str, DatasetInfo] = {
    info.name: info
    for info in (
        DatasetInfo("cifar10", 10, (32, 32, 3), 50_000, 10_000, _CIFAR10, 170, has_ids=True),
        DatasetInfo("cifar100", 100, (32, 32, 3), 50_000, 10_000, _CIFAR100, 169, has_ids=True),
        DatasetInfo("mnist", 10, (28, 28, 1), 60_000, 10_000, _MNIST, 12),
        DatasetInfo("fashion_mnist", 10, (28, 28, 1), 60_000, 10_000, _FASHION, 31),
        DatasetInfo("digits", 10, (16, 16, 1), digits.NUM_TRAIN, digits.NUM_TEST, None, 0),
        DatasetInfo("imagenet2012", 1000, (299, 299, 3), 1_281_167, 50_000, None, 0, streamed=True),
    )
}


def accepts(name: str) -> bool:
    """Whether a name is a key of `DATASETS`, or has the form of a custom set."""
    return name in DATASETS or custom_data.is_custom(name)


def info(
    name: str,
    data_dir: str | os.PathLike | None = None,
    cache_dir: str | os.PathLike | None = None,
    *,
    input_size: int | None = None,
    augment: str = "none",
    report: Callable[[str], None] = print,
) -> DatasetInfo:
    """What is known of a data set. A custom set is searched for and checked.

    Args:
        name: a key of `DATASETS`, or one of `custom_data.FORMS`.
        data_dir, cache_dir: see `load`.
        input_size, augment: of the run, to which custom images of many sizes are resized.
        report: see `load`.

    Raises:
        RequestError: unknown name; a custom set that is not there or not what a run needs.
    """
    if not custom_data.is_custom(name):
        return _info(name)
    opened = custom_data.open_set(name, data_dir, cache_dir, input_size, augment, report)
    return DatasetInfo(
        name,
        opened.num_classes,
        opened.image_shape,
        opened.num_train,
        opened.num_test,
        download_host_url=None,
        download_megabytes=0,
        content=opened.content,
        class_names=opened.class_names,
        notes=opened.notes,
    )


def resolved(name: str, known: DatasetInfo) -> str:
    """The name as a resolved configuration has it: of a custom set with the hash of its content."""
    return str(ContentRef(ContentRef.parse(name).path, known.content)) if known.content else name


def is_on_disk(name: str, data_dir: str | os.PathLike | None = None) -> bool:
    """Whether `load` finds the set without a download. Looks for a file, reads no data."""
    if custom_data.is_custom(name):
        return True
    info = _info(name)
    if info.download_host_url is None and not info.streamed:
        return True
    return tfds_source.prepared_folder(name, data_directory(data_dir)) is not None


def can_download(name: str, *, timeout: float = 8.0) -> bool:
    """Whether the host that TFDS downloads the set from answers within `timeout` seconds.

    False for an embedded set, which has no host.
    """
    url = _info(name).download_host_url
    return url is not None and tfds_source.host_answers(url, timeout=timeout)


def choose_default(data_dir: str | os.PathLike | None = None) -> tuple[str, str]:
    """The data set of a run that names none, and one line that says why.

    Returns:
        ("cifar10", why) if it is on disk or its host answers, else ("digits", why). RequestError if
        `data_dir` was given and does not have it.
    """
    folder = data_directory(data_dir)
    if is_on_disk("cifar10", data_dir):
        return "cifar10", f"cifar10 is in {folder}"
    info = DATASETS["cifar10"]
    if can_download("cifar10"):
        return "cifar10", f"cifar10 will be downloaded into {folder} ({info.download_megabytes} MB)"
    if data_dir is not None:
        require("cifar10", data_dir)
    host = tfds_source.host(present(info.download_host_url, "the address of CIFAR-10"))
    return "digits", (
        f"no CIFAR-10 in {folder} and no network to {host}: training on scikit-learn's digits "
        "instead; for CIFAR-10 add --data_dir=DIR"
    )


def require(name: str, data_dir: str | os.PathLike | None = None) -> None:
    """Refuses a set that `load` could not get, within ten seconds and without TensorFlow.

    Raises:
        RequestError: unknown name, or neither on disk nor to be downloaded.
    """
    if not is_on_disk(name, data_dir):
        tfds_source.require_host(name, data_directory(data_dir), _info(name).download_host_url)


def require_in_memory(dataset: str) -> None:
    """Refuses a data set whose images are streamed: the theory needs all of them in memory."""
    if dataset in DATASETS and DATASETS[dataset].streamed:
        raise RequestError(
            f"--dataset: expected a set that is held in memory; the images of {dataset} are not"
        )


def load(
    name: str,
    *,
    data_dir: str | os.PathLike | None = None,
    cache_dir: str | os.PathLike | None = None,
    report: Callable[[str], None] = print,
    start: Callable[[], object] = lambda: None,
    input_size: int | None = None,
    augment: str = "none",
) -> tuple[Split, Split]:
    """The training and the test split of a data set, downloaded and decoded if need be.

    Downloading and decoding start TensorFlow: set it up before the call, or in `start`.

    Args:
        name: see `info`.
        data_dir, cache_dir: see `paths`.
        report: gets a line if decoding takes long, or if the cache is damaged or not writable.
        start: called before TensorFlow is needed: never for arrays that were decoded before.
        input_size, augment: see `info`.

    Returns:
        (train, test), with as many examples as the TFDS metadata of the folder says.

    Raises:
        RequestError: unknown name; not on disk and no network; a damaged or a custom folder.
        StorageError: a download cannot be written.
    """
    if custom_data.is_custom(name):
        opened = custom_data.open_set(name, data_dir, cache_dir, input_size, augment, report)
        return _splits(opened.load(start), opened.num_classes)
    info = _info(name)
    if info.download_host_url is None and not info.streamed:
        return _splits(digits.load(), info.num_classes)
    where = data_directory(data_dir)
    folder = tfds_source.prepared_folder(name, where)
    if folder is None:
        folder = tfds_source.download(name, where, info.download_host_url, start)
    fingerprint = tfds_source.fingerprint(folder)[:16]
    # Names all that the arrays depend on.
    called = f"{name}-{folder.name}-{fingerprint}-{tfds_source.decoder()}"
    entry = cache_directory(cache_dir) / called
    if info.streamed:
        start()
        from rethink_tf.data import streaming  # which imports TensorFlow

        size, classes = info.image_shape[0], info.num_classes
        return _splits(streaming.load(name, folder, entry, size, classes, report), classes)
    return _decoded(info, folder, entry, report, start)


def _decoded(
    info: DatasetInfo,
    folder: Path,
    entry: Path,
    report: Callable[[str], None],
    start: Callable[[], object],
) -> tuple[Split, Split]:
    """The splits of a prepared set, decoded once and kept in the cache under `entry`."""

    def build() -> dict[str, np.ndarray]:
        # TensorFlow's start takes most of the time. The note is printed only after two seconds.
        note = f"decoding {info.name} from {folder}, once; kept in {entry.parent}"
        timer = threading.Timer(2.0, report, [note])
        timer.daemon = True
        timer.start()
        try:
            start()
            arrays = tfds_source.decode(
                folder, info.image_shape, info.num_classes, needs_ids=info.has_ids
            )
        finally:
            timer.cancel()
        return arrays | {"entry": np.array(entry.name)}

    def splits(arrays: dict[str, np.ndarray]) -> tuple[Split, Split]:
        # The entry of another set with the same array names and types.
        if str(arrays["entry"]) != entry.name:
            raise ValueError(f"expected {entry.name}, found {arrays['entry']!s:.100}")
        return _splits(arrays, info.num_classes)

    return splits(array_cache.load_or_build(entry, build, report=report, check=splits))


def _splits(arrays: dict[str, np.ndarray], num_classes: int) -> tuple[Split, Split]:
    train, test = (
        Split(
            name,
            arrays[f"{name}_index"],
            arrays[f"{name}_images"],
            arrays[f"{name}_labels"],
            num_classes,
        )
        for name in tfds_source.SPLITS
    )
    return train, test


def take(split: Split, count: int, *, seed: int) -> Split:
    """A class-balanced random subset of a training split, a function of the identities.

    Class counts differ by at most one. If a class has too few examples, the others have more.
    Subsets are nested: for one seed, a subset of 1,000 is part of that of 5,000.

    Args:
        split: the training split.
        count: the number of examples, 1 to `split.num_examples`; all of them gives `split` itself.
        seed: 0 to 2**32 - 1.

    Returns:
        A split of `count` examples with their old identities, ascending.

    Raises:
        RequestError: count is out of range.
    """
    if not 1 <= count <= split.num_examples:
        raise RequestError(
            f"expected 1 to {split.num_examples} training examples, got {count}; type a number in "
            "that range"
        )
    if count == split.num_examples:
        return split
    rows = subset.rows(split.index, split.labels, count, seed=seed)
    return dataclasses.replace(split, **{f: getattr(split, f).take(rows, 0) for f in _FIELDS})


def _info(name: str) -> DatasetInfo:
    if name not in DATASETS:
        raise RequestError(f"dataset: expected one of {', '.join(DATASETS)}; got {name!r}")
    return DATASETS[name]

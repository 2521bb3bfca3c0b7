"""The data sets: TFDS's CIFAR and MNIST families, and digits that need no download.

A set becomes two `Split`s of plain arrays, each example with the identity it has for ever. All
randomness of the package hangs on that identity, never on the order in which a file is read.
Importing this module loads no TensorFlow, and neither does a set that was decoded before.
"""

import dataclasses
import hashlib
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rethink_tf import array_cache, rng
from rethink_tf.errors import RequestError, StorageError


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set without loading it; sizes in examples and in 10**6 bytes."""

    name: str
    num_classes: int
    image_shape: tuple[int, int, int]
    num_train: int
    num_test: int
    download_host_url: str | None  # A file TFDS downloads; None: the set is embedded.
    download_megabytes: int


_CIFAR = "https://www.cs.toronto.edu/~kriz/cifar"
_MNIST = "https://storage.googleapis.com/cvdf-datasets/mnist/train-images-idx3-ubyte.gz"
_FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz"
DATASETS: dict[str, DatasetInfo] = {
    info.name: info
    for info in (
        DatasetInfo("cifar10", 10, (32, 32, 3), 50_000, 10_000, f"{_CIFAR}-10-binary.tar.gz", 170),
        DatasetInfo(
            "cifar100", 100, (32, 32, 3), 50_000, 10_000, f"{_CIFAR}-100-binary.tar.gz", 169
        ),
        DatasetInfo("mnist", 10, (28, 28, 1), 60_000, 10_000, _MNIST, 12),
        DatasetInfo("fashion_mnist", 10, (28, 28, 1), 60_000, 10_000, _FASHION, 31),
        DatasetInfo("digits", 10, (16, 16, 1), 1_500, 297, None, 0),
    )
}
_SPLITS = ("train", "test")


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Examples in ascending order of their identity. The arrays are read-only views.

    Attributes:
        name: "train" or "test".
        index: int64 [N], the identity of each example for ever, unique and ascending.
        images: uint8 [N, height, width, channels], 0 to 255.
        labels: int32 [N], the true labels, 0 to num_classes - 1.
        num_classes: the number of classes.
    """

    name: str
    index: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    num_classes: int

    def __post_init__(self):
        for field, dtype in (("index", np.int64), ("images", np.uint8), ("labels", np.int32)):
            array = getattr(self, field)
            if array.dtype != dtype or len(array) != len(self.index):
                raise ValueError(
                    f"{field}: expected {dtype.__name__} of length {len(self.index)}, "
                    f"got {array.dtype} of length {len(array)}"
                )
            view = array.view()
            view.flags.writeable = False
            object.__setattr__(self, field, view)

    @property
    def num_examples(self) -> int:
        return len(self.index)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return tuple(self.images.shape[1:])


def data_directory(data_dir: str | os.PathLike | None = None) -> Path:
    """Where the TFDS sets lie: the argument, else $TFDS_DATA_DIR, else ~/tensorflow_datasets.

    Raises:
        RequestError: it is a URL (gs://...); the records are read and hashed as local files.
    """
    folder = str(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    if "://" in folder:
        raise RequestError(
            f"data_dir: expected a local folder, got {folder}; copy the set to this machine and "
            "type --data_dir=FOLDER"
        )
    return Path(folder).expanduser()


def is_on_disk(name: str, data_dir: str | os.PathLike | None = None) -> bool:
    """Whether `load` finds the set without a download. Looks for a file, reads no data."""
    return _info(name).download_host_url is None or _prepared_folder(name, data_dir) is not None


def can_download(name: str, *, timeout: float = 8.0) -> bool:
    """Whether the host that TFDS downloads the set from answers at all.

    Args:
        name: a key of `DATASETS`; False for an embedded set, which has no host.
        timeout: seconds after which the answer is False, whatever hangs (DNS knows no timeout).
    """
    url = _info(name).download_host_url
    answered = threading.Event()

    def ask():
        try:
            import requests  # Honours proxies, as the download does.

            requests.head(url, timeout=timeout)
        except Exception:
            return  # Whatever it was, there was no answer.
        answered.set()

    if url is None:
        return False
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return answered.is_set()


def choose_default(data_dir: str | os.PathLike | None = None) -> tuple[str, str]:
    """The data set of a run that names none, and one line that says why.

    Args:
        data_dir: see `data_directory`.

    Returns:
        ("cifar10", why) if it is on disk or its host answers, else ("digits", why).
    """
    folder = data_directory(data_dir)
    if is_on_disk("cifar10", data_dir):
        return "cifar10", f"cifar10 is in {folder}"
    if can_download("cifar10"):
        megabytes = DATASETS["cifar10"].download_megabytes
        return "cifar10", f"cifar10 will be downloaded into {folder} ({megabytes} MB)"
    return "digits", (
        f"NOT CIFAR-10: it is not in {folder} and its host does not answer, so this run uses the "
        "1,797 embedded digits; for cifar10 go online or type --data_dir=DIR with a TFDS cifar10"
    )


def load(
    name: str,
    *,
    data_dir: str | os.PathLike | None = None,
    cache_dir: str | os.PathLike | None = None,
    report: Callable[[str], None] = print,
) -> tuple[Split, Split]:
    """The training and the test split of a data set, downloaded and decoded if need be.

    Decoding starts TensorFlow: set its devices, threads and log level before the call.

    Args:
        name: a key of `DATASETS`.
        data_dir: see `data_directory`.
        cache_dir: where decoded arrays are kept; default $XDG_CACHE_HOME/rethink_tf, else
            ~/.cache/rethink_tf.
        report: gets a line if decoding takes long, or if the cache is damaged or not writable.

    Returns:
        (train, test), with as many examples as the TFDS metadata of the folder says.

    Raises:
        RequestError: unknown name; not on disk and no network; a damaged or a foreign folder.
        StorageError: a download cannot be written.
    """
    info = _info(name)
    if info.download_host_url is None:
        return _digits()
    folder = _prepared_folder(name, data_dir)
    if folder is None:
        folder = _download(name, data_dir)
    if cache_dir is None:
        home_cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
        cache_dir = Path(home_cache) / "rethink_tf"
    entry = Path(cache_dir).expanduser() / f"{name}-{folder.name}-{_fingerprint(folder)[:16]}"

    def build():
        # A first use takes seconds, mostly TensorFlow's start: say so only if it is felt.
        note = f"decoding {name} from {folder}, once; kept in {entry.parent}"
        timer = threading.Timer(2.0, report, [note])
        timer.daemon = True
        timer.start()
        try:
            return _decode(folder, info)
        finally:
            timer.cancel()

    arrays = array_cache.load_or_build(entry, build, report=report)
    return tuple(
        Split(
            split,
            *(arrays[f"{split}_{field}"] for field in ("index", "images", "labels")),
            info.num_classes,
        )
        for split in _SPLITS
    )


def take(split: Split, count: int, *, seed: int) -> Split:
    """A class-balanced random part of a training split: nested, and a function of identities.

    Class counts differ by at most one, unless a class has too few examples; then the others fill
    up. For one seed, the first 1,000 are among the first 5,000.

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

    def keys(counter):
        high, low = rng.bits(seed, rng.Stream.SUBSET, rng.SplitId.TRAIN, split.index, counter)
        return high.astype(np.uint64) << np.uint64(32) | low

    # Deal the classes like cards: each example's rank within its class, then rank by rank.
    by_class = np.lexsort((keys(0), split.labels))
    sizes = np.bincount(split.labels, minlength=split.num_classes)
    rank = np.empty(split.num_examples, np.int64)
    rank[by_class] = np.arange(split.num_examples) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    chosen = np.sort(np.lexsort((keys(1), rank))[:count])
    return dataclasses.replace(
        split,
        index=split.index[chosen],
        images=split.images[chosen],
        labels=split.labels[chosen],
    )


def _info(name: str) -> DatasetInfo:
    if name not in DATASETS:
        raise RequestError(f"dataset: expected one of {', '.join(DATASETS)}; got {name!r}")
    return DATASETS[name]


def _prepared_folder(name: str, data_dir: str | os.PathLike | None) -> Path | None:
    """The newest prepared version, found as TFDS lays it out: <data_dir>/<name>/<x.y.z>/."""
    found = [
        path.parent
        for path in (data_directory(data_dir) / name).glob("*/dataset_info.json")
        if re.fullmatch(r"\d+\.\d+\.\d+", path.parent.name)
    ]
    return max(found, key=lambda path: [int(n) for n in path.name.split(".")], default=None)


def _fingerprint(folder: Path) -> str:
    """Changes with the metadata, and with the name, size or time of any record file."""
    digest = hashlib.sha256()
    try:
        for path in sorted(folder.iterdir()):
            if path.name in ("dataset_info.json", "features.json"):
                digest.update(path.name.encode() + path.read_bytes())
            elif ".tfrecord" in path.name:
                stat = path.stat()
                digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    except OSError as error:
        raise _bad_folder(folder, error) from error
    return digest.hexdigest()


def _download(name: str, data_dir: str | os.PathLike | None) -> Path:
    where = data_directory(data_dir)
    instead = "type --data_dir=DIR with a TFDS-prepared set, or --dataset=digits"
    if not can_download(name):
        host = DATASETS[name].download_host_url.split("/")[2]
        raise RequestError(
            f"expected {name} in {where} or a network; it is not there and {host} does not answer; "
            f"{instead}"
        )
    import tensorflow_datasets as tfds

    try:
        tfds.builder(name, data_dir=where).download_and_prepare()
    except Exception as error:  # TFDS, requests, archives: each has its own kinds of failure.
        # Unless another process has finished the same download meanwhile.
        if not is_on_disk(name, data_dir):
            import requests

            told = f"downloading {name} into {where} failed ({_first_line(error)})"
            if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
                raise StorageError(f"{told}; free space there or type --data_dir=DIR") from error
            raise RequestError(f"{told}; try again, or {instead}") from error
    return _prepared_folder(name, data_dir)


def _decode(folder: Path, info: DatasetInfo) -> dict[str, np.ndarray]:
    """Decodes a prepared TFDS folder into {split}_index, {split}_images and {split}_labels."""
    import tensorflow as tf
    import tensorflow_datasets as tfds
    from google.protobuf import json_format

    arrays = {}
    # What a missing split, a lost shard, damaged metadata, a bad record or a bad image raise.
    failures = (tf.errors.OpError, json_format.Error, AssertionError)
    failures += (KeyError, OSError, ValueError)
    try:
        builder = tfds.builder_from_directory(folder)
        features = builder.info.features
        got = (tuple(features["image"].shape), features["label"].num_classes)
        expected = {s: builder.info.splits[s].num_examples for s in _SPLITS}
        if got == (info.image_shape, info.num_classes):
            for split in _SPLITS:
                arrays |= _decode_split(tfds, tf, builder, split)
    except failures as error:
        raise _bad_folder(folder, error) from error
    if not arrays:
        raise RequestError(
            f"{folder}: expected images {info.image_shape} and {info.num_classes} classes for "
            f"{info.name}, got {got[0]} and {got[1]}; type --data_dir=DIR with the TFDS set"
        )
    for split in _SPLITS:
        index, labels = arrays[f"{split}_index"], arrays[f"{split}_labels"]
        if len(index) != expected[split]:
            problem = f"expected {expected[split]} {split} examples, got {len(index)}"
        elif len(np.unique(index)) != len(index):
            problem = (
                f"expected unique ids in {split}, got {len(np.unique(index))} for {len(index)}"
            )
        elif labels.min() < 0 or labels.max() >= info.num_classes:
            problem = f"expected labels 0 to {info.num_classes - 1}, got one outside in {split}"
        else:
            continue
        raise _bad_folder(folder, problem)
    return arrays


def _decode_split(tfds, tf, builder, split: str) -> dict[str, np.ndarray]:
    has_id = "id" in builder.info.features
    threads = min(os.cpu_count() or 1, 16)
    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = threads
    config = tfds.ReadConfig(
        options=options,
        try_autocache=False,
        add_tfds_id=not has_id,
        assert_cardinality=False,  # `_decode` counts, and says what it expected.
        interleave_cycle_length=1,
        num_parallel_calls_for_decode=threads,
        num_parallel_calls_for_interleave_files=1,
    )
    dataset = builder.as_dataset(
        split=split, shuffle_files=False, batch_size=1000, read_config=config
    )
    batches = [
        (batch["id" if has_id else "tfds_id"], batch["image"], batch["label"])
        for batch in dataset.as_numpy_iterator()
    ]
    ids, images, labels = (np.concatenate(column) for column in zip(*batches, strict=True))
    index = _original_positions(ids, split) if has_id else _disk_positions(ids)
    order = np.argsort(index, kind="stable")
    return {
        f"{split}_index": index[order],
        f"{split}_images": images[order],
        f"{split}_labels": labels[order].astype(np.int32),
    }


def _original_positions(ids: np.ndarray, split: str) -> np.ndarray:
    """b"train_00093" -> 93: the position in the original CIFAR files. int64 [N]."""
    pattern = re.compile(rb"%b_(\d+)" % split.encode())
    matches = [pattern.fullmatch(i) for i in ids]
    if None in matches:
        raise ValueError(f"expected ids like {split}_00093, got {ids[matches.index(None)]!r}")
    return np.array([int(match[1]) for match in matches], np.int64)


def _disk_positions(ids: np.ndarray) -> np.ndarray:
    """b"mnist-train.tfrecord-00000-of-00001__7" -> its rank by (shard, position). int64 [N].

    The MNIST sets carry no id. TFDS's order on disk is a function of its version alone.
    """
    shards, positions = zip(*(i.rsplit(b"__", 1) for i in ids), strict=True)
    rank = np.empty(len(ids), np.int64)
    rank[np.lexsort((np.array(positions, np.int64), np.array(shards)))] = np.arange(len(ids))
    return rank


def _digits() -> tuple[Split, Split]:
    """scikit-learn's 1,797 scanned digits (8x8, 0..16), each pixel doubled, as uint8."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = np.round(images.reshape(-1, 8, 8, 1) * 255 / 16).astype(np.uint8)
    images = images.repeat(2, axis=1).repeat(2, axis=2)
    # A permutation that no version of any random generator can change.
    order = sorted(range(len(labels)), key=lambda i: hashlib.sha256(str(i).encode()).digest())
    num_train = DATASETS["digits"].num_train
    return tuple(
        Split(name, index, images[index], labels[index].astype(np.int32), 10)
        for name, part in (("train", order[:num_train]), ("test", order[num_train:]))
        for index in [np.array(sorted(part), np.int64)]
    )


def _bad_folder(folder: Path, problem: object) -> RequestError:
    if isinstance(problem, BaseException):
        problem = _first_line(problem)
    return RequestError(
        f"{folder}: damaged or no TFDS set ({problem}); remove that folder and prepare it again, "
        "or type --data_dir=DIR with an intact set"
    )


def _first_line(error: BaseException) -> str:
    # TensorFlow wraps the words in the names of its operation: {{node ...}} words [Op:...] name:
    text = re.sub(r"\{\{.*?\}\} ?| ?\[Op:.*", "", str(error)).strip()
    return (text.splitlines() or [type(error).__name__])[0][:300]

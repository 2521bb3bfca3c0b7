"""Reads sets prepared by TFDS: finds, downloads and decodes them into plain arrays.

Each example gets a permanent identity: its position in the original files if TFDS keeps it as an
id, else its rank on disk. Importing this module loads neither TensorFlow nor TFDS.
"""

import contextlib
import hashlib
import importlib.metadata
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rethink_tf.errors import RequestError, StorageError
from rethink_tf.narrowing import present

SPLITS = ("train", "test")
DECODING = 1  # raise it when `decode` returns other arrays for the same files
_INSTEAD = "type --data_dir=DIR with a TFDS-prepared set, or --dataset=digits"


def prepared_folder(name: str, data_dir: Path) -> Path | None:
    """The newest prepared version, found as TFDS lays it out: <data_dir>/<name>/<x.y.z>/.

    Args:
        name: the TFDS name of the set.
        data_dir: a local folder; it need not exist.

    Returns:
        The version's folder, or None. Its files are looked for, not read.

    Raises:
        RequestError: it cannot be looked for, as under a name that is too long.
    """
    try:
        versions = [path.parent for path in (data_dir / name).glob("*/dataset_info.json")]
    except OSError as error:
        raise RequestError(f"data_dir: {data_dir}: {error.strerror}") from None
    prepared = [path for path in versions if re.fullmatch(r"\d+\.\d+\.\d+", path.name)]
    return max(prepared, key=lambda path: [int(n) for n in path.name.split(".")], default=None)


def fingerprint(folder: Path) -> str:
    """Changes with the metadata, and with the name, size or time of any record file.

    Args:
        folder: of one prepared version, as `prepared_folder` returns it.

    Returns:
        64 hexadecimal digits.

    Raises:
        RequestError: the folder or its metadata cannot be read.
    """
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


def decoder() -> str:
    """The versions of TFDS and of `decode`, on which decoded arrays depend besides the files."""
    return f"tfds{importlib.metadata.version('tensorflow-datasets')}-{DECODING}"


def host(url: str) -> str:
    """The host of a URL: "http://a.org/b/c.gz" -> "a.org"."""
    return url.split("/")[2]


def host_answers(url: str, *, timeout: float = 8.0) -> bool:
    """Whether a HEAD request for a URL is answered without an error. Never raises.

    Args:
        url: of a file; it is not downloaded.
        timeout: seconds after which the answer is False, also if DNS hangs.
    """
    answered = threading.Event()

    def ask():
        try:
            import requests  # Honours proxies, as the download does.

            answer = requests.head(url, timeout=timeout, allow_redirects=True)
            if answer.status_code < 400:
                answered.set()
        except Exception:
            return  # Any failure means: no answer.

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return answered.is_set()


def require_host(name: str, data_dir: Path, url: str | None) -> None:
    """Refuses a set that is neither in `data_dir` nor to be had from the network (at `url`)."""
    if url is None:
        recipe = "not there, and no free download; prepare it with scripts/prepare_imagenet.sh"
        raise RequestError(f"expected {name} in {data_dir}: {recipe}, then type --data_dir=DIR")
    if not host_answers(url):
        raise RequestError(
            f"expected {name} in {data_dir} or a network; it is not there and {host(url)} does not "
            f"answer; {_INSTEAD}"
        )


def download(
    name: str, data_dir: Path, url: str | None, start: Callable[[], object] = lambda: None
) -> Path:
    """Downloads a set into `data_dir` and prepares it there with TFDS.

    Args:
        name: the TFDS name of the set.
        data_dir: a local folder; made if need be.
        url: one of the files TFDS downloads, whose host is asked first; None: none is free.
        start: called after that and before TFDS, which starts TensorFlow.

    Returns:
        The prepared version's folder.

    Raises:
        RequestError: the host does not answer, or the download failed.
        StorageError: it cannot be written.
    """
    require_host(name, data_dir, url)
    start()
    import tensorflow_datasets as tfds

    try:
        tfds.builder(name, data_dir=data_dir).download_and_prepare()
    except Exception as error:  # TFDS, requests and archives each raise their own exceptions.
        # Unless another process has finished the same download meanwhile.
        if prepared_folder(name, data_dir) is None:
            import requests

            told = f"downloading {name} into {data_dir} failed ({_first_line(error)})"
            if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
                raise StorageError(f"{told}; free space there or type --data_dir=DIR") from error
            raise RequestError(f"{told}; try again, or {_INSTEAD}") from error
    return present(prepared_folder(name, data_dir), f"{name} in {data_dir}")


def decode(
    folder: Path, image_shape: tuple[int, int, int], num_classes: int, *, needs_ids: bool
) -> dict[str, np.ndarray]:
    """Decodes both splits of a prepared folder, in ascending order of identity.

    Args:
        folder: of one prepared version, as `prepared_folder` returns it.
        image_shape: the expected (height, width, channels).
        num_classes: the expected number of classes.
        needs_ids: whether the set must carry ids like train_00093. Without an id, an example's
            identity is its rank on disk.

    Returns:
        For each split of `SPLITS`, with N examples as the folder's metadata says:
        {split}_index: int64 [N], unique and ascending.
        {split}_images: uint8 [N, height, width, channels], 0 to 255.
        {split}_labels: int32 [N], 0 to num_classes - 1.

    Raises:
        RequestError: the folder is damaged, or holds another set than expected.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds

    arrays: dict[str, np.ndarray] = {}
    try:
        builder = tfds.builder_from_directory(folder)
        _check_features(folder, builder.info.features, image_shape, num_classes, needs_ids)
        expected = {split: builder.info.splits[split].num_examples for split in SPLITS}
        with _only_errors(tf.get_logger()):
            for split in SPLITS:
                arrays |= _decode_split(tfds, tf, builder, split)
    except (RequestError, MemoryError):
        raise
    except Exception as error:  # metadata, records and images each raise their own exceptions
        raise _bad_folder(folder, error) from error
    for split in SPLITS:
        index, labels = arrays[f"{split}_index"], arrays[f"{split}_labels"]
        if len(index) != expected[split]:
            problem = f"expected {expected[split]} {split} examples, got {len(index)}"
        elif len(np.unique(index)) != len(index):
            problem = (
                f"expected unique ids in {split}, got {len(np.unique(index))} for {len(index)}"
            )
        elif labels.min() < 0 or labels.max() >= num_classes:
            problem = f"expected labels 0 to {num_classes - 1}, got one outside in {split}"
        else:
            continue
        raise _bad_folder(folder, problem)
    return arrays


def disk_positions(ids: np.ndarray) -> np.ndarray:
    """The rank of each example by (shard, position): b"m-train.tfrecord-00000-of-00001__7" -> 7.

    The MNIST sets carry no id. TFDS's order on disk is a function of its version alone.

    Args:
        ids: bytes [N], TFDS's own ids, unique.

    Returns:
        int64 [N], a permutation of 0 to N - 1.
    """
    shards, positions = zip(*(i.rsplit(b"__", 1) for i in ids), strict=True)
    rank = np.empty(len(ids), np.int64)
    rank[np.lexsort((np.array(positions, np.int64), np.array(shards)))] = np.arange(len(ids))
    return rank


def _check_features(folder, features, image_shape, num_classes, needs_ids: bool):
    image, label = tuple(features["image"].shape), features["label"].num_classes
    if (image, label) != (image_shape, num_classes):
        problem = (
            f"expected images {image_shape} and {num_classes} classes, got {image} and {label}"
        )
    elif needs_ids and "id" not in features:
        problem = f"expected the features id, image, label, got {', '.join(sorted(features))}"
    else:
        return
    raise RequestError(f"{folder}: {problem}; type --data_dir=DIR with the TFDS set")


@contextlib.contextmanager
def _only_errors(logger):
    """Silences what TFDS's own use of tf.data warns of (CounterV2): no user can act on it."""
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


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
        assert_cardinality=False,  # `decode` counts itself, with a clearer message.
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
    index = _original_positions(ids, split) if has_id else disk_positions(ids)
    order = np.argsort(index, kind="stable")
    return {
        f"{split}_index": index[order],
        f"{split}_images": images[order],
        f"{split}_labels": labels[order].astype(np.int32),
    }


def _original_positions(ids: np.ndarray, split: str) -> np.ndarray:
    """b"train_00093" -> 93: the position in the original CIFAR files. int64 [N]."""
    pattern = re.compile(rb"%b_(\d+)" % split.encode())
    positions = []
    for own in ids:
        match = pattern.fullmatch(own)
        if match is None:
            raise ValueError(f"expected ids like {split}_00093, got {own!r}")
        positions.append(int(match[1]))
    return np.array(positions, np.int64)


def _bad_folder(folder: Path, problem: object) -> RequestError:
    if isinstance(problem, BaseException):
        problem = _first_line(problem)
    return RequestError(
        f"{folder}: damaged or no TFDS set ({problem}); remove that folder and prepare it again, "
        "or type --data_dir=DIR with an intact set"
    )


def _first_line(error: BaseException) -> str:
    # TensorFlow writes names around the message: {{node ...}} message [Op:...] name:
    text = re.sub(r"\{\{.*?\}\} ?| ?\[Op:.*", "", str(error)).strip()
    return (text.splitlines() or [type(error).__name__])[0][:300]

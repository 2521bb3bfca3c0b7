import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from rethink_tf.data import registry as datasets
from rethink_tf.data.sources import tfds as tfds_source
from rethink_tf.errors import RequestError, StorageError

REPOSITORY = Path(__file__).resolve().parents[2]
NUM_TRAIN, NUM_TEST = 30, 12
URL = "https://data.example.org/sets/file.gz"


def images_and_labels(name, split):
    """Known pixels and labels of a tiny set: a function of the split and the position."""
    info = datasets.DATASETS[name]
    count = NUM_TRAIN if split == "train" else NUM_TEST
    size = count * int(np.prod(info.image_shape))
    images = (np.arange(size) * 37 % 251 + (split == "test")).astype(np.uint8)
    return images.reshape(count, *info.image_shape), np.arange(count) * 7 % info.num_classes


def write_tfds(data_dir, name, *, ids=None, has_ids=True, num_classes=None, image_shape=None):
    import tensorflow_datasets as tfds

    info = datasets.DATASETS[name]
    features = {
        "image": tfds.features.Image(shape=image_shape or info.image_shape, encoding_format="png"),
        "label": tfds.features.ClassLabel(num_classes=num_classes or info.num_classes),
    }
    if name.startswith("cifar") and has_ids:
        features["id"] = tfds.features.Text()
    splits = {}
    for split in ("train", "test"):
        images, labels = images_and_labels(name, split)
        if image_shape:
            images = np.zeros((len(labels), *image_shape), np.uint8)
        splits[split] = []
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            example = {"image": image, "label": int(label)}
            if "id" in features:
                example["id"] = ids[i] if ids and split == "train" else f"{split}_{i:05d}"
            splits[split].append((i, example))
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="3.0.2",
        features=tfds.features.FeaturesDict(features),
        split_datasets=splits,
        data_dir=data_dir,
        file_format="tfrecord",
    )
    return data_dir / name / "3.0.2"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A data directory with a cifar100 of 30 + 12 images and a mnist likewise."""
    data_dir = tmp_path_factory.mktemp("tfds")
    write_tfds(data_dir, "cifar100")
    write_tfds(data_dir, "mnist")
    return data_dir


@pytest.fixture
def copy(tiny, tmp_path):
    """A copy of `tiny`'s cifar100 to damage: (data_dir, folder, cache_dir)."""
    import shutil

    shutil.copytree(tiny / "cifar100", tmp_path / "data" / "cifar100")
    return tmp_path / "data", tmp_path / "data" / "cifar100" / "3.0.2", tmp_path / "cache"


def one_line(caught):
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_cifar100_comes_back_in_its_original_order(tiny, tmp_path):
    train, test = datasets.load("cifar100", data_dir=tiny, cache_dir=tmp_path)
    for split, count in ((train, NUM_TRAIN), (test, NUM_TEST)):
        images, labels = images_and_labels("cifar100", split.name)
        np.testing.assert_array_equal(split.index, np.arange(count))
        np.testing.assert_array_equal(split.images, images)
        np.testing.assert_array_equal(split.labels, labels)
        assert (split.index.dtype, split.images.dtype, split.labels.dtype) == (
            np.int64,
            np.uint8,
            np.int32,
        )
        assert (split.num_examples, split.image_shape) == (count, (32, 32, 3))
        assert split.num_classes == 100
        with pytest.raises(ValueError, match="read-only"):
            split.labels[0] = 1
    assert (train.name, test.name) == ("train", "test")


def test_mnist_comes_in_the_order_of_the_disk(tiny, tmp_path):
    import tensorflow_datasets as tfds

    loaded = datasets.load("mnist", data_dir=tiny, cache_dir=tmp_path)
    builder = tfds.builder_from_directory(tiny / "mnist" / "3.0.2")
    for split in loaded:
        on_disk = list(
            builder.as_dataset(split=split.name, shuffle_files=False).as_numpy_iterator()
        )
        np.testing.assert_array_equal(split.index, np.arange(len(on_disk)))
        np.testing.assert_array_equal(split.images, [e["image"] for e in on_disk])
        np.testing.assert_array_equal(split.labels, [e["label"] for e in on_disk])
        images, labels = images_and_labels("mnist", split.name)
        assert sorted(i.tobytes() for i in split.images) == sorted(i.tobytes() for i in images)
        assert split.labels.tolist() != labels.tolist()  # TFDS shuffled what was written.


def test_ranks_on_disk_go_by_shard_then_position():
    ids = np.array([b"m-train.tfrecord-0000%d-of-00002__%d" % p for p in ((1, 2), (0, 10), (0, 9))])
    assert tfds_source.disk_positions(ids).tolist() == [2, 1, 0]


def flip_byte(folder):
    path = next(folder.glob("*train.tfrecord*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


def drop_last_record(folder):
    import tensorflow as tf

    path = next(folder.glob("*train.tfrecord*"))
    records = [r.numpy() for r in tf.data.TFRecordDataset(str(path))][:-1]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


DAMAGES = {
    "flipped byte": (flip_byte, "corrupted record at "),
    "cut short": (lambda f: os.truncate(next(f.glob("*test.tfrecord*")), 5000), ""),
    "a record less": (drop_last_record, "expected 30 train examples, got 29"),
    "shard missing": (
        lambda f: next(f.glob("*train.tfrecord*")).unlink(),
        "No such file or directory)",
    ),
    "no features": (lambda f: (f / "features.json").unlink(), ""),
    "half the metadata": (lambda f: os.truncate(f / "dataset_info.json", 60), ""),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_records_are_named(copy, damage):
    data_dir, folder, cache_dir = copy
    spoil, told = DAMAGES[damage]
    spoil(folder)
    with pytest.raises(RequestError) as caught:
        datasets.load("cifar100", data_dir=data_dir, cache_dir=cache_dir)
    message = one_line(caught)
    assert message.startswith(f"{folder}: damaged") and "--data_dir=DIR" in message
    assert told in message and "{{" not in message and "[Op:" not in message
    assert not cache_dir.exists() or os.listdir(cache_dir) == []


FOREIGN = {
    "ids not unique": ({"ids": ["train_00001"] * NUM_TRAIN}, "expected unique ids in train, got 1"),
    "ids of another kind": ({"ids": ["x"] * NUM_TRAIN}, "expected ids like train_00093, got b'x'"),
    "classes": ({"num_classes": 120}, "got (32, 32, 3) and 120"),
    "no ids": ({"has_ids": False}, "expected the features id, image, label, got image, label; "),
    "shape": ({"image_shape": (8, 8, 3)}, "got (8, 8, 3) and 100"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_custom_set_under_the_name_is_refused(tmp_path, what):
    arguments, told = FOREIGN[what]
    folder = write_tfds(tmp_path, "cifar100", **arguments)
    with pytest.raises(RequestError) as caught:
        datasets.load("cifar100", data_dir=tmp_path, cache_dir=tmp_path / "cache")
    assert told in one_line(caught) and str(folder) in str(caught.value)


def test_the_newest_version_is_found(tmp_path):
    for version in ("3.0.2", "3.0.10", "3.0.11.incompleteABC", "notes"):
        (tmp_path / "cifar10" / version).mkdir(parents=True)
        (tmp_path / "cifar10" / version / "dataset_info.json").write_text("{}")
    assert tfds_source.prepared_folder("cifar10", tmp_path).name == "3.0.10"
    assert tfds_source.prepared_folder("cifar100", tmp_path) is None


def test_decoding_says_nothing_and_leaves_the_logger_as_it_was(tiny):
    """In a process of its own, since TensorFlow says CounterV2's deprecation only once."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "import tensorflow as tf\n"
        "from rethink_tf.data.sources import tfds as tfds_source\n"
        "before = tf.get_logger().level\n"
        "folder = Path(sys.argv[1])\n"
        "tfds_source.decode(folder, (28, 28, 1), 10, needs_ids=False)\n"
        "assert tf.get_logger().level == before\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny / "mnist" / "3.0.2")],
        check=True,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.stdout == "" and "WARNING:tensorflow" not in done.stderr
    assert "deprecated" not in done.stderr


def failing_download(monkeypatch, error):
    import tensorflow_datasets as tfds

    class Builder:
        def download_and_prepare(self):
            raise error

    monkeypatch.setattr(tfds_source, "host_answers", lambda url: True)
    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: Builder())


def test_a_failed_download_is_a_request_error(tmp_path, monkeypatch):
    import requests

    failing_download(monkeypatch, requests.ConnectionError("reset\nby peer"))
    with pytest.raises(RequestError, match=r"failed \(reset\); try again, or type --data_dir"):
        tfds_source.download("mnist", tmp_path, URL)
    failing_download(monkeypatch, OSError(28, "No space left on device"))
    with pytest.raises(StorageError, match="space left on device"):
        tfds_source.download("mnist", tmp_path, URL)


def test_a_download_without_network(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_source, "host_answers", lambda url: False)
    with pytest.raises(RequestError) as caught:
        tfds_source.download("mnist", tmp_path, URL)
    assert re.search(
        rf"expected mnist in {re.escape(str(tmp_path))} .*data\.example\.org .*"
        r"type --data_dir=DIR .*or --dataset=digits",
        one_line(caught),
    )


def test_reachability_is_asked_within_the_deadline(monkeypatch):
    import requests

    answered = threading.Event()

    def hang(*arguments, **named):  # As DNS does where packets are dropped.
        answered.wait(600)
        raise requests.ConnectionError

    monkeypatch.setattr(requests, "head", hang)
    assert not tfds_source.host_answers(URL, timeout=0.3)
    answered.set()

    def no_name(*arguments, **named):
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(requests, "head", no_name)
    assert not tfds_source.host_answers(URL)
    for status, there in ((200, True), (302, True), (404, False), (503, False)):
        answer = requests.Response()
        answer.status_code = status
        monkeypatch.setattr(requests, "head", lambda *_, answer=answer, **__: answer)
        assert tfds_source.host_answers(URL) is there

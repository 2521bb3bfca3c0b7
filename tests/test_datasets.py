import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from rethink_tf import datasets
from rethink_tf.errors import RequestError

REPOSITORY = Path(__file__).resolve().parent.parent
NUM_TRAIN, NUM_TEST = 30, 12
# Results of before would be of other data if one of these changed.
DIGITS_TEST_START = [5, 6, 15, 20, 31]
DIGITS_SHA256 = {
    ("train", "index"): "70fe53427929e1d1077c985981d04ded1416b342598b1f3d5aa3d01ad2553316",
    ("train", "images"): "07c2eeb6eaac25da861d62df1a8b340b3d0628184317e754ff8dde02c6478345",
    ("train", "labels"): "ea53a167108eb5f035d5019bbddc32fa7234e0daa1be76c093a8b25d5874e2ab",
    ("test", "index"): "32e60478a15574ddb8d7ff3efd5e33030e91b5da52fbd78a84bccd2ba24cbd60",
    ("test", "images"): "022371ff951a4af22a017b8e988505bea08d1dc699ea72fbfdff7df7a6316282",
    ("test", "labels"): "491f5c63de258d885bd0b89875c848fcf4502313e0a004f8ac6d3854262b881b",
}
TAKEN = {
    0: [81, 246, 353, 425, 452, 557, 564, 639, 660, 918],
    1: [23, 67, 89, 186, 452, 525, 574, 698, 730, 861],
}


def sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def images_and_labels(name, split):
    """Known pixels and labels of a tiny set: a function of the split and the position."""
    info = datasets.DATASETS[name]
    count = NUM_TRAIN if split == "train" else NUM_TEST
    size = count * int(np.prod(info.image_shape))
    images = (np.arange(size) * 37 % 251 + (split == "test")).astype(np.uint8)
    return images.reshape(count, *info.image_shape), np.arange(count) * 7 % info.num_classes


def write_tfds(data_dir, name, *, ids=None, num_classes=None, image_shape=None):
    import tensorflow_datasets as tfds

    info = datasets.DATASETS[name]
    features = {
        "image": tfds.features.Image(shape=image_shape or info.image_shape, encoding_format="png"),
        "label": tfds.features.ClassLabel(num_classes=num_classes or info.num_classes),
    }
    if name.startswith("cifar"):
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


def make_split(labels, index=None, num_classes=10):
    labels = np.asarray(labels, np.int32)
    index = np.arange(len(labels)) if index is None else np.asarray(index)
    images = np.broadcast_to(index.astype(np.uint8)[:, None, None, None], (len(labels), 2, 2, 1))
    return datasets.Split("train", index.astype(np.int64), images, labels, num_classes)


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
    assert datasets._disk_positions(ids).tolist() == [2, 1, 0]


def test_the_second_load_reads_the_cache(tiny, tmp_path, monkeypatch):
    first = datasets.load("cifar100", data_dir=tiny, cache_dir=tmp_path)

    def never(*arguments):
        raise AssertionError("decoded again")

    monkeypatch.setattr(datasets, "_decode", never)
    second = datasets.load("cifar100", data_dir=tiny, cache_dir=tmp_path)
    for a, b in zip(first, second, strict=True):
        for field in ("index", "images", "labels"):
            np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
            assert getattr(a, field).dtype == getattr(b, field).dtype
    # Records of another time are other data.
    record = next((tiny / "cifar100" / "3.0.2").glob("*.tfrecord*"))
    before = record.stat()
    os.utime(record, (1, 1))
    try:
        with pytest.raises(AssertionError, match="decoded again"):
            datasets.load("cifar100", data_dir=tiny, cache_dir=tmp_path)
    finally:
        os.utime(record, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_damaged_cache_is_made_again(tiny, tmp_path):
    datasets.load("cifar100", data_dir=tiny, cache_dir=tmp_path)
    (path,) = tmp_path.glob("cifar100-3.0.2-*/train_images.npy")
    os.truncate(path, 1000)
    lines = []
    train, _ = datasets.load("cifar100", data_dir=tiny, cache_dir=tmp_path, report=lines.append)
    np.testing.assert_array_equal(train.images, images_and_labels("cifar100", "train")[0])
    assert len([line for line in lines if "damaged" in line]) == 1


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
    "shape": ({"image_shape": (8, 8, 3)}, "got (8, 8, 3) and 100"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_foreign_set_under_the_name_is_refused(tmp_path, what):
    arguments, told = FOREIGN[what]
    folder = write_tfds(tmp_path, "cifar100", **arguments)
    with pytest.raises(RequestError) as caught:
        datasets.load("cifar100", data_dir=tmp_path, cache_dir=tmp_path / "cache")
    assert told in one_line(caught) and str(folder) in str(caught.value)


def test_the_newest_version_is_read(tmp_path):
    for version in ("3.0.2", "3.0.10", "3.0.11.incompleteABC", "notes"):
        (tmp_path / "cifar10" / version).mkdir(parents=True)
        (tmp_path / "cifar10" / version / "dataset_info.json").write_text("{}")
    assert datasets._prepared_folder("cifar10", tmp_path).name == "3.0.10"
    assert datasets.is_on_disk("cifar10", tmp_path)
    assert not datasets.is_on_disk("cifar100", tmp_path)
    assert datasets.is_on_disk("digits", tmp_path / "nowhere")


def test_missing_data_without_network(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "can_download", lambda name: False)
    with pytest.raises(RequestError) as caught:
        datasets.load("cifar10", data_dir=tmp_path, cache_dir=tmp_path / "cache")
    assert one_line(caught) == (
        f"expected cifar10 in {tmp_path} or a network; it is not there and www.cs.toronto.edu "
        "does not answer; type --data_dir=DIR with a TFDS-prepared set, or --dataset=digits"
    )
    name, reason = datasets.choose_default(tmp_path)
    assert name == "digits" and "\n" not in reason
    assert reason.startswith(f"NOT CIFAR-10: it is not in {tmp_path} and its host does not answer")
    assert "1,797" in reason and "--data_dir=DIR" in reason


def test_the_default_is_cifar10_if_there_is_a_way(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "can_download", lambda name: True)
    assert datasets.choose_default(tmp_path) == (
        "cifar10",
        f"cifar10 will be downloaded into {tmp_path} (170 MB)",
    )
    monkeypatch.setattr(datasets, "can_download", None)
    (tmp_path / "cifar10" / "3.0.2").mkdir(parents=True)
    (tmp_path / "cifar10" / "3.0.2" / "dataset_info.json").write_text("{}")
    assert datasets.choose_default(tmp_path) == ("cifar10", f"cifar10 is in {tmp_path}")


def failing_download(monkeypatch, error):
    import tensorflow_datasets as tfds

    class Builder:
        def download_and_prepare(self):
            raise error

    monkeypatch.setattr(datasets, "can_download", lambda name: True)
    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: Builder())


def test_a_failed_download_is_a_request_error(tmp_path, monkeypatch):
    import requests

    from rethink_tf.errors import StorageError

    failing_download(monkeypatch, requests.ConnectionError("reset\nby peer"))
    with pytest.raises(RequestError, match=r"failed \(reset\); try again, or type --data_dir"):
        datasets.load("mnist", data_dir=tmp_path, cache_dir=tmp_path)
    failing_download(monkeypatch, OSError(28, "No space left on device"))
    with pytest.raises(StorageError, match="No space left on device"):
        datasets.load("mnist", data_dir=tmp_path, cache_dir=tmp_path)


def test_reachability_is_asked_within_the_deadline(monkeypatch):
    import requests

    def hang(*arguments, **named):  # As DNS does where packets are dropped.
        threading.Event().wait(20)

    monkeypatch.setattr(requests, "head", hang)
    start = time.monotonic()
    assert not datasets.can_download("cifar10", timeout=0.3)
    assert time.monotonic() - start < 2

    def no_name(*arguments, **named):
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(requests, "head", no_name)
    assert not datasets.can_download("cifar10")
    monkeypatch.setattr(requests, "head", lambda url, timeout: requests.Response())
    assert datasets.can_download("cifar10")  # Any answer counts.
    assert not datasets.can_download("digits")


def test_the_data_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", "/home/somebody")
    assert datasets.data_directory() == tmp_path
    assert datasets.data_directory("~/d") == Path("/home/somebody/d")
    monkeypatch.delenv("TFDS_DATA_DIR")
    assert datasets.data_directory() == Path("/home/somebody/tensorflow_datasets")
    with pytest.raises(RequestError, match="local folder, got gs://bucket"):
        datasets.data_directory("gs://bucket")


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(RequestError) as caught:
        datasets.load("imagenet")
    assert one_line(caught) == (
        "dataset: expected one of cifar10, cifar100, mnist, fashion_mnist, digits; got 'imagenet'"
    )


def test_digits_never_change():
    train, test = datasets.load("digits")
    assert (train.num_examples, test.num_examples) == (1500, 297)
    assert train.image_shape == test.image_shape == (16, 16, 1)
    joined = np.concatenate([train.index, test.index])
    np.testing.assert_array_equal(np.sort(joined), np.arange(1797))
    assert (np.diff(train.index) > 0).all() and (np.diff(test.index) > 0).all()
    assert test.index[:5].tolist() == DIGITS_TEST_START
    assert {
        (split.name, field): sha256(getattr(split, field))
        for split in (train, test)
        for field in ("index", "images", "labels")
    } == DIGITS_SHA256


def test_digits_are_the_scans_with_each_pixel_doubled():
    from sklearn.datasets import load_digits

    scans = load_digits()
    for split in datasets.load("digits"):
        np.testing.assert_array_equal(split.labels, scans.target[split.index])
        for row in (0, 1):
            for column in (0, 1):
                np.testing.assert_array_equal(
                    split.images[:, row::2, column::2, 0],
                    np.round(scans.images[split.index] * 255 / 16),
                )


def test_take_is_balanced_and_nested():
    whole = make_split(np.arange(1000) * 7 % 10)
    before = np.array([], np.int64)
    for count in (1, 9, 10, 95, 500, 999):
        part = datasets.take(whole, count, seed=3)
        assert part.num_examples == count and part.num_classes == 10 and part.name == "train"
        assert (np.diff(part.index) > 0).all()
        assert np.isin(before, part.index).all()
        sizes = np.bincount(part.labels, minlength=10)
        assert sizes.max() - sizes.min() <= 1
        np.testing.assert_array_equal(part.labels, whole.labels[part.index])
        np.testing.assert_array_equal(part.images, whole.images[part.index])
        before = part.index
    assert datasets.take(whole, 1000, seed=3) is whole


def test_take_is_a_function_of_seed_and_identity():
    whole = make_split(np.arange(1000) * 7 % 10)
    assert datasets.take(whole, 10, seed=0).index.tolist() == TAKEN[0]
    assert datasets.take(whole, 10, seed=1).index.tolist() == TAKEN[1]
    # The same identities in other positions: without the examples not taken, the rest stays.
    taken = datasets.take(whole, 500, seed=0)
    assert datasets.take(taken, 10, seed=0).index.tolist() == TAKEN[0]


def test_take_fills_up_from_other_classes():
    whole = make_split([0] * 3 + [1] * 50 + [2] * 50, num_classes=4)
    part = datasets.take(whole, 43, seed=0)
    assert np.bincount(part.labels, minlength=4).tolist() == [3, 20, 20, 0]


@pytest.mark.parametrize("count", [0, -1, 21])
def test_take_refuses_what_is_not_there(count):
    with pytest.raises(RequestError, match=f"expected 1 to 20 training examples, got {count}"):
        datasets.take(make_split(np.zeros(20)), count, seed=0)


def test_a_split_refuses_other_dtypes_and_lengths():
    good = make_split(np.zeros(4))
    with pytest.raises(ValueError, match="labels: expected int32 of length 4, got int64"):
        datasets.Split("train", good.index, good.images, np.zeros(4, np.int64), 10)
    with pytest.raises(ValueError, match="images: expected uint8 of length 4, got .* length 3"):
        datasets.Split("train", good.index, good.images[:3], good.labels, 10)


def test_importing_and_cached_loading_import_no_tensorflow(tiny, tmp_path):
    datasets.load("cifar100", data_dir=tiny, cache_dir=tmp_path)
    code = (
        "import sys\n"
        "from rethink_tf import array_cache, datasets\n"
        "heavy = ('tensorflow', 'tensorflow_datasets', 'sklearn', 'keras', 'requests')\n"
        "assert not set(heavy) & set(sys.modules)\n"
        "train, _ = datasets.load('cifar100', data_dir=sys.argv[1], cache_dir=sys.argv[2])\n"
        "assert datasets.take(train, 5, seed=0).num_examples == 5\n"
        "assert not set(heavy) & set(sys.modules)\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tiny), str(tmp_path)], check=True, cwd=REPOSITORY
    )


def real_cifar10():
    for folder in (os.environ.get("TFDS_DATA_DIR"), REPOSITORY.parent / "shared" / "data"):
        if folder and datasets.is_on_disk("cifar10", folder):
            return folder
    return None


@pytest.mark.skipif(real_cifar10() is None, reason="no CIFAR-10 in $TFDS_DATA_DIR")
def test_real_cifar10(tmp_path):
    train, test = datasets.load("cifar10", data_dir=real_cifar10(), cache_dir=tmp_path)
    assert np.bincount(train.labels).tolist() == [5000] * 10
    assert np.bincount(test.labels).tolist() == [1000] * 10
    np.testing.assert_array_equal(train.index, np.arange(50_000))
    np.testing.assert_array_equal(test.index, np.arange(10_000))
    means = train.images.mean((0, 1, 2), dtype=np.float64)
    np.testing.assert_allclose(means, [125.31, 122.95, 113.87], atol=0.005)
    start = time.monotonic()
    datasets.load("cifar10", data_dir=real_cifar10(), cache_dir=tmp_path)
    assert time.monotonic() - start < 5  # 0.15 s on a quiet machine.

import hashlib
import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rethink_tf.data import registry as datasets
from rethink_tf.data.sources import tfds as tfds_source
from rethink_tf.errors import RequestError

REPOSITORY = Path(__file__).resolve().parents[2]
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


def sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """A cifar100 whose decoding is a stand-in: (data_dir, record file, cache_dir, calls)."""
    folder = tmp_path / "data" / "cifar100" / "3.0.2"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text("{}")
    record = folder / "cifar100-train.tfrecord-00000-of-00001"
    record.write_bytes(b"records")
    calls = []

    def decode(*arguments, **named):
        calls.append((*arguments, named))
        arrays = {}
        for split, count in (("train", 30), ("test", 12)):
            arrays[f"{split}_index"] = np.arange(count)
            images = np.arange(count * 3072).reshape(count, 32, 32, 3) * 37 % 251
            arrays[f"{split}_images"] = images.astype(np.uint8)
            arrays[f"{split}_labels"] = (np.arange(count) * 7 % 100).astype(np.int32)
        return arrays

    monkeypatch.setattr(tfds_source, "decode", decode)
    return tmp_path / "data", record, tmp_path / "cache", calls


def one_line(caught):
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_second_load_reads_the_cache(prepared):
    data_dir, record, cache_dir, calls = prepared
    first = datasets.load("cifar100", data_dir=data_dir, cache_dir=cache_dir)
    second = datasets.load("cifar100", data_dir=data_dir, cache_dir=cache_dir)
    assert calls == [(record.parent, (32, 32, 3), 100, {"needs_ids": True})]
    for a, b in zip(first, second, strict=True):
        assert (a.name, a.num_classes) == (b.name, b.num_classes)
        for field in ("index", "images", "labels"):
            np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
            assert getattr(a, field).dtype == getattr(b, field).dtype
    # Records of another time are other data.
    os.utime(record, (1, 1))
    datasets.load("cifar100", data_dir=data_dir, cache_dir=cache_dir)
    assert len(calls) == 2


def test_a_damaged_cache_is_made_again(prepared):
    data_dir, _, cache_dir, calls = prepared
    before, _ = datasets.load("cifar100", data_dir=data_dir, cache_dir=cache_dir)
    images = before.images.copy()
    (path,) = cache_dir.glob("cifar100-3.0.2-*/train_images.npy")
    os.truncate(path, 1000)
    lines = []
    after, _ = datasets.load(
        "cifar100", data_dir=data_dir, cache_dir=cache_dir, report=lines.append
    )
    np.testing.assert_array_equal(after.images, images)
    assert len([line for line in lines if "damaged" in line]) == 1 and len(calls) == 2


def test_another_decoder_decodes_again(prepared, monkeypatch):
    data_dir, _, cache_dir, calls = prepared
    datasets.load("cifar100", data_dir=data_dir, cache_dir=cache_dir)
    (entry,) = cache_dir.iterdir()
    tfds = importlib.metadata.version("tensorflow-datasets")
    assert re.fullmatch(rf"cifar100-3\.0\.2-[0-9a-f]{{16}}-tfds{re.escape(tfds)}-1", entry.name)
    monkeypatch.setattr(tfds_source, "DECODING", 2)
    datasets.load("cifar100", data_dir=data_dir, cache_dir=cache_dir)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"of {name}")
    datasets.load("cifar100", data_dir=data_dir, cache_dir=cache_dir)
    ends = sorted(path.name.split("-", 3)[3] for path in cache_dir.iterdir())
    assert ends == ["tfds" + end for end in (f"{tfds}-1", f"{tfds}-2", "of tensorflow-datasets-2")]
    assert len(calls) == 3


def test_tensorflow_is_started_before_it_is_needed_and_only_then(prepared, monkeypatch):
    data_dir, _, cache_dir, calls = prepared
    for _ in range(2):
        kinds = {"data_dir": data_dir, "cache_dir": cache_dir}
        datasets.load("cifar100", start=lambda: calls.append("started"), **kinds)
    assert [call if call == "started" else "decoded" for call in calls] == ["started", "decoded"]
    monkeypatch.setattr(tfds_source, "host_answers", lambda url: False)
    with pytest.raises(RequestError):
        datasets.load("cifar10", data_dir=data_dir, cache_dir=cache_dir, start=pytest.fail)


def test_the_cache_lies_in_the_users_cache_folder(prepared, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    datasets.load("cifar100", data_dir=prepared[0])
    assert len(list((tmp_path / "xdg" / "rethink_tf").glob("cifar100-3.0.2-*"))) == 1
    monkeypatch.delenv("XDG_CACHE_HOME")
    datasets.load("cifar100", data_dir=prepared[0])
    assert len(list((tmp_path / "home/.cache/rethink_tf").glob("cifar100-3.0.2-*"))) == 1


def test_only_the_cifar_sets_need_ids():
    assert [n for n, info in datasets.DATASETS.items() if info.has_ids] == ["cifar10", "cifar100"]


def test_what_is_on_disk(prepared):
    assert datasets.is_on_disk("cifar100", prepared[0])
    assert not datasets.is_on_disk("cifar10", prepared[0])
    assert datasets.is_on_disk("digits", prepared[0] / "nowhere")


def test_missing_data_without_network(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_source, "host_answers", lambda url, timeout=8.0: False)
    assert not datasets.can_download("cifar10")
    with pytest.raises(RequestError) as caught:
        datasets.load("cifar10", data_dir=tmp_path, cache_dir=tmp_path / "cache")
    assert re.search(
        rf"expected cifar10 in {re.escape(str(tmp_path))} .*www\.cs\.toronto\.edu .*"
        r"type --data_dir=DIR .*or --dataset=digits",
        one_line(caught),
    )
    with pytest.raises(RequestError, match=f"expected cifar10 in {tmp_path} or a network"):
        datasets.choose_default(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert datasets.choose_default() == (
        "digits",
        f"no CIFAR-10 in {tmp_path} and no network to www.cs.toronto.edu: training on "
        "scikit-learn's digits instead; for CIFAR-10 add --data_dir=DIR",
    )


def test_an_embedded_set_has_no_host(monkeypatch):
    monkeypatch.setattr(tfds_source, "host_answers", None)
    assert not datasets.can_download("digits")


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
        "dataset: expected one of cifar10, cifar100, mnist, fashion_mnist, digits, imagenet2012; "
        "got 'imagenet'"
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


def test_importing_and_cached_loading_import_no_tensorflow(prepared):
    data_dir, _, cache_dir, _ = prepared
    datasets.load("cifar100", data_dir=data_dir, cache_dir=cache_dir)
    code = (
        "import sys\n"
        "from rethink_tf.data import registry as datasets\n"
        "from rethink_tf.data.sources import tfds\n"
        "from rethink_tf.storage import array_cache\n"
        "heavy = ('tensorflow', 'tensorflow_datasets', 'sklearn', 'keras', 'requests')\n"
        "assert not set(heavy) & set(sys.modules)\n"
        "train, _ = datasets.load('cifar100', data_dir=sys.argv[1], cache_dir=sys.argv[2])\n"
        "assert datasets.take(train, 5, seed=0).num_examples == 5\n"
        "assert not set(heavy) & set(sys.modules)\n"
    )
    code += "print(train.num_examples, sum(train.labels))\n"
    command = [sys.executable, "-c", code, str(data_dir), str(cache_dir)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert (done.stdout, done.stderr) == ("30 1445\n", "")


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
    again, _ = datasets.load("cifar10", data_dir=real_cifar10(), cache_dir=tmp_path)
    np.testing.assert_array_equal(again.images, train.images)

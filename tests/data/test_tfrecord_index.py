"""Places of images in TFRecord files: what a sequential reading gives, and damage by name."""

import json
import os

import numpy as np
import pytest
import streamed_set

from rethink_tf.data.sources import tfrecord_index
from rethink_tf.errors import RequestError

NAME = "imagenet2012"


@pytest.fixture(scope="module")
def folder(tensorflow, tmp_path_factory):
    return streamed_set.write(tmp_path_factory.mktemp("records"))


@pytest.fixture
def copy(folder, tmp_path):
    """The folder once more, to damage."""
    import shutil

    return shutil.copytree(folder, tmp_path / "5.1.0")


def test_identities_are_synset_and_number():
    assert tfrecord_index.identity("n01440764_10026.JPEG", 0) == 10026
    assert tfrecord_index.identity("n15075141_9993.JPEG", 999) == (999 << 22) + 9993 < 2**32
    assert tfrecord_index.identity("ILSVRC2012_val_00050000.JPEG", 65) == 50000
    for name in ("n01440764_10026.png", "n01440764_4194304.JPEG", "x.JPEG", "n1_2.JPEG"):
        with pytest.raises(ValueError, match="file_name like n01440764_10026.JPEG, got"):
            tfrecord_index.identity(name, 0)


def test_random_access_gives_what_sequential_reading_gives(folder):
    import tensorflow_datasets as tfds

    table, lost = tfrecord_index.scan(folder, NAME, 1000)
    builder = tfds.builder_from_directory(folder)
    decoders = {"image": tfds.decode.SkipDecoding()}
    for split, tfds_split in tfrecord_index.SPLITS.items():
        read = builder.as_dataset(split=tfds_split, shuffle_files=False, decoders=decoders)
        read = {e["file_name"].decode(): e for e in read.as_numpy_iterator()}
        columns = {c: table[f"{split}_{c}"] for c in (*tfrecord_index.COLUMNS, "names")}
        assert len(read) == len(columns["index"]) == len(list(streamed_set.examples(split)))
        assert (np.diff(columns["index"]) > 0).all(), "ascending identities"
        paths = tfrecord_index.shards(folder, NAME, split)
        for i, name in enumerate(columns["names"]):
            expected = read[name.decode()]
            place = paths[columns["shard"][i]], columns["offset"][i], columns["length"][i]
            assert tfrecord_index.read(*place) == expected["image"]
            assert columns["labels"][i] == expected["label"]
            identity = tfrecord_index.identity(name.decode(), expected["label"])
            assert columns["index"][i] == identity
        assert {columns[c].dtype for c in ("index", "offset", "length")} == {np.dtype(np.int64)}
    assert lost == []
    assert set(table["train_shard"]) == {0, 1}


def test_labels_are_read_packed_or_not():
    data = streamed_set.record("n00000003_5.JPEG", 300, b"jpeg")
    (start, length), label, name = tfrecord_index.parse(data)
    assert (data[start : start + length], label, name) == (b"jpeg", 300, "n00000003_5.JPEG")
    packed = bytes.fromhex("0a02ac02")  # int64_list.value: length 2, the number 300
    assert packed in data
    # As an older writer has it: the bare number. Then the lengths around it are one less.
    bare = data.replace(bytes.fromhex("1a040a02ac02"), bytes.fromhex("1a0308ac02"))
    at = bare.index(b"label") - 2
    shorter = bytearray(bare)
    for i in (at - 1, at + 2 + 5 + 1, 1):
        shorter[i] -= 1
    assert tfrecord_index.parse(bytes(shorter))[1] == 300


@pytest.mark.parametrize("data", [b"", b"abc", b"\x0a\x05ab", streamed_set.__doc__.encode()])
def test_what_is_no_example_is_a_value_error(data):
    with pytest.raises(ValueError):
        tfrecord_index.parse(data)


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 255
    path.write_bytes(content)


def first_shard(folder):
    return tfrecord_index.shards(folder, NAME, "train")[0]


def test_a_flipped_byte_in_an_image_is_found_by_its_checksum(copy):
    table, _ = tfrecord_index.scan(copy, NAME, 1000)
    row = int(np.flatnonzero(table["train_shard"] == 0)[4])
    flip(first_shard(copy), table["train_offset"][row] + table["train_length"][row] // 2)
    after, lost = tfrecord_index.scan(copy, NAME, 1000)
    assert lost == [table["train_names"][row].decode()]
    kept = np.arange(streamed_set.NUM_TRAIN) != row
    for column in (*tfrecord_index.COLUMNS, "names"):
        name = f"train_{column}"
        np.testing.assert_array_equal(after[name], table[name][kept])


def damage_metadata(folder, change):
    path = folder / "dataset_info.json"
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


DAMAGES = {
    "cut short": (
        lambda f: os.truncate(first_shard(f), first_shard(f).stat().st_size - 9),
        "broken or cut short at ",
    ),
    "a broken length": (lambda f: flip(first_shard(f), 3), "broken or cut short at 0"),
    "shard missing": (lambda f: first_shard(f).unlink(), "No such file"),
    "shard empty": (lambda f: os.truncate(first_shard(f), 0), "expected 15 records, got 0"),
    "no metadata": (lambda f: (f / "dataset_info.json").unlink(), "No such file"),
    "half of it": (lambda f: os.truncate(f / "dataset_info.json", 30), "Unterminated"),
    "a split missing": (
        lambda f: damage_metadata(f, lambda x: x["splits"].pop()),
        "expected validation, got none",
    ),
    "another format": (
        lambda f: damage_metadata(f, lambda x: x.update(fileFormat="array_record")),
        "expected tfrecord files, got array_record",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_refused_in_one_line(copy, damage):
    spoil, told = DAMAGES[damage]
    spoil(copy)
    with pytest.raises(RequestError) as caught:
        tfrecord_index.scan(copy, NAME, 1000)
    message = str(caught.value)
    assert message.startswith(f"{copy}: damaged") and "\n" not in message
    assert told in message and "type --data_dir=DIR" in message


def renamed(split, found):
    return [("a.JPEG", *rest) for _, *rest in found[:1]] + found[1:]


def repeated(split, found):
    return found[:-1] + found[:1]


def relabelled(split, found):
    return [(found[0][0], 1000, found[0][2]), *found[1:]]


@pytest.mark.parametrize(
    "change, told",
    [
        (renamed, "expected a file_name like n01440764_10026.JPEG, got 'a.JPEG'"),
        (repeated, "expected each file_name once in train"),
        (relabelled, "expected labels below 1000, got 1000"),
    ],
)
def test_a_custom_set_is_refused(tensorflow, tmp_path, change, told):
    custom = streamed_set.write(tmp_path, change)
    with pytest.raises(RequestError) as caught:
        tfrecord_index.scan(custom, NAME, 1000)
    assert told in str(caught.value) and str(custom) in str(caught.value)


def test_labels_must_be_those_of_the_files_synsets(copy):
    synsets = [f"n{label:08d}" for label in range(1000)]
    (copy / "label.labels.txt").write_text("\n".join(synsets))
    assert len(tfrecord_index.scan(copy, NAME, 1000)[0]["train_index"]) == streamed_set.NUM_TRAIN
    synsets[7], synsets[11] = synsets[11], synsets[7]
    (copy / "label.labels.txt").write_text("\n".join(synsets))
    with pytest.raises(RequestError, match="label 11 is n00000007, not n00000011_|label 7 is n000"):
        tfrecord_index.scan(copy, NAME, 1000)
    (copy / "label.labels.txt").write_text("\n".join(synsets[:500]))
    with pytest.raises(RequestError, match="label.labels.txt: expected 1000 synsets, got 500"):
        tfrecord_index.scan(copy, NAME, 1000)


def test_bytes_that_are_not_there_are_an_os_error(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    assert tfrecord_index.read(path, 2, 3) == b"234"
    with pytest.raises(OSError, match="expected 5 bytes at 8, got 2"):
        tfrecord_index.read(path, 8, 5)

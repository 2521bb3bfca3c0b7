"""Anyone's data: what is read, what is said of it, what is refused, what its identity is."""

import json
import os
import re
import shutil

import class_folders
import numpy as np
import pytest
from PIL import Image

from rethink_tf.config.run_config import RunConfig, resolve, run_id
from rethink_tf.data import registry as datasets
from rethink_tf.data.sources import custom, image_folder
from rethink_tf.errors import RequestError

pytestmark = pytest.mark.usefixtures("offline")


def named(spec, **fields):
    return run_id(resolve(RunConfig(model="mlp_1x512", dataset=str(spec), **fields)))


def load(spec, **size):
    return datasets.load(str(spec), **size)


def save(path, **changes):
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(path, **dict(zip(names, class_folders.arrays(), strict=True)) | changes)
    return f"npz:{path}"


def test_a_folder_of_classes_is_split_four_to_one_in_each(offline):
    root = class_folders.draw(offline / "shapes")
    train, test = load(f"folder:{root}")
    assert (train.num_examples, test.num_examples, train.image_shape) == (56, 14, (12, 12, 3))
    assert np.bincount(train.labels).tolist() == [8] * 7
    assert np.bincount(test.labels).tolist() == [2] * 7
    assert sorted([*train.index, *test.index]) == list(range(70))
    for split in (train, test):  # an identity is the rank of "class/name"
        for index, image, label in zip(split.index, split.images, split.labels, strict=True):
            assert label == index // 10
            expected = np.asarray(class_folders.picture(label, index % 10))
            assert np.array_equal(image, expected)
    notes = datasets.info(f"folder:{root}").notes
    assert notes == (
        "no train and test folders: split within each class by the hash of each "
        "file, 56 for training, 14 for testing",
    )


def test_given_train_and_test_folders_are_kept(offline):
    root = offline / "shapes"
    class_folders.draw(root / "train", each=3)
    class_folders.draw(root / "test", each=2)
    train, test = load(f"folder:{root}")
    assert (train.num_examples, test.num_examples) == (21, 14)
    assert datasets.info(f"folder:{root}").notes == ()


def test_equal_files_are_on_one_side_of_the_split():
    hashes = [b"a", b"b", b"b", b"b", b"c", b"a2", b"c2", b"d", b"e", b"f"]
    test = image_folder.stratified(hashes, np.zeros(10, int))
    assert [h for h, chosen in zip(hashes, test, strict=True) if chosen] == [b"a", b"a2"]
    test = image_folder.stratified(
        [b"a", b"b", b"b", b"b", *hashes[4:]], np.array([0] * 4 + [1] * 6)
    )
    assert test[:4].tolist() == [True, False, False, False]
    assert not image_folder.stratified([b"a"] * 5 + [b"b"], np.array([0] * 5 + [1])).any()


def test_images_of_many_sizes_and_colours_are_brought_to_one(offline):
    root = class_folders.draw(offline / "shapes", classes=2, sizes=((20, 16), (12, 30)))
    class_folders.picture(0, 99, (14, 14), grey=True).save(root / "class_0" / "grey.png")
    (root / "class_0" / "notes.txt").write_text("no image")
    info = datasets.info(f"folder:{root}")
    assert info.image_shape == (14, 14, 3)
    assert info.notes[0] == (
        "images of 3 sizes, 12x30 to 20x16: shorter side resized to 14, centre cropped"
    )
    assert re.search("1 grey and 20 colour images: .*RGB", info.notes[1])
    assert re.search("1 files .*ending were left out", info.notes[2])
    assert load(f"folder:{root}", input_size=7)[0].image_shape == (7, 7, 3)
    assert load(f"folder:{root}", input_size=7, augment="crop")[0].image_shape == (8, 8, 3)
    resolved = resolve(RunConfig(dataset=f"folder:{root}", augment="crop"))
    assert resolved.input_size == 12
    assert resolve(resolved) == resolved


def test_an_input_size_is_that_of_the_images_it_asks_for():
    for size in range(4, 300):
        side = image_folder.wanted_side(size, "crop")
        assert side > size and image_folder.input_side(side, "crop") == size


def test_the_content_of_a_folder_counts_and_not_its_path(offline):
    root = class_folders.draw(offline / "shapes")
    shutil.copytree(root, offline / "elsewhere" / "copy")
    first = named(f"folder:{root}")
    assert first == named(f"folder:{offline}/elsewhere/copy")
    assert re.fullmatch(r"mlp_1x512-[0-9a-f]{12}", first)
    class_folders.picture(3, 77).save(root / "class_0" / "00.png")
    assert named(f"folder:{root}") != first
    resolved = resolve(RunConfig(model="mlp_1x512", dataset=f"folder:{offline}/elsewhere/copy"))
    class_folders.picture(3, 77).save(offline / "elsewhere" / "copy" / "class_0" / "00.png")
    with pytest.raises(RequestError, match="since it was named"):
        load(resolved.dataset, input_size=resolved.input_size)


def test_the_content_of_a_file_counts_and_not_its_path(offline):
    first = named(save(offline / "a.npz"))
    assert named(save(offline / "b.npz")) == first
    x_train, y_train, *_ = class_folders.arrays()
    assert named(save(offline / "b.npz", y_train=(y_train + 1) % 7)) != first
    x_train[0, 0, 0, 0] ^= 1
    assert named(save(offline / "b.npz", x_train=x_train)) != first


def test_arrays_of_keras_kinds_are_the_same_set(offline):
    x_train, y_train, x_test, _ = class_folders.arrays()
    first = named(save(offline / "a.npz"))
    scaled = {"x_train": x_train / 255, "x_test": (x_test / 255).astype(np.float32)}
    assert named(save(offline / "b.npz", **scaled)) == first
    assert named(save(offline / "b.npz", y_train=y_train[:, None])) == first
    assert named(save(offline / "b.npz", y_train=np.eye(7)[y_train])) == first
    assert named(save(offline / "b.npz", x_train=x_train.astype(np.int64))) == first


X = np.zeros((4, 8, 8), np.uint8)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"x_train": np.array([{}, {}], object)}, "objects, which are never"),
        ({"x_train": X.astype(str)}, "expected images .*, received <U3 "),
        ({"x_train": X[:, :0]}, r"expected images .*, received uint8 \[4, 0, 8, 1\]"),
        ({"x_train": X[0]}, r"x_train of .*expected images \[N, H, W\] .*received uint8 \[8, 8\]"),
        ({"x_train": X - 1.0}, "expected whole numbers from 0 to 255.*, received float64 from -1"),
        ({"x_train": X + np.linspace(0, 255, 8)}, "received float64 from 0 to 255, not all whole$"),
        ({"x_train": X + np.float32([0, 1, 2, 3, 4, 5, 6, 256])}, "float32 from 0 to 256$"),
        (
            {"x_train": X * np.nan},
            r"found NaN or infinity in (\d+) of \1 images, the first at position 0$",
        ),
        ({"x_train": X[:3], "y_train": [0, 1]}, "as many images as labels, .* 3 and 2 for train"),
        ({"y_train": ["cat"] * 70}, "y_train of .*expected whole numbers"),
        ({"y_train": np.full(70, -1)}, "expected classes 0 to 2047, found -1"),
        ({"y_train": np.zeros(70, int), "y_test": np.zeros(21, int)}, "two classes, found one"),
        ({"y_test": np.full(21, 9)}, "test label 9 .*training set, .*end at 6"),
        ({"x_test": X, "y_test": [0] * 4}, r"expected test images \(12, 12, 3\), got \(8, 8, 1\)"),
    ],
)
def test_arrays_that_are_refused(changes, words, offline):
    with pytest.raises(RequestError, match=words) as caught:
        named(save(offline / "a.npz", **changes))
    assert "\n" not in str(caught.value)


def test_files_that_are_refused(offline):
    (offline / "broken.npz").write_bytes(b"PK\x03\x04 nothing")
    (offline / "text.npz").write_text("hello")
    (offline / "empty.npz").touch()
    objects = np.array([None, {}])
    np.savez(offline / "objects.npz", x_train=X, y_train=objects, x_test=X, y_test=objects)
    (offline / "folder").mkdir()
    np.savez(offline / "other.npz", images=X)
    np.save(offline / "array.npy", X)
    (offline / "array.npy").rename(offline / "array.npz")
    for path, words in (
        ("none.npz", "No such file"),
        ("broken.npz", "is no .npz file, or is damaged or cut short; write it again with np.savez"),
        ("text.npz", "is no .npz file, or is damaged"),
        ("empty.npz", "empty.npz cannot be read: it is empty"),
        ("objects.npz", "it holds Python objects, which are never loaded; save plain arrays"),
        ("folder", "expected a file .npz, .* is a folder; .* type --dataset=folder:/"),
        ("array.npz", "array.npz cannot be read: it holds one array, without names"),
        ("other.npz", "expected x_train, y_train, x_test, y_test in .*, found images"),
    ):
        with pytest.raises(RequestError, match=words):
            named(f"npz:{offline / path}")


def test_a_file_in_place_of_a_folder_of_images_is_named(offline):
    np.savez(offline / "mine.npz", images=X)
    with pytest.raises(RequestError, match=r"expected a folder, .*mine\.npz is a file; type --"):
        named(f"folder:{offline / 'mine.npz'}")


def test_a_path_alone_is_answered_with_its_form(offline):
    (offline / "photos").mkdir()
    for value, form in ((f"{offline}/photos", "folder:"), ("mine.npz", "npz:")):
        with pytest.raises(RequestError) as error:
            resolve(RunConfig(dataset=value))
        told = f"or folder:PATH, npz:FILE, tfds:NAME; received {value}; did you mean --dataset="
        assert str(error.value).endswith(f"{told}{form}{value}?")
    assert custom.meant("digit") is None and custom.meant("a\0b") is None
    assert custom.meant("x" * 5000) is None


@pytest.mark.parametrize(
    "labels, told",
    [
        (np.arange(70) % 7, []),
        (np.arange(70) % 7 + 1, ["of which 1 has no training example, such as 0; are the labels"]),
        (np.arange(70) % 2 * 5, ["labels 0 to 5 are 6 classes, of which 4 have no .* such as 1$"]),
    ],
)
def test_classes_without_an_example_are_told(labels, told, offline):
    notes = custom.from_arrays(
        np.zeros((70, 8, 8), np.uint8), labels, *(np.zeros((9, 8, 8), np.uint8), labels[:9])
    ).notes
    assert len(notes) == len(told)
    assert all(re.search(words, note) for words, note in zip(told, notes, strict=True))


def test_unreadable_images_are_named(offline):
    root = class_folders.draw(offline / "shapes", classes=2)
    for number in range(3):
        path = root / "class_1" / f"{number:02d}.png"
        path.write_bytes(path.read_bytes()[: 80 * number])
    with pytest.raises(RequestError) as caught:
        named(f"folder:{root}")
    assert str(caught.value) == (
        f"--dataset: 3 of 20 images of {root} cannot be read: class_1/00.png, class_1/01.png, "
        "class_1/02.png; mend or remove them"
    )
    for number in range(10):
        (root / "class_1" / f"{number:02d}.png").write_bytes(b"")
    with pytest.raises(RequestError, match=r"10 of 20 images .*04.png and 5 more; "):
        named(f"folder:{root}")


def test_names_of_other_bytes_than_utf8(offline):
    root = class_folders.draw(offline / "shapes", classes=2)
    (root / "class_0" / "00.png").rename(os.fsdecode(os.fsencode(root) + b"/class_0/caf\xe9.png"))
    assert datasets.info(f"folder:{root}").num_train == 16


def test_floats_of_unknown_scale_are_refused(offline):
    root = class_folders.draw(offline / "shapes", classes=2)
    pixels = np.linspace(0, 1, 144, dtype=np.float32).reshape(12, 12)
    Image.fromarray(pixels).save(root / "class_0" / "floats.tif")
    Image.fromarray((pixels * 70_000).astype(np.int32)).save(root / "class_1" / "deep.tif")
    with pytest.raises(RequestError) as caught:
        named(f"folder:{root}")
    assert re.search(
        rf"--dataset: 2 of 22 images of {re.escape(str(root))} .*class_0/floats\.tif, "
        r"class_1/deep\.tif; .*8 or 16 bits",
        str(caught.value),
    )


def test_folders_that_are_refused(offline):
    root = class_folders.draw(offline / "shapes", classes=2)
    (root / "empty").mkdir()
    class_folders.draw(offline / "one", classes=1)
    class_folders.draw(offline / "single", classes=3, each=1)
    class_folders.draw(offline / "half" / "train", classes=2)
    class_folders.draw(offline / "strange" / "train", classes=2)
    class_folders.draw(offline / "strange" / "val", classes=3)
    for name, words in (
        ("shapes", "without an image: empty; fill or remove"),
        ("one", "at least two classes, found 1 folder$"),
        ("half", "has a folder train but none for testing"),
        ("none", "there is none"),
        ("single", "leaves no image for testing, since every class has only one"),
        ("strange", "has classes that are missing in train: class_2"),
    ):
        with pytest.raises(RequestError, match=words):
            named(f"folder:{offline / name}")
    with pytest.raises(RequestError, match="expected one of cifar10"):
        named("folder:")


def test_what_is_said_of_counts_and_equal_images(offline):
    from rethink_tf.data.sources import custom as custom_data

    x_train, y_train, x_test, y_test = class_folders.arrays(classes=3)
    x_train[1], x_test[0] = x_train[0], x_train[5]
    y_train[y_train == 1] = 2
    spec = save(offline / "a.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    counts, empty, equal, shared = custom_data.describe(*load(spec))
    assert counts.endswith(": 0 10+3, 1 0+3, 2 20+3") and empty.endswith(": 1")
    assert equal.startswith("1 training images equal") and shared.startswith("1 test images")


def test_a_name_of_tfds(offline, tensorflow):
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["a", "b"]),
        }
    )
    rows = [
        (n, {"image": np.asarray(class_folders.picture(n % 2, n, (9 + n, 12))), "label": n % 2})
        for n in range(20)
    ]
    for folder in ("one", "two"):
        tfds.dataset_builders.store_as_tfds_dataset(
            name="own",
            version="1.0.0",
            features=features,
            split_datasets={"train": rows},
            data_dir=offline / folder,
        )
    with pytest.raises(RequestError, match="--input_size: .*many sizes; .*--input_size=64"):
        datasets.info("tfds:own", offline / "one")
    fields = RunConfig(model="mlp_1x512", dataset="tfds:own", input_size=8)
    first, second = (resolve(fields, offline / folder) for folder in ("one", "two"))
    assert run_id(first) == run_id(second)
    train, test = datasets.load(first.dataset, data_dir=offline / "one", input_size=8)
    assert (train.num_examples, test.num_examples, train.image_shape) == (16, 4, (8, 8, 3))
    assert sorted([*train.index, *test.index]) == list(range(20))
    info = datasets.info(first.dataset, offline / "one", input_size=8)
    assert info.class_names == ("a", "b") and "hash of each position" in str(info.notes[0])
    with pytest.raises(RequestError, match="tfds build other --data_dir="):
        datasets.info("tfds:other", offline / "one")
    path = next((offline / "two" / "own").glob("*/features.json"))
    path.write_text(json.dumps({"featuresDict": {"features": {}}}))
    with pytest.raises(RequestError, match="with a split train"):
        datasets.info("tfds:own", offline / "two")


def test_tfds_names_of_our_sets_are_our_sets():
    assert resolve(RunConfig(dataset="tfds:cifar10")) == resolve(RunConfig(dataset="cifar10"))

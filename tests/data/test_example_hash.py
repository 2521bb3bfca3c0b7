"""A noise file is bound to the examples that it was made for, not to their names or size."""

import shutil

import numpy as np
import pytest
from PIL import Image

from rethink_tf.cli import noise as noise_command
from rethink_tf.cli.app import guarded
from rethink_tf.data import example_hash, noise_file
from rethink_tf.data.example_hash import examples_hash, refuse_other_examples
from rethink_tf.errors import RequestError


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "shapes"
    for part, count in (("train", 12), ("test", 4)):
        for label in ("a", "b"):
            (root / part / label).mkdir(parents=True)
            for i in range(count):
                pixels = np.random.default_rng([i, count, ord(label)]).integers(0, 256, (8, 8))
                Image.fromarray(pixels.astype(np.uint8)).save(root / part / label / f"{i:02}.png")
    return root


def name(root):
    return f"folder:{root}"


def test_content_and_order_count_and_nothing_else(folder, tmp_path):
    before = examples_hash(name(folder))
    assert before == examples_hash(f"{name(folder)}@sha256:12") and len(before) == 16
    copy = tmp_path / "elsewhere" / "copied"
    shutil.copytree(folder, copy, copy_function=shutil.copy)  # other times
    assert examples_hash(name(copy)) == before
    (copy / "train/a/05.png").rename(copy / "train/a/05b.png")  # keeps its place
    assert examples_hash(name(copy)) == before
    (copy / "train/a/00.png").rename(copy / "train/a/zz.png")  # shifts those after it
    assert examples_hash(name(copy)) != before
    (copy / "train/a/zz.png").rename(copy / "train/a/00.png")
    assert examples_hash(name(copy)) == before
    (copy / "train/b/03.png").rename(copy / "train/a/99.png")
    assert examples_hash(name(copy)) != before


def test_arrays_count_by_content(tmp_path):
    arrays = {
        f"{what}_{part}": np.zeros((6, 4, 4) if what == "x" else 6, np.uint8)
        for part in ("train", "test")
        for what in "xy"
    }
    for part in ("train", "test"):
        arrays[f"y_{part}"] = np.arange(6) % 3
    np.savez(tmp_path / "a.npz", **arrays)
    np.savez_compressed(tmp_path / "b.npz", **arrays)
    arrays["x_train"][3] = 1
    np.savez(tmp_path / "c.npz", **arrays)
    first, same, other = (examples_hash(f"npz:{tmp_path}/{n}.npz") for n in "abc")
    assert first == same != other


def test_known_sets_need_no_hash():
    assert examples_hash("cifar10") is None and examples_hash("digits") is None


def test_the_command_writes_the_hash_and_another_set_is_refused(folder, tmp_path, own_signals):
    path = tmp_path / "noise.csv"
    argv = [f"--export={path}", "--corrupt=0.5", f"--cache_dir={tmp_path}/cache"]
    assert guarded(noise_command.main, [*argv, f"--dataset={name(folder)}"]) == 0
    header = noise_file.read(path).header
    assert header["examples"] == examples_hash(name(folder))
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    assert refuse_other_examples("x", header, name(moved)) is None
    (moved / "train/a/00.png").rename(moved / "train/a/zz.png")
    with pytest.raises(RequestError) as error:
        refuse_other_examples(f"--labels_from={path}", header, name(moved))
    assert str(error.value).startswith(f"--labels_from={path}: made for other data: ")
    assert header["examples"] in str(error.value) and "\n" not in str(error.value)
    argv = ["--export", str(tmp_path / "digits.csv"), "--dataset=digits"]
    assert guarded(noise_command.main, argv) == 0
    assert "examples" not in noise_file.read(tmp_path / "digits.csv").header


@pytest.mark.parametrize(
    "made_for, used, fits",
    [
        ("folder:in/mri", "folder:/other/mri@sha256:1", True),
        ("folder:in/mri", "folder:mri2", False),
        ("folder:in/mri", "npz:mri", False),
        ("cifar10", "cifar10", True),
        ("cifar10", "cifar100", False),
        ("cifar10", "tfds:cifar10", False),
        (None, "digits", True),
    ],
)
def test_without_a_hash_the_name_of_the_set_is_compared(made_for, used, fits, monkeypatch):
    monkeypatch.setattr(example_hash, "examples_hash", lambda *_: pytest.fail("not asked for"))
    header = {} if made_for is None else {"dataset": made_for}
    if fits:
        assert refuse_other_examples("--labels_from=n.csv", header, used) is None
        return
    with pytest.raises(RequestError, match="n.csv: made for other data"):
        refuse_other_examples("--labels_from=n.csv", header, used)

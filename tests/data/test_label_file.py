"""The stand-alone audit takes anyone's arrays, batches and files, and refuses what is none."""

import re
import subprocess
import sys

import numpy as np
import pytest
from label_cases import noisy, true_labels

from rethink_tf import audit
from rethink_tf.cli import audit as audit_command
from rethink_tf.cli.app import guarded
from rethink_tf.data import label_file
from rethink_tf.errors import RequestError


class Tensor:
    """As PyTorch's on the CPU: not a NumPy array, but has `__array__`."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def __array__(self, dtype=None, copy=None):
        return self.values if dtype is None else self.values.astype(dtype)

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return (Tensor(value) for value in self.values)


def split(values, size=128):
    return [values[i : i + size] for i in range(0, len(values), size)]


@pytest.mark.parametrize(
    "form",
    [
        list,
        tuple,
        Tensor,
        lambda x: x[:, None],
        lambda x: x.astype(np.uint8),
        lambda x: x.astype(np.float32),
        lambda x: np.eye(10, dtype=np.float32)[x],
        lambda x: Tensor(np.eye(10)[x]),
        lambda x: np.eye(10, dtype=int)[x].tolist(),
        split,
        lambda x: iter(x),
        lambda x: (Tensor(b) for b in split(x)),
        lambda x: split(np.eye(10)[x]),
        lambda x: ((Tensor(np.zeros((len(b), 2, 2))), Tensor(b)) for b in split(x)),
        lambda x: [[np.zeros((len(b), 2, 2)), b] for b in split(x)],
        lambda x: (b.tolist() for b in split(x)),
    ],
)
def test_anyones_arrays_and_batches(form):
    true = true_labels(2000, 10)
    given = noisy(true, 0.5, 10)
    expected = audit.labels(true, given)
    assert audit.labels(true, form(given)).figures == expected.figures
    assert audit.labels(form(true), given).figures == expected.figures


@pytest.mark.parametrize(
    "true, given, options, message",
    [
        ([0, 1], [0], {}, "given: expected 2 labels .*received 1"),
        ([], [], {}, "received none"),
        ([0, 1], [0, 1.5], {}, r"found 1\.5 at position 1"),
        ([0, 1], [0, np.nan], {}, "found nan at position 1"),
        ([0, 1], [0, -1], {}, "found -1"),
        ([0, 1], [0, 2], {"num_classes": 2}, "expected classes 0 to 1, found 2"),
        ([0, 1], [0, 70_000], {}, r"are these identities\?"),
        ([0, 1], ["cat", "dog"], {}, "expected whole numbers"),
        ([0, 1], [None, 1], {}, "expected whole numbers"),
        ([0, 1], [[0, 1], [1]], {}, "array cannot be made"),
        ([0, 1], [[0.5, 0.5], [0, 1]], {}, "one-hot"),
        ([0, 1], np.zeros((2, 2, 2)), {}, "received shape"),
        ([0, 1], 3, {}, "received int"),
        ([0, 1], np.int64(3), {}, "received shape"),
        ([0, 1], {"label": [0, 1]}, {}, "expected whole numbers"),
        ([0, 1], [0, 1], {"p": 1.5}, "p: expected"),
        ([0, 1], [0, 1], {"p": float("nan")}, "p: expected"),
        ([0, 1], [0, 1], {"p": "half"}, "p: expected"),
        ([0, 1], [0, 1], {"p": 1, "noise": "salt"}, "noise: expected one of"),
        ([0, 1], [0, 1], {"noise": "pair_flip"}, "a p with it"),
        ([0, 1], [0, 1], {"num_classes": 1}, "num_classes: expected"),
        ([0, 1], [0, 1], {"index": [5, 5]}, "expected different whole numbers"),
        ([0, 1], [0, 1], {"again": [0, 1, 1]}, "again: expected 2"),
    ],
)
def test_bad_input_is_refused_in_one_line(true, given, options, message):
    with pytest.raises(RequestError) as error:
        audit.labels(true, given, **options)
    assert re.search(message, str(error.value)) and "\n" not in str(error.value)


@pytest.fixture
def files(tmp_path):
    true = true_labels(2000, 10)
    given, index = noisy(true, 0.5, 10), np.arange(2000)[::-1]
    np.savez(tmp_path / "a.npz", true=true, given=given, index=index, header="{}")
    np.save(tmp_path / "pair.npy", np.stack([true, given], axis=1))
    np.save(tmp_path / "given.npy", given)
    np.save(tmp_path / "true.npy", np.eye(10)[true])
    rows = [f"{i},{t},{g}" for i, t, g in zip(index, true, given, strict=True)]
    head = ["# dataset=cifar10", "# p=0.5", "index,true,given"]
    (tmp_path / "a.csv").write_text("\n".join([*head, *rows]) + "\n")
    (tmp_path / "backwards.csv").write_text("\n".join([*head, *rows[::-1]]) + "\n")
    other = tmp_path / "other.npy"
    np.save(other, np.stack([true, noisy(true, 0.5, 10, 1)], axis=1))
    np.save(tmp_path / "objects.npy", np.array([[0, None]], object))
    np.savez(tmp_path / "lacking.npz", given=given)
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04 no zip")
    (tmp_path / "damaged.csv").write_text("index,true,given\n0,1,cat\n")
    (tmp_path / "empty.csv").write_text("index,true,given\n")
    (tmp_path / "void.csv").write_text("")
    (tmp_path / "semicolons.csv").write_text("true;given\n0;1\n")
    (tmp_path / "minus.csv").write_text("# p=0.5\ntrue,given\n0,1\n1,-1\n")
    (tmp_path / "nameless.csv").write_text("0,1,2\n")
    (tmp_path / "labels.txt").write_text("0 1\n")
    return tmp_path


@pytest.mark.parametrize(
    "argv, code, words",
    [
        (["a.npz"], 0, "uniform\n"),
        (["a.csv", "--p=0.5"], 0, "as asked for"),
        (["a.csv", "--p=1"], 3, "NOT as asked for"),
        (["a.csv", "--p=0.5", "--noise=pair_flip"], 3, "to_next_class: FAILED"),
        (["a.csv", "--again=backwards.csv", "--p=0.5"], 0, "same_over_two_passes: ok"),
        (["a.csv", "--again=given.npy"], 0, "same_over_two_passes: ok"),
        (["pair.npy"], 0, "uniform\n"),
        (["pair.npy", "--again=other.npy"], 0, "redrawn\n"),
        (["pair.npy", "--again=other.npy", "--p=0.5"], 3, "redrawn - NOT"),
        (["given.npy", "--true=true.npy", "--p", "0.5"], 0, "as asked for"),
        (["lacking.npz", "--true=true.npy"], 0, "uniform\n"),
        (["--help"], 0, "  --again +file of the given labels"),
        (["given.npy"], 2, "type --true=FILE"),
        (["lacking.npz"], 2, "found no true"),
        (["objects.npy"], 2, "Python objects"),
        (["damaged.npz"], 2, "cannot be read"),
        (["damaged.csv"], 2, "line 2: .*column given, received 'cat'"),
        (["empty.csv"], 2, r"empty\.csv: expected labels, received none"),
        (["void.csv"], 2, "received an empty file"),
        (["semicolons.csv"], 2, "received 'true;given'; .*by commas, not by semicolons"),
        (["minus.csv"], 2, r"minus\.csv: line 4: .*column given, received '-1'"),
        (["nameless.csv"], 2, "index,true,given"),
        (["labels.txt"], 2, r"expected a file \.npz, \.npy or \.csv"),
        (["absent.npy"], 2, "No such file"),
        (["a.csv", "--p=two"], 2, "--p"),
        (["a.csv", "--p=2"], 2, r"--p: expected a number from 0\.0 to 1\.0, received 2\.0"),
        (["a.csv", "--noise=uniform"], 2, "expected --p with it"),
        (["a.csv", "--colour"], 2, "--help lists the flags"),
        ([], 2, "FILE"),
    ],
)
def test_command(files, monkeypatch, capsys, argv, code, words):
    monkeypatch.chdir(files)
    assert guarded(audit_command.main, argv) == code
    out, err = capsys.readouterr()
    assert re.search(words, str(err if code == 2 else out))
    assert err.count("\n") == (code == 2)


def test_command_as_a_process_without_tensorflow(files):
    flags = [sys.executable, "-X", "importtime", "-m", "rethink_tf", "audit"]
    command = [*flags, str(files / "a.csv"), "--p=0.9"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3 and "= 0.90, but" in done.stdout
    assert " tensorflow\n" not in done.stderr


@pytest.mark.parametrize("form", [lambda x: x, split, lambda x: x.tolist()])
def test_one_hot_rows_keep_classes_without_an_example(form):
    true = true_labels(3000, 9)
    rows = np.eye(10)[true]
    labels, columns = label_file.with_classes("y", form(rows))
    assert columns == 10 and np.array_equal(labels, true)
    assert label_file.absent_note(labels, columns) == (
        "one-hot rows of 10 classes, class 9 without an example"
    )
    given = noisy(true, 0.5, 9)
    for verdict in (audit.labels(form(rows), given), audit.labels(true, form(np.eye(10)[given]))):
        assert verdict.figures["num_classes"] == 10
        assert "(One-hot rows of 10 classes, class 9 without an example.)" in verdict.message
    assert audit.labels(true, given).figures["num_classes"] == 9
    assert "without an example" not in audit.labels(rows[:, :9], given).message


def test_all_that_are_absent_are_counted_and_other_widths_refused():
    note = label_file.absent_note(np.array([0, 1]), 9)
    assert note.endswith("classes 2, 3, 4, 5, 6 and 2 more without an example")
    assert label_file.absent_note(np.array([0, 1]), 2) == ""
    with pytest.raises(RequestError, match="at most 9 classes, received 10"):
        audit.labels(np.eye(10)[[0, 1]], [0, 1], num_classes=9)
    with pytest.raises(RequestError, match="one form, received one-hot columns 2 and 3"):
        audit.labels([np.eye(2), np.eye(3)], [0, 1, 0, 1, 2])


@pytest.mark.parametrize(
    "marks, found",
    [
        ([-1] * 3, r"found -1 \(3 of 103\)"),
        ([-100], r"found -100 \(1 of 101\)"),
        ([255] * 7, r"largest is 9, found 255 \(7 of 107\)"),
        ([255.0] * 7, r"found 255 \(7 of 107\)"),
        ([65535], r"found 65535 \(1 of 101\)"),
    ],
)
def test_marks_of_ignored_examples_are_named(marks, found):
    labels = [*(np.arange(100) % 10).tolist(), *marks]
    with pytest.raises(RequestError) as error:
        label_file.as_labels("y", labels)
    assert re.search(found, str(error.value)) and "\n" not in str(error.value)
    assert "to ignore, remove them" in str(error.value)
    with pytest.raises(RequestError, match="remove them"):
        audit.labels(labels, labels, num_classes=10)


def test_255_is_a_class_where_its_neighbours_are_there_or_it_is_said():
    assert label_file.as_labels("y", np.arange(256)).max() == 255
    assert label_file.as_labels("y", [0, 200, 255]).max() == 255
    assert label_file.as_labels("y", [0, 1, 255], num_classes=256).max() == 255
    with pytest.raises(RequestError, match="found 70000 at position 2; are these identities"):
        label_file.as_labels("y", [0, 1, 70_000])


def test_quoted_columns_are_read(tmp_path):
    path = tmp_path / "quoted.csv"
    for text in (
        '"index","true","given"\n"0","3","4"\n"1","2","2"\n',
        'index,path,true,given\n0,"shirts, 1/0.png",3,4\n1,"a ""b""\nc #2.png",2,2\n',
        'path,"true", given ,index\nno #1.png,3,"4",0\n"x,,y",2,2,1\n',
    ):
        path.write_text(text)
        table = label_file.read_labels(path)
        got = [table[name].tolist() for name in ("index", "true", "given")]
        assert got == [[0, 1], [3, 2], [4, 2]], text
    path.write_text('index,path,true,given\n0,"open,3,4\n')
    with pytest.raises(RequestError) as error:
        label_file.read_labels(path)
    assert "line 2: expected 4 fields" in str(error.value) and "\n" not in str(error.value)

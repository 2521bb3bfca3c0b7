"""Noise files: round trip, reading by anyone, refusals, training on them, the command."""

import io
import re

import numpy as np
import pytest
from noise_files import GIVEN, HEADER, INDEX, TRUE, written

from rethink_tf.data import label_file, noise_file
from rethink_tf.data.types import Split
from rethink_tf.errors import RequestError

SPLIT = Split("train", INDEX[:3], np.zeros([3, 2, 2, 1], np.uint8), TRUE[:3], 3)


def refusal(path, function=noise_file.read, *rest) -> str:
    """The one line of a file that is refused."""
    with pytest.raises(RequestError) as refused:
        function(path, *rest)
    assert "\n" not in str(refused.value) and str(path) in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("ending", ["csv", "npz"])
def test_a_file_comes_back_as_it_was(ending, tmp_path):
    order = [2, 0, 3, 1]  # in any order; read back ascending
    path = written(tmp_path / f"noise.{ending}", INDEX[order], TRUE[order], GIVEN[order])
    got = noise_file.read(path)
    assert [a.dtype for a in (got.index, got.true, got.given)] == [np.int64, np.int32, np.int32]
    assert (got.index.tolist(), got.true.tolist(), got.given.tolist()) == (
        INDEX.tolist(),
        TRUE.tolist(),
        GIVEN.tolist(),
    )
    assert got.header == (HEADER if ending == "npz" else {k: str(v) for k, v in HEADER.items()})
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_text_of_a_csv_is_pinned(tmp_path):
    assert written(tmp_path / "noise.csv").read_text() == (
        "# dataset=digits\n# seed=0\n# p=0.5\n# definition=uniform\n# version=1\n"
        "index,true,given\n3,0,0\n5,1,2\n8,2,2\n2147483647,2,1\n"
    )


def test_the_content_hash_is_of_index_and_given_only(tmp_path):
    hashes = {
        noise_file.content_hash(written(tmp_path / "a.csv")),
        noise_file.content_hash(written(tmp_path / "b.npz")),
        noise_file.content_hash(written(tmp_path / "c.csv", header={"seed": 9})),
        noise_file.content_hash(written(tmp_path / "d.npz", INDEX[::-1], TRUE[::-1], GIVEN[::-1])),
    }
    assert hashes == {"181b9af3d1dbce1c"}
    other = written(tmp_path / "e.csv", given=[0, 2, 2, 2])
    assert noise_file.content_hash(other) not in hashes
    assert noise_file.content_hash(written(tmp_path / "f.csv", index=[3, 5, 8, 9])) not in hashes


def test_others_files_are_read(tmp_path):
    path = tmp_path / "theirs.csv"
    path.write_text("# by hand\n\ngiven, index, note, true\n1,7,0,0\n# half way\n2,6,0,2\n")
    got = noise_file.read(path)
    assert (got.index.tolist(), got.true.tolist(), got.given.tolist(), got.header) == (
        [6, 7],
        [2, 0],
        [2, 1],
        {},
    )
    bytes_ = {"index": np.arange(3, dtype=np.uint8), "true": np.zeros(3, np.int16)}
    np.savez(tmp_path / "theirs.npz", given=np.ones(3, np.uint64), **bytes_)
    assert noise_file.read(tmp_path / "theirs.npz").given.tolist() == [1, 1, 1]
    path.write_text('"index","true","given"\n3.0,1.0,2e0\n')  # as a table of floats is saved
    got = noise_file.read(path)
    assert (got.index.tolist(), got.true.tolist(), got.given.tolist()) == ([3], [1], [2])
    np.savez(tmp_path / "theirs.npz", given=np.ones(3), **bytes_)
    assert noise_file.read(tmp_path / "theirs.npz").given.dtype == np.int32


def test_the_stand_alone_audit_reads_what_is_written_by_the_same_reader(tmp_path):
    for ending in ("csv", "npz"):
        table = label_file.read_labels(written(tmp_path / f"noise.{ending}"))
        got = [table[name].tolist() for name in ("index", "true", "given")]
        assert got == [INDEX.tolist(), TRUE.tolist(), GIVEN.tolist()]
        assert {k: str(v) for k, v in table["header"].items()} == {
            k: str(v) for k, v in HEADER.items()
        }
    # Others may keep any text there; only what trains on a file asks for JSON.
    np.savez(tmp_path / "theirs.npz", index=INDEX, true=TRUE, given=GIVEN, header="by hand")
    assert label_file.read_labels(tmp_path / "theirs.npz")["header"] == "by hand"


# Refusals


def as_npz(**columns):
    buffer = io.BytesIO()
    np.savez(buffer, **({"index": INDEX, "true": TRUE, "given": GIVEN} | columns))
    return buffer.getvalue()


def plain_array():
    buffer = io.BytesIO()
    np.save(buffer, INDEX)
    return buffer.getvalue()


WHOLE = as_npz()
LABELS = b"index,true,given\n"
WRONG = {
    "empty.csv": (b"", "expected a first line with the names index,true,given"),
    "empty.npz": (b"", "cannot be read: No data left in file"),
    "no_rows.csv": (LABELS, "expected three columns of one length, received {'index': (0,)"),
    "junk.csv": (bytes(range(256)) * 3, "cannot be read: 'utf-8' codec can't decode byte 0x80"),
    "junk.npz": (bytes(range(256)) * 3, "cannot be read: it is no NumPy file"),
    "cut.npz": (WHOLE[:-30], "cannot be read: File is not a zip file; it is damaged or cut short"),
    "flipped.npz": (WHOLE[:90] + b"\xff\xff\xff" + WHOLE[93:], "cannot be read: "),
    "array.npz": (
        plain_array(),
        "expected columns index, true, given as CSV or .npz, found no",
    ),
    "no_given.npz": (as_npz(given=GIVEN).replace(b"given", b"taken"), ".npz, found no given"),
    "header.npz": (as_npz(header=np.array("{")), "expected a header of JSON, found '{'"),
    "no_names.csv": (b"3,0,0\n5,1,2\n", "expected a first line with the names index,true,given"),
    "no_true.csv": (b"index,given\n3,0\n", "expected columns index, true, given as CSV or .npz, "),
    "ragged.csv": (
        LABELS + b"3,0,0\n5,1\n",
        "line 3: expected 3 fields (index,true,given), received 2",
    ),
    "wide.csv": (LABELS + b"3,0,0,9\n", "line 2: expected 3 fields (index,true,given), received 4"),
    "words.csv": (
        LABELS + b"3,cat,dog\n",
        "line 2: expected a whole number in the column true, received 'cat'; number the classes",
    ),
    "floats.csv": (
        LABELS + b"3,0,0.7\n",
        "line 2: expected a whole number in the column given, received",
    ),
    "floats.npz": (as_npz(given=GIVEN / 2), "given: expected whole numbers, found 0.5 at position"),
    "nan.npz": (
        as_npz(given=GIVEN * np.nan),
        "given: expected whole numbers, found nan at",
    ),
    "infinite.csv": (LABELS + b"3,0,inf\n", "expected numbers below 2**53, found inf"),
    "beyond.csv": (LABELS + b"9007199254740993,0,1\n", "below 2**53, found 9007199254740992"),
    "labels.txt": (LABELS + b"3,0,0\n", "expected a file .npz, .npy or .csv"),
    "truths.npz": (as_npz(given=GIVEN > 0), "expected whole numbers in given, found bool"),
    "objects.npz": (
        as_npz(given=np.array([0, 2, 2, {}], object)),
        "holds Python objects, which",
    ),
    "short.npz": (as_npz(given=GIVEN[:3]), "expected three columns of one length"),
    "square.npz": (
        as_npz(**{name: np.eye(2, dtype=int) for name in noise_file.COLUMNS}),
        "expected three columns of one length",
    ),
    "none.npz": (as_npz(**{name: INDEX[:0] for name in noise_file.COLUMNS}), "of one length"),
    "negative.csv": (
        LABELS + b"3,0,-1\n",
        "line 2: expected a class from 0 in the column given, received",
    ),
    "large.csv": (LABELS + b"3,0,2147483648\n", "from 0 to 2147483647, found 2147483648"),
    "huge.npz": (as_npz(index=INDEX.astype(np.uint64) + 2**63), "expected index from 0 to"),
    "twice.csv": (LABELS + b"3,0,0\n5,1,2\n3,0,1\n", "expected every index once, found 3 twice"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_is_none_is_refused_in_one_line(name, tmp_path, recwarn):
    content, message = WRONG[name]
    (tmp_path / name).write_bytes(content)
    assert message in refusal(tmp_path / name)
    # A warning on stderr would be a second line; ResourceWarnings are not shown.
    assert [w for w in recwarn if w.category is not ResourceWarning] == []


def test_a_file_that_is_not_there(tmp_path):
    assert "such file or directory" in str(refusal(tmp_path / "no.csv"))
    assert "such file or directory" in str(refusal(tmp_path / "no.npz"))
    assert "Is a directory" in refusal(tmp_path)


@pytest.mark.parametrize(
    "columns, message",
    [
        (
            (INDEX[1:], TRUE[1:], GIVEN[1:]),
            "expected all 3 training examples, 1 are missing, first index 3",
        ),
        ((INDEX[:2], TRUE[:2], GIVEN[:2]), "1 are missing, first index 8"),
        ((INDEX - 1, TRUE, GIVEN), "3 are missing, first index 3"),
        (
            (INDEX, [0, 1, 1, 2], GIVEN),
            "true labels .* 1 of 3 differ, first at index 8",
        ),
        ((INDEX, TRUE, [0, 3, 2, 2]), "expected classes 0 to 2, found 3"),
    ],
)
def test_a_file_of_another_set_is_refused(columns, message, tmp_path):
    path = written(tmp_path / "noise.csv", *columns)
    said = refusal(path, noise_file.for_training, SPLIT)
    assert re.search(message, said) and said.startswith(f"--labels_from={path}: ")


def test_the_labels_of_a_part_are_picked_by_index(tmp_path):
    got = noise_file.for_training(written(tmp_path / "noise.csv"), SPLIT)
    assert (got.dtype, got.tolist()) == (np.int32, [0, 2, 2])  # the fourth is not asked for

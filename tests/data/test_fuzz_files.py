"""Damaged files of labels, of flags and of a cache, through the commands that read them.

Never a traceback, never a pickle: a sound value, or one line and the right exit code. TensorFlow
does not start.
"""

import hashlib
import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fuzzing import (
    Trap,
    audited,
    call,
    changed_bytes,
    contents,
    damaged,
    fuzz,
    judged,
    npy,
    npz,
)
from hypothesis import given
from hypothesis import strategies as st
from made_run import (
    ARGV,
    COLUMNS,
    GIVEN,
    INDEX,
    TRUE,
    header,
    place_of_runs,
    put_back,
    sealed,
)

from rethink_tf import main
from rethink_tf.cli import noise as noise_command
from rethink_tf.data import noise_file
from rethink_tf.data.sources import tfds as tfds_source
from rethink_tf.data.types import Split
from rethink_tf.errors import RequestError
from rethink_tf.runs import checkpoint, results
from rethink_tf.storage import array_cache


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with place_of_runs(tmp_path_factory.mktemp("files")) as found:
        yield found


ROWS = b"index,true,given\n" + b"".join(
    b"%d,%d,%d\n" % row for row in zip(INDEX, TRUE, GIVEN, strict=True)
)
ODD_ARRAYS = [
    np.float64(3),
    np.zeros((0,)),
    np.full(40, np.nan),
    np.full(40, np.inf),
    np.full(40, 2**62),
    np.full(40, -1),
    np.full(40, 1e300),
    TRUE > 3,
    TRUE.astype(str),
    TRUE + 1j,
    TRUE[:, None],
    np.eye(40),
    np.zeros(40, "datetime64[s]"),
    np.zeros(40, [("a", "i4")]),
    TRUE.astype(np.uint8),
    np.full(40, 2047),
    TRUE.astype(np.float16),
    np.zeros(40, "V8"),
    TRUE[::-1],
    TRUE[:39],
    np.full(40, 2**64 - 1, np.uint64),
    np.zeros((40, 0)),
    np.zeros((40, 2)),
    np.full(40, 7),
]
LABELS = {
    "labels.csv": changed_bytes(ROWS, [b"# a=b\n" * 9, ROWS + ROWS, ROWS.replace(b",", b";")]),
    "labels.npz": changed_bytes(npz(header=np.array("{}"), **COLUMNS), [ROWS, npy(TRUE)]),
    "labels.npy": changed_bytes(npy(np.stack([TRUE, GIVEN], 1)), [ROWS, npz(**COLUMNS)]),
    "odd.npz": st.dictionaries(
        st.sampled_from([*COLUMNS, "header"]), st.sampled_from(ODD_ARRAYS), max_size=3
    ).map(lambda odd: npz(**COLUMNS | odd)),
    "odd.npy": st.sampled_from(ODD_ARRAYS).map(npy),
}


@pytest.mark.parametrize("name", LABELS)
def test_damaged_labels(name, place):
    Path("first.npz").write_bytes(npz(**COLUMNS))
    before = contents(place.folder)
    split = Split("train", INDEX, np.zeros([40, 2, 2, 1], np.uint8), TRUE.astype(np.int32), 10)

    @fuzz(50)
    @given(LABELS[name], st.sampled_from(["", "--p=0.5", "--true=", "--again="]))
    def read(changed, how):
        Path(name).write_bytes(changed)
        audited([name, how] if how == "--p=0.5" else ["first.npz", how + name] if how else [name])
        done = judged(main.main, [*ARGV[:2], f"--labels_from={name}", "--dry_run"], (0, 2))
        try:
            labels = noise_file.for_training(name, split)
            assert labels.dtype == np.int32 and labels.shape == (40,) and done.code == 0
        except RequestError as error:
            assert name in str(error)
        Path(name).unlink()

    read()
    assert contents(place.folder) == before


@pytest.mark.parametrize("name", [results.EXAMPLES, f"{results.SNAPSHOTS}/epoch-000002.npz"])
def test_damaged_arrays_of_a_run(name, place):
    path = place.finished / name

    @fuzz(40)
    @given(changed_bytes(path.read_bytes(), [npz(**COLUMNS)]))
    def read(changed):
        before = restore()
        path.write_bytes(changed)
        audited([str(path)])
        assert contents(place.finished) == before | {str(path): changed}

    with put_back(place.finished) as restore:
        read()


def test_damaged_flagfiles(place):
    whole = "".join(f"{flag}\n" for flag in ["# A row.", *ARGV, "--seed=3", "--dry_run"]).encode()
    odd = [
        b"--flagfile=row.flags\n",
        b"--flagfile=\0\n",
        b"--runs_dir=\0\n",
        b"-" * 9999,
        b"--\n",
        b"--flagfile=none\n",
        b"--seed=" + b"9" * 9999,
        "--corrupt=½\n".encode(),
        b"--" + b"x" * 2000 + b"=1\n",
    ]
    before = contents(place.folder)

    @fuzz(70)
    @given(changed_bytes(whole, odd))
    def read(changed):
        Path("row.flags").write_bytes(changed)
        judged(main.main, ["--flagfile=row.flags", "--dry_run"], (0, 2))
        Path("row.flags").unlink()

    read()
    assert contents(place.folder) == before


@pytest.fixture
def cached(place, monkeypatch):
    """A data set whose decoding needs no TensorFlow: its folder and its entry in the cache."""
    prepared = place.folder / "data" / "mnist" / "3.0.1"
    prepared.mkdir(parents=True)
    (prepared / "dataset_info.json").write_text("{}")
    arrays = {}
    for split, count in (("train", 30), ("test", 12)):
        arrays[f"{split}_index"] = np.arange(count)
        arrays[f"{split}_images"] = np.arange(count * 784).astype(np.uint8).reshape(-1, 28, 28, 1)
        arrays[f"{split}_labels"] = (np.arange(count) % 10).astype(np.int32)
    monkeypatch.setattr(tfds_source, "decode", lambda *_, **__: dict(arrays))
    argv = ["--dataset=mnist", "--export=out.csv", "--corrupt=1", f"--data_dir={place.folder}/data"]
    assert call(noise_command.main, argv).code == 0
    (entry,) = (place.folder / "cache" / "rethink_tf").iterdir()
    yield SimpleNamespace(entry=entry, argv=argv, exported=Path("out.csv").read_bytes())
    shutil.rmtree(place.folder / "data")
    Path("out.csv").unlink()


def test_a_damaged_cache_is_made_again(cached):
    before = contents(cached.entry)
    facts = cached.entry / array_cache.HASHES_FILE
    files = [path for path in sorted(cached.entry.iterdir()) if path != facts]
    damages = [st.tuples(st.just(p), changed_bytes(p.read_bytes(), [npy(TRUE)])) for p in files]
    damages += [st.tuples(st.just(facts), damaged(facts.read_bytes()))] * 4

    @fuzz(40)
    @given(st.one_of(damages))
    def load(damage):
        path, changed = damage
        path.write_bytes(changed)
        done = judged(noise_command.main, cached.argv, (0,))
        assert Path("out.csv").read_bytes() == cached.exported
        said = "damaged and is written again" in done.out
        if said:
            assert contents(cached.entry) == before
        elif path != facts:  # whose JSON may say the same in other bytes
            assert changed == before[str(path)]
        path.write_bytes(before[str(path)])

    load()


def test_no_pickle_is_ever_loaded(place, cached):
    marker = place.folder / "unpickled"
    objects = np.array([Trap(marker)] * 40, object)
    np.load(io.BytesIO(npz(a=objects)), allow_pickle=True)["a"]
    marker.rmdir()  # it is there: the trap works
    raw = objects.dumps()
    for name, content in {
        "objects.npz": npz(**COLUMNS | {"given": objects}),
        "objects.npy": npy(objects),
        "raw.npy": raw,
        "raw.npz": raw,
        "raw.csv": raw,
    }.items():
        Path(name).write_bytes(content)
        assert audited([name]).code == audited(["first.npz", f"--again={name}"]).code == 2
        judged(main.main, [*ARGV[:2], f"--labels_from={name}", "--dry_run"], (2,))
    newer = checkpoint.stored(place.unfinished / results.CHECKPOINTS)[-1]
    with put_back(place.unfinished) as restore:
        for content in (
            npz(header=np.array(json.dumps(header(3))), a=objects),
            npz(header=objects),
            npy(objects),
            raw,
        ):
            newer.write_bytes(sealed(content))
            done = judged(main.main, [*ARGV, "--runs_dir=open"], (0,))
            assert f"{newer.name}: damaged (" in done.out and place.resumed[-1][0] == 2
            restore()
    for content in (npy(objects), raw):
        facts = json.loads((cached.entry / array_cache.HASHES_FILE).read_text())
        facts["train_labels"]["sha256"] = hashlib.sha256(content).hexdigest()
        (cached.entry / array_cache.HASHES_FILE).write_text(json.dumps(facts))
        (cached.entry / "train_labels.npy").write_bytes(content)
        assert "and is written again" in judged(noise_command.main, cached.argv, (0,)).out
    assert not marker.exists()

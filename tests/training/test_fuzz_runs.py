"""A run directory with every kind of damage, through the commands that read it.

Never a traceback: a sound value, or one line and exit code 6; what is finished is never changed,
and what is unfinished goes on from the newest sound checkpoint, with the history as it was.
TensorFlow does not start: a run goes as far as its resume.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from fuzzing import changed_bytes, changed_json, contents, damaged, fuzz, judged, npz
from hypothesis import given
from hypothesis import strategies as st
from made_run import (
    ARGV,
    ARRAYS,
    LINES,
    RECORD,
    RUN_ID,
    SUMMARY,
    header,
    place_of_runs,
    put_back,
    sealed,
)

from rethink_tf import main
from rethink_tf.cli import show
from rethink_tf.runs import checkpoint, results

OTHER_ID = "mlp_1x512-000000000000"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with place_of_runs(tmp_path_factory.mktemp("runs")) as found:
        yield found


def test_a_damaged_summary_is_refused_and_nothing_is_trained(place):
    path = place.finished / results.SUMMARY
    other = json.dumps(SUMMARY | {"run_id": OTHER_ID}).encode()

    @fuzz(70)
    @given(damaged(path.read_bytes(), [other, json.dumps(RECORD).encode()]))
    def answer(changed):
        before = restore()
        path.write_bytes(changed)
        done = judged(main.main, [*ARGV, "--runs_dir=done"], (0, 3, 4, 6))
        assert (done.code == 6) != ("finished already" in done.out)
        assert contents(place.finished) == before | {str(path): changed}

    with put_back(place.finished) as restore:
        answer()
    assert place.resumed == []


@pytest.mark.parametrize("name", [results.CONFIG, results.HISTORY])
def test_a_run_goes_on_whatever_became_of_its(name, place):
    path = place.unfinished / name

    @fuzz(50)
    @given(damaged(path.read_bytes(), [json.dumps(LINES[1]).encode() + b"\n"]))
    def go_on(changed):
        restore()
        path.write_bytes(changed)
        done = judged(main.main, [*ARGV, "--runs_dir=open"], (0,))
        assert place.resumed[-1] == (3, LINES)
        assert results.read_history(place.unfinished) == LINES
        assert results.read_config(place.unfinished)["resumed"][-1]["epoch"] == 3
        if name == results.HISTORY and path.read_bytes() != changed:
            assert ("anew from the checkpoint" in done.out) != changed.startswith(path.read_bytes())

    with put_back(place.unfinished) as restore:
        go_on()


def test_a_damaged_checkpoint_gives_way_to_the_older_one(place):
    older, newer = checkpoint.stored(place.unfinished / results.CHECKPOINTS)
    other = sealed(checkpoint.pack(header(3, run_id=OTHER_ID), ARRAYS))

    @fuzz(90)
    @given(changed_bytes(newer.read_bytes(), [other, newer.read_bytes()[:40]]), st.integers(0, 5))
    def go_on(changed, both):
        sound = changed == restore()[str(newer)]
        newer.write_bytes(changed)
        if not both:
            older.write_bytes(changed)
        done = judged(main.main, [*ARGV, "--runs_dir=open"], (0,))
        epoch, history = place.resumed[-1]
        assert epoch == (3 if sound else 2 if both else 0) and history == LINES[:epoch]
        assert (f"{newer.name}: damaged (" in done.out) is not sound
        assert ("no older checkpoint is sound" in done.out) == (epoch == 0)

    with put_back(place.unfinished) as restore:
        go_on()


def test_a_checkpoint_of_other_content_with_the_right_checksum(place):
    newer = checkpoint.stored(place.unfinished / results.CHECKPOINTS)[-1]

    @fuzz(70)
    @given(changed_json(header(3)) | changed_bytes(checkpoint.pack(header(3), ARRAYS)))
    def go_on(changed):
        restore()
        if changed.startswith(b"{"):
            changed = npz(header=np.array(changed.decode()), **ARRAYS)
        newer.write_bytes(sealed(changed))
        judged(main.main, [*ARGV, "--runs_dir=open"])

    with put_back(place.unfinished) as restore:
        go_on()


def test_curves_of_damaged_runs(place):
    names = (results.CONFIG, results.HISTORY, results.SUMMARY)
    files = [place.finished / name for name in names]
    damages = [st.tuples(st.just(path), damaged(path.read_bytes())) for path in files]

    @fuzz(25)
    @given(st.one_of(damages), st.booleans())
    def draw(damage, loss):
        path, changed = damage
        before = restore()
        path.write_bytes(changed)
        picture = Path("b.png")
        picture.unlink(missing_ok=True)
        done = judged(show.main, [f"done/{RUN_ID}", "--out=b.png", *["--curve=loss"] * loss])
        assert picture.exists() == (done.code == 0)
        assert contents(place.finished) == before | {str(path): changed}

    with put_back(place.finished) as restore:
        draw()


@pytest.mark.parametrize("name", ["$x$", "$\\frac$", "_x", "漢字", "a\nb", "\udcff", "{}%s"])
def test_curves_of_a_run_in_a_folder_of_any_name(name, place):
    (place.folder / name).mkdir()
    content = "".join(json.dumps(line) + "\n" for line in LINES)
    (place.folder / name / results.HISTORY).write_text(content)
    for more in ([], ["--curve=loss"]):
        Path("named.png").unlink(missing_ok=True)
        judged(show.main, [name, "--out=named.png", *more], (0,))
        assert Path("named.png").is_file()

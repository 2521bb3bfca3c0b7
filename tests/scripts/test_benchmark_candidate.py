"""A candidate of the benchmark in a process of its own: answers, and what becomes of failures."""

import os
import signal
import sys
import time

import pytest
from benchmark.candidates import Candidate, LeftOut, Race
from small_benchmark import Here

MODULE = """
import os, signal, sys
from benchmark.candidates import LeftOut

def plain(factor, options):
    print("no answer")
    os.write(1, b"nor this")
    return lambda count: count * factor, {"parameters": options["n"], "pid": os.getpid(),
        "loaded": sorted({"tensorflow", "torch"} & set(sys.modules))}

def killed(at):
    def run(count):
        if count >= at:
            os.kill(os.getpid(), signal.SIGSEGV)
        return 1.0
    return run, {}

def raising():
    raise ImportError("no such library")

def refuses():
    raise LeftOut("not here")

def refuses_later():
    def run(count):
        raise LeftOut("not now")
    return run, {}
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "made_candidates.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_it_answers_whatever_is_printed():
    candidate = Candidate("made_candidates:plain", factor=0.5, options={"n": 3})
    assert candidate.facts["parameters"] == 3 and candidate.facts["pid"] != os.getpid()
    assert candidate.facts["loaded"] == [], "nothing but what the candidate needs"
    assert [candidate(count) for count in (2, 8)] == [1.0, 4.0]
    candidate.close()
    with pytest.raises(ProcessLookupError):
        os.kill(candidate.facts["pid"], 0)


def test_it_ends_with_what_holds_it():
    pid = Candidate("made_candidates:plain", factor=1, options={"n": 3}).facts["pid"]
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.02)
    else:
        pytest.fail("the process lives on")


def test_a_crash_names_its_signal_and_takes_nobody_along():
    candidate = Candidate("made_candidates:killed", at=2)
    assert candidate(1) == 1.0
    for _ in range(2):
        with pytest.raises(LeftOut, match=f"was killed by {signal.SIGSEGV.name}"):
            candidate(2)


@pytest.mark.parametrize(
    "name, words",
    [
        ("raising", "ended with code 1: ImportError: no such library"),
        ("missing", "ended with code 1: AttributeError: "),
        ("refuses", "^not here$"),
    ],
)
def test_one_that_cannot_be_made_says_why(name, words):
    with pytest.raises(LeftOut, match=words):
        Candidate(f"made_candidates:{name}")


def test_one_that_refuses_later_says_why():
    with pytest.raises(LeftOut, match="^not now$"):
        Candidate("made_candidates:refuses_later")(1)


def test_pytorch_that_is_not_installed_is_said(monkeypatch, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError\n")
    with pytest.raises(LeftOut, match="^PyTorch is not installed$"):
        Candidate(
            "benchmark.torch_steps:candidate", name="mlp_1x512", precision="float32", options={}
        )
    assert "torch" not in sys.modules


def test_a_folder_of_the_users_does_not_hide_ours(tmp_path, monkeypatch):
    (tmp_path / "benchmark").mkdir()
    (tmp_path / "benchmark" / "__init__.py").write_text("raise RuntimeError\n")
    monkeypatch.delenv("PYTHONPATH")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LeftOut, match="ModuleNotFoundError: No module named 'made_candidates'"):
        Candidate("made_candidates:plain")


# Taking turns


def race_of(**runs):
    """A race of functions of a count, by name."""
    race = Race(lambda make: Here(runs[make], {}))
    for name in runs:
        race.enter(name, name)
    return race


def test_candidates_take_turns_and_the_best_counts():
    calls, times = [], {"a": iter([9, 2, 4, 1, 3]), "b": iter([9, 1, 2, 2, 2])}

    def run(name):
        return lambda count: calls.append((name, count)) or next(times[name])

    best = race_of(a=run("a"), b=run("b")).best(2.0)
    assert calls[4:] == [("a", 2), ("b", 4)] * 3
    assert best == {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize("at", range(1, 6))
def test_one_that_breaks_is_left_out_and_has_no_best(at):
    calls = []

    def breaks(count):
        calls.append(count)
        if len(calls) == at:
            raise LeftOut("it broke")
        return count

    race = race_of(good=lambda count: 2.0 * count, breaks=breaks)
    held = race.running["breaks"]
    assert race.best(1.0) == {"good": 2.0}
    assert race.left_out == {"breaks": "it broke"} and len(calls) == at and held.closed
    assert race.again("good", 1.0) == 2.0
    with pytest.raises(LeftOut, match="^it broke$"):
        race.again("breaks", 1.0)


def test_one_that_breaks_when_it_runs_again_says_why():
    calls = []

    def breaks(count):
        calls.append(count)
        if len(calls) > 5:
            raise LeftOut("not twice")
        return count

    race = race_of(breaks=breaks)
    assert race.best(1.0) == {"breaks": 1.0}
    with pytest.raises(LeftOut, match="^not twice$"):
        race.again("breaks", 1.0)


def test_those_that_are_closed_have_ended_but_for_one():
    race = race_of(kept=float, ended=float)
    both = dict(race.running)
    race.close(but="kept")
    assert (both["kept"].closed, both["ended"].closed) == (False, True)
    assert list(race.running) == ["kept"]

"""A candidate of the benchmark in a process of its own: answers, and what becomes of failures."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from benchmark.candidates import Candidate, LeftOut, Race
from small_benchmark import Here

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
MODULE = """
import os, signal, sys, time

def plain(factor, options):
    print("no answer")
    os.write(1, b"nor this")
    return lambda count: time.sleep(count * factor), {"parameters": options["n"],
        "pid": os.getpid(), "loaded": sorted({"tensorflow", "torch"} & set(sys.modules))}

def killed(at):
    def run(count):
        if count >= at:
            os.kill(os.getpid(), signal.SIGSEGV)
    return run, {}

def raising():
    raise ImportError("no such library")

def exits():
    sys.exit(3)

def ends():
    os._exit(4)

def breaks_later():
    def run(count):
        raise ValueError("not now\\nbut then")
    return run, {}
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "made_candidates.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)


def test_it_answers_whatever_is_printed():
    candidate = Candidate("made_candidates:plain", factor=0.01, options={"n": 3})
    assert candidate.facts["parameters"] == 3 and candidate.facts["pid"] != os.getpid()
    assert candidate.facts["loaded"] == [], "nothing but what the candidate needs"
    assert all(candidate(count) >= 0.01 * count for count in (2, 8))
    candidate.close()
    with pytest.raises(ProcessLookupError):
        os.kill(candidate.facts["pid"], 0)


def test_it_ends_with_the_process_that_started_it(tmp_path):
    code = (
        "from benchmark.candidates import Candidate\n"
        "if __name__ == '__main__':\n"
        "    print(Candidate('made_candidates:plain', factor=1, options={'n': 3}).facts['pid'])\n"
    )
    (tmp_path / "starts.py").write_text(code)
    path = os.pathsep.join([str(tmp_path), str(SCRIPTS), str(SCRIPTS.parent)])
    done = subprocess.run(
        [sys.executable, tmp_path / "starts.py"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
        check=True,
    )
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


def test_a_crash_names_its_exit_code_and_takes_nobody_along():
    candidate = Candidate("made_candidates:killed", at=2)
    candidate(1)
    for _ in range(2):
        with pytest.raises(LeftOut, match=f"exit code {-signal.SIGSEGV}$"):
            candidate(2)


@pytest.mark.parametrize(
    "name, words",
    [
        ("raising", "^ImportError: no such library$"),
        ("missing", "^AttributeError: "),
        ("exits", "^SystemExit: 3$"),
        ("ends", "exit code 4$"),
    ],
)
def test_one_that_cannot_be_made_says_why(name, words):
    with pytest.raises(LeftOut, match=words):
        Candidate(f"made_candidates:{name}")


def test_one_that_is_interrupted_before_it_answers_is_ended(monkeypatch):
    waiting = []

    def interrupted(self):
        waiting.append(self._process)
        raise KeyboardInterrupt

    monkeypatch.setattr(Candidate, "_answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Candidate("made_candidates:plain", factor=0.0, options={"n": 3})
    assert not waiting[0].is_alive()


def test_one_that_breaks_later_says_why():
    with pytest.raises(LeftOut, match="^ValueError: not now$"):
        Candidate("made_candidates:breaks_later")(1)


def test_pytorch_that_is_not_installed_is_named(tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\")\n")
    with pytest.raises(LeftOut, match="^ModuleNotFoundError: No module named 'torch'$"):
        Candidate("benchmark.torch_steps:candidate")


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
    assert race.best(1.0) == {"good": 2.0}
    assert race.left_out == {"breaks": "it broke"} and len(calls) == at
    assert race.best(1.0, rounds=1) == {"good": 2.0}


def test_those_that_are_closed_have_ended():
    race = race_of(one=float, other=float)
    both = list(race.running.values())
    race.close()
    assert all(candidate.closed for candidate in both) and race.running == {}

"""A candidate of the benchmark in a process of its own: answers, and what becomes of failures."""

import os
import signal
import sys
import time

import pytest
from benchmark_candidate import Candidate, LeftOut

MODULE = """
import os, signal, sys
from benchmark_candidate import LeftOut

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
        Candidate("benchmark_torch:candidate", name="mlp_1x512", precision="float32", options={},
                  learning_rate=0.1)  # fmt: skip
    assert "torch" not in sys.modules

"""What the tests of scripts/benchmark.py share: options that take no time, candidates in here."""

import dataclasses
import importlib.util
import pkgutil
import time

import pytest
from benchmark import command

TINY = ["--input_size=8", "--batch_size=4", "--seconds=0", "--threads=1"]
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed (it is optional)"
)


def tiny_options(**changes):
    """The options of a tiny benchmark without PyTorch, as the command has them."""
    asked = command.checked(command.LINE.parse(TINY)[command.Flags])
    return dataclasses.replace(asked, **{"device": "cpu", "no_torch": True, **changes})


def in_this_process(make, **arguments):
    """In place of `candidates.Candidate`, which starts a process for each."""
    run, facts = pkgutil.resolve_name(make)(**arguments)

    def seconds(count):
        started = time.perf_counter()
        run(count)
        return time.perf_counter() - started

    return Here(seconds, facts)


class Here:
    """A candidate in this process, by a function that returns the seconds of a count."""

    def __init__(self, run, facts):
        self.run, self.facts, self.closed = run, facts, False

    def __call__(self, count):
        assert not self.closed
        return self.run(count)

    def close(self):
        self.closed = True

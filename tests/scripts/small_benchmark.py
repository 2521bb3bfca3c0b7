"""What the tests of scripts/benchmark.py share: options that take no time, candidates in here."""

import dataclasses
import importlib
import importlib.util

import pytest
from benchmark import command

TINY = ["--input_size=8", "--batch_size=4", "--examples=8", "--seconds=0", "--threads=1"]
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed (it is optional)"
)


def tiny_options(**changes):
    """The options of a tiny benchmark without PyTorch, as the command has them."""
    return dataclasses.replace(
        command.checked(command.LINE.parse(TINY)), **{"no_torch": True, **changes}
    )


def in_this_process(make, **arguments):
    """In place of `candidates.Candidate`, which starts a process for each."""
    module, _, name = make.partition(":")
    return Here(*getattr(importlib.import_module(module), name)(**arguments))


class Here:
    """A candidate that was made in this process."""

    def __init__(self, run, facts):
        self.run, self.facts, self.closed = run, facts, False

    def __call__(self, count):
        assert not self.closed
        return self.run(count)

    def close(self):
        self.closed = True

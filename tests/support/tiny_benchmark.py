"""What the tests of scripts/benchmark.py share: options that take no time."""

import argparse
import importlib

import benchmark_options
import benchmark_twins
import pytest

TINY = ["--input_size=8", "--batch_size=4", "--examples=8", "--seconds=0", "--no_torch_compile"]
needs_torch = pytest.mark.skipif(
    benchmark_twins.version() is None, reason="PyTorch is not installed (it is optional)"
)


def tiny_options(**changes):
    options = benchmark_options.parse(TINY)
    options.threads, options.torch = 1, benchmark_twins.version() is not None
    return argparse.Namespace(**{**vars(options), **changes})


def in_this_process(make, **arguments):
    """In place of `benchmark_candidate.Candidate`, which starts a process for each."""
    module, _, name = make.partition(":")
    made = getattr(importlib.import_module(module), name)(**arguments)
    return Here(*made)


class Here:
    """A candidate that was made in this process."""

    def __init__(self, run, facts):
        self.run, self.facts = run, facts

    def __call__(self, count):
        return self.run(count)

    def close(self):
        self.run = None

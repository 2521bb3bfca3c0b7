"""What the tests of scripts/benchmark.py share: options that take no time."""

import argparse

import benchmark_options
import benchmark_torch
import pytest

TINY = ["--input_size=8", "--batch_size=4", "--examples=8", "--seconds=0", "--no_torch_compile"]
needs_torch = pytest.mark.skipif(
    benchmark_torch.version() is None, reason="PyTorch is not installed (it is optional)"
)


def tiny_options(**changes):
    options = benchmark_options.parse(TINY)
    options.threads, options.torch = 1, benchmark_torch.version() is not None
    return argparse.Namespace(**{**vars(options), **changes})

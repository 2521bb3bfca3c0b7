"""How much memory there is: the machine's or the control group's, and what is said of it."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from rethink_tf.errors import RequestError
from rethink_tf.theory.kernels import interpolate, leave_one_out, memory, minimum_norm
from rethink_tf.theory.kernels.gram import Kernel


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Writes the system's files; names of none are not there."""
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)

    def write(**files):
        for name, text in files.items():
            (tmp_path / name.replace("_", ".")).write_text(text)

    return write


def test_it_is_the_machines(machine):
    assert memory.available() is None
    machine(meminfo="MemTotal: 9 kB\nMemAvailable:    2000 kB\n")
    assert memory.available() == 2000 * 1024
    machine(memory_max="max\n", memory_current="5\n", memory_stat="")
    assert memory.available() == 2000 * 1024
    machine(meminfo="MemAvailable\n")
    assert memory.available() is None


def test_it_is_the_control_groups_if_that_has_less(machine):
    machine(
        meminfo="MemAvailable: 2000 kB\n",
        memory_max="900000\n",
        memory_current="500000\n",
        memory_stat="anon 1\ninactive_file 0\n",
    )
    assert memory.available() == 400_000
    machine(memory_stat="anon 1\ninactive_file 300000\nactive_file 7\n")
    assert memory.available() == 700_000, "files that were read make room"
    machine(memory_max="9000000000\n")
    assert memory.available() == 2000 * 1024


def test_amounts_in_words():
    parts = {"factor": 7_400_000_000, "features": 12_300_000, "tiles": 450}
    assert memory.text(parts) == "factor 7.40 GB, features 12.3 MB, tiles 0.00045 MB: 7.41 GB"
    with pytest.raises(
        RequestError, match="memory: needed a 100 MB: 100 MB, available 1 MB; type less"
    ):
        memory.require({"a": 99_999_999}, 1_000_000, "type less")
    memory.require({"a": 99_999_999}, None, "type less")
    memory.require({"a": 99_999_999}, 99_999_999, "type less")


def taken_and_stated(compute, memory_of, kernel, n, m, d, dtype, **options):
    """Bytes that a computation takes at its peak, with its images, and the sum of those stated."""
    draw = np.random.default_rng(0)
    train, test = (draw.standard_normal((k, d)).astype(np.float32) for k in (n, m))
    targets = minimum_norm.one_hot(draw.integers(10, size=n), 10)
    compute(train[:9], test[:9], targets[:9], kernel, **options)  # imports, once
    tracemalloc.start()
    compute(train, test, targets, kernel, dtype=dtype, **options)
    taken = tracemalloc.get_traced_memory()[1] + train.nbytes + test.nbytes
    tracemalloc.stop()
    return taken, sum(memory_of(n, m, d, dtype).values())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n, m, d", [(1500, 500, 300), (600, 3000, 400)])
def test_a_solve_takes_what_is_said_before(n, m, d, dtype):
    kernel, solve = Kernel("gaussian", 0.001), interpolate.interpolate
    taken, stated = taken_and_stated(solve, interpolate.memory_of, kernel, n, m, d, dtype)
    assert 0.4 * stated < taken <= stated


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n, m, d", [(3000, 1500, 20), (3000, 200, 20)])
def test_leaving_one_out_takes_what_is_said_before(n, m, d, dtype):
    taken, stated = taken_and_stated(
        leave_one_out.leave_one_out,
        leave_one_out.memory_of,
        Kernel("gaussian", 0.01),
        *(n, m, d, dtype),
        ridge=1.0,
    )
    assert 0.4 * stated < taken <= stated


def test_the_peak_is_that_of_this_process_and_not_of_its_parent():
    held = np.ones(60_000_000)  # 480 MB
    code = "from rethink_tf.theory.kernels import memory; print(memory.peak())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 10**6 < int(done.stdout) < held.nbytes < memory.peak()

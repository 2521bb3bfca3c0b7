"""A run as a process of its own, which ends with the process that started it.

    python -m rethink_tf.experiments.sweep.process PARENT CORES MODULE [FLAG ...]

does what `python -m MODULE [FLAG ...]` does, on these cores. When the parent dies, even by SIGKILL,
the run gets SIGTERM: it saves and ends. Imports no TensorFlow.
"""

import ctypes
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rethink_tf.errors import ExitCode
from rethink_tf.storage import files

ROOT = Path(__file__).resolve().parents[3]
_PR_SET_PDEATHSIG = 1


def start(
    module: str,
    argv: Sequence[str],
    log: Path,
    *,
    cores: Sequence[int] = (),
    threads: int = 0,
    gpu: str | None = None,
    folder: str | None = None,
) -> subprocess.Popen:
    """Starts a run; to be called from a thread that lives as long as the run should.

    Args:
        module: what is run, such as rethink_tf.main.
        argv: its flags.
        log: file that takes its output, anew.
        cores: that it may use; none for all that this process may use.
        threads: of arithmetic outside of TensorFlow; 0 for as many as the library chooses.
        gpu: what CUDA_VISIBLE_DEVICES becomes; None leaves it as it is.
        folder: where it runs; None for where this process does.

    Raises:
        StorageError: the log cannot be written.
    """
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    env = os.environ | {"PYTHONPATH": path, "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    if threads:
        env["OMP_NUM_THREADS"] = str(threads)
    if gpu is not None:
        env["CUDA_VISIBLE_DEVICES"] = gpu
    numbers = ",".join(map(str, cores)) or "-"
    command = [
        sys.executable,
        "-m",
        "rethink_tf.experiments.sweep.process",
        str(os.getpid()),
        numbers,
        module,
        *argv,
    ]
    with files.storage(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        out = open(log, "wb")
    with out:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=folder
        )


def _end_with(parent: int) -> None:
    """SIGTERM to this process when its parent dies; ends it where that has happened already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(ExitCode.TERMINATED)


def main(argv: list[str]) -> None:
    """Becomes the run; the rest is the module's own."""
    parent, cores, module, *rest = argv
    _end_with(int(parent))
    if cores != "-" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, map(int, cores.split(",")))
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])

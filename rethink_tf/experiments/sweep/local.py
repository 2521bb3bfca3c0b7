"""Runs at the same time on this machine: each slot has its own cores and, if there are any, a GPU.

Imports no TensorFlow.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from rethink_tf.console import counted
from rethink_tf.experiments.sweep import process as child

PATIENCE = 20.0  # seconds that a run gets to save after a signal; it needs two


def visible_gpus() -> list[str]:
    """The GPUs of this machine as CUDA_VISIBLE_DEVICES names them, found without TensorFlow."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [word for word in named.split(",") if word.strip() and word != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout
    count = sum(line.startswith("GPU ") for line in listed.splitlines())
    return [str(number) for number in range(count)]


def share_out(cores: Sequence[int], slots: int) -> list[list[int]]:
    """The cores of each slot: equal shares, or one each, taken in turns where they are too few."""
    count = len(cores)
    if slots > count:
        return [[cores[slot % count]] for slot in range(slots)]
    return [list(cores[s * count // slots : (s + 1) * count // slots]) for s in range(slots)]


def default_slots(cores: int, gpus: int) -> int:
    """One a GPU; without GPUs one for two cores."""
    return gpus or max(1, cores // 2)


class Slots:
    """Starts runs as subprocesses; see `scheduler` for what an executor is."""

    queues = False

    def __init__(self, count: int, threads: int, gpus: Sequence[str] = ()):
        """See `sweep` for the flags: number of slots, threads of each run (0: its cores)."""
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self.cores = share_out(cores, count) if cores else [[] for _ in range(count)]
        self.threads = threads or max(1, len(self.cores[0]))
        self.gpus = [gpus[slot % len(gpus)] if gpus else None for slot in range(count)]
        self.running: dict[int, tuple] = {}
        runs = count / len(gpus) if gpus else 0
        share = f", {runs:g} run{'s'[: runs != 1]} a GPU" if gpus else ""
        self.description = f"{counted(count, 'slot')} of {counted(self.threads, 'thread')}{share}"
        self.count = count

    def free(self) -> int:
        """How many more runs can be started now."""
        return self.count - len(self.running)

    def start(self, job, argv: Sequence[str], threads: int, log: Path) -> None:
        """Starts a run in a free slot."""
        slot = min(set(range(self.count)) - set(self.running))
        module, *asked = job.plan.command
        process = child.start(
            module,
            [*asked, *argv],
            log,
            cores=self.cores[slot],
            threads=threads,
            gpu=self.gpus[slot],
        )
        self.running[slot] = job, process

    def poll(self) -> list[tuple]:
        """(job, exit code) of each run that has ended since; below 0: killed by that signal."""
        ended = [(slot, job, process.poll()) for slot, (job, process) in self.running.items()]
        ended = [entry for entry in ended if entry[2] is not None]
        for slot, _, _ in ended:
            del self.running[slot]
        return [(job, code) for _, job, code in ended]

    def stop(self, signum: int) -> None:
        """Signals all runs and waits until they have saved and ended."""
        processes = [process for _, process in self.running.values()]
        for process in processes:
            process.send_signal(signum)
        until = time.monotonic() + PATIENCE
        for process in processes:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
        self.running.clear()

    def pid(self, job) -> int | None:
        """The process of a running job."""
        return next((p.pid for other, p in self.running.values() if other is job), None)

    def close(self) -> None:
        """Nothing is kept."""

"""The processes of one run: who they are, and what they must agree on.

Most runs have one process. In a multi-worker run the first is the chief: it alone writes. It
decides whether to train, from which checkpoint, and how many steps a dispatch has. It sends this to
the others through collectives, so they need no common file system.

Imports TensorFlow only inside functions.
"""

import dataclasses
import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from rethink_tf.errors import ExitCode, RequestError, RethinkError

_WORD = 8  # bytes; int64 is the only integer that every collective takes on every device


class WorkerLostError(RethinkError):
    """Another process of the run is gone; what the chief has saved stays."""

    exit_code = ExitCode.TERMINATED


class ToldError(RethinkError):
    """The error that ended the chief, as the chief reported it."""

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = ExitCode(exit_code)


class Workers:
    """This process among all of a run.

    Args:
        strategy: a MultiWorkerMirroredStrategy; None for a run of one process.

    Attributes:
        rank: of this process, from 0.
        count: of all processes.
    """

    def __init__(self, strategy: Any = None) -> None:
        self.strategy, self.rank, self.count = strategy, 0, 1
        if strategy is not None:
            resolver = strategy.cluster_resolver
            # The number of a worker, since clusters have no other tasks (`cluster`).
            self.rank = resolver.task_id
            self.count = len(resolver.cluster_spec().as_dict()["worker"])

    @property
    def chief(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def gather(self, value: int) -> list[int]:
        """One number of each process, by rank; every process must call it."""
        if self.count == 1:
            return [value]
        own = np.where(np.arange(self.count) == self.rank, value, 0)
        return [int(v) for v in self._sum(own)]

    def smallest(self, value: int | None) -> int | None:
        """The smallest of all processes' numbers from 0 that are not None; all must call it."""
        numbers = [own for own in self.gather(-1 if value is None else value) if own >= 0]
        return min(numbers, default=None)

    def first_text(self, text: str | None) -> str | None:
        """The text of the first process that has one; every process must call it and gets it."""
        if self.count == 1:
            return text
        content = b"" if text is None else text.encode()
        lengths = self.gather(len(content))
        rank = next((r for r, length in enumerate(lengths) if length), None)
        if rank is None:
            return None
        words = np.zeros(-(-lengths[rank] // _WORD), np.int64)
        if rank == self.rank:
            words = np.frombuffer(content.ljust(len(words) * _WORD, b"\0"), np.int64)
        return self._sum(words).tobytes()[: lengths[rank]].decode()

    def ask_chief(self, answer: Callable[[], bytes]) -> bytes:
        """Calls `answer` on the chief, returns its result on all processes; all must call it.

        Raises:
            RethinkError: the chief's `answer` raised it; all processes end with its code.
        """
        if self.count == 1:
            return answer()
        content, failure = b"", None
        if self.chief:
            try:
                content = b"\0" + answer()
            except RethinkError as error:
                failure = error
                content = b"\1" + json.dumps([str(error), int(error.exit_code)]).encode()
        length = self.gather(len(content))[0]
        words = np.zeros(-(-length // _WORD), np.int64)
        if self.chief:
            words = np.frombuffer(content.ljust(len(words) * _WORD, b"\0"), np.int64)
        content = self._sum(words).tobytes()[:length]
        if failure is not None:
            raise failure
        if content[:1] == b"\1":
            raise ToldError(*json.loads(content[1:]))
        return content[1:]

    def _sum(self, values: np.ndarray) -> np.ndarray:
        """The elementwise sum of int64 [n] over all processes."""
        import tensorflow as tf

        if not hasattr(self, "_summed"):

            def on_replica(own: Any) -> Any:
                context = tf.distribute.get_replica_context()
                replica = int(tf.get_static_value(context.replica_id_in_sync_group))
                local = replica % len(self.strategy.extended.worker_devices)
                # Each process counts once. identity: a collective does not accept an argument.
                own = tf.identity(own) if local == 0 else tf.zeros_like(own)
                return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

            def on_all(own: Any) -> Any:
                return self.strategy.run(on_replica, args=(own,))

            signature = [tf.TensorSpec([None], tf.int64)]
            self._summed = tf.function(on_all, input_signature=signature)
        total = self._summed(tf.constant(values, tf.int64))
        return self.strategy.experimental_local_results(total)[0].numpy()


@dataclasses.dataclass(frozen=True)
class Started:
    """TensorFlow as it runs: its threads, the strategy, and the processes of the run."""

    threads: int
    strategy: Any
    workers: Workers


def cluster() -> dict:
    """The cluster of a multi-worker run as TF_CONFIG has it, from TF_CONFIG or from Slurm.

    Raises:
        RequestError: neither is there, or it cannot be read.
    """
    text = os.environ.get("TF_CONFIG")
    if text is None:
        if "SLURM_PROCID" in os.environ and "SLURM_STEP_NODELIST" in os.environ:
            return _from_slurm()
        raise RequestError(
            "--strategy=multi_worker: expected TF_CONFIG, or Slurm's environment as srun sets it; "
            "found neither; scripts/multi_worker.sh shows how"
        )
    try:
        described = json.loads(text)
        addresses, task = described["cluster"]["worker"], described["task"]
        known = task["type"] == "worker" and 0 <= task["index"] < len(addresses)
        known = known and all(isinstance(a, str) and ":" in a for a in addresses)
    except (ValueError, KeyError, TypeError):
        known = False
    if not known or set(described["cluster"]) != {"worker"}:
        raise RequestError(
            'TF_CONFIG: expected {"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": '
            f'"worker", "index": 0}}}}, received {text[:200]}'
        )
    return described


def _from_slurm() -> dict:
    """TensorFlow's reading of Slurm's environment; a port of the job's own."""
    import shutil

    import tensorflow as tf

    job = int(os.environ.get("SLURM_JOB_ID", "0"))
    settings = {"port_base": 20_000 + job % 20_000}
    if not (shutil.which("nvidia-smi") or "CUDA_VISIBLE_DEVICES" in os.environ):
        # Without these settings the resolver runs nvidia-smi, or fails on zero GPUs.
        settings |= {"gpus_per_node": 4096, "gpus_per_task": 1, "auto_set_gpu": False}
    try:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(**settings)
        spec = resolver.cluster_spec().as_dict()
        kind, index = resolver.get_task_info()
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        raise RequestError(f"--strategy=multi_worker: Slurm's environment: {error}") from None
    return {"cluster": spec, "task": {"type": kind, "index": index}}

"""A model's variables on its replicas: averaging, and exact saving and restoring."""

from typing import Any

import numpy as np
import tensorflow as tf


class ReplicaVariables:
    """Everything that training changes, on any number of replicas.

    Args:
        strategy: a tf.distribute strategy.
        weights: equal on all replicas at every step.
        slots: the optimiser's state by the name that a checkpoint gives it, equal as the weights.
        local: batch-norm statistics and seed states, which each replica changes by itself.
        sums: accumulators of the epoch, one part on each replica.
    """

    def __init__(
        self, strategy: Any, *, weights: Any, slots: dict[str, Any], local: Any, sums: Any
    ) -> None:
        self.strategy, self.equal = strategy, {"weight": weights, **slots}
        self.local, self.sums = local, sums
        # Without AutoGraph, as in the training steps.
        self._average = tf.function(self._average_statistics, autograph=False)
        self._rows = tf.function(self._gather_rows, autograph=False)
        self._restore_rows = tf.function(self._assign_rows, autograph=False)

    def sync(self) -> None:
        """Averages the batch-norm statistics over the replicas, so that they are equal on all."""
        if self.strategy.num_replicas_in_sync > 1:
            self._average()

    def _average_statistics(self) -> None:
        def average() -> None:
            context = tf.distribute.get_replica_context()
            for v in self.local:
                if v.dtype.is_floating:
                    # identity: across several hosts a collective does not accept a variable.
                    v.assign(context.all_reduce(tf.distribute.ReduceOp.MEAN, tf.identity(v)))

        self.strategy.run(average)

    def state(self) -> dict[str, np.ndarray]:
        """Everything that training changes, as arrays: exact on any number of replicas.

        Weights and slots are equal on all replicas; statistics, seed states and the sums of the
        epoch stand with one row per replica.
        """
        arrays: dict[str, np.ndarray] = {}
        for name, variables in self.equal.items():
            arrays |= {f"{name}{i:04d}": v.numpy() for i, v in enumerate(variables)}
        for i, rows in enumerate(self._rows()):
            arrays[f"local{i:04d}"] = np.asarray(rows)
        return arrays

    def restore(self, arrays: dict[str, np.ndarray], without_last: bool = False) -> None:
        """Restores what `state` gave; `without_last`: its version lacked the last of the sums."""
        for name, variables in self.equal.items():
            for i, v in enumerate(variables):
                v.assign(arrays[f"{name}{i:04d}"])
        replicas = self.strategy.num_replicas_in_sync
        names = [f"local{i:04d}" for i in range(len(self._per_replica()))]
        rows = [arrays[name] for name in (names[:-1] if without_last else names)]
        if without_last:
            rows.append(np.zeros(len(rows[0]), np.int64))
        if len(rows[0]) != replicas:
            # Only with --resume=anyway: statistics are averaged, sums go to the first replica.
            rows = [
                _spread(row, replicas, total=i >= len(self.local)) for i, row in enumerate(rows)
            ]
        self._restore_rows([tf.constant(row) for row in rows])

    def _per_replica(self) -> Any:
        return [*self.local, *self.sums]

    def _gather_rows(self) -> Any:
        replicas = self.strategy.num_replicas_in_sync

        def read() -> Any:
            # Collectives do not support unsigned integers.
            wide = {tf.uint32: tf.int64}
            return [
                tf.cast(tf.identity(v), wide.get(v.dtype, v.dtype))[None]
                for v in self._per_replica()
            ]

        values = self.strategy.run(read)
        return values if replicas == 1 else [self.strategy.gather(v, axis=0) for v in values]

    def _assign_rows(self, rows: Any) -> None:
        def assign() -> None:
            context = tf.distribute.get_replica_context()
            replica = int(tf.get_static_value(context.replica_id_in_sync_group))
            for v, row in zip(self._per_replica(), rows, strict=True):
                v.assign(tf.cast(row[replica], v.dtype))

        self.strategy.run(assign)


def _spread(row: np.ndarray, replicas: int, total: bool) -> np.ndarray:
    """Rows of another number of replicas, for this one."""
    if total:
        first = row.sum(axis=0, keepdims=True, dtype=row.dtype)
        return np.concatenate([first, np.zeros((replicas - 1, *row.shape[1:]), row.dtype)])
    one = row.mean(axis=0, keepdims=True) if np.issubdtype(row.dtype, np.floating) else row[:1]
    return np.repeat(one.astype(row.dtype), replicas, axis=0)

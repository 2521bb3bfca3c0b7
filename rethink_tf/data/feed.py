"""Streamed batches for the replicas: what `Steps.place` gives for a streamed Table."""

import numpy as np
import tensorflow as tf

from rethink_tf.data.streaming import read


class Feed:
    """A streamed Table for a strategy: each replica gets its own rows of each batch.

    Args:
        strategy: a tf.distribute strategy.
        table: a pipeline.Table with StreamedImages.
        batch_size: global, of training.
        augment, seed: of training.
    """

    def __init__(self, strategy, table, *, batch_size: int, augment: str, seed: int):
        self.strategy, self.table, self.batch_size = strategy, table, batch_size
        self.drawn = {"augment": augment, "seed": seed}
        self.local: list[int] = []  # this host's replicas: only their rows are read here
        self._for_each(self.local.append)
        self.at: tuple[int, int] | None = None

    def _for_each(self, function):
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: function(context.replica_id_in_sync_group)
        )

    def training(self, epoch: int, order, step: int):
        """(images, index, given, files, sent) of a training step, for `Steps.own_rows`.

        The last two are those of `StreamedImages.sealed_batches`.

        Consecutive steps are read ahead; any step may be asked for.

        Args:
            epoch: from 1.
            order: integer array or tensor [N], the epoch's.
            step: from 0.
        """
        if self.at != (epoch, step):
            order = np.asarray(order)
            batches = np.split(order, range(self.batch_size, len(order), self.batch_size))[step:]
            replicas = self.strategy.num_replicas_in_sync
            cuts = [[r * len(b) // replicas for r in range(replicas + 1)] for b in batches]
            self.ahead = self._data(batches, cuts, epoch=epoch, **self.drawn)
        self.at = (epoch, step + 1)
        return next(self.ahead)

    def evaluation(self, positions: list[np.ndarray]):
        """(data, positions within them) of batches of equal parts for the replicas."""
        replicas = self.strategy.num_replicas_in_sync
        rows = [len(some) // replicas for some in positions]
        cuts = [[r * n for r in range(replicas + 1)] for n in rows]
        for n, data in zip(rows, self._data(positions, cuts), strict=True):
            yield data, np.tile(np.arange(n), replicas)

    def _data(self, batches, cuts, **drawn):
        """Data of each batch; replica r has its rows from `cuts[r]` to `cuts[r + 1]`."""
        first, last = min(self.local), max(self.local) + 1
        own = [b[c[first] : c[last]] for b, c in zip(batches, cuts, strict=True)]
        images = self.table.images
        dataset = None
        # All batches but the last have one size. The last may differ between replicas.
        for some in (own[:-1], own[-1:]):
            if some:
                part = images.sealed_batches(np.concatenate(some), len(some[0]), **drawn)
                dataset = part if dataset is None else dataset.concatenate(part)
        for rows, cut, batch in zip(own, cuts, read(dataset), strict=True):
            yield self._place(rows, batch, [c - cut[first] for c in cut])

    def _place(self, rows, batch, cut):
        images, *words = batch
        given = self.table.given[rows].astype(np.int64)
        columns = (images, self.table.index[rows], given, *words)
        devices = self.strategy.extended.worker_devices

        def on(replica, array):
            with tf.device(devices[replica % len(devices)]):
                low, high = cut[replica], cut[replica + 1]
                # Even a slice of the whole array would be a copy.
                return tf.identity(array if high - low == len(array) else array[low:high])

        return tuple(
            self._for_each(lambda replica, array=array: on(replica, array)) for array in columns
        )

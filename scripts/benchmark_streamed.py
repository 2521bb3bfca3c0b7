"""The same steps fed by a tf.data pipeline instead of the resident table, for benchmark.py."""

import tensorflow as tf

from rethink_tf.data import pipeline, types
from rethink_tf.training.train_step import Steps

SHUFFLED, PREFETCHED = 10_000, 2


class StreamedSteps(Steps):
    """Steps whose batches come from the host, shuffled there, one example at a time.

    The order is tf.data's, not the run's: this class measures and trains nothing that counts.
    """

    def place(self, table: types.Table):
        """An endless iterator of batches (images, index, given) in place of resident tensors."""
        arrays = (table.images, table.index, table.given.astype("int64"))
        dataset = tf.data.Dataset.from_tensor_slices(arrays).shuffle(SHUFFLED, seed=self.seed)
        dataset = dataset.repeat().batch(self.batch_size, drop_remainder=True).prefetch(PREFETCHED)
        options = tf.data.Options()
        options.autotune.enabled = False  # its thread stretches what is measured
        return iter(dataset.with_options(options))

    def own_rows(self, data, order, step, rows, epoch, every_word=False):
        """The next batch; see `Steps.own_rows`."""
        images, index, given = next(data)
        seen = pipeline.augmented(
            images,
            index,
            augment=self.augment,
            size=self.input_size,
            seed=self.seed,
            epoch=epoch,
        )
        return seen, index, given, tf.zeros([], tf.int64)

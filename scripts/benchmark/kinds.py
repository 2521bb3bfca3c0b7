"""Kinds of steps that measure what something costs. They train nothing that counts."""

import tensorflow as tf

from rethink_tf.data import pipeline
from rethink_tf.training.train_step import Steps

SHUFFLED, PREFETCHED = 10_000, 2


class UnsealedSteps(Steps):
    """Steps that take no words of images and show nothing of what the model gets."""

    def _shown_rows(self) -> int:
        return 0

    def words_of(self, images, index, step, every_word=False, less=None):
        """Nothing; see `Steps.words_of`."""
        return tf.zeros([], tf.int64)


class StreamedSteps(Steps):
    """Steps whose batches come from the host, shuffled there, in an order of tf.data's own."""

    def place(self, table):
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
        drawn = {"augment": self.augment, "size": self.input_size, "seed": self.seed}
        seen = pipeline.augmented(images, index, epoch=epoch, **drawn)
        return seen, index, given, tf.zeros([], tf.int64)

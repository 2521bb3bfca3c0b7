"""The same steps without the seals of images and without the probe, for benchmark.py."""

import tensorflow as tf

from rethink_tf.training.train_step import Steps


class UnsealedSteps(Steps):
    """Steps that take no words of images and show nothing of what the model gets.

    This class measures what the seals cost, and trains nothing that counts.
    """

    def _shown_rows(self) -> int:
        return 0

    def words_of(self, images, index, step, every_word=False, less=None):
        """Nothing; see `Steps.words_of`."""
        return tf.zeros([], tf.int64)

"""Data sets, and how they become corrupted tf.data."""

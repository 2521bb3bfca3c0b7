"""Label and pixel corruptions: pure functions of (seed, split, example index)."""

from rethink_tf.corruptions.labels import corrupt_labels

__all__ = ["corrupt_labels"]

"""Memorisation scores of every training example: rethink-tf memorisation"""

from rethink_tf.experiments.studies.memorisation import LINE, main

__all__ = ["LINE", "main"]

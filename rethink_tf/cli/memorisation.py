"""Memorisation scores of every training example: rethink-tf memorisation"""

from rethink_tf.experiments.studies.memorisation import main

__all__ = ["main"]

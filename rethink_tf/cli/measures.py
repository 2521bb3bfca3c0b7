"""Norms, margins and sharpness of finished runs: rethink-tf measures RUN [RUN ...]"""

from rethink_tf.experiments.studies.measures import main

__all__ = ["main"]

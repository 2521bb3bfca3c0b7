"""Equation 1, random signs: rethink-tf rademacher --model=mlp_1x512"""

from rethink_tf.experiments.studies.rademacher import main

__all__ = ["main"]

"""Theorem 1 on real images: rethink-tf expressivity --dataset=cifar10"""

from rethink_tf.experiments.studies.expressivity import main

__all__ = ["main"]

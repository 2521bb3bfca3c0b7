"""Kernel interpolation (Table 3): rethink-tf kernels --dataset=mnist"""

from rethink_tf.experiments.kernels.task import main

__all__ = ["main"]

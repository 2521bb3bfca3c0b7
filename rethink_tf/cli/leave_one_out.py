"""Exact leave-one-out of the kernel interpolant: rethink-tf leave-one-out"""

from rethink_tf.experiments.kernels.leave_one_out import main

__all__ = ["main"]

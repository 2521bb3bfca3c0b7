"""Exact leave-one-out of the kernel interpolant: rethink-tf leave-one-out"""

from rethink_tf.experiments.kernels.leave_one_out import LINE, main

__all__ = ["LINE", "main"]

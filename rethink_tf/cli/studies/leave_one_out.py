"""Exact leave-one-out of the kernel interpolant: rethink-tf leave-one-out"""

from rethink_tf.experiments.kernels.leave_one_out import LINE, carry_out


def main(argv: list[str]) -> int:
    """Runs one command line (without the program's name) and returns its exit code."""
    return LINE.run(argv, lambda parsed: carry_out(parsed, argv))

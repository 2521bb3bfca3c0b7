"""Kernel interpolation (Table 3): rethink-tf kernels --dataset=mnist"""

from rethink_tf.experiments.kernels.task import LINE, carry_out


def main(argv: list[str]) -> int:
    """Runs one command line (without the program's name) and returns its exit code."""
    return LINE.run(argv, lambda parsed: carry_out(parsed, argv))

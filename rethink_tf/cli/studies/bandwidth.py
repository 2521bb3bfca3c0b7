"""Chooses a kernel's bandwidth: rethink-tf bandwidth --dataset=cifar10"""

from rethink_tf.experiments.kernels.bandwidth import LINE, carry_out


def main(argv: list[str]) -> int:
    """Runs one command line (without the program's name) and returns its exit code."""
    return LINE.run(argv, lambda parsed: carry_out(parsed, argv))

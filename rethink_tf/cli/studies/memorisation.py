"""Memorisation scores of every training example: rethink-tf memorisation"""

from rethink_tf.experiments.studies.memorisation import LINE, carry_out


def main(argv: list[str]) -> int:
    """Runs one command line (without the program's name) and returns its exit code."""
    return LINE.run(argv, lambda parsed: carry_out(parsed, argv))

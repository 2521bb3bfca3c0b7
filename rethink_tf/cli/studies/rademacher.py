"""Equation 1, random signs: rethink-tf rademacher --model=mlp_1x512"""

from rethink_tf.config.flags import Options
from rethink_tf.experiments.studies.rademacher import STUDY

LINE = STUDY.line


def main(argv: list[str]) -> int:
    """Runs one command line (without the program's name) and returns its exit code."""
    return LINE.run(argv, lambda parsed: STUDY.carry_out(STUDY.plan(parsed), parsed[Options], argv))

"""The commands of this package, a line each: python -m rethink_tf

Imports no TensorFlow.
"""

import sys

from rethink_tf.console import say
from rethink_tf.errors import ExitCode, RequestError

COMMANDS = {
    "main": "trains one run, by its flags or by --flagfile=FILE",
    "sweep": "trains what is missing of tables and figures",
    "report": "tables and figures, the paper's numbers beside ours",
    "show": "pictures of a data set or of runs",
    "noise": "writes corrupted labels to a file, for other frameworks",
    "audit": "says what the labels of a file are",
    "randomisation_test": "trains anyone's model and data on true and on random labels",
    "tensorboard_sweep": "what TensorBoard shows of many runs together",
    "measures": "norms, margins and sharpness of finished runs",
    "rademacher": "how well a network fits random signs (equation 1)",
    "theory.kernels": "kernel interpolation (Table 3)",
    "theory.bandwidth": "chooses the width of a Gaussian kernel",
    "theory.expressivity": "a network of 2n + d weights fits any n labels (Theorem 1)",
    "theory.implicit": "SGD and the solution of least norm",
    "report.measured": "adds finished runs to the data that is shipped",
    "report.readme": "writes the README's tables of what is shipped",
}


def listing() -> str:
    """All commands."""
    width = max(map(len, COMMANDS))
    lines = [f"  rethink_tf.{name:<{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(["python -m COMMAND --help says more of each:", "", *lines])


def main(argv: list[str]) -> int:
    """Lists the commands; RequestError for any argument but --help."""
    others = [word for word in argv if word not in ("--help", "-h")]
    if others:
        name = others[0].removeprefix("rethink_tf.")
        known = f"type python -m rethink_tf.{name}" if name in COMMANDS else (
            "python -m rethink_tf lists the commands"
        )  # fmt: skip
        raise RequestError(f"expected no argument, received {others[0]}; {known}")
    say(listing())
    return ExitCode.DONE


if __name__ == "__main__":
    from rethink_tf.main import guarded

    sys.exit(guarded(main, sys.argv[1:]))

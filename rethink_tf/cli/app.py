"""All commands: `rethink-tf COMMAND ...`, which is `python -m rethink_tf COMMAND ...`.

An expected failure is one line on standard error and an exit code. Imports no TensorFlow; a
command's module is imported when it is asked for.
"""

import dataclasses
import difflib
import importlib
import signal
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

from rethink_tf import __version__, console
from rethink_tf.cli import leaving
from rethink_tf.errors import ExitCode, RequestError, RethinkError
from rethink_tf.storage import paths

PROGRAM = "rethink-tf"
# For commands that write nothing before their end.
NOTHING_KEPT = "interrupted; nothing is kept, the same command starts over"
# For those that write several files, each whole, or add to what is there.
WRITES_AGAIN = "interrupted; some files may not be written, the same command writes them all"
NOTHING_TRAINED = "interrupted before anything was trained"


@dataclasses.dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        summary: what it does, in a line.
        module: where its `main(argv)` is.
        stopped: printed where Ctrl-C ends it.
    """

    summary: str
    module: str
    stopped: str = NOTHING_TRAINED


_CLI = "rethink_tf.cli"
GROUPS: dict[str, dict[str, Command]] = {
    "Train": {
        "train": Command("trains one run, by its flags or by --flagfile=FILE", "rethink_tf.main"),
        "sweep": Command("trains the missing runs of tables and figures", f"{_CLI}.sweep"),
        "randomisation-test": Command(
            "tests your own model on true and on random labels", f"{_CLI}.randomisation_test"
        ),
    },
    "Look at runs": {
        "report": Command(
            "writes tables and figures, the paper's and ours", f"{_CLI}.report", WRITES_AGAIN
        ),
        "show": Command(
            "draws examples of a data set, or curves of runs", f"{_CLI}.show", NOTHING_KEPT
        ),
        "tensorboard": Command(
            "writes TensorBoard views of many runs", f"{_CLI}.tensorboard", WRITES_AGAIN
        ),
        "measures": Command(
            "measures norms, margins and sharpness of finished runs",
            f"{_CLI}.studies.measures",
            NOTHING_KEPT,
        ),
        "corrupted-test": Command(
            "measures the error of runs on corrupted test labels",
            f"{_CLI}.corrupted_test",
            WRITES_AGAIN,
        ),
        "examples": Command(
            "ranks the training examples of a run", f"{_CLI}.examples", NOTHING_KEPT
        ),
        "bound": Command(
            "bounds the test error of a run by how far it fits label noise",
            f"{_CLI}.bound",
            NOTHING_KEPT,
        ),
    },
    "Memorisation": {
        "memorisation": Command(
            "scores how far many networks memorise each example", f"{_CLI}.studies.memorisation"
        ),
    },
    "Labels": {
        "audit": Command("names the label noise in a file", f"{_CLI}.audit", NOTHING_KEPT),
        "noise": Command(
            "writes corrupted labels to a file, for other frameworks",
            f"{_CLI}.noise",
            NOTHING_KEPT,
        ),
    },
    "Theory": {
        "kernels": Command("kernel interpolation (Table 3)", f"{_CLI}.studies.kernels"),
        "bandwidth": Command(
            "chooses the width of a Gaussian kernel", f"{_CLI}.studies.bandwidth", NOTHING_KEPT
        ),
        "leave-one-out": Command(
            "predicts each example with a kernel fitted without it",
            f"{_CLI}.studies.leave_one_out",
        ),
        "expressivity": Command(
            "a network of 2n + d weights fits any n labels (Theorem 1)",
            f"{_CLI}.studies.expressivity",
            NOTHING_KEPT,
        ),
        "implicit": Command(
            "SGD and the solution of least norm", f"{_CLI}.studies.implicit", NOTHING_KEPT
        ),
        "rademacher": Command(
            "how well a network fits random signs (equation 1)",
            f"{_CLI}.studies.rademacher",
            NOTHING_KEPT,
        ),
    },
    "Maintain this project": {
        "ship": Command("adds finished runs to the shipped results", f"{_CLI}.ship", WRITES_AGAIN),
        "readme-tables": Command(
            "writes the README's tables from shipped runs", f"{_CLI}.readme_tables", NOTHING_KEPT
        ),
    },
}
COMMANDS: dict[str, Command] = {
    name: command for group in GROUPS.values() for name, command in group.items()
}


def _terminated(*_):
    raise SystemExit(ExitCode.TERMINATED)


def guarded(
    command: Callable[[list[str]], int], argv: list[str], stopped: str = NOTHING_TRAINED
) -> int:
    """Runs a command so that an expected failure is one line on stderr and its exit code.

    Args:
        command: takes `argv` and returns the exit code.
        argv: arguments without the program's name.
        stopped: printed where Ctrl-C ends it, unless the KeyboardInterrupt itself says it.

    Returns:
        The exit code. While the command runs, SIGTERM ends it by SystemExit; afterwards the
        handler of before is back.
    """
    main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _terminated) if main_thread else None
    try:
        with paths.from_here():
            return int(command(argv))
    except RethinkError as error:
        console.warn(" ".join(str(error).splitlines()))
        return int(error.exit_code)
    except KeyboardInterrupt as error:
        console.warn(str(error) or stopped)
        return int(ExitCode.INTERRUPTED)
    except (Exception, SystemExit):  # a bug, with its traceback; the end after SIGTERM
        raise
    except BaseException as error:  # of code that is not this package's
        from rethink_tf.models.custom import user_code  # brings NumPy, which --help needs not

        console.warn(f"ended by {user_code.described(error)}, which is not an Exception")
        return int(ExitCode.BUG)
    finally:
        if main_thread:  # None: it was not installed from Python, and cannot be put back
            signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def listing() -> str:
    """All commands by group, a line each."""
    width = max(map(len, COMMANDS))
    lines = [f"{PROGRAM} COMMAND [--name=value ...]   {PROGRAM} COMMAND --help explains one"]
    for group, commands in GROUPS.items():
        lines += ["", f"{group}:"]
        lines += [f"  {name:<{width}}  {one.summary}" for name, one in commands.items()]
    return "\n".join(lines)


def command_named(word: str) -> Command:
    """The command of a name, written with `-` or `_`; RequestError with the nearest otherwise."""
    name = word.replace("_", "-")
    if name in COMMANDS:
        return COMMANDS[name]
    near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else f"{PROGRAM} lists them"
    if word.startswith("-"):
        hint = f"to train a run, type {PROGRAM} train {word:.60}"
    raise RequestError(f"expected a command, received {word:.60}; {hint}")


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ("--help", "-h", "help"):
        console.say(listing())
        return ExitCode.DONE
    if argv[0] == "--version":
        console.say(f"rethink_tf {__version__}")
        return ExitCode.DONE
    command = command_named(argv[0])
    main = importlib.import_module(command.module).main
    return main(argv[1:])


def main(argv: list[str] | None = None) -> int:
    """Runs one command line and returns its exit code.

    Args:
        argv: the command's name and its arguments; None for those of the process.
    """
    argv = sys.argv[1:] if argv is None else argv
    command = COMMANDS.get(argv[0].replace("_", "-")) if argv else None
    return guarded(_dispatch, argv, command.stopped if command else NOTHING_TRAINED)


def entry(argv: list[str] | None = None) -> NoReturn:
    """The console script: runs a command line as `main` does and ends the process with its code.

    A thread that a user's module has started does not keep the process alive.
    """
    leaving.leave(lambda: main(argv))

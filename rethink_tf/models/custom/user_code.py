"""Runs the user's code and reports any exception in one line that names its place.

Imports no TensorFlow.
"""

import contextlib
import os
import sysconfig
import traceback

import rethink_tf
from rethink_tf.errors import ExitCode, RequestError, RethinkError
from rethink_tf.models.custom.keras_file import first_line

PACKAGE = os.path.realpath(os.path.dirname(rethink_tf.__file__))
_LIBRARIES = tuple(
    os.path.realpath(path) + os.sep
    for path in {sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib")}
)


@contextlib.contextmanager
def reported(beginning: str, path: str | None = None):
    """Turns what the block raises into a RequestError of one line.

    Ctrl-C, SIGTERM and the errors of this package pass.

    Args:
        beginning: of the line.
        path: source file of the user's module, whose line is named.
    """
    try:
        yield
    except (RethinkError, KeyboardInterrupt):
        raise
    except BaseException as error:  # user code may raise anything, SystemExit included
        if isinstance(error, SystemExit) and isinstance(error.code, ExitCode):
            raise  # raised by a signal
        raise RequestError(f"{beginning}{described(error, path)}") from None


def described(error: BaseException, path: str | None = None) -> str:
    """An error in one line: its kind, the user's line that raised it, what it says.

    Args:
        error: with its traceback.
        path: source file of the user's module; lines of what it imports from its folder count too.
    """
    place = _place(error, path) if path else ""
    kind = type(error).__name__
    text = first_line(error)
    return f"{kind}{place}" if text == kind else f"{kind}{place}: {text}"


def _place(error: BaseException, path: str) -> str:
    """The innermost line of the user's own; files are compared by their real paths."""
    own, folder = os.path.realpath(path), os.path.dirname(os.path.realpath(path)) + os.sep
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.startswith("<"):  # <frozen importlib>: as a path it is below every folder
            continue
        real = os.path.realpath(frame.filename)
        ours = real.startswith((PACKAGE + os.sep, *_LIBRARIES))
        if real == own or (real.startswith(folder) and not ours):
            return f" at line {frame.lineno} of {frame.filename}"
    return ""

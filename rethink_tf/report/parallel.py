"""The same function over many values, on all cores of the machine."""

import concurrent.futures
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from rethink_tf import environment

_Value = TypeVar("_Value")
_Result = TypeVar("_Result")
# Function and values that a forked process inherits, so that they are not pickled.
_inherited: Any = None


def mapped(
    function: Callable[[_Value], _Result], values: Sequence[_Value], *, at_least: int = 2
) -> Iterator[_Result]:
    """The results of a function for every value, in order.

    Args:
        function: must change nothing outside of it. Results are sent between processes by pickle.
        values: inherited by the processes, so they may be anything.
        at_least: how many values are worth other processes.
    """
    global _inherited
    workers = min(environment.cores(), len(values))
    if len(values) < at_least or workers < 2 or not _may_fork():
        yield from map(function, values)
        return
    _inherited = function, values
    pool = concurrent.futures.ProcessPoolExecutor(
        workers, multiprocessing.get_context("fork"), initializer=_leave_signals
    )
    try:
        chunk = max(1, len(values) // (8 * workers))
        yield from pool.map(_result, range(len(values)), chunksize=chunk)
    finally:
        pool.shutdown(cancel_futures=True)
        _inherited = None


def _may_fork() -> bool:
    """Whether a fork of this process works: TensorFlow has threads, which do not survive one."""
    return "tensorflow" not in sys.modules


def _leave_signals() -> None:
    """Ctrl-C reaches all processes; the first one ends the others."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)


def _result(place: int) -> Any:
    function, values = _inherited
    return function(values[place])

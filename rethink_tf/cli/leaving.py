"""Ends the process, even if a user's module left threads or child processes running.

Imports no TensorFlow.
"""

import atexit
import concurrent.futures.thread
import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

from rethink_tf import console
from rethink_tf.errors import ExitCode

PATIENCE = 10.0  # seconds for the work at the end of the process


def leave(command: Callable[[], int]) -> NoReturn:
    """Runs a command and ends the process with its exit code.

    Python waits at its end for threads and child processes that are no daemons. Those that are
    left when the command is done belong to nobody that waits for them: they are named and ended.

    Args:
        command: returns the exit code.
    """
    code: object
    try:
        code = command()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = ExitCode.BUG
    code = code if isinstance(code, int) else 0 if code is None else 1
    threads, children = left_over()
    if not (threads or children):
        sys.exit(int(code))
    pools = set(concurrent.futures.thread._threads_queues)
    for thread in [thread for thread in threads if thread not in pools]:
        console.warn(f"thread {thread.name} still runs; it is ended with the process")
    for child in children:
        console.warn(f"child process {child.pid} still runs; it is ended with the process")
        child.kill()
    ending = threading.Thread(target=atexit._run_exitfuncs, daemon=True)
    ending.start()
    ending.join(PATIENCE)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(int(code))


def left_over() -> tuple[list[threading.Thread], list]:
    """The threads and the child processes of `multiprocessing` that Python would wait for."""
    main = threading.main_thread()
    threads = [t for t in threading.enumerate() if t is not main and not t.daemon]
    module = sys.modules.get("multiprocessing")
    children = [c for c in module.active_children() if not c.daemon] if module else []
    return threads, children

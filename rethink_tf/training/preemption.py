"""SIGINT and SIGTERM while a run trains: save where it stands, print how to resume, stop.

The training loop asks between dispatches. If it does not answer within two
seconds, inside native code, a thread ends the process: only the work since the last checkpoint is
lost. Before the first step (loading, compiling) nothing can be lost, and it ends at once.
Imports no TensorFlow.
"""

import os
import signal
import sys
import threading
from typing import Any

from rethink_tf import console
from rethink_tf.errors import ExitCode, RethinkError

GRACE_SECONDS = 1.5  # leaves half a second of the promised two for a busy machine
BEFORE_THE_FIRST_STEP = " before its first step; the same command starts again"
_CODES: dict[int, ExitCode] = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
}


class StoppedError(RethinkError):
    """The run was stopped by a signal; its state is saved."""

    def __init__(self, message: str, signum: int):
        super().__init__(message)
        self.exit_code = _CODES[signum]


class Stop:
    """Whether a signal asked this run to stop; use as a context manager round the run.

    Does nothing outside of the main thread, where Python delivers no signals. In a notebook the
    process is never ended: before the first step the signal raises StoppedError.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._in_notebook = console.in_notebook()
        self._answered = threading.Event()
        self._grace = 0.0

    @property
    def requested(self) -> bool:
        """True from the first signal on."""
        return self.signum is not None

    def trained(self) -> None:
        """To be called when there is something to save. The loop then gets time to save it."""
        self._grace = GRACE_SECONDS

    def answered(self) -> None:
        """To be called when the loop has started to save: the thread then waits for it."""
        self._answered.set()

    def __enter__(self) -> Any:
        self.active = threading.current_thread() is threading.main_thread()
        if self.active:
            # A copy, since standard error is redirected while TensorFlow starts.
            self._stderr = os.dup(2)
            self._read, self._write = os.pipe()
            os.set_blocking(self._write, False)
            # A Python handler runs only between bytecodes, but this pipe is written at once.
            self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
            self._before = {s: signal.getsignal(s) for s in _CODES}
            self.listen()
            self._watcher = threading.Thread(target=self._watch, daemon=True)
            self._watcher.start()
        return self

    def listen(self) -> None:
        """Installs the signal handlers, again if TensorFlow's cluster replaced them."""
        if self.active:
            for signum in _CODES:
                signal.signal(signum, self._note)

    def _note(self, signum: Any, _frame: Any) -> None:
        self.signum = self.signum or signum
        if self._in_notebook and not self._grace:
            raise StoppedError(f"stopped{BEFORE_THE_FIRST_STEP}", signum)

    def _watch(self) -> None:
        while True:
            received = os.read(self._read, 1)
            if not received:
                return
            if received[0] in _CODES:
                break
        grace = self._grace
        if not self._in_notebook and not self._answered.wait(grace):
            how = "; the same command resumes from the last checkpoint"
            line = "rethink_tf: stopped" + (how if grace else BEFORE_THE_FIRST_STEP)
            # Raw writes, since the main thread may hold the lock of a stream.
            os.write(self._stderr, f"{line}\n".encode())
            os._exit(_CODES[signal.Signals(received[0])])

    def __exit__(self, *_: Any) -> None:
        if self.active:
            self._answered.set()
            signal.set_wakeup_fd(self._wakeup)
            for signum, handler in self._before.items():
                signal.signal(signum, handler)
            os.close(self._write)
            self._watcher.join()
            os.close(self._read)
            os.close(self._stderr)
        sys.stderr.flush()

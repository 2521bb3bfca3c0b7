"""SIGINT and SIGTERM while a run trains: save where it stands, say how to go on, stop.

The training loop asks between dispatches. A thread sees to it that the answer comes within two
seconds even where the process is inside native code, such as a compilation: nothing is lost then
but the work since the last checkpoint. Imports no TensorFlow.
"""

import os
import signal
import sys
import threading

from rethink_tf.errors import ExitCode, RethinkError

GRACE_SECONDS = 1.7
_CODES = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}


class StoppedError(RethinkError):
    """The run was stopped by a signal; what it had is saved."""

    def __init__(self, message: str, signum: int):
        super().__init__(message)
        self.exit_code = _CODES[signum]


class Stop:
    """Whether a signal asked this run to stop; use as a context manager round the run.

    Does nothing outside of the main thread, where Python delivers no signals.
    """

    def __init__(self):
        self.signum: int | None = None
        self._answered = threading.Event()

    @property
    def requested(self) -> bool:
        """True from the first signal on."""
        return self.signum is not None

    def answered(self) -> None:
        """To be called when the loop has taken over: the thread then leaves it its time."""
        self._answered.set()

    def __enter__(self):
        self.active = threading.current_thread() is threading.main_thread()
        if self.active:
            self._read, self._write = os.pipe()
            os.set_blocking(self._write, False)
            # Python's own handler runs only between bytecodes; the pipe is written at once.
            self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
            self._before = {s: signal.getsignal(s) for s in _CODES}
            self.listen()
            self._watcher = threading.Thread(target=self._watch, daemon=True)
            self._watcher.start()
        return self

    def listen(self) -> None:
        """Takes the signals over, again where native code took them (TensorFlow's cluster does)."""
        if self.active:
            for signum in _CODES:
                signal.signal(signum, self._note)

    def _note(self, signum, _frame):
        self.signum = self.signum or signum

    def _watch(self):
        while True:
            received = os.read(self._read, 1)
            if not received:
                return
            if received[0] in _CODES:
                break
        if not self._answered.wait(GRACE_SECONDS):
            # Raw writes: the main thread may hold the lock of a stream.
            os.write(2, b"rethink_tf: stopped; the same command goes on from the last checkpoint\n")
            os._exit(_CODES[signal.Signals(received[0])])

    def __exit__(self, *_):
        if self.active:
            self._answered.set()
            signal.set_wakeup_fd(self._wakeup)
            for signum, handler in self._before.items():
                signal.signal(signum, handler)
            os.close(self._write)
            self._watcher.join()
            os.close(self._read)
        sys.stderr.flush()

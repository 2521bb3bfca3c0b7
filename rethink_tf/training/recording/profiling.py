"""A TensorBoard profiler trace of some dispatches of a run, taken once everything is compiled.

It only watches: no number of the run depends on it, and nothing reads the trace back.
"""

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from rethink_tf.runs import results
from rethink_tf.storage import files, paths

DISPATCHES = 3


class Profile:
    """Traces a few dispatches of one run, if a trace is wanted.

    Args:
        wanted: the folder of the trace, made here; empty for the run's own TensorBoard folder, None
            for no trace. The file lies below `plugins/profile` there.
        run_dir: of the run.
        say: takes the lines for the reader.

    Raises:
        StorageError: the folder cannot be made.
    """

    def __init__(self, wanted: str | None, run_dir: Path, say: Callable[[str], None]):
        self.folder = paths.absolute(wanted) if wanted else run_dir / results.TENSORBOARD
        self.say, self.left = say, 0 if wanted is None else DISPATCHES
        self.running = False
        self.first_epoch: int | None = None
        if wanted:
            with files.storage(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)

    def before_dispatch(self, epoch: int, last_epoch: int, dispatches: int) -> None:
        """Starts the trace in the second epoch of this process, when all is compiled.

        Args:
            epoch: the epoch under way.
            last_epoch: of the run; where it is this process's first, its first dispatch compiles.
            dispatches: done by this process in this epoch.
        """
        if self.first_epoch is None:
            self.first_epoch = epoch
        compiled = epoch > self.first_epoch or (epoch == last_epoch and dispatches > 0)
        if self.left and not self.running and compiled:
            try:
                tf.profiler.experimental.start(str(self.folder))
                self.running = True
            except (tf.errors.OpError, RuntimeError) as error:
                self._fail(error)

    def after_dispatch(self) -> None:
        """Counts a dispatch that is through; the last of them ends the trace."""
        if self.running:
            self.left -= 1
            if not self.left:
                self.stop()

    def stop(self) -> None:
        """Writes the trace, where one is being taken."""
        if not self.running:
            return
        self.running, self.left = False, 0
        try:
            tf.profiler.experimental.stop()
        except (tf.errors.OpError, RuntimeError) as error:
            self._fail(error)
            return
        self.say(
            f"profile: written below {self.folder}/plugins/profile; TensorBoard shows it with "
            f"pip install xprof: tensorboard --logdir {self.folder}"
        )

    def close(self) -> None:
        """At the end of the run: prints a line if there was nothing to trace."""
        self.stop()
        if self.left:
            self.left = 0
            self.say("profile: none taken: the run ended with its first dispatches, which compile")

    def _fail(self, error: Exception) -> None:
        """A trace that fails is no reason to lose the run."""
        self.left = 0
        self.say(f"profile: none taken: {str(error).splitlines()[0]}")

"""Callbacks of the training loop: console, files of the run, TensorBoard, profile, signals."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from rethink_tf import console
from rethink_tf.runs import checkpoint, results, schema
from rethink_tf.training.loop import Callback, Dispatch
from rethink_tf.training.preemption import Stop, StoppedError
from rethink_tf.training.recording import messages
from rethink_tf.training.recording.profiling import Profile
from rethink_tf.training.recording.tensorboard import TensorBoardLog
from rethink_tf.training.state import RunContext, TrainingState


class History(Callback):
    """Appends each epoch's line to history.jsonl; of several workers the chief does."""

    def __init__(self, context: RunContext, run_dir: Path):
        self.chief, self.run_dir = context.workers.chief, run_dir

    def on_epoch_end(self, state: TrainingState, last: bool) -> None:
        """See `Callback`."""
        if self.chief:
            state.history.append(results.append_history(self.run_dir, state.line))


class TensorBoard(Callback):
    """Writes each epoch's line as events."""

    def __init__(self, log: TensorBoardLog):
        self.log = log

    def on_epoch_end(self, state: TrainingState, last: bool) -> None:
        """See `Callback`."""
        self.log.write(state.line)


class Snapshots(Callback):
    """Keeps the weights after the epochs of --keep_epochs, with batch-norm statistics of these."""

    def __init__(self, context: RunContext, run_dir: Path, keep_epochs: tuple[int, ...]):
        self.context, self.run_dir, self.keep_epochs = context, run_dir, keep_epochs

    def on_epoch_end(self, state: TrainingState, last: bool) -> None:
        """See `Callback`."""
        if state.epoch not in self.keep_epochs:
            return
        if state.line["train_accuracy"] is None:
            # Between evaluations the batch-norm statistics are moving averages of each replica.
            self.context.evaluation.recalibrate()
            self.context.steps.variables.sync()
        if self.context.workers.chief:
            variables = enumerate(self.context.steps.model.variables)
            named = {f"{i:04d}/{v.path}": v.numpy() for i, v in variables}
            results.save_snapshot(self.run_dir, state.epoch, named)


class Checkpoints(Callback):
    """Saves everything after every so many epochs, and after the last.

    Args:
        context: of the run.
        run_dir: of the run.
        environment: what must not change between a checkpoint and its resume.
        every: epochs between checkpoints; 0 for none but the last and on a signal.

    Attributes:
        seconds: duration of each checkpoint of this process.
    """

    def __init__(
        self, context: RunContext, run_dir: Path, environment: schema.Environment, every: int
    ):
        self.context, self.run_dir = context, run_dir
        self.environment, self.every = environment, every
        self.seconds: list[float] = []

    def save(self, state: TrainingState) -> None:
        """Writes a checkpoint, at the end of an epoch or within one."""
        started = time.monotonic()
        header = state.header(self.context, self.environment)
        arrays = self.context.steps.variables.state() | state.record.arrays()
        if self.context.workers.chief:
            checkpoint.save(self.run_dir / results.CHECKPOINTS, header, arrays)
        self.seconds.append(time.monotonic() - started)

    def on_epoch_end(self, state: TrainingState, last: bool) -> None:
        """See `Callback`."""
        self.context.steps.variables.sync()
        if last or (self.every and state.epoch % self.every == 0):
            self.save(state)


class ProfileTrace(Callback):
    """Traces some dispatches for --profile."""

    def __init__(self, context: RunContext, profile: Profile):
        self.profile, self.last_epoch = profile, context.config.epochs

    def before_dispatch(self, state: TrainingState, number: int) -> None:
        """See `Callback`."""
        self.profile.before_dispatch(state.epoch + 1, self.last_epoch, number)

    def after_dispatch(self, state: TrainingState, dispatch: Dispatch) -> None:
        """See `Callback`."""
        self.profile.after_dispatch()

    def on_trained(self, state: TrainingState) -> None:
        """See `Callback`."""
        self.profile.stop()


class Console(Callback):
    """Prints the legend, the time of compiling, an estimate, a progress bar, a row per epoch.

    Args:
        context: of the run.
        say: takes the lines for the reader.
        xla: whether XLA compiles the steps.
        legend: whether the columns are explained.
    """

    def __init__(
        self, context: RunContext, say: Callable[[str], None], xla: bool, legend: bool = True
    ):
        self.context, self.say, self.xla, self.legend = context, say, xla, legend
        self.progress = messages.Progress(context.train.num_examples, context.config.epochs, say)
        self.columns = messages.columns(console.terminal_width() if say is console.say else None)
        # Printed with the first row, so that nothing comes between.
        self.titles = messages.header(self.columns) + "\n"
        self.estimated = False

    def on_begin(self, state: TrainingState) -> None:
        """See `Callback`."""
        if self.legend:
            self.say(messages.legend(self.columns))

    def before_dispatch(self, state: TrainingState, number: int) -> None:
        """See `Callback`."""
        if not state.compiled:
            self.progress.compiling()

    def after_dispatch(self, state: TrainingState, dispatch: Dispatch) -> None:
        """See `Callback`."""
        steps = self.context.steps
        if dispatch.compiled:
            self.progress.clear()
            self.say(messages.compiled(dispatch.seconds, self.xla))
        whole = self.context.train.num_examples // steps.batch_size
        if dispatch.number and not self.estimated and state.step <= whole:
            self._say_estimate(state, dispatch.seconds_per_step)
            self.estimated = True
        self.progress.update(state.epoch + 1, dispatch.running["seen"], dispatch.running)

    def on_trained(self, state: TrainingState) -> None:
        """See `Callback`."""
        self.progress.clear()

    def on_epoch_end(self, state: TrainingState, last: bool) -> None:
        """See `Callback`."""
        self.say(self.titles + messages.epoch_line(state.line, self.columns))
        self.titles = ""

    def _say_estimate(self, state: TrainingState, seconds_per_step: float) -> None:
        """The time of a run from one step's, with its evaluations of training and test set."""
        config, steps, test = self.context.config, self.context.steps, self.context.test
        left = config.epochs - state.epoch
        count = left * steps.steps_per_epoch
        if state.resumed:  # for a fresh run the time of the whole run is printed
            count -= state.step
        evaluations = math.ceil(left / config.eval_every)
        evaluated = self.context.train.num_examples + (test.num_examples if test else 0)
        seconds = messages.seconds_of(
            count, seconds_per_step, steps.batch_size, evaluations, evaluated
        )
        on_cpu = not tf.config.list_logical_devices("GPU")
        rate = steps.batch_size / seconds_per_step
        self.say(messages.estimate(seconds, rate, on_cpu, state.resumed))


class StopOnSignal(Callback):
    """Saves and ends the run if a signal came to any worker.

    Args:
        context: of the run.
        stop: in force.
        checkpoints: which save.
    """

    def __init__(self, context: RunContext, stop: Stop, checkpoints: Checkpoints):
        self.context, self.stop, self.checkpoints = context, stop, checkpoints

    def after_dispatch(self, state: TrainingState, dispatch: Dispatch) -> None:
        """See `Callback`."""
        self.stop.trained()

    def between(self, state: TrainingState) -> None:
        """See `Callback`; raises StoppedError."""
        signum = max(self.context.workers.gather(self.stop.signum or 0))
        if not signum:
            return
        self.stop.answered()
        self.checkpoints.save(state)
        raise StoppedError(
            f"stopped in epoch {state.epoch + 1} after step {state.step} of "
            f"{self.context.steps.steps_per_epoch}, saved; the same command resumes from there",
            signum,
        )

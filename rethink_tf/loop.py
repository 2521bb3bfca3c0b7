"""The epochs of a run: train, check, evaluate exactly, record, checkpoint, stop when asked."""

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from rethink_tf import audit, checkpoint, console, metrics, results
from rethink_tf.config import RunConfig, run_id
from rethink_tf.errors import StorageError
from rethink_tf.evaluation import Evaluation
from rethink_tf.per_example import Record
from rethink_tf.pipeline import Table
from rethink_tf.profiling import Profile
from rethink_tf.schedule import learning_rate
from rethink_tf.steps import Steps
from rethink_tf.stopping import Stop, StoppedError
from rethink_tf.tensorboard_log import TensorBoardLog
from rethink_tf.workers import Workers

DISPATCH_SECONDS = 0.4  # a dispatch is not interruptible; a signal is to be answered soon


@dataclasses.dataclass
class Session:
    """One run while it trains: what the epochs work on, and where they stand.

    Attributes:
        config, steps, train, test, run_dir, log, say, stop, workers: the parts.
        environment: what must not change between a checkpoint and its resume.
        checkpoint_every: epochs between checkpoints; 0 for none but on a signal.
        keep_epochs: after which a snapshot of the weights is kept.
        epoch: epochs completed.
        step: steps completed of the next epoch.
        compiled: whether this process has run its first step.
        estimated: whether the whole time was said.
        line: the last line of the history.
        history: its lines, as far as they are in the file.
        best: `metrics.best_so_far`.
        resumed: whether it goes on from a checkpoint.
        differed: where it went on in a changed environment, see `results`.
        record: per training example.
        profile: the trace of --profile.
        saving: seconds that each checkpoint of this process took.
    """

    config: RunConfig
    steps: Steps
    train: Table
    test: Table
    run_dir: Path
    log: TensorBoardLog
    say: Callable[[str], None]
    stop: Stop
    workers: Workers
    environment: dict[str, Any]
    checkpoint_every: int
    keep_epochs: tuple[int, ...]
    record: Record
    profile: Profile
    epoch: int = 0
    step: int = 0
    compiled: bool = False
    estimated: bool = False
    resumed: bool = False
    differed: list[str] = dataclasses.field(default_factory=list)
    line: dict[str, Any] = dataclasses.field(default_factory=dict)
    saving: list[float] = dataclasses.field(default_factory=list)
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    best: dict[str, Any] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(metrics.BEST_KEYS)
    )

    def __post_init__(self):
        self.evaluation = Evaluation(self.steps)

    def save(self) -> None:
        """Writes a checkpoint of everything, at the end of an epoch or within one."""
        started = time.monotonic()
        header = {
            "epoch": self.epoch,
            "step": self.step,
            "run_id": run_id(self.config),
            "best": self.best,
            "environment": self.environment,
            "differed": self.differed,
            "history": self.history,
        }
        arrays = self.steps.variables.state() | self.record.arrays()
        if self.workers.chief:
            checkpoint.save(self.run_dir / results.CHECKPOINTS, header, arrays)
        self.saving.append(time.monotonic() - started)

    def restore(self, header: dict[str, Any], arrays: dict[str, Any]) -> None:
        """Takes a checkpoint back; the sums of a half epoch count once `begin` has run.

        Raises:
            StorageError: it is of another network or of other examples.
        """
        self.epoch, self.step = header["epoch"], header["step"]
        self.best |= header["best"]  # one of an older version has fewer keys
        self.resumed, self.differed = True, header["differed"]
        if self.step:
            self.steps.begin_epoch(self.epoch + 1, self.rate)
        try:
            self.record.restore(arrays)
            self.steps.variables.restore(arrays)
        except (KeyError, ValueError, TypeError, IndexError) as error:
            why = (str(error).splitlines() or [""])[0]
            raise StorageError(
                f"{self.run_dir}: its checkpoint does not fit this run ({type(error).__name__}: "
                f"{why:.200}); add --resume=restart to start over"
            ) from None

    @property
    def rate(self) -> float:
        """The learning rate of the epoch that is next or under way."""
        return learning_rate(self.config, self.epoch + 1)

    def give_way(self) -> None:
        """Between dispatches: where a signal came to any worker, saves and raises StoppedError."""
        signum = max(self.workers.gather(self.stop.signum or 0))
        if not signum:
            return
        self.stop.answered()
        self.save()
        raise StoppedError(
            f"stopped in epoch {self.epoch + 1} after step {self.step} of "
            f"{self.steps.steps_per_epoch}, saved; the same command goes on from there",
            signum,
        )


def train_epochs(session: Session) -> tuple[str, str | None]:
    """Trains what is left of a run's epochs.

    Returns:
        Status and, where it is not DONE, the reason.

    Raises:
        StoppedError: a signal came; the session is saved.
    """
    config, steps = session.config, session.steps
    resident_test = steps.place(session.test)
    expected = audit.label_checksum(session.train.index, session.train.given)
    progress = console.Progress(session.train.num_examples, shown=session.workers.chief)
    session.say(f"{console.LEGEND}\n{console.header()}")
    # At the top, so that a run killed before its summary ends as it would have ended.
    while (ended := _ended(session, expected)) is None:
        session.give_way()
        started, rate = time.monotonic(), session.rate
        before = steps.online()["seen"] if session.step else 0
        bad = _train_epoch(session, progress)
        train_seconds = time.monotonic() - started
        epoch, online = session.epoch + 1, steps.online()
        if bad is not None:
            return results.DIVERGED, _nan(config, f"the training loss at step {bad + 1}", epoch)
        if not steps.weights_finite():
            return results.DIVERGED, _nan(config, "weights", epoch)
        line = {
            "epoch": epoch,
            "loss": online["loss_sum"] / online["seen"],
            "accuracy": online["correct"] / online["seen"],
            "learning_rate": rate,
            "label_checksum": online["checksum"],
        }
        leaked = online["checksum"] != expected
        evaluated_at = time.monotonic()
        if epoch == config.epochs or leaked or epoch % config.eval_every == 0:
            line |= _evaluate(session, resident_test, epoch)
        else:
            line |= dict.fromkeys((*metrics.TRAIN_KEYS, *metrics.TEST_KEYS))
        line |= session.best
        line["timing"] = {
            "train_seconds": train_seconds,
            "eval_seconds": time.monotonic() - evaluated_at,
            # Of this process: a resumed epoch counts what was left of it.
            "images_per_second": (online["seen"] - before) / train_seconds or None,
            "finished": time.time(),
        }
        session.epoch, session.step, session.line = epoch, 0, line
        _keep(session, last=_ended(session, expected) is not None)
        session.say(console.epoch_line(line))
    return ended


def _ended(session: Session, expected: int) -> tuple[str, str | None] | None:
    """Status and reason of a run that its last epoch ended; None where it goes on."""
    line = session.line
    if line and line["label_checksum"] != expected:
        return results.INVALID, (
            f"the labels that entered the loss in epoch {session.epoch} are not the audited ones: "
            f"checksum {line['label_checksum']}, expected {expected}"
        )
    # A NaN was written as null.
    loss = line.get("train_loss")
    if line.get("train_accuracy") is not None and (loss is None or not math.isfinite(loss)):
        return results.DIVERGED, _nan(session.config, "the training loss at the end", session.epoch)
    if session.epoch == session.config.epochs or _fitted(session):
        return results.DONE, None
    return None


def _nan(config: RunConfig, what: str, epoch: int) -> str:
    return (
        f"{what} of epoch {epoch} became NaN or infinite; try a smaller --learning_rate than "
        f"{config.learning_rate:g}"
    )


def _fitted(session: Session) -> bool:
    """Whether the exact training accuracy has reached --stop_at_train_accuracy."""
    wanted = session.config.stop_at_train_accuracy
    reached = session.line.get("train_accuracy")
    return wanted is not None and reached is not None and reached >= wanted


def _train_epoch(session: Session, progress) -> int | None:
    """Trains the rest of an epoch in dispatches of DISPATCH_SECONDS; the step of a NaN or None."""
    steps, epoch = session.steps, session.epoch + 1
    resumed = session.step > 0
    if not resumed:
        steps.begin_epoch(epoch, session.rate)
    count, bad, dispatches = 1, None, 0
    whole = session.train.num_examples // steps.batch_size
    while session.step < steps.steps_per_epoch and bad is None:
        if not session.compiled:
            progress.compiling()
        session.profile.before_dispatch(epoch, session.config.epochs, dispatches)
        before, first = time.monotonic(), session.step
        session.step = steps.advance(first, count)
        online, bad = steps.online(), session.workers.smallest(steps.diverged_at())
        lasted = time.monotonic() - before
        each = lasted / (session.step - first)
        if session.compiled:
            count = session.workers.gather(max(1, round(DISPATCH_SECONDS / each)))[0]
        else:
            progress.clear()
            session.say(console.compiled(lasted, session.environment["xla"]))
            session.compiled = True
            session.stop.trained()
        if dispatches and not session.estimated and session.step <= whole:
            _say_estimate(session, each)
            session.estimated = True
        dispatches += 1
        session.profile.after_dispatch()
        progress.update(epoch, online["seen"], online)
        if bad is None:
            session.give_way()
    session.profile.stop()
    progress.clear()
    return bad


def _evaluate(session: Session, resident_test, epoch: int) -> dict[str, Any]:
    """Exact passes over the training and the test set, and what is kept of them."""
    steps, train, test = session.steps, session.train, session.test
    evaluation = session.evaluation
    evaluation.recalibrate(between=session.give_way)
    steps.variables.sync()
    on_train = evaluation.evaluate(steps.resident, train.num_examples, between=session.give_way)
    on_test = evaluation.evaluate(resident_test, test.num_examples, between=session.give_way)
    values = metrics.of_train(on_train, train.true, train.given, train.num_classes)
    values |= metrics.of_test(on_test, test.true, test.num_classes)
    session.best = metrics.best_so_far(session.best, values, epoch)
    session.record.update(epoch, on_train.predicted == train.given, on_train.margin)
    return values


def _keep(session: Session, last: bool) -> None:
    """Writes what an epoch leaves behind; the checkpoint last, since a resume starts from it."""
    chief = session.workers.chief
    if chief:
        session.history.append(results.append_history(session.run_dir, session.line))
    session.log.write(session.line)
    if chief and session.epoch in session.keep_epochs:
        variables = enumerate(session.steps.model.variables)
        named = {f"{i:04d}/{v.path}": v.numpy() for i, v in variables}
        results.save_snapshot(session.run_dir, session.epoch, named)
    session.steps.variables.sync()
    every = session.checkpoint_every
    if last or (every and session.epoch % every == 0):
        session.save()


def _say_estimate(session: Session, seconds_per_step: float) -> None:
    """The time of a run from one step's: an evaluation costs about 0.4 of a training pass."""
    config, steps = session.config, session.steps
    count = (config.epochs - session.epoch) * steps.steps_per_epoch
    if session.resumed:  # a fresh run is told of as a whole
        count -= session.step
    seconds = count * seconds_per_step * (1 + 0.4 / config.eval_every)
    on_cpu = not tf.config.list_logical_devices("GPU")
    rate = steps.batch_size / seconds_per_step
    session.say(console.estimate(seconds, rate, on_cpu, session.resumed))

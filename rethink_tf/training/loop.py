"""The epochs of a run: train, check, evaluate exactly, until it ends.

Console, TensorBoard, files, profile and signals are callbacks.
"""

import dataclasses
import math
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from rethink_tf.config.run_config import RunConfig
from rethink_tf.config.schedule import learning_rate
from rethink_tf.runs import results
from rethink_tf.training import metrics
from rethink_tf.training.state import RunContext, TrainingState

# Short, since a dispatch cannot be interrupted and a signal must be answered soon.
DISPATCH_SECONDS = 0.4


@dataclasses.dataclass(frozen=True)
class Dispatch:
    """Some steps that were trained in one call.

    Attributes:
        number: counts the dispatches of this process in the epoch, from 0.
        seconds: its duration.
        seconds_per_step: of these steps.
        running: sums of the epoch so far (`Steps.running`).
        compiled: whether it was the first of this process, which compiles.
    """

    number: int
    seconds: float
    seconds_per_step: float
    running: dict[str, Any]
    compiled: bool


class Callback:
    """Base of the callbacks. The loop calls each method at its time; here they do nothing."""

    def on_begin(self, state: TrainingState) -> None:
        """Before the first epoch of this process."""

    def before_dispatch(self, state: TrainingState, number: int) -> None:
        """Before the dispatch `number` (from 0) of what this process trains of an epoch."""

    def after_dispatch(self, state: TrainingState, dispatch: Dispatch) -> None:
        """After each dispatch."""

    def between(self, state: TrainingState) -> None:
        """Between dispatches, and between batches of an evaluation. The run may end here."""

    def on_trained(self, state: TrainingState) -> None:
        """After the last step of an epoch, before it is evaluated."""

    def on_epoch_end(self, state: TrainingState, last: bool) -> None:
        """After an epoch, whose line is `state.line`; `last`: the run ends with it."""


class CallbackList(Callback):
    """Several callbacks as one, called in their order."""

    def __init__(self, callbacks: Iterable[Callback]):
        self.callbacks = list(callbacks)

    def on_begin(self, state: TrainingState) -> None:
        """See `Callback`."""
        for callback in self.callbacks:
            callback.on_begin(state)

    def before_dispatch(self, state: TrainingState, number: int) -> None:
        """See `Callback`."""
        for callback in self.callbacks:
            callback.before_dispatch(state, number)

    def after_dispatch(self, state: TrainingState, dispatch: Dispatch) -> None:
        """See `Callback`."""
        for callback in self.callbacks:
            callback.after_dispatch(state, dispatch)

    def between(self, state: TrainingState) -> None:
        """See `Callback`."""
        for callback in self.callbacks:
            callback.between(state)

    def on_trained(self, state: TrainingState) -> None:
        """See `Callback`."""
        for callback in self.callbacks:
            callback.on_trained(state)

    def on_epoch_end(self, state: TrainingState, last: bool) -> None:
        """See `Callback`."""
        for callback in self.callbacks:
            callback.on_epoch_end(state, last)


class Trained(NamedTuple):
    """What this process trained of an epoch; a resumed epoch counts what was left of it.

    Attributes:
        bad: the step of a NaN, or None.
        running: sums of the epoch (`Steps.running`).
        seconds: its duration.
        images_per_second: without the dispatch that compiles; None if there was no other.
    """

    bad: int | None
    running: dict[str, float]
    seconds: float
    images_per_second: float | None


def train_epochs(
    context: RunContext, state: TrainingState, callbacks: Iterable[Callback] = ()
) -> tuple[str, str | None]:
    """Trains what is left of a run's epochs.

    Args:
        context: of the run.
        state: of the run; updated in place.
        callbacks: called in their order.

    Returns:
        Status and, where it is not DONE, the reason.

    Raises:
        StoppedError: by a callback: a signal came, and the run is saved.
    """
    config, steps, hooks = context.config, context.steps, CallbackList(callbacks)
    resident_test = None if context.test is None else steps.place(context.test)
    hooks.on_begin(state)
    # Before each epoch: a run that was killed between its last epoch and its summary ends at once.
    while (ended := _ended(context, state)) is None:
        hooks.between(state)
        epoch, rate = state.epoch + 1, learning_rate(config, state.epoch + 1)
        bad, running, train_seconds, images_per_second = _train_epoch(context, state, hooks, rate)
        if bad is not None:
            return results.DIVERGED, _nan(config, f"the training loss at step {bad + 1}", epoch)
        if not steps.weights_finite():
            return results.DIVERGED, _nan(config, "weights", epoch)
        line: dict[str, Any] = {
            "epoch": epoch,
            "loss": running["loss_sum"] / running["seen"],
            "accuracy": running["correct"] / running["seen"],
            "learning_rate": rate,
            "label_checksum": running["checksum"],
        }
        context.checks.end_epoch()
        violated = context.agreed_violation() is not None
        evaluated_at = time.monotonic()
        if epoch == config.epochs or violated or epoch % config.eval_every == 0:
            line |= _evaluate(context, state, hooks, resident_test, epoch)
        else:
            line |= dict.fromkeys((*metrics.TRAIN_KEYS, *metrics.TEST_KEYS))
        line |= state.best
        line["violation"] = context.agreed_violation()
        line["timing"] = {
            "train_seconds": train_seconds,
            "eval_seconds": time.monotonic() - evaluated_at,
            "images_per_second": images_per_second,
            "finished": time.time(),
        }
        state.epoch, state.step, state.line = epoch, 0, line
        hooks.on_epoch_end(state, last=_ended(context, state) is not None)
    return ended


def _ended(context: RunContext, state: TrainingState) -> tuple[str, str | None] | None:
    """Status and reason of a run that its last epoch ended; None where there is more to train."""
    line, config = state.line, context.config
    if violation := line.get("violation"):
        return results.INVALID, violation
    expected = context.sealed.train.label_checksum
    if line and line["label_checksum"] != expected:
        return results.INVALID, (
            f"the labels that entered the loss in epoch {state.epoch} are not the audited ones: "
            f"checksum {line['label_checksum']}, expected {expected} (seal: train labels)"
        )
    # A NaN was written as null.
    loss = line.get("train_loss")
    if line.get("train_accuracy") is not None and (loss is None or not math.isfinite(loss)):
        return results.DIVERGED, _nan(config, "the training loss at the end", state.epoch)
    if state.epoch == config.epochs or _fitted(config, line):
        return results.DONE, None
    return None


def _nan(config: RunConfig, what: str, epoch: int) -> str:
    return (
        f"{what} of epoch {epoch} became NaN or infinite; try a smaller --learning_rate than "
        f"{config.learning_rate:g}"
    )


def _fitted(config: RunConfig, line: dict[str, Any]) -> bool:
    """Whether the exact training accuracy has reached --stop_at_train_accuracy."""
    wanted, reached = config.stop_at_train_accuracy, line.get("train_accuracy")
    return wanted is not None and reached is not None and reached >= wanted


def _train_epoch(
    context: RunContext, state: TrainingState, hooks: Callback, rate: float
) -> Trained:
    """Trains the rest of an epoch in dispatches of DISPATCH_SECONDS."""
    steps, workers = context.steps, context.workers
    began = time.monotonic()
    if not state.step:
        steps.begin_epoch(state.epoch + 1, rate)
        context.checks.begin_epoch()
    running = steps.running()
    timed_from, seen_before = began, running["seen"]  # start of the measurement of the speed
    count, bad, number = 1, None, 0
    while state.step < steps.steps_per_epoch and bad is None:
        hooks.before_dispatch(state, number)
        started, first = time.monotonic(), state.step
        state.step = context.checks.advance(first, count)
        running, bad = steps.running(), workers.smallest(steps.diverged_at())
        seconds = time.monotonic() - started
        each = seconds / (state.step - first)
        if state.compiled:
            count = workers.gather(max(1, round(DISPATCH_SECONDS / each)))[0]
        dispatch = Dispatch(number, seconds, each, running, not state.compiled)
        if dispatch.compiled:
            timed_from, seen_before = time.monotonic(), running["seen"]
        state.compiled = True
        number += 1
        hooks.after_dispatch(state, dispatch)
        if bad is None:
            hooks.between(state)
    hooks.on_trained(state)
    ended = time.monotonic()
    speed = (running["seen"] - seen_before) / (ended - timed_from) or None
    return Trained(bad, running, ended - began, speed)


def _evaluate(
    context: RunContext, state: TrainingState, hooks: Callback, resident_test: Any, epoch: int
) -> dict[str, Any]:
    """Exact passes over the training set and, if there is one, the test set; what is kept of them.

    Returns:
        The values of a history line; null where there were no rows to evaluate.
    """
    steps, train, test = context.steps, context.train, context.test
    evaluation, checks, sealed = context.evaluation, context.checks, context.sealed
    nothing = dict.fromkeys((*metrics.TRAIN_KEYS, *metrics.TEST_KEYS))
    tables = [train] if test is None else [train, test]
    seals = [sealed.train, sealed.test][: len(tables)]
    examples = [seal.num_examples for seal in seals]
    checks.columns(*tables)
    if [table.num_examples for table in tables] != examples:
        return nothing  # the tables do not have the sealed examples, so the run is INVALID

    def between() -> None:
        hooks.between(state)

    evaluation.recalibrate(between=between)
    steps.variables.sync()
    outcomes = [
        evaluation.evaluate(data, seal.num_examples, between=between, seal=seal)
        for data, seal in zip((steps.resident, resident_test), seals, strict=False)
    ]
    checks.measured(*outcomes)
    if [len(outcome.loss) for outcome in outcomes] != examples:
        return nothing
    on_train, *on_test = outcomes
    values = nothing | metrics.train_values(on_train, train.true, train.given, train.num_classes)
    if test is not None:
        values |= metrics.test_values(on_test[0], test.true, test.num_classes)
        state.best = metrics.best_so_far(state.best, values, epoch)
    state.record.update(epoch, on_train, train.given)
    return values

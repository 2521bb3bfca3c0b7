"""The epochs of a run: train, check, evaluate exactly, record, checkpoint, stop when asked."""

import math
import time
from typing import Any

import tensorflow as tf

from rethink_tf.config.run_config import RunConfig
from rethink_tf.runs import results
from rethink_tf.training import metrics
from rethink_tf.training.recording import messages
from rethink_tf.training.state import Session

DISPATCH_SECONDS = 0.4  # a dispatch is not interruptible; a signal is to be answered soon


def train_epochs(session: Session) -> tuple[str, str | None]:
    """Trains what is left of a run's epochs.

    Returns:
        Status and, where it is not DONE, the reason.

    Raises:
        StoppedError: a signal came; the session is saved.
    """
    config, steps = session.config, session.steps
    resident_test = steps.place(session.test)
    expected = session.sealed.train.label_checksum
    progress = messages.Progress(session.train.num_examples, shown=session.workers.chief)
    session.say(messages.LEGEND)
    titles = messages.header() + "\n"  # above the first row, with nothing between
    # At the top, so that a run killed before its summary ends as it would have ended.
    while (ended := _ended(session, expected)) is None:
        session.give_way()
        started, rate = time.monotonic(), session.rate
        before = steps.running()["seen"] if session.step else 0
        bad = _train_epoch(session, progress)
        train_seconds = time.monotonic() - started
        epoch, running = session.epoch + 1, steps.running()
        if bad is not None:
            return results.DIVERGED, _nan(config, f"the training loss at step {bad + 1}", epoch)
        if not steps.weights_finite():
            return results.DIVERGED, _nan(config, "weights", epoch)
        line = {
            "epoch": epoch,
            "loss": running["loss_sum"] / running["seen"],
            "accuracy": running["correct"] / running["seen"],
            "learning_rate": rate,
            "label_checksum": running["checksum"],
        }
        session.checks.end_epoch()
        violated = session.agreed_violation() is not None
        evaluated_at = time.monotonic()
        if epoch == config.epochs or violated or epoch % config.eval_every == 0:
            line |= _evaluate(session, resident_test, epoch)
        else:
            line |= dict.fromkeys((*metrics.TRAIN_KEYS, *metrics.TEST_KEYS))
        line |= session.best
        line["violation"] = session.agreed_violation()
        line["timing"] = {
            "train_seconds": train_seconds,
            "eval_seconds": time.monotonic() - evaluated_at,
            # Of this process: a resumed epoch counts what was left of it.
            "images_per_second": (running["seen"] - before) / train_seconds or None,
            "finished": time.time(),
        }
        session.epoch, session.step, session.line = epoch, 0, line
        _keep(session, last=_ended(session, expected) is not None)
        session.say(titles + messages.epoch_line(line))
        titles = ""
    return ended


def _ended(session: Session, expected: int) -> tuple[str, str | None] | None:
    """Status and reason of a run that its last epoch ended; None where it goes on."""
    line = session.line
    if violation := line.get("violation"):
        return results.INVALID, violation
    if line and line["label_checksum"] != expected:
        return results.INVALID, (
            f"the labels that entered the loss in epoch {session.epoch} are not the audited ones: "
            f"checksum {line['label_checksum']}, expected {expected} (seal: train labels)"
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
        session.checks.begin_epoch()
    count, bad, dispatches = 1, None, 0
    whole = session.train.num_examples // steps.batch_size
    while session.step < steps.steps_per_epoch and bad is None:
        if not session.compiled:
            progress.compiling()
        session.profile.before_dispatch(epoch, session.config.epochs, dispatches)
        before, first = time.monotonic(), session.step
        session.step = session.checks.advance(first, count)
        running, bad = steps.running(), session.workers.smallest(steps.diverged_at())
        lasted = time.monotonic() - before
        each = lasted / (session.step - first)
        if session.compiled:
            count = session.workers.gather(max(1, round(DISPATCH_SECONDS / each)))[0]
        else:
            progress.clear()
            session.say(messages.compiled(lasted, session.environment["xla"]))
            session.compiled = True
            session.stop.trained()
        if dispatches and not session.estimated and session.step <= whole:
            _say_estimate(session, each)
            session.estimated = True
        dispatches += 1
        session.profile.after_dispatch()
        progress.update(epoch, running["seen"], running)
        if bad is None:
            session.give_way()
    session.profile.stop()
    progress.clear()
    return bad


def _evaluate(session: Session, resident_test, epoch: int) -> dict[str, Any]:
    """Exact passes over the training and the test set, and what is kept of them."""
    steps, train, test = session.steps, session.train, session.test
    evaluation, checks, sealed = session.evaluation, session.checks, session.sealed
    nothing = dict.fromkeys((*metrics.TRAIN_KEYS, *metrics.TEST_KEYS))
    checks.columns(train, test)
    if [train.num_examples, test.num_examples] != sealed.examples():
        return nothing  # there are no rows to evaluate, and the run is INVALID
    evaluation.recalibrate(between=session.give_way)
    steps.variables.sync()
    on_train, on_test = (
        evaluation.evaluate(data, seal.num_examples, between=session.give_way, seal=seal)
        for data, seal in ((steps.resident, sealed.train), (resident_test, sealed.test))
    )
    checks.measured(on_train, on_test)
    if [len(on_train.loss), len(on_test.loss)] != sealed.examples():
        return nothing
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
    session.say(messages.estimate(seconds, rate, on_cpu, session.resumed))

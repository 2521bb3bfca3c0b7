"""Carries out a run: takes the lock, reads a finished run or trains, and writes the result.

The steps of the training, in order, are in `trainer.train`. TensorFlow is imported only when
there is something to train.
"""

import contextlib
import functools
import json
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from rethink_tf import console
from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import RunConfig, run_id
from rethink_tf.data import registry as datasets
from rethink_tf.data.sources import tfrecord_index
from rethink_tf.errors import AuditError, DivergedError, RequestError
from rethink_tf.runs import agreement, results
from rethink_tf.storage import lock as run_lock
from rethink_tf.storage import paths
from rethink_tf.training.devices.workers import Started, WorkerLostError, Workers
from rethink_tf.training.preemption import Stop
from rethink_tf.training.recording import messages

DEFAULTS = Options()
# Errors of TensorFlow when the other side of a collective is gone.
_LOST = (
    "UnavailableError",
    "AbortedError",
    "CancelledError",
    "DeadlineExceededError",
    "InternalError",
    "UnknownError",
    "FailedPreconditionError",
)


@paths.from_here()
def run(
    config: RunConfig,
    run_dir: Path | str,
    *,
    options: Options = DEFAULTS,
    argv: list[str] | None = None,
    say: Callable[[str], None] = console.say,
    legend: bool = True,
) -> dict[str, Any]:
    """Trains one configuration and writes its results; a finished run is only read back.

    Args:
        config: resolved (`config.resolve`).
        run_dir: of this run, `<runs_dir>/<run_id>`.
        options: where data lie and how the run is carried out (`runs_dir` is not used).
        argv: the command line, recorded in config.json.
        say: takes the lines for the reader.
        legend: whether the columns of the table are explained before it.

    Returns:
        The summary (`results` documents its keys), its status DONE.

    Raises:
        AuditError: the data are not what the configuration says (nothing was trained), or the run
            ended INVALID.
        DivergedError: the loss became NaN or infinite.
        StoppedError: a signal came; the run is saved.
        WorkerLostError: another process of a multi-worker run is gone.
        InUseError, StorageError, RequestError: see `errors`.
    """
    shown = run_dir
    check(config, options)
    run_dir = paths.absolute(run_dir)
    with contextlib.ExitStack() as stack:
        workers = Workers()
        started = None
        if options.strategy == "multi_worker":
            stop = stack.enter_context(Stop())
            started = _start(options, say)
            stop.listen()
            workers = started.workers
        say = say if workers.chief else _say_nothing

        claim = functools.partial(_claim, config, run_dir, stack)
        summary = json.loads(workers.ask_chief(claim))
        if summary is not None:
            refuse_other_images(config.dataset, summary, run_dir, options.data_dir)
            say(f"{shown}: finished already; this is its summary{agreement.digest_note(summary)}")
            _say_missing_snapshots(run_dir, options, summary, say)
        else:
            if started is None:
                stop, started = stack.enter_context(Stop()), _start(options, say)
            summary = _train(config, run_dir, options, argv, say, stop, started, legend)

    say(f"{messages.verdict(summary, config)}\n{shown}")
    _refuse_failed(summary)
    return summary


def _claim(config: RunConfig, run_dir: Path, stack: contextlib.ExitStack) -> bytes:
    """The summary of a finished run as JSON; else null, and the run's lock is held by `stack`."""
    summary = agreement.read_summary(run_dir, run_id(config))
    if summary is None:
        stack.enter_context(run_lock.locked(run_dir))
        # Another process may have finished the run meanwhile.
        summary = agreement.read_summary(run_dir, run_id(config))
    return json.dumps(summary).encode()


def _say_missing_snapshots(
    run_dir: Path, options: Options, summary: dict[str, Any], say: Callable[[str], None]
) -> None:
    """Prints which epochs of --keep_epochs a finished run did not keep."""
    if missed := results.missing_snapshots(run_dir, options.keep_epochs, summary["epochs"]):
        say(messages.not_kept(missed))


def _refuse_failed(summary: dict[str, Any]) -> None:
    """Raises what a run that did not end DONE ended by."""
    if summary["status"] == results.INVALID:
        raise AuditError(f"INVALID: {summary['reason']}")
    if summary["status"] == results.DIVERGED:
        raise DivergedError(f"DIVERGED: {summary['reason']}")


def check(config: RunConfig, options: Options) -> None:
    """Refuses options that contradict a resolved configuration: RequestError."""
    outside = [epoch for epoch in options.keep_epochs if not 1 <= epoch <= config.epochs]
    if outside:
        raise RequestError(
            f"--keep_epochs: expected epochs from 1 to {config.epochs}, the length of the run, "
            f"received {', '.join(map(str, outside))}"
        )


def refuse_other_images(
    dataset: str | None, summary: Any, run_dir: Path, data_dir: Path | str | None
) -> None:
    """Refuses a finished run that was trained on another part of a streamed set than is on disk.

    Args:
        dataset: of the run; only streamed sets are checked.
        summary: of the run. All parts of a set have the same run id.
        run_dir: for the message.
        data_dir: see `paths`.

    Raises:
        RequestError: says how many images there were, and how many there are.
    """
    known = None if dataset is None else datasets.DATASETS.get(dataset)
    if known is not None and known.streamed:
        message = tfrecord_index.made_of_others(summary, data_dir)
        if message:
            raise RequestError(f"{run_dir}: {message}")


def _say_nothing(_line: str) -> None:
    """In place of `say` on the workers that are not the chief."""


def _start(options: Options, say: Callable[[str], None]) -> Started:
    from rethink_tf.training.devices import setup as devices

    several = options.strategy == "multi_worker"
    threads = devices.start(options.threads, options.devices, options.deterministic, several)
    if several:
        say("waiting for the other workers")
    strategy = devices.strategy(options.strategy, options.devices)
    return Started(threads, strategy, Workers(strategy if several else None))


def _train(
    config: RunConfig,
    run_dir: Path,
    options: Options,
    argv: list[str] | None,
    say: Callable[[str], None],
    stop: Any,
    started: Any,
    legend: bool = True,
) -> Any:
    from rethink_tf.training import trainer

    try:
        return trainer.train(
            config,
            run_dir,
            options=options,
            argv=argv,
            say=say,
            stop=stop,
            started=started,
            legend=legend,
        )
    except Exception as error:
        # Types of TensorFlow by name, since this module is imported without TensorFlow.
        kind = type(error).__name__
        if _is_of_memory(error):
            raise RequestError(_memory(config, error, trainer)) from None
        if started.workers.count > 1 and kind in _LOST:
            raise WorkerLostError(
                "another worker was lost; the same command, given to all workers, resumes from "
                f"the last checkpoint ({str(error).splitlines()[0][:200]})"
            ) from None
        raise


def _is_of_memory(error: Exception) -> bool:
    """Whether memory was wanting; a full disk is a ResourceExhaustedError to TensorFlow too."""
    if isinstance(error, MemoryError):
        return True
    if type(error).__name__ != "ResourceExhaustedError":
        return False
    text = str(error).lower()
    return "memory" in text or "oom" in text or "allocat" in text


def _memory(config: RunConfig, error: Exception, trainer: ModuleType) -> str:
    """What did not fit into memory: a step of the training, or what comes before or after it."""
    codes = {frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)}
    evaluation, steps = trainer.Evaluation, trainer.Steps
    if codes & {trainer.audit_predictions.__code__, trainer.finish.__code__}:
        return (
            "--examples: the last evaluation and the records do not fit into memory, after the "
            "last epoch; free memory and type the same command, which resumes there"
        )
    if steps.advance.__code__ in codes:
        return (
            f"--batch_size: {config.batch_size} examples a step do not fit into memory; "
            "type a smaller one, or fewer --examples"
        )
    if trainer.train_epochs.__code__ in codes:
        evaluates = codes & {evaluation.evaluate.__code__, evaluation.recalibrate.__code__}
        what = "an evaluation does" if evaluates else "the test set and the records of an epoch do"
        return (
            f"--examples: {what} not fit into memory beside the model and the data; free memory "
            "and type the same command, which resumes from the last checkpoint, or type fewer"
        )
    return (
        "--examples: the model and the data do not fit into memory, before the first step; type "
        "fewer, or a smaller --model"
    )


def plan(config: RunConfig, options: Options = DEFAULTS) -> str:
    """What --dry_run prints: configuration, run id, parameters, and the memory of the data."""
    from rethink_tf.training.devices import setup as devices

    devices.start(0)
    from rethink_tf.training import trainer

    return trainer.plan(config, options)

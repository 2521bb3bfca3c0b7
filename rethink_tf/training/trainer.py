"""The steps of a run in order: prepare data, build, resume, train, evaluate, finish (`train`).

Here config fields become arguments. Needs TensorFlow running (`devices.start`).
"""

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from rethink_tf import models
from rethink_tf.audit import label_checks
from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import RunConfig, run_id
from rethink_tf.environment import git_commit
from rethink_tf.errors import RequestError
from rethink_tf.narrowing import present
from rethink_tf.runs import checkpoint, pretrained, results, resume, schema
from rethink_tf.training import input_pipeline, metrics, transfer
from rethink_tf.training.callbacks import (
    Checkpoints,
    Console,
    History,
    ProfileTrace,
    Snapshots,
    StopOnSignal,
    TensorBoard,
)
from rethink_tf.training.devices.workers import Started, Workers
from rethink_tf.training.evaluation import Evaluation
from rethink_tf.training.facts import check_record, environment_of, facts_of, introduction
from rethink_tf.training.loop import train_epochs
from rethink_tf.training.per_example import Record
from rethink_tf.training.preemption import Stop
from rethink_tf.training.recording import messages, samples
from rethink_tf.training.recording.profiling import Profile
from rethink_tf.training.recording.tensorboard import TensorBoardLog
from rethink_tf.training.seal_checks import SealChecks
from rethink_tf.training.state import Prepared, RunContext, TrainingState, before_seals
from rethink_tf.training.train_step import Steps

Say = Callable[[str], None]  # receives lines to print


def build_model(config: RunConfig, channels: int, num_classes: int) -> Any:
    """The configured network with freshly drawn weights."""
    return models.build(
        config.model,
        (config.input_size, config.input_size, channels),
        num_classes,
        # AdamW decays weights in the optimiser instead (see `build`).
        weight_decay=0.0 if config.optimizer == "adamw" else config.weight_decay,
        dropout=config.dropout,
        precision=config.precision,
        sync_batch_norm=config.sync_batch_norm,
        seed=config.seed,
    )


def compile_with_xla(model_name: str, threads: int) -> bool:
    """Whether XLA is faster, as measured: on GPUs; on CPUs with several threads for the MLPs.

    A rule and not a measurement at run time, since XLA changes the last digits of a result.
    """
    if tf.config.list_logical_devices("GPU"):
        return True
    spec = models.find_spec(model_name)
    return spec is not None and spec.xla_on_cpu and threads > 1


def plan(config: RunConfig, options: Options) -> str:
    """What --dry_run prints: configuration, run id, parameters, and the memory of the data."""
    info = input_pipeline.info(config, options.data_dir, options.cache_dir)
    parent = pretrained.load_parent(config, options.data_dir, options.cache_dir)
    channels = (parent or info).image_shape[-1]
    model = build_model(config, channels, info.num_classes)
    trained = transfer.last_layer(model) if config.freeze == "all_but_last" else model
    facts = {
        "Parameters": f"{models.count_trainable(trained):,} trainable",
        "Memory of the data": input_pipeline.memory(config, info, channels),
    }
    if conversions := models.conversions(model, config.preprocess):
        facts["Model"] = "; ".join(conversions)
    return messages.configuration(config, run_id(config), facts)


def train(
    config: RunConfig,
    run_dir: Path,
    *,
    options: Options,
    argv: list[str] | None,
    say: Say,
    stop: Stop,
    started: Started,
    legend: bool = True,
) -> dict[str, Any]:
    """A run in order: prepare data, build, resume, train, evaluate, finish.

    Args:
        config, run_dir, options, argv, say, legend: see `training.run.run`.
        stop: the `preemption.Stop` in force.
        started: threads, strategy and workers.

    Returns:
        The summary as it was written.
    """
    began, workers = time.time(), started.workers
    profile = Profile(options.profile if workers.chief else None, run_dir, say)
    data = prepare_data(config, options, started, say)
    xla = uses_xla(config, options, started.threads)
    context = build(config, data.learner, started.strategy, workers, xla=xla)
    facts = facts_of(config, started, data, context.steps)
    environment = environment_of(options, started, facts, xla)
    saved, reading = find_checkpoint(context, run_dir, options, argv, say, facts, environment)
    say(introduction(config, options, facts, data, environment))
    log = TensorBoardLog(
        run_dir / results.TENSORBOARD if workers.chief else None, dataclasses.asdict(config)
    )
    state = TrainingState(Record(context.train.num_examples))
    checkpoints = Checkpoints(context, run_dir, environment, options.checkpoint_every)
    callbacks = [
        History(context, run_dir),
        TensorBoard(log),
        Snapshots(context, run_dir, options.keep_epochs),
        checkpoints,
        ProfileTrace(context, profile),
        Console(context, say, xla, legend),
        StopOnSignal(context, stop, checkpoints),
    ]
    with _closing(log, profile):
        if workers.chief:
            samples.record_samples(config, data.source, data.audited.train, run_dir, log, say)
        if saved:
            reading += resume_state(context, state, saved, run_dir, options, log, say)
        status, reason = train_epochs(context, state, callbacks)
    if status == results.DONE and _predicts_nothing(config):
        status, reason = audit_predictions(context, facts)
    timing = {
        "seconds": time.time() - began,
        "finished": time.time(),
        "checkpoint_seconds": checkpoints.seconds,
        "restore_seconds": reading if saved else None,
    }
    return finish(context, state, run_dir, facts, status, reason, timing)


@contextlib.contextmanager
def _closing(log: TensorBoardLog, profile: Profile) -> Iterator[None]:
    """Ends the trace and closes the events, also where a run ends by an error."""
    try:
        yield
    except BaseException:
        profile.stop()
        with contextlib.suppress(Exception):  # the first error is the one to report
            log.close()
        raise
    log.close()
    profile.close()


def prepare_data(config: RunConfig, options: Options, started: Started, say: Say) -> Prepared:
    """Loads, corrupts, audits and seals the data of a run.

    Raises:
        AuditError: the pipeline does not yield what was asked for.
        RequestError: the data cannot be had, or a replica would get no example of a batch.
    """
    places = (options.data_dir, options.cache_dir)
    info = input_pipeline.info(config, *places)
    replicas = started.strategy.num_replicas_in_sync
    if not info.streamed:  # a streamed set may be on disk in part; its size is known after loading
        _check_batches(config, replicas, config.examples or info.num_train)
    parent = pretrained.load_parent(config, *places)
    source = input_pipeline.load(
        config, data_dir=options.data_dir, cache_dir=options.cache_dir, say=say
    )
    _check_batches(config, replicas, source.train.num_examples)
    audited = input_pipeline.audited(source)
    learner = transfer.learner(
        config,
        parent,
        audited.train,
        audited.test,
        source.preprocess,
        sealed=input_pipeline.sealed(config, source, audited),
        build=build_model,
        say=say,
    )
    for name, word in learner.sealed.checksums().items():
        if len(set(started.workers.gather(word))) > 1:
            raise RequestError(
                f"the workers have different {name}; give all the same command and data"
            )
    return Prepared(info, parent, source, audited, learner)


def uses_xla(config: RunConfig, options: Options, threads: int) -> bool:
    """Whether XLA compiles the steps of a run.

    Not with --deterministic, and not with --sync_batch_norm, whose layers XLA cannot compile.
    """
    plain = not options.deterministic and not config.sync_batch_norm
    return plain and compile_with_xla(config.model, threads)


def build(
    config: RunConfig,
    learner: transfer.Learner,
    strategy: Any,
    workers: Workers,
    *,
    xla: bool,
    test_too: bool = True,
) -> RunContext:
    """The model of a run with its compiled steps, its data and its seal checks.

    Args:
        config: resolved.
        learner: what is trained, and on which tables.
        strategy: a tf.distribute strategy.
        workers: the processes of the run.
        xla: whether XLA compiles the steps.
        test_too: whether the test set is evaluated as well.
    """
    steps = Steps(
        learner.build,
        strategy,
        learner.train,
        batch_size=config.batch_size,
        input_size=learner.input_size,
        augment=config.augment,
        momentum=config.momentum,
        seed=config.seed,
        jit=xla,
        preprocess=learner.preprocess,
        optimizer=config.optimizer,
        weight_decay=config.weight_decay,
    )
    checks = SealChecks(learner.sealed, steps)
    return RunContext(
        config=config,
        steps=steps,
        train=learner.train,
        test=learner.test if test_too else None,
        sealed=learner.sealed,
        checks=checks,
        evaluation=Evaluation(steps, checks),
        workers=workers,
    )


def find_checkpoint(
    context: RunContext,
    run_dir: Path,
    options: Options,
    argv: list[str] | None,
    say: Say,
    facts: schema.Facts,
    environment: schema.Environment,
) -> tuple[bytes, float]:
    """Begins the run's folder, or finds where it stopped.

    Returns:
        The packed checkpoint, empty for a run that begins; seconds of reading it.
    """
    config = context.config
    record = {
        "config": dataclasses.asdict(config),
        **facts,
        **environment,
        "argv": argv,
        "git_commit": git_commit(),
    }

    def begin() -> bytes:
        point = resume.resume_point(config, run_dir, environment, options.resume, say)
        history = resume.begin(run_dir, record, point, {"environment": environment, "argv": argv})
        if point is None:
            return b""
        more = {"history": history, "differed": point.differed}
        return checkpoint.pack({**point.header, **more}, point.arrays)

    reading = time.monotonic()
    packed = context.workers.ask_chief(begin)
    return packed, time.monotonic() - reading


def resume_state(
    context: RunContext,
    state: TrainingState,
    saved: bytes,
    run_dir: Path,
    options: Options,
    log: TensorBoardLog,
    say: Say,
) -> float:
    """Restores a checkpoint, prints where the run resumes, returns the seconds that it took.

    Args:
        context: of the run.
        state: fresh; becomes that of the checkpoint.
        saved: the packed checkpoint.
        run_dir, options, say: see `train`.
        log: gets the lines of the history up to the checkpoint.
    """
    header, arrays = checkpoint.unpack(saved)
    for line in header["history"]:
        log.write(line)
    restoring = time.monotonic()
    state.restore(context, header, arrays, run_dir)
    seconds = time.monotonic() - restoring
    say(f"resumes after epoch {state.epoch}, step {state.step} of the next")
    if before_seals(header):
        first = state.epoch + (2 if state.step else 1)
        say(f"its checkpoint is from before the seals: they hold from epoch {first} on")
    missed = results.missing_snapshots(run_dir, options.keep_epochs, state.epoch)
    if missed:
        say(messages.not_kept(missed))
    return seconds


def audit_predictions(context: RunContext, facts: schema.Facts) -> tuple[str, str | None]:
    """Tests that a run on nothing but noise predicts true test labels at chance.

    The check joins those of `facts`.

    Returns:
        Status and, where it is not DONE, the reason.
    """
    test = present(context.test, "the test set of a run")
    context.checks.columns(context.train, test)
    resident = context.steps.place(test)
    seal = context.sealed.test
    evaluated = context.evaluation.evaluate(resident, test.num_examples, seal=seal)
    chance = label_checks.after_training(test.true, evaluated.predicted, test.num_classes)
    facts["audit"].append(check_record(chance))
    if violation := context.agreed_violation():
        return results.INVALID, violation
    if chance.passed is False:
        return results.INVALID, f"{chance}: true labels must have leaked"
    return results.DONE, None


def finish(
    context: RunContext,
    state: TrainingState,
    run_dir: Path,
    facts: schema.Facts,
    status: str,
    reason: str | None,
    timing: dict[str, Any],
) -> dict[str, Any]:
    """Writes the files of a finished run, the summary last; returns the summary as written."""
    train, model = context.train, context.steps.model
    keys = ("loss", "accuracy", "learning_rate", "label_checksum", *state.best)
    last = dict.fromkeys((*keys, *metrics.TRAIN_KEYS, *metrics.TEST_KEYS))
    last |= {k: v for k, v in state.line.items() if k not in ("epoch", "timing")}
    summary = {
        "status": status,
        "reason": reason,
        **facts,
        "config": dataclasses.asdict(context.config),
        "epochs": state.epoch,
        **last,
        **state.record.medians(train.given != train.true),
        "weights_hash": checkpoint.weights_hash(v.numpy() for v in model.variables),
        "exact": not state.differed,
        "differed": state.differed,
        "timing": timing,  # of this process only
    }
    columns = {"index": train.index, "true": train.true, "given": train.given}
    columns |= state.record.columns()

    def write() -> bytes:
        results.save_examples(run_dir, **columns)
        return json.dumps(results.finish(run_dir, summary, state.history)).encode()

    # The other workers wait, so that all agree whether the run is finished.
    return json.loads(context.workers.ask_chief(write))


def _check_batches(config: RunConfig, replicas: int, examples: int) -> None:
    """Every replica needs an example of every batch."""
    if examples < replicas:
        raise RequestError(
            f"--examples: expected at least {replicas}, the number of replicas, received "
            f"{examples}; type a smaller --devices"
        )

    def smallest(size: int) -> int:
        return min(size, examples % size or size)

    if smallest(config.batch_size) < replicas:
        sizes = range(config.batch_size, examples + 1)
        good = next(size for size in sizes if smallest(size) >= replicas)
        raise RequestError(
            f"--batch_size: expected batches of at least {replicas}, the number of replicas; "
            f"received {config.batch_size}, whose last batch of {examples} examples "
            f"has {examples % config.batch_size or config.batch_size}; type --batch_size={good}"
        )


def _predicts_nothing(config: RunConfig) -> bool:
    """Whether the training set says nothing of the test labels."""
    random_labels = config.corrupt == 1 and config.label_noise == "uniform"
    return random_labels or (config.pixels == "gaussian" and config.pixel_mix == 1)

"""From a RunConfig to its summary: data, model, resume, epochs, after-training audit.

Here config fields become arguments. Needs TensorFlow running (`devices.start`).
"""

import contextlib
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from rethink_tf import models
from rethink_tf.audit import dataset as audit
from rethink_tf.config.run_config import RunConfig, run_id
from rethink_tf.corruptions import checksum
from rethink_tf.environment import git_commit
from rethink_tf.errors import RequestError
from rethink_tf.printable import printable
from rethink_tf.runs import checkpoint, pretrained, results, resume
from rethink_tf.training import input_pipeline, metrics, transfer
from rethink_tf.training.devices import setup as devices
from rethink_tf.training.loop import train_epochs
from rethink_tf.training.per_example import Record
from rethink_tf.training.recording import messages, samples
from rethink_tf.training.recording.profiling import Profile
from rethink_tf.training.recording.tensorboard import TensorBoardLog
from rethink_tf.training.state import Session
from rethink_tf.training.train_step import Steps


def build_model(config: RunConfig, channels: int, num_classes: int):
    """The configured network with freshly drawn weights."""
    return models.build(
        config.model,
        (config.input_size, config.input_size, channels),
        num_classes,
        weight_decay=config.weight_decay,
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


def plan(config: RunConfig, options) -> str:
    """What --dry_run prints: configuration, run id, parameters, and the memory of the data."""
    info = input_pipeline.info(config, options.data_dir, options.cache_dir)
    parent = pretrained.of(config, options.data_dir, options.cache_dir)
    channels = (parent or info).image_shape[-1]
    model = build_model(config, channels, info.num_classes)
    trained = transfer.last_layer(model) if config.freeze == "all_but_last" else model
    facts = {
        "Parameters": f"{models.count_trainable(trained):,} trainable",
        "Memory of the data": input_pipeline.memory(config, info, channels),
    }
    if said := models.arrival(model, config.preprocess):
        facts["Model"] = "; ".join(said)
    return messages.configuration(config, run_id(config), facts)


def train(config: RunConfig, run_dir: Path, *, options, argv, say, stop, started) -> dict[str, Any]:
    """Trains a resolved configuration to its summary.

    Args:
        config, run_dir, options, argv, say: see `train.run`.
        stop: the `stopping.Stop` in force.
        started: threads, strategy and workers (`train.Started`).
    """
    began = time.time()
    strategy, workers, threads = started.strategy, started.workers, started.threads
    info = input_pipeline.info(config, options.data_dir, options.cache_dir)
    replicas = strategy.num_replicas_in_sync
    if not info.streamed:  # of which a part may be on disk: known when it is loaded
        _check_batches(config, replicas, config.examples or info.num_train)
    profile = Profile(options.profile if workers.chief else None, run_dir, say)
    parent = pretrained.of(config, options.data_dir, options.cache_dir)
    source = input_pipeline.load(
        config, data_dir=options.data_dir, cache_dir=options.cache_dir, say=say
    )
    _check_batches(config, replicas, source.train.num_examples)
    audited = input_pipeline.audited(source)
    images, checks = audited.train, audited.checks
    learner = transfer.learner(
        config,
        parent,
        images,
        audited.test,
        source.preprocess,
        sealed=input_pipeline.sealed(config, source, audited),
        build=build_model,
        say=say,
    )
    train, test, sealed = learner.train, learner.test, learner.sealed
    for name, word in sealed.checksums().items():
        if len(set(workers.gather(word))) > 1:
            raise RequestError(
                f"the workers have different {name}; give all the same command and data"
            )
    # XLA is off where ops must be deterministic, and cannot compile a synchronising layer.
    jit = compile_with_xla(config.model, threads)
    jit = jit and not options.deterministic and not config.sync_batch_norm
    steps = Steps(
        learner.build,
        strategy,
        train,
        batch_size=config.batch_size,
        input_size=learner.input_size,
        augment=config.augment,
        momentum=config.momentum,
        seed=config.seed,
        jit=jit,
        preprocess=learner.preprocess,
    )
    facts = {
        "run_id": run_id(config),
        "replicas": replicas,
        "workers": workers.count,
        "parameters": models.count_trainable(steps.model),
        "classes": train.num_classes,
        "labels_hash": checksum.labels_hash(train.index, train.given),
        "train_examples": train.num_examples,
        "test_examples": test.num_examples,
        "changed_fraction": float(np.mean(train.given != train.true)),
        "audit": [dataclasses.asdict(check) for check in checks],
        "seals": sealed.record(),
        "parent": parent.record() if parent else None,
        "image_shape": list(info.image_shape),
        "arrivals": input_pipeline.arrivals(
            source, info, models.arrival(steps.model, config.preprocess)
        ),
    }
    platform = devices.describe()
    environment = {
        "versions": platform["versions"],
        "threads": threads,
        "xla": jit,
        "replicas": facts["replicas"],
        "deterministic": options.deterministic,
        "devices": platform["devices"],
        "labels_hash": facts["labels_hash"],
    }
    record = {
        "config": dataclasses.asdict(config),
        **facts,
        **environment,
        "argv": argv,
        "git_commit": git_commit(),
    }

    def begin() -> bytes:
        found = resume.find(config, run_dir, environment, options.resume, say)
        now = {"environment": environment, "argv": argv}
        history = resume.begin(run_dir, record, found, now)
        if found is None:
            return b""
        told = {"history": history, "differed": found.differed}
        return checkpoint.pack({**found.header, **told}, found.arrays)

    reading = time.monotonic()
    found = workers.ask_chief(begin)
    restore_seconds = time.monotonic() - reading if found else None
    say(_introduction(config, facts, train, test, checks, platform, threads, jit))
    log = TensorBoardLog(
        run_dir / results.TENSORBOARD if workers.chief else None, dataclasses.asdict(config)
    )
    session = Session(
        config=config,
        steps=steps,
        train=train,
        test=test,
        sealed=sealed,
        run_dir=run_dir,
        log=log,
        say=say,
        stop=stop,
        workers=workers,
        environment=environment,
        checkpoint_every=options.checkpoint_every,
        keep_epochs=options.keep_epochs,
        record=Record(train.num_examples),
        profile=profile,
    )
    try:
        if workers.chief:
            samples.record_samples(config, source, images, run_dir, log, say)
        if found:
            header, arrays = checkpoint.unpack(found)
            for line in header["history"]:
                log.write(line)
                session.line = line
            restoring = time.monotonic()
            session.history = header["history"]
            session.restore(header, arrays)
            restore_seconds += time.monotonic() - restoring
            say(f"goes on after epoch {session.epoch}, step {session.step} of the next")
            if session.unsealed(header):
                first = session.epoch + (2 if session.step else 1)
                say(f"its checkpoint is from before the seals: they hold from epoch {first} on")
            if missed := results.missing_snapshots(run_dir, options.keep_epochs, session.epoch):
                say(messages.not_kept(missed))
        status, reason = train_epochs(session)
    except BaseException:
        profile.stop()
        with contextlib.suppress(Exception):  # the first error is the one to tell of
            log.close()
        raise
    log.close()
    profile.close()
    if status == results.DONE and _predicts_nothing(config):
        evaluated = session.evaluation.evaluate(
            steps.place(test), test.num_examples, seal=sealed.test
        )
        predicted = evaluated.predicted
        chance = audit.after_training(test.true, predicted, test.num_classes)
        facts["audit"].append(dataclasses.asdict(chance))
        if chance.passed is False:
            status, reason = results.INVALID, f"{chance}: true labels must have leaked"
        if violation := session.agreed_violation():
            status, reason = results.INVALID, violation
    corrupted = train.given != train.true
    keys = ("loss", "accuracy", "learning_rate", "label_checksum", *session.best)
    last = dict.fromkeys((*keys, *metrics.TRAIN_KEYS, *metrics.TEST_KEYS))
    last |= {k: v for k, v in session.line.items() if k not in ("epoch", "timing")}
    summary = {
        "status": status,
        "reason": reason,
        **facts,
        "config": dataclasses.asdict(config),
        "epochs": session.epoch,
        **last,
        **session.record.medians(corrupted),
        "weights_hash": checkpoint.weights_hash(v.numpy() for v in steps.model.variables),
        "exact": not session.differed,
        "differed": session.differed,
        # Of this process alone.
        "timing": {
            "seconds": time.time() - began,
            "finished": time.time(),
            "checkpoint_seconds": session.saving,
            "restore_seconds": restore_seconds,
        },
    }
    columns = {"index": train.index, "true": train.true, "given": train.given}
    columns |= session.record.arrays()

    def finish() -> bytes:
        results.save_examples(run_dir, **columns)
        return json.dumps(results.finish(run_dir, summary, session.history)).encode()

    # The others wait for it: a run is finished or it is not.
    return json.loads(workers.ask_chief(finish))


def _check_batches(config: RunConfig, replicas: int, examples: int) -> None:
    """Every replica needs an example of every batch."""
    if examples < replicas:
        raise RequestError(
            f"--examples: expected at least {replicas}, the number of replicas, received "
            f"{examples}; type a smaller --devices"
        )

    def smallest(size):
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


def _introduction(config, facts, train, test, checks, platform, threads, jit) -> str:
    passed = sum(check.passed is True for check in checks)
    lines = {
        "Parameters": f"{facts['parameters']:,} trainable",
        "Examples": f"{train.num_examples:,} for training, {test.num_examples:,} for testing, "
        f"{train.num_classes} classes",
        "Changed labels": f"{100 * facts['changed_fraction']:.2f}%, hash {facts['labels_hash']}",
        "Audit": f"{passed} checks of what the pipeline yields passed, "
        f"{len(checks) - passed} not testable",
        "Computed on": f"{', '.join(platform['devices'])}, {threads} threads"
        + (f", {facts['replicas']} replicas" if facts["replicas"] > 1 else "")
        + (", XLA" if jit else ""),
    }
    if tf.config.list_logical_devices("GPU"):
        settings = devices.gpu_settings(config.precision, jit, devices.capabilities())
        lines["On GPUs"] = settings
    for number, words in enumerate(facts["arrivals"]):
        lines["On arrival" if number == 0 else " " * number] = printable(words)
    return messages.configuration(config, facts["run_id"], lines)

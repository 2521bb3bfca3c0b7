"""The training loop of one run: build, audit, train, evaluate, record. Needs TensorFlow running."""

import dataclasses
import hashlib
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from rethink_tf import (
    audit,
    console,
    datasets,
    devices,
    metrics,
    models,
    pipeline,
    results,
    tables,
)
from rethink_tf.config import RunConfig, run_id
from rethink_tf.steps import Steps
from rethink_tf.tensorboard_log import TensorBoardLog

DISPATCH_SECONDS = 0.4  # a dispatch is not interruptible; a signal is to be answered soon


def build_model(config: RunConfig, channels: int, num_classes: int):
    """The configured network with freshly drawn weights."""
    return models.build(
        config.model,
        (config.input_size, config.input_size, channels),
        num_classes,
        weight_decay=config.weight_decay,
        dropout=config.dropout,
        precision=config.precision,
        seed=config.seed,
    )


def compile_with_xla(model_name: str, threads: int) -> bool:
    """Whether XLA is faster, as measured: on GPUs; on CPUs for the MLPs with several threads.

    A rule and not a measurement at run time, since XLA changes the last digits of a result.
    """
    if tf.config.list_logical_devices("GPU"):
        return True
    return model_name.startswith("mlp") and threads > 1


def plan(config: RunConfig) -> str:
    """What --dry_run prints: configuration, run id, parameters, and the memory of the data."""
    info = datasets.DATASETS[config.dataset]
    model = build_model(config, info.image_shape[-1], info.num_classes)
    examples = (config.examples or info.num_train) + info.num_test
    side = info.image_shape[0] if config.augment == "crop" else config.input_size
    megabytes = examples * side * side * info.image_shape[-1] / 1e6
    facts = {
        "Parameters": f"{models.count_trainable(model):,} trainable",
        "Memory of the data": f"{megabytes:.0f} MB on the device, up to "
        f"{3 * megabytes + (info.num_train * np.prod(info.image_shape)) / 1e6:.0f} MB in the host",
    }
    return console.configuration(config, run_id(config), facts)


def weights_hash(model) -> str:
    """sha256 over all variables of a model, in order, 16 hex digits."""
    digest = hashlib.sha256()
    for variable in model.variables:
        digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
    return digest.hexdigest()[:16]


def train(
    config: RunConfig, run_dir: Path, *, data_dir, cache_dir, threads, argv, say
) -> dict[str, Any]:
    """Trains a resolved configuration from its start to its summary (arguments: `train.run`)."""
    source = tables.load(config, data_dir=data_dir, cache_dir=cache_dir, say=say)
    train, test, checks = tables.corrupt(source)
    jit = compile_with_xla(config.model, threads)
    steps = Steps(
        lambda: build_model(config, train.images.shape[-1], train.num_classes),
        tf.distribute.OneDeviceStrategy(pipeline.accelerator()),
        train,
        batch_size=config.batch_size,
        input_size=config.input_size,
        augment=config.augment,
        momentum=config.momentum,
        seed=config.seed,
        jit=jit,
    )
    facts = {
        "run_id": run_id(config),
        "replicas": steps.strategy.num_replicas_in_sync,
        "parameters": models.count_trainable(steps.model),
        "labels_hash": audit.labels_hash(train.index, train.given),
        "changed_fraction": float(np.mean(train.given != train.true)),
        "audit": [dataclasses.asdict(check) for check in checks],
    }
    platform = devices.describe()
    record = {
        "config": dataclasses.asdict(config),
        **facts,
        "argv": argv,
        "threads": threads,
        "xla": jit,
        "git_commit": _git_commit(),
        **platform,
    }
    results.start(run_dir, record)
    say(console.configuration(config, facts["run_id"], {
        "Parameters": f"{facts['parameters']:,} trainable",
        "Examples": f"{train.num_examples:,} for training, {test.num_examples:,} for testing, "
                    f"{train.num_classes} classes",
        "Changed labels": f"{100 * facts['changed_fraction']:.2f}%, hash {facts['labels_hash']}; "
                          f"{sum(c.passed is True for c in checks)} checks of the audit passed",
        "Computed on": f"{', '.join(platform['devices'])}, {threads} threads"
                       + (", XLA" if jit else ""),
    }))  # fmt: skip
    started = time.time()
    log = TensorBoardLog(run_dir / results.TENSORBOARD, dataclasses.asdict(config))
    try:
        status, reason, last, predicted = _loop(config, steps, train, test, run_dir, log, say)
    finally:
        log.close()
    at_random = config.corrupt == 1 and config.label_noise == "uniform"
    noise_only = config.pixels == "gaussian" and config.pixel_mix == 1
    if status == results.DONE and (at_random or noise_only):
        chance = audit.after_training(test.true, predicted, test.num_classes)
        facts["audit"].append(dataclasses.asdict(chance))
        if chance.passed is False:
            status, reason = results.INVALID, f"{chance}: true labels must have leaked"
    summary = {
        "status": status,
        "reason": reason,
        **facts,
        "config": dataclasses.asdict(config),
        "epochs": last.get("epoch", 0),
        **{k: v for k, v in last.items() if k not in ("epoch", "timing")},
        "weights_hash": weights_hash(steps.model),
        "timing": {"seconds": time.time() - started, "finished": time.time()},
    }
    results.finish(run_dir, summary)
    return summary


def _loop(config, steps, train, test, run_dir, log, say):
    """All epochs. Returns (status, reason, the last line of history, the last test predictions)."""
    resident_test = steps.place(test)
    expected = audit.label_checksum(train.index, train.given)
    best = {"best_test_accuracy": None, "best_test_epoch": None}
    progress = console.Progress(train.num_examples)
    line, predicted = {}, None
    say(f"{console.LEGEND}\n{console.header()}")
    for epoch in range(1, config.epochs + 1):
        rate = config.learning_rate * config.lr_decay ** (epoch - 1)
        train_seconds, bad = _train_epoch(config, steps, epoch, rate, progress, say)
        online = steps.online()
        if bad is not None:
            reason = f"the training loss became NaN or infinite at step {bad} of epoch {epoch}"
            reason += f"; try a smaller --learning_rate than {config.learning_rate}"
            return results.DIVERGED, reason, line, predicted
        line = {
            "epoch": epoch,
            "loss": online["loss_sum"] / online["seen"],
            "accuracy": online["correct"] / online["seen"],
            "learning_rate": rate,
            "label_checksum": online["checksum"],
        }
        evaluated_at = time.monotonic()
        leaked = online["checksum"] != expected or online["seen"] != train.num_examples
        ended = epoch == config.epochs or leaked
        if ended or epoch % config.eval_every == 0:
            on_train = steps.evaluate(steps.resident, train.num_examples)
            on_test = steps.evaluate(resident_test, test.num_examples)
            predicted = on_test.predicted
            line |= metrics.of_train(on_train, train.true, train.given)
            line |= metrics.of_test(on_test, test.true)
            if (best["best_test_accuracy"] or 0) < line["test_accuracy"]:
                best = {"best_test_accuracy": line["test_accuracy"], "best_test_epoch": epoch}
        else:
            line |= dict.fromkeys((*metrics.TRAIN_KEYS, *metrics.TEST_KEYS))
        line |= best
        line["timing"] = {
            "train_seconds": train_seconds,
            "eval_seconds": time.monotonic() - evaluated_at,
            "images_per_second": train.num_examples / train_seconds,
            "finished": time.time(),
        }
        results.append_history(run_dir, line)
        log.write(line)
        say(console.epoch_line(line))
        if leaked:
            reason = (
                f"the labels that entered the loss in epoch {epoch} are not the audited ones: "
                f"checksum {online['checksum']}, expected {expected}"
            )
            return results.INVALID, reason, line, predicted
        if (line["train_accuracy"] or 0) >= (config.stop_at_train_accuracy or 2):
            break
    return results.DONE, None, line, predicted


def _train_epoch(config, steps, epoch, rate, progress, say):
    """Trains one epoch in dispatches of DISPATCH_SECONDS: (seconds, step of a NaN or None)."""
    steps.begin_epoch(epoch, rate)
    started = time.monotonic()
    step, count, bad = 0, 1, None
    while step < steps.steps_per_epoch and bad is None:
        before, first = time.monotonic(), step
        step = steps.advance(step, count)
        online, bad = steps.online(), steps.diverged_at()
        each = (time.monotonic() - before) / (step - first)
        if first > 0 or epoch > 1:  # the first dispatch compiles
            count = max(1, round(DISPATCH_SECONDS / each))
            if epoch == 1 and first == 1:
                _say_estimate(config, steps, each, say)
        progress.update(epoch, online["seen"], online)
    progress.clear()
    return time.monotonic() - started, bad


def _say_estimate(config, steps, seconds_per_step, say):
    """The whole time from one step's: an evaluation costs about a third of a training pass."""
    training = config.epochs * steps.steps_per_epoch * seconds_per_step
    seconds = training * (1 + 0.4 / config.eval_every)
    on_cpu = not tf.config.list_logical_devices("GPU")
    say(console.estimate(seconds, steps.batch_size / seconds_per_step, on_cpu))


def _git_commit() -> str | None:
    """The commit of the checkout that this package runs from, if it is one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None

"""What a run says of itself: in config.json and summary.json, and in its first lines.

Needs TensorFlow running (`devices.start`).
"""

import numpy as np
import tensorflow as tf

from rethink_tf import models
from rethink_tf.audit.check import Check
from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import RunConfig, resolve, run_id
from rethink_tf.corruptions import checksum
from rethink_tf.errors import RequestError
from rethink_tf.printable import printable
from rethink_tf.runs import schema
from rethink_tf.training import input_pipeline
from rethink_tf.training.devices import setup as devices
from rethink_tf.training.devices.workers import Started
from rethink_tf.training.recording import messages
from rethink_tf.training.state import Prepared
from rethink_tf.training.train_step import Steps


def facts_of(config: RunConfig, started: Started, data: Prepared, steps: Steps) -> schema.Facts:
    """The entries that config.json and summary.json share, by key."""
    train, test = data.learner.train, data.learner.test
    return {
        "run_id": run_id(config),
        "replicas": started.strategy.num_replicas_in_sync,
        "workers": started.workers.count,
        "parameters": models.count_trainable(steps.model),
        "classes": train.num_classes,
        "labels_hash": checksum.labels_hash(train.index, train.given),
        "train_examples": train.num_examples,
        "test_examples": test.num_examples,
        "changed_fraction": float(np.mean(train.given != train.true)),
        "audit": [check_record(check) for check in data.audited.checks],
        "seals": data.learner.sealed.record(),
        "parent": data.parent.record() if data.parent else None,
        "image_shape": list(data.info.image_shape),
        "arrivals": input_pipeline.conversions(
            data.source, data.info, models.conversions(steps.model, config.preprocess)
        ),
    }


def check_record(check: Check) -> schema.CheckRecord:
    """A check of the audit as it is written in config.json and summary.json."""
    return {"name": check.name, "passed": check.passed, "detail": check.detail}


def environment_of(
    options: Options, started: Started, facts: schema.Facts, xla: bool
) -> schema.Environment:
    """What must not change between a checkpoint and its resume."""
    platform = devices.describe()
    return {
        "versions": platform["versions"],
        "threads": started.threads,
        "xla": xla,
        "replicas": facts["replicas"],
        "deterministic": options.deterministic,
        "devices": platform["devices"],
        "labels_hash": facts["labels_hash"],
    }


def introduction(
    config: RunConfig,
    options: Options,
    facts: schema.Facts,
    data: Prepared,
    environment: schema.Environment,
) -> str:
    """What is printed before training; with --verbose the whole configuration."""
    checks, train, test = data.audited.checks, data.learner.train, data.learner.test
    passed = sum(check.passed is True for check in checks)
    replicas = f", {facts['replicas']} replicas" if facts["replicas"] > 1 else ""
    untested = len(checks) - passed
    lines = {
        "Model": f"{facts['parameters']:,} trainable parameters",
        "Data": f"{train.num_examples:,} examples for training, {test.num_examples:,} "
        f"{'held out ' if config.held_out else ''}for testing, {train.num_classes} classes",
        "Labels": f"{100 * facts['changed_fraction']:.2f}% of the training labels are not the true "
        f"ones, hash {facts['labels_hash']}",
        "Audit": f"{passed} checks of the data that enter the training passed"
        + (f", {untested} could not be tested" if untested else ""),
        "Device": f"{', '.join(environment['devices'])}, {environment['threads']} threads"
        + replicas
        + (", XLA" if environment["xla"] else ""),
    }
    if facts["arrivals"]:
        lines["Conversions"] = printable("; ".join(facts["arrivals"]))
    if options.verbose:
        if tf.config.list_logical_devices("GPU"):
            capabilities = devices.capabilities()
            lines["On GPUs"] = devices.gpu_settings(
                config.precision, environment["xla"], capabilities
            )
        return messages.configuration(config, facts["run_id"], lines)
    return messages.introduction(config, facts["run_id"], lines, _usual(config, options))


def _usual(config: RunConfig, options: Options) -> RunConfig:
    """The resolved defaults of a run's model and data set."""
    wanted = RunConfig(model=config.model, dataset=config.dataset)
    try:
        return resolve(wanted, options.data_dir, options.cache_dir, lambda _: None)
    except RequestError:  # the model and data of a transfer may fit together only with its parent
        return RunConfig()

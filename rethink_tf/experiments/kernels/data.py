"""The data of a kernel command: as a run's, corrupted and audited by the same functions."""

import dataclasses
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from rethink_tf.config import run_config
from rethink_tf.config.run_config import RunConfig
from rethink_tf.data import registry as datasets
from rethink_tf.training.devices import setup as devices


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """Two audited `pipeline.Table`s, and the resolved configuration that they are of."""

    run: RunConfig
    train: Any
    test: Any
    checks: list


def resolved(
    run: RunConfig, data_dir: str | None, cache_dir: str | None = None, say=print
) -> tuple[RunConfig, str]:
    """The configuration with its data set and whole images, and why that set if none was named."""
    why = ""
    if run.dataset is None:
        chosen, why = datasets.choose_default(data_dir)
        run = dataclasses.replace(run, dataset=chosen)
    asked = run.input_size
    datasets.require_in_memory(run.dataset)
    run = run_config.resolve(run, data_dir, cache_dir, say)
    if asked is None and run.dataset in datasets.DATASETS:
        # The paper crops images for its networks. It does not say so for its kernels.
        size = datasets.DATASETS[run.dataset].image_shape[0]
        run = run_config.resolve(
            dataclasses.replace(run, input_size=size), data_dir, cache_dir, say
        )
    return run, why


def load(run: RunConfig, *, data_dir=None, cache_dir=None, threads: int = 0, say=print) -> Data:
    """Loads, corrupts and audits the data of a resolved configuration.

    Raises:
        AuditError: the pipeline does not yield what was asked for.
        RequestError: the data are not there.
    """
    datasets.require(run.dataset, data_dir)
    if threads:
        threadpool_limits(threads, "blas")
    devices.start(threads)
    from rethink_tf.training import (
        input_pipeline,  # imports TensorFlow, so it comes after `devices.start`
    )

    source = input_pipeline.load(run, data_dir=data_dir, cache_dir=cache_dir, say=say)
    for line in input_pipeline.conversions(
        source, input_pipeline.info(run, data_dir, cache_dir), []
    ):
        say(line)
    train, test, checks = input_pipeline.corrupt(source)
    return Data(run, train, test, checks)


def changed_fraction(train) -> float:
    """The fraction of training labels that are not the true ones."""
    return float(np.mean(train.given != train.true))


def equal_images(train) -> tuple[int, int]:
    """How many training images equal an earlier one, and how many of those have another label."""
    first: dict[bytes, int] = {}
    contradicting = 0
    for image, label in zip(train.images, train.given, strict=True):
        contradicting += first.setdefault(image.tobytes(), label) != label
    return train.num_examples - len(first), int(contradicting)


def size(run: RunConfig, data_dir=None, cache_dir=None) -> int:
    """The number of training examples of the data set of a resolved configuration."""
    known = datasets.info(run.dataset, data_dir, cache_dir, input_size=run.input_size)
    return known.num_train

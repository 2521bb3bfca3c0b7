"""Candidates that read ImageNet from disk, with random labels, at 299x299; a unit is a batch."""

import itertools

import numpy as np
import tensorflow as tf

from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import RunConfig
from rethink_tf.data import pipeline, streaming
from rethink_tf.data.feed import Feed
from rethink_tf.data.sources import jpeg
from rethink_tf.runs.request import prepare
from rethink_tf.training import input_pipeline
from rethink_tf.training.devices import setup

DATASET, MODEL, SIZE = "imagenet2012", "inception_v3", 299
DECODED = 4000  # files in memory, at most


def _source(options):
    """The data of a run on random labels, and its configuration."""
    setup.start(options.threads)
    wanted = RunConfig(model=MODEL, dataset=DATASET, input_size=SIZE, corrupt=1.0)
    config = prepare(wanted, Options(data_dir=options.data_dir), say=str)
    return input_pipeline.load(config, data_dir=options.data_dir), config


def decoding(options):
    """A candidate: decoding and resizing alone, of files that are in memory already."""
    source, config = _source(options)
    images = source.train.images
    rows = np.arange(min(len(images), DECODED))
    files = [data for _, data, _ in images.jpegs(rows).as_numpy_iterator()]
    decoded = tf.data.Dataset.from_tensor_slices(files).repeat()
    decoded = decoded.map(
        lambda data: jpeg.central(data, config.input_size), num_parallel_calls=options.threads
    ).batch(options.batch_size)

    def run(count):
        for _ in streaming.read(decoded.take(count)):
            pass

    return run, {}


def feeding(options):
    """A candidate: the whole input of training, in its order and corrupted, onto the device."""
    source, config = _source(options)
    table, epochs = input_pipeline.table(source, source.train), itertools.count(1)
    strategy, size = setup.strategy("one_device"), options.batch_size

    def run(count):
        epoch = next(epochs)
        order = np.resize(pipeline.order(config.seed, epoch, len(table.index)), count * size)
        feed = Feed(strategy, table, batch_size=size, augment="none", seed=config.seed)
        for step in range(count):
            feed.training(epoch, order, step)

    return run, {}

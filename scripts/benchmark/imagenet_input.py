"""The part of benchmark.py that reads ImageNet from disk, with random labels, at 299x299.

Two candidates, of batches: decoding and resizing alone, of files that are in memory already; and
the whole input as training gets it, with reading, order, corruption and batches on the device.
"""

import time

import numpy as np

from benchmark.candidates import Race
from rethink_tf.config.flags import Options
from rethink_tf.config.run_config import RunConfig
from rethink_tf.runs.request import prepare
from rethink_tf.training.devices import setup

DATASET, MODEL, SIZE = "imagenet2012", "inception_v3", 299
ALONE, WHOLE = "decode and resize alone", "the whole input"
DECODED = 4000  # files in memory, at most


def measure(options) -> tuple[dict, dict[str, str]]:
    """The row of the part `input`, empty where it cannot be measured; what cannot run, and why."""
    race = Race()
    try:
        for name, make in ((ALONE, "decoding"), (WHOLE, "feeding")):
            race.enter(name, f"benchmark.imagenet_input:{make}", options=options)
        best = race.best(options.seconds)
    finally:
        race.close()
    if race.left_out:
        return {}, race.left_out
    rate = options.batch_size / best[WHOLE]
    cores = options.gpu_rate / rate * options.threads
    who = {"data": DATASET, "model": MODEL}
    return who | {"images/s": rate, "of decoding": best[ALONE] / best[WHOLE], "cores": cores}, {}


def _source(options):
    """The data of a run on random labels, and its configuration."""
    setup.start(options.threads)
    from rethink_tf.training import input_pipeline

    wanted = RunConfig(model=MODEL, dataset=DATASET, input_size=SIZE, corrupt=1.0)
    config = prepare(wanted, Options(data_dir=options.data_dir), say=str)
    return input_pipeline.load(config, data_dir=options.data_dir), config


def _timed(batches) -> float:
    started = time.monotonic()
    for _ in batches:
        pass
    return time.monotonic() - started


def decoding(options):
    """A candidate: decodes and resizes batches of files that are in memory."""
    import tensorflow as tf

    from rethink_tf.data import streaming
    from rethink_tf.data.sources import jpeg

    source, config = _source(options)
    images = source.train.images
    rows = np.arange(min(len(images), DECODED))
    files = [data for _, data, _ in images.jpegs(rows).as_numpy_iterator()]
    decoded = tf.data.Dataset.from_tensor_slices(files).repeat()
    decoded = decoded.map(
        lambda data: jpeg.central(data, config.input_size), num_parallel_calls=options.threads
    ).batch(options.batch_size)
    return lambda count: _timed(streaming.read(decoded.take(count))), {}


def feeding(options):
    """A candidate: batches of a training epoch after the other, from the disk to the device."""
    from rethink_tf.data import pipeline
    from rethink_tf.data.feed import Feed
    from rethink_tf.training import input_pipeline

    source, config = _source(options)
    table, epoch = input_pipeline.table(source, source.train), 0
    strategy, size = setup.strategy("one_device"), options.batch_size

    def run(count):
        nonlocal epoch
        epoch += 1
        order = np.resize(pipeline.order(config.seed, epoch, len(table.index)), count * size)
        feed = Feed(strategy, table, batch_size=size, augment="none", seed=config.seed)
        return _timed(feed.training(epoch, order, step) for step in range(count))

    return run, {}

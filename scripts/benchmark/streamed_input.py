"""How fast streamed images come, for benchmark.py --input_only."""

import dataclasses
import time

import numpy as np

from benchmark.task import flag
from rethink_tf import console, environment
from rethink_tf.config.command_line import CommandLine, Parsed
from rethink_tf.config.flags import RUN, Options, wanted
from rethink_tf.errors import ExitCode, RequestError
from rethink_tf.runs.request import prepare
from rethink_tf.training.devices import setup as devices

TURNS = 3


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is measured, and what it is compared with."""

    gpu_rate: int = flag(1000, "images per second that a GPU trains", group="This command", low=1)
    images: int = flag(4000, "images of one measurement", group="This command", low=1)


LINE = CommandLine(
    "python scripts/benchmark.py --input_only",
    """
    Measures how fast streamed images come: decode and resize alone (of files that are in memory
    already), and the whole input as training gets it (reading, order, augmentation, corruption,
    batches on the device), and how many such cores a GPU needs that trains --gpu_rate images per
    second. Both take turns; the best of three counts. Takes the flags of a run.
    """,
    (Flags, RUN, Options),
)


def measure(source, config, count: int) -> tuple[float, float]:
    """Images per second of decoding alone and of the whole input, best of TURNS."""
    import tensorflow as tf

    from rethink_tf.corruptions import pixels
    from rethink_tf.data import pipeline, streaming, types
    from rethink_tf.data.feed import Feed
    from rethink_tf.data.sources import jpeg

    split = source.train
    images = split.images.corrupted(source.corruption, source.moments)
    table = types.Table(split.index, images, split.labels, split.labels, split.num_classes)
    strategy = tf.distribute.OneDeviceStrategy(pixels.accelerator())
    drawn = {"augment": config.augment, "seed": config.seed, "batch_size": config.batch_size}
    rows = np.resize(np.arange(split.num_examples), count)
    files = [data.numpy() for _, data, _ in split.images.jpegs(rows)]

    def alone(_epoch):
        decoded = tf.data.Dataset.from_tensor_slices(files).map(
            lambda data: jpeg.central(data, config.input_size),
            num_parallel_calls=streaming.threads(),
        )
        return streaming.read(decoded.batch(config.batch_size))

    def whole(epoch):
        order = np.resize(pipeline.order(config.seed, epoch, split.num_examples), count)
        feed, steps = Feed(strategy, table, **drawn), -(-count // config.batch_size)
        return (feed.training(epoch, order, step)[0] for step in range(steps))

    best = {alone: 0.0, whole: 0.0}
    for turn in range(1 + TURNS):  # the first is not counted
        for way in best:
            batches, started = way(turn + 1), time.perf_counter()
            seen = sum(len(batch) for batch in batches)
            rate = seen / (time.perf_counter() - started)
            best[way] = max(best[way], rate if turn else 0.0)
    return best[alone], best[whole]


def report(alone: float, whole: float, gpu_rate: int, cores: int) -> str:
    """The measured numbers in words."""
    return (
        f"decode and resize alone: {alone:,.0f} images/s on {cores} cores\n"
        f"the whole input:         {whole:,.0f} images/s, {100 * whole / alone:.0f}% of that\n"
        f"a GPU that trains {gpu_rate:,} images/s needs {gpu_rate / whole * cores:.1f} such cores"
    )


def run(argv: list[str]) -> int:
    """The command; returns the exit code."""
    return LINE.run(argv, _measure)


def _measure(parsed: Parsed) -> int:
    asked, options, flags = wanted(parsed), parsed[Options], parsed[Flags]
    if asked.dataset is None:
        asked = dataclasses.replace(asked, dataset="imagenet2012")
    config = prepare(asked, options)
    devices.start(options.threads)
    from rethink_tf.training import input_pipeline

    source = input_pipeline.load(config, data_dir=options.data_dir, cache_dir=options.cache_dir)
    if not source.train.streamed:
        raise RequestError(f"--dataset: expected a streamed set, received {config.dataset}")
    console.say(report(*measure(source, config, flags.images), flags.gpu_rate, environment.cores()))
    return ExitCode.DONE

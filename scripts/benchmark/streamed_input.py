"""How fast streamed images come, for benchmark.py --input_only."""

import dataclasses
import time

import numpy as np

from benchmark.task import flag
from rethink_tf import console, environment
from rethink_tf.config.command_line import CommandLine
from rethink_tf.config.flags import RUN, Options, wanted
from rethink_tf.errors import RequestError
from rethink_tf.runs.request import prepare
from rethink_tf.training.devices import setup as devices

TURNS = 3
_GROUP = "This command"


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is measured, and what it is compared with."""

    gpu_rate: int = flag(1000, "images per second that a GPU trains", group=_GROUP, low=1)
    images: int = flag(4000, "images of one measurement", group=_GROUP, low=1)


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


def rate(batches, count: int) -> float:
    """Images per second until `count` have come."""
    seen, started = 0, time.perf_counter()
    for batch in batches:
        seen += len(batch)
        if seen >= count:
            break
    return seen / (time.perf_counter() - started)


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
    drawn = {"augment": config.augment, "seed": config.seed}
    rows = np.resize(np.arange(split.num_examples), count)
    files = [data.numpy() for _, data, _ in split.images.jpegs(rows)]
    best = [0.0, 0.0]
    for turn in range(1 + TURNS):  # the first is not counted
        order = np.resize(pipeline.order(config.seed, turn + 1, split.num_examples), count)
        in_memory = tf.data.Dataset.from_tensor_slices(files[: len(order)])
        decoded = in_memory.map(
            lambda data: jpeg.central(data, config.input_size),
            num_parallel_calls=streaming.threads(),
        )
        alone = streaming.read(decoded.batch(config.batch_size))
        feed = Feed(strategy, table, batch_size=config.batch_size, **drawn)
        steps = -(-count // config.batch_size)
        whole = (feed.training(turn + 1, order, step)[0] for step in range(steps))
        rates = [rate(batches, count) for batches in (alone, whole)]
        if turn:
            best = [max(pair) for pair in zip(best, rates, strict=True)]
    return tuple(best)


def report(alone: float, whole: float, gpu_rate: int, cores: int) -> str:
    """The measured numbers in words."""
    needed = gpu_rate / whole * cores
    return (
        f"decode and resize alone: {alone:,.0f} images/s on {cores} cores\n"
        f"the whole input:         {whole:,.0f} images/s, {100 * whole / alone:.0f}% of that\n"
        f"a GPU that trains {gpu_rate:,} images/s needs {needed:.1f} such cores"
    )


def run(argv: list[str]) -> int:
    """The command."""
    parsed = LINE.parse(argv)
    if parsed is None:
        console.say(LINE.help())
        return 0
    asked, options, flags = wanted(parsed), parsed[Options], parsed[Flags]
    if asked.dataset is None:
        asked = dataclasses.replace(asked, dataset="imagenet2012")
    config = prepare(asked, options)
    devices.start(options.threads)
    from rethink_tf.training import input_pipeline

    source = input_pipeline.load(config, data_dir=options.data_dir, cache_dir=options.cache_dir)
    if not source.train.streamed:
        raise RequestError(f"--dataset: expected a streamed set, received {config.dataset}")
    measured = measure(source, config, flags.images)
    console.say(report(*measured, flags.gpu_rate, environment.cores()))
    return 0

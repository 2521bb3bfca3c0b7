"""The pure training step, ours and PyTorch's, and the matmul peak, for benchmark.py."""

import math
import time
from collections.abc import Callable

import benchmark_torch
import numpy as np
from benchmark_torch import MOMENTUM

from rethink_tf.models import build, count_trainable

ROUNDS = 3
LEARNING_RATE = 0.01  # low enough for every model: a NaN would falsify the time
CLASSES, CHANNELS = 10, 3
MATMUL_SIZES = (2048, 4096)


def flops_per_image(model) -> int:
    """Floating-point operations of one training image in all convolutions and dense layers.

    A multiply-add is two. Forward, weight gradient and input gradient cost the same; the first
    layer has no input gradient. Padding counts as work, everything else as none.
    """
    import keras

    forward = []
    for layer in model.layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            places = math.prod(layer.output.shape[1:-1])
            forward.append(2 * places * math.prod(layer.kernel.shape))
    return 3 * sum(forward) - forward[0]


def random_table(examples: int, size: int):
    """A resident set of noise: a `pipeline.Table` of uint8 [examples, size, size, 3]."""
    from rethink_tf.pipeline import Table

    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (examples, size, size, CHANNELS), np.uint8)
    labels = draw.integers(0, CLASSES, examples, np.int32)
    return Table(np.arange(examples), images, labels, labels.copy(), CLASSES)


def take_turns(candidates: dict, seconds: float, rounds: int = ROUNDS) -> dict[str, float]:
    """Best seconds per unit of each candidate over several rounds, in each of which all run.

    Args:
        candidates: functions by name; f(count) does `count` units and returns the seconds taken.
        seconds: how long each is to run in a round.
        rounds: number of rounds.
    """
    counts, best = {}, {}
    for name, run in candidates.items():
        run(2)  # compiles
        counts[name] = max(1, round(seconds / (run(2) / 2)))
    for _ in range(rounds):
        for name, run in candidates.items():
            each = run(counts[name]) / counts[name]
            best[name] = min(each, best.get(name, each))
    return best


def matmul(precision: str, size: int):
    """A candidate for `take_turns`: products of square matrices."""
    import tensorflow as tf

    dtype = tf.float32 if precision == "float32" else tf.bfloat16
    a = tf.cast(tf.random.normal([size, size]), dtype)

    def run(count):
        started = time.monotonic()
        for _ in range(count):
            product = tf.matmul(a, a)
        float(product[0, 0])
        return time.monotonic() - started

    return run


def our_step(name, precision, table, options, jit):
    """A candidate for `take_turns`: steps of `Steps`, without an epoch's begin; and its model."""
    import tensorflow as tf

    from rethink_tf.pipeline import accelerator
    from rethink_tf.steps import Steps

    shape = (options.input_size, options.input_size, CHANNELS)
    steps = Steps(
        lambda: build(name, shape, CLASSES, precision=precision),
        tf.distribute.OneDeviceStrategy(accelerator()),
        table,
        batch_size=options.batch_size,
        input_size=options.input_size,
        augment=options.augment,
        momentum=MOMENTUM,
        seed=0,
        jit=jit,
    )
    steps.begin_epoch(1, LEARNING_RATE)
    whole, position = table.num_examples // options.batch_size, 0

    def run(count):
        nonlocal position
        started = time.monotonic()
        while count:
            reached = steps.advance(position, min(count, whole - position))
            count, position = count - (reached - position), reached % whole
        if steps.diverged_at() is not None:  # waits for the device
            raise FloatingPointError(f"{name}: the loss became NaN or infinite")
        return time.monotonic() - started

    return run, steps.model


def measure(name: str, precision: str, options) -> tuple[dict, Callable[[], float]]:
    """One model in one precision: our step, PyTorch's and the matmul, taking turns.

    Returns:
        (the row of the report, a function that measures our step again, in seconds).
    """
    from rethink_tf.session import compile_with_xla

    side = 32 if options.augment == "crop" else options.input_size
    table = random_table(options.examples, side)
    default = compile_with_xla(name, options.threads)
    candidates, kinds = {}, {}
    for jit in (default, not default)[: 2 if options.xla == "both" else 1]:
        key = f"XLA {'on' if jit else 'off'}"
        candidates[key], model = our_step(name, precision, table, options, jit)
        kinds[key] = "ours"
    parameters = count_trainable(model)
    if options.torch:
        for key, setting in benchmark_torch.settings(name, options.torch_compile).items():
            candidates[key], count = benchmark_torch.training_step(
                name, precision, table, batch_size=options.batch_size, learning_rate=LEARNING_RATE,
                input_size=options.input_size, crop=options.augment == "crop",
                threads=options.threads, **setting,
            )  # fmt: skip
            kinds[key] = "torch"
            if count != parameters:
                raise ValueError(f"{name}: {parameters} parameters, but {count} in PyTorch")
    for size in MATMUL_SIZES:
        candidates[f"matmul {size}"], kinds[f"matmul {size}"] = matmul(precision, size), size
    best = take_turns(candidates, options.seconds)
    rates = {key: options.batch_size / best[key] for key in best}
    row = {
        "model": name,
        "precision": precision,
        "parameters": parameters,
        "flops_per_image": flops_per_image(model),
        "default": next(iter(candidates)),
        "ours": {k: rates[k] for k in kinds if kinds[k] == "ours"},
        "torch": {k: rates[k] for k in kinds if kinds[k] == "torch"},
        "matmul_gflops": max(
            2e-9 * kinds[k] ** 3 / best[k] for k in kinds if k.startswith("matmul")
        ),
    }
    alone = {row["default"]: candidates[row["default"]]}
    return row, lambda: take_turns(alone, options.seconds, 1)[row["default"]]

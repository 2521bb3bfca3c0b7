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


def random_table(options):
    """A resident set of noise: a `pipeline.Table` of uint8 [examples, size, size, 3]."""
    from rethink_tf.data.types import Table

    size = 32 if options.augment == "crop" else options.input_size
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (options.examples, size, size, CHANNELS), np.uint8)
    labels = draw.integers(0, CLASSES, options.examples, np.int32)
    return Table(np.arange(options.examples), images, labels, labels.copy(), CLASSES)


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


def our_step(name, precision, table, options, jit, strategy=None, kind=None):
    """A candidate for `take_turns`: steps of `Steps`, without an epoch's begin; and its model.

    Args:
        name: a key of MODELS.
        precision: `float32` or `mixed_bfloat16`.
        table: see `random_table`.
        options: of the command line.
        jit: compile forward and backward with XLA.
        strategy: default: one device.
        kind: the class of the steps; default: `Steps`.
    """
    import tensorflow as tf

    from rethink_tf.corruptions.pixels import accelerator
    from rethink_tf.training.train_step import Steps

    shape = (options.input_size, options.input_size, CHANNELS)
    steps = (kind or Steps)(
        lambda: build(name, shape, CLASSES, precision=precision),
        strategy or tf.distribute.OneDeviceStrategy(accelerator()),
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


def torch_steps(name, precision, table, options, parameters) -> tuple[dict, dict]:
    """PyTorch's candidates by setting, and why others are left out.

    torch.compile takes minutes, so it is tried on the fastest of the other settings alone.

    Raises:
        ValueError: a twin has not `parameters` trainable parameters.
    """

    def candidate(setting):
        run, count = benchmark_torch.training_step(
            name, precision, table, batch_size=options.batch_size, learning_rate=LEARNING_RATE,
            input_size=options.input_size, crop=options.augment == "crop",
            threads=options.threads, **setting,
        )  # fmt: skip
        if count != parameters:
            raise ValueError(f"{name}: {parameters} parameters, but {count} in PyTorch")
        return run

    settings = benchmark_torch.settings(name)
    found = {key: candidate(setting) for key, setting in settings.items()}
    if options.no_torch_compile:
        return found, {}
    first = take_turns(found, options.seconds / ROUNDS, 1)
    fastest = min(first, key=first.get)
    run, compiled = candidate({**settings[fastest], "compiled": True}), f"{fastest} compiled"
    reason = benchmark_torch.why_not(run)
    return (found | {compiled: run}, {}) if reason is None else (found, {compiled: reason})


def measure(name: str, precision: str, options) -> tuple[dict, Callable[[], float]]:
    """One model in one precision: our step and, as `--parts` says, others, taking turns.

    With `step` these are PyTorch's, the matmul and our step without seals, with `streamed` our step
    fed by tf.data.

    Returns:
        (the row of the report, a function that measures our step again, in seconds).
    """
    from rethink_tf.training.trainer import compile_with_xla

    table = random_table(options)
    default = compile_with_xla(name, options.threads)
    ours, torch, others, left_out = {}, {}, {}, {}
    for jit in (default, not default)[: 2 if options.xla == "both" else 1]:
        ours[f"XLA {'on' if jit else 'off'}"], model = our_step(
            name, precision, table, options, jit
        )
    parameters = count_trainable(model)
    if "streamed" in options.parts:
        from benchmark_streamed import StreamedSteps

        others["streamed"], _ = our_step(
            name, precision, table, options, default, kind=StreamedSteps
        )
    if "step" in options.parts:
        if options.torch:
            torch, left_out = torch_steps(name, precision, table, options, parameters)
        others |= {f"matmul {size}": matmul(precision, size) for size in MATMUL_SIZES}
        from benchmark_seals import UnsealedSteps

        others["unsealed"], _ = our_step(
            name, precision, table, options, default, kind=UnsealedSteps
        )
    best = take_turns({**ours, **torch, **others}, options.seconds)
    rates = {key: options.batch_size / best[key] for key in best}
    row = {
        "model": name,
        "precision": precision,
        "parameters": parameters,
        "flops_per_image": flops_per_image(model),
        "default": next(iter(ours)),
        "ours": {key: rates[key] for key in ours},
        "torch": {key: rates[key] for key in torch},
        "torch_left_out": left_out,
    }
    if "streamed" in others:
        row["streamed"] = rates["streamed"]
    if "step" in options.parts:
        row["seals"] = best[row["default"]] / best["unsealed"] - 1
        row["matmul_gflops"] = max(2e-9 * size**3 / best[f"matmul {size}"] for size in MATMUL_SIZES)
    alone = {row["default"]: ours[row["default"]]}
    return row, lambda: take_turns(alone, options.seconds, 1)[row["default"]]

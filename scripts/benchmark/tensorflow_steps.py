"""Candidates in TensorFlow: our training step and the matmul."""

import math
import time

import numpy as np

from benchmark import task
from rethink_tf.models import build, count_trainable
from rethink_tf.training.devices import setup as devices

REPLICAS = 2


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


def make_steps(name, precision, options, jit, kind="", strategy=None):
    """The steps of a model on a resident table of noise; `kind` is a class of kinds.py, or ours."""
    from rethink_tf.data.types import Table
    from rethink_tf.training.train_step import Steps

    if kind:
        from benchmark import kinds
    images, labels = task.noise(options)
    shape = (options.input_size, options.input_size, task.CHANNELS)
    return (getattr(kinds, kind) if kind else Steps)(
        lambda: build(name, shape, task.CLASSES, precision=precision),
        strategy or devices.strategy("one_device"),
        Table(np.arange(options.examples), images, labels, labels.copy(), task.CLASSES),
        batch_size=options.batch_size,
        input_size=options.input_size,
        augment=options.augment,
        momentum=task.MOMENTUM,
        seed=0,
        jit=jit,
    )


def ours(name, precision, options, jit, kind="", replicas=0):
    """A candidate: training steps, without an epoch's begin; see `make_steps`.

    With `replicas` they are so many, of REPLICAS logical devices.
    """
    options, strategy = task.read_options(options), None
    devices.start(options.threads, REPLICAS if replicas else 0)
    if replicas > 1:
        strategy = devices.strategy("mirrored", replicas)
    steps = make_steps(name, precision, options, jit, kind, strategy)
    steps.begin_epoch(1, task.LEARNING_RATE)
    whole, position = options.examples // options.batch_size, 0

    def run(count):
        nonlocal position
        started = time.monotonic()
        while count:
            reached = steps.advance(position, min(count, whole - position))
            count, position = count - (reached - position), reached % whole
        if steps.diverged_at() is not None:  # waits for the device
            raise FloatingPointError(f"{name}: the loss became NaN or infinite")
        return time.monotonic() - started

    facts = {"parameters": count_trainable(steps.model)}
    return run, facts | {"flops_per_image": flops_per_image(steps.model)}


def matmul(precision, options, size):
    """A candidate: products of square matrices."""
    devices.start(task.read_options(options).threads)
    import tensorflow as tf

    dtype = tf.float32 if precision == "float32" else tf.bfloat16
    a = tf.cast(tf.random.normal([size, size]), dtype)

    def run(count):
        started = time.monotonic()
        for _ in range(count):
            product = tf.matmul(a, a)
        float(product[0, 0])
        return time.monotonic() - started

    return run, {}

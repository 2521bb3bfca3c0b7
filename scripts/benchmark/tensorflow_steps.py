"""Candidates in TensorFlow: our training step and the matmul."""

import math
import time

import numpy as np
import tensorflow as tf

from benchmark import task
from benchmark.candidates import LeftOut
from rethink_tf.data.types import Table
from rethink_tf.models import build
from rethink_tf.training.devices import setup as devices
from rethink_tf.training.train_step import Steps
from rethink_tf.training.trainer import compile_with_xla

SHUFFLED, PREFETCHED = 10_000, 2


class UnsealedSteps(Steps):
    """Steps that take no checksum of images and show nothing of what the model gets."""

    def _shown_rows(self) -> int:
        return 0

    def words_of(self, read, step, every_word=False):
        """Nothing; see `Steps.words_of`."""
        return tf.zeros([], tf.int64)


class StreamedSteps(Steps):
    """Steps whose batches come from the host, shuffled there, in an order of tf.data's own."""

    def place(self, table):
        """An endless iterator of batches (images, index, given) in place of resident tensors."""
        arrays = (table.images, table.index, table.given.astype("int64"))
        dataset = tf.data.Dataset.from_tensor_slices(arrays).shuffle(SHUFFLED, seed=self.seed)
        dataset = dataset.repeat().batch(self.batch_size, drop_remainder=True).prefetch(PREFETCHED)
        options = tf.data.Options()
        options.autotune.enabled = False  # its thread stretches what is measured
        return iter(dataset.with_options(options))

    def own_rows(self, data, order, step, rows, epoch):
        """The next batch; see `Steps.own_rows`."""
        images, index, given = next(data)
        return images, index, given, (images, index)


KINDS = {kind.__name__: kind for kind in (Steps, UnsealedSteps, StreamedSteps)}


def start(options) -> str:
    """Starts TensorFlow; the device that computes, `cpu` or `gpu`. LeftOut: it is not there."""
    devices.start(options.threads)
    found = "gpu" if tf.config.list_logical_devices("GPU") else "cpu"
    if options.device == "gpu" != found:
        raise LeftOut("TensorFlow sees no GPU")
    return found


def platform(options):
    """A candidate that runs nothing; its facts are the names of the devices."""
    start(options)
    return float, devices.describe()


def flops_per_image(model) -> int:
    """Floating-point operations of one training image in all convolutions and dense layers.

    A multiply-add is two. Forward, weight gradient and input gradient cost the same; the first
    layer has no input gradient. Padding counts as work, everything else as none.
    """
    from keras import layers

    forward = []
    for layer in model.layers:
        if isinstance(layer, (layers.Conv2D, layers.Dense)):
            places = math.prod(layer.output.shape[1:-1])
            forward.append(2 * places * math.prod(layer.kernel.shape))
    return 3 * sum(forward) - forward[0]


def layers_of(model) -> list[tuple]:
    """(kind, settings, channels that it gets, numbers of what it gets) of each layer.

    What a layer returns has its number, from 1; 0 are the images.
    """
    number = {id(layer.output): count for count, layer in enumerate(model.layers)}
    layers = []
    for layer in model.layers[1:]:
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        numbers = [number[id(tensor)] for tensor in inputs]
        layers.append((type(layer).__name__, layer.get_config(), inputs[0].shape[-1], numbers))
    return layers


def make_steps(name, precision, options, jit, kind="Steps"):
    """The steps of a model on a resident table of noise, of one of KINDS."""
    images, labels = task.noise(options.examples, options.input_size)
    return KINDS[kind](
        lambda: build(name, images.shape[1:], task.CLASSES, precision=precision),
        devices.strategy("one_device"),
        Table(np.arange(options.examples), images, labels, labels.copy(), task.CLASSES),
        batch_size=options.batch_size,
        input_size=options.input_size,
        augment="none",
        momentum=task.MOMENTUM,
        seed=0,
        jit=jit,
    )


def ours(name, precision, options, kind="Steps"):
    """A candidate: training steps, without an epoch's begin; see `make_steps`."""
    device = start(options)
    jit = compile_with_xla(name, options.threads)
    steps = make_steps(name, precision, options, jit, kind)
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

    facts = {"flops_per_image": flops_per_image(steps.model), "layers": layers_of(steps.model)}
    return run, facts | {"device": device, "xla": jit}


def matmul(precision, options, size):
    """A candidate: products of square matrices."""
    start(options)
    dtype = tf.float32 if precision == "float32" else tf.bfloat16
    a = tf.cast(tf.random.normal([size, size]), dtype)

    def run(count):
        started = time.monotonic()
        for _ in range(count):
            product = tf.matmul(a, a)
        float(product[0, 0])  # waits for the device
        return time.monotonic() - started

    return run, {}

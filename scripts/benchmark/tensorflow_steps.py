"""Candidates in TensorFlow: our training step and the matmul."""

import math

import numpy as np
import tensorflow as tf
from keras import layers

from benchmark import task
from rethink_tf.data.types import Table
from rethink_tf.models import build
from rethink_tf.training.devices import setup as devices
from rethink_tf.training.train_step import Steps
from rethink_tf.training.trainer import compile_with_xla


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
        dataset = tf.data.Dataset.from_tensor_slices(arrays).shuffle(10_000, seed=self.seed)
        dataset = dataset.repeat().batch(self.batch_size, drop_remainder=True).prefetch(2)
        options = tf.data.Options()
        options.autotune.enabled = False  # its thread stretches what is measured
        return iter(dataset.with_options(options))

    def own_rows(self, data, order, step, rows, epoch):
        """The next batch; see `Steps.own_rows`."""
        images, index, given = next(data)
        return images, index, given, (images, index)


KINDS = {kind.__name__: kind for kind in (Steps, UnsealedSteps, StreamedSteps)}


def platform(threads: int):
    """A candidate that runs nothing; its facts are the platform and the device that computes."""
    devices.start(threads)
    device = "gpu" if tf.config.list_logical_devices("GPU") else "cpu"
    return None, devices.describe() | {"device": device}


def flops_per_image(model) -> int:
    """Floating-point operations of one training image in all convolutions and dense layers.

    A multiply-add is two. Forward, weight gradient and input gradient cost the same; the first
    layer has no input gradient. Padding counts as work, everything else as none.
    """
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
    described = []
    for layer in model.layers[1:]:
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        numbers = [number[id(tensor)] for tensor in inputs]
        described.append((type(layer).__name__, layer.get_config(), inputs[0].shape[-1], numbers))
    return described


def make_steps(model: str, precision: str, options, jit: bool, kind: str = "Steps") -> Steps:
    """The steps of a model on a resident table of noise, of one of KINDS."""
    images, labels = task.noise(task.EXAMPLES, options.input_size)
    steps = KINDS[kind](
        lambda: build(model, images.shape[1:], task.CLASSES, precision=precision),
        devices.strategy("one_device"),
        Table(np.arange(task.EXAMPLES), images, labels, labels.copy(), task.CLASSES),
        batch_size=options.batch_size,
        input_size=options.input_size,
        augment="none",
        momentum=task.MOMENTUM,
        seed=0,
        jit=jit,
    )
    steps.begin_epoch(1, task.LEARNING_RATE)
    return steps


def ours(model: str, precision: str, options, kind: str = "Steps"):
    """A candidate: training steps, without an epoch's begin; see `make_steps`."""
    devices.start(options.threads)
    jit = compile_with_xla(model, options.threads)
    steps = make_steps(model, precision, options, jit, kind)
    whole = task.EXAMPLES // options.batch_size  # batches of an epoch

    def run(count):
        for done in range(0, count, whole):
            steps.advance(0, min(whole, count - done))
        if steps.diverged_at() is not None:  # waits for the device
            raise FloatingPointError("the loss became NaN or infinite")

    facts = {"flops_per_image": flops_per_image(steps.model), "layers": layers_of(steps.model)}
    return run, facts | {"xla": jit}


def matmul(precision: str, options, size: int):
    """A candidate: products of square matrices."""
    devices.start(options.threads)
    dtype = tf.float32 if precision == "float32" else tf.bfloat16
    matrix = tf.cast(tf.random.normal([size, size]), dtype)

    def run(count):
        for _ in range(count):
            product = tf.matmul(matrix, matrix)
        float(product[0, 0])  # waits for the device

    return run, {}

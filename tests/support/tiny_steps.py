"""What the tests of the steps share: a tiny model on 50 images, and the same in plain NumPy."""

import numpy as np
import tensorflow as tf

from rethink_tf.corruptions import threefry
from rethink_tf.corruptions.threefry import SplitId, Stream
from rethink_tf.data import pipeline
from rethink_tf.data.types import Table
from rethink_tf.models.layers import l2
from rethink_tf.training.train_step import Steps

N, BATCH, K, SIDE, SEED = 50, 16, 3, 6, 2  # 3 whole batches and a remainder of 2
RATE = 0.1


def make_table(n=N, side=SIDE):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, [n, side, side, 1], dtype=np.uint8)
    true = draw.integers(0, K, n).astype(np.int32)
    given = draw.integers(0, K, n).astype(np.int32)
    return Table(np.arange(n, dtype=np.int64) * 3 + 1, images, true, given, K)


def tiny_model(weight_decay=0.0):
    import keras

    keras.utils.set_random_seed(0)
    x = inputs = keras.Input([SIDE, SIDE, 1])
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(8, activation="relu", kernel_regularizer=l2(weight_decay))(x)
    x = keras.layers.Dense(K, kernel_regularizer=l2(weight_decay))(x)
    return keras.Model(inputs, x)


def make_steps(
    table=None, *, weight_decay=0.0, decoupled_decay=0.0, strategy=None, build=None, **changes
):
    kinds = {"batch_size": BATCH, "input_size": SIDE, "augment": "none", "momentum": 0.9}
    kinds |= {"seed": SEED, "jit": False, "weight_decay": decoupled_decay} | changes
    return Steps(
        build or (lambda: tiny_model(weight_decay)),
        strategy or tf.distribute.OneDeviceStrategy("/CPU:0"),
        table or make_table(),
        **kinds,
    )


def train(steps, epochs=1, count=100):
    """Trains and returns the online sums of the last epoch."""
    for epoch in range(1, epochs + 1):
        steps.begin_epoch(epoch, RATE)
        step = 0
        while step < steps.steps_per_epoch:
            step = steps.advance(step, count)
    return steps.running()


def close(first, second, tolerance):
    for a, b in zip(first.model.get_weights(), second.model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


def same_bits(first, second):
    return [w.tobytes() for w in first.model.get_weights()] == [
        w.tobytes() for w in second.model.get_weights()
    ]


class Reference:
    """The same network, loss, L2 and momentum, written with NumPy in double precision."""

    def __init__(self, weights, weight_decay):
        self.w = [w.astype(np.float64) for w in weights]
        self.m = [np.zeros_like(w) for w in self.w]
        self.decay = weight_decay
        self.loss_sum, self.correct, self.steps = 0.0, 0, 0

    def step(self, images, given):
        x = images.reshape(len(images), -1).astype(np.float64)
        x = x - x.mean(axis=1, keepdims=True)
        x = x / x.std(axis=1, keepdims=True)
        hidden = np.maximum(x @ self.w[0] + self.w[1], 0)
        logits = hidden @ self.w[2] + self.w[3]
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p = p / p.sum(axis=1, keepdims=True)
        self.loss_sum -= np.log(p[np.arange(len(given)), given]).sum()
        self.correct += int((logits.argmax(axis=1) == given).sum())
        delta = (p - np.eye(K)[given]) / len(given)
        back = (delta @ self.w[2].T) * (hidden > 0)
        gradients = [x.T @ back, back.sum(axis=0), hidden.T @ delta, delta.sum(axis=0)]
        self.steps += 1
        for i, g in enumerate(gradients):
            self.update(i, g)

    def update(self, i, g):
        g = g + self.decay * self.w[i] if self.w[i].ndim == 2 else g
        self.m[i] = 0.9 * self.m[i] + g
        self.w[i] = self.w[i] - RATE * self.m[i]

    def epoch(self, table, number, crop=False):
        self.loss_sum, self.correct = 0.0, 0
        order = pipeline.order(SEED, number, table.num_examples)
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            images = table.images[chosen]
            if crop:
                words = threefry.bits(
                    SEED, Stream.AUGMENT, SplitId.TRAIN, table.index[chosen], number
                )
                free = images.shape[1] - SIDE + 1
                top, left = (w.astype(np.int64) * free >> 32 for w in words)
                images = np.stack(
                    [
                        image[t : t + SIDE, x : x + SIDE]
                        for image, t, x in zip(images, top, left, strict=True)
                    ]
                )
            self.step(images, table.given[chosen])

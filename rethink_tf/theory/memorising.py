"""The networks of Theorem 1 and Corollary 1 as Keras models, in float64, with no weight too many.

Every number that a network holds is a weight of one of its layers, so `count_params` is the count
of the theorem.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers


@keras.saving.register_keras_serializable(package="rethink_tf")
class Thresholds(layers.Layer):
    """max(t - b_j, 0) for each of `units` thresholds: [B, 1] -> [B, units]."""

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        """Creates b, [units]."""
        self.b = self.add_weight(name="b", shape=(self.units,), initializer="zeros")

    def call(self, t):
        """t: [B, 1] -> [B, units]."""
        return tf.nn.relu(t - self.b)

    def get_config(self):
        """The arguments, for saving."""
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="rethink_tf")
class Carried(layers.Layer):
    """A hidden layer of Corollary 1 with the affine map after it: (t, sum) [B, 2] -> [B, 2].

    Its units are max(., 0) of t, of the sum so far, and of t - b_j for each of `units` thresholds;
    the map adds the latter, weighted, to the sum. On the points neither t nor the sum is negative,
    so their rectifiers hand them on unchanged.
    """

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        """Creates b and w, [units] each."""
        self.b = self.add_weight(name="b", shape=(self.units,), initializer="zeros")
        self.w = self.add_weight(name="w", shape=(self.units, 1), initializer="zeros")

    def call(self, carried):
        """carried: [B, 2] -> [B, 2]."""
        kept = tf.nn.relu(carried)
        ramps = tf.nn.relu(carried[:, :1] - self.b)
        return tf.concat([kept[:, :1], kept[:, 1:] + tf.matmul(ramps, self.w)], axis=1)

    def get_config(self):
        """The arguments, for saving."""
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="rethink_tf")
class Begin(layers.Layer):
    """(t + by, 0) from t: [B, 1] -> [B, 2]."""

    def build(self, input_shape):
        """Creates the one number."""
        self.by = self.add_weight(name="by", shape=(), initializer="zeros")

    def call(self, t):
        """t: [B, 1] -> [B, 2]."""
        return tf.concat([t + self.by, tf.zeros_like(t)], axis=1)


@keras.saving.register_keras_serializable(package="rethink_tf")
class End(layers.Layer):
    """sum + by from (t, sum): [B, 2] -> [B, 1]."""

    def build(self, input_shape):
        """Creates the one number."""
        self.by = self.add_weight(name="by", shape=(), initializer="zeros")

    def call(self, carried):
        """carried: [B, 2] -> [B, 1]."""
        return carried[:, 1:] + self.by


def _projected(input_shape):
    """The input, its projection, and the layer that projects it: d weights."""
    inputs = keras.Input(tuple(input_shape), dtype="float64")
    flat = inputs
    if len(input_shape) != 1:  # shape [n]: n points of one number each
        flat = layers.Reshape((int(np.prod(input_shape)),), dtype="float64")(inputs)
    project = layers.Dense(1, use_bias=False, dtype="float64", name="projection")
    return inputs, project(flat), project


def shallow(input_shape, interpolant) -> keras.Model:
    """Theorem 1: project, n thresholds, one sum. Weights: d + n + n.

    Args:
        input_shape: of one point.
        interpolant: expressivity.Interpolant.
    """
    inputs, t, project = _projected(input_shape)
    hidden = Thresholds(len(interpolant.b), dtype="float64", name="thresholds")
    last = layers.Dense(1, use_bias=False, dtype="float64", name="sum")
    model = keras.Model(inputs, last(hidden(t)))
    project.set_weights([interpolant.a[:, None]])
    hidden.set_weights([interpolant.b])
    last.set_weights([interpolant.w[:, None]])
    return model


def deep(input_shape, interpolant, *, hidden: int) -> keras.Model:
    """Corollary 1: the thresholds in blocks, a hidden layer each.

    A further threshold at the end of each block but the last makes its part constant after it, so
    that the sum handed on is one of the labels, less the smallest (so never negative); the last
    layer adds that one again. Weights: d, two for each of n + hidden - 1 thresholds, two shifts.

    Args:
        input_shape: of one point.
        interpolant: expressivity.Interpolant with thresholds at the projections before (`place` 0).
        hidden: number of hidden layers, at most n.
    """
    inputs, t, project = _projected(input_shape)
    lowest = interpolant.y.min()
    # Only the first slope depends on the labels themselves; the others on differences.
    slope = interpolant.slope.copy()
    slope[0] = (interpolant.y[0] - lowest) / (interpolant.t[0] - interpolant.b[0])
    begin, end = Begin(dtype="float64", name="begin"), End(dtype="float64", name="end")
    x, blocks = begin(t), []
    for number, places in enumerate(np.array_split(np.arange(len(interpolant.b)), hidden)):
        b, w = interpolant.b[places], np.diff(slope[places], prepend=0.0)
        if number < hidden - 1:
            b, w = np.append(b, interpolant.t[places[-1]]), np.append(w, -slope[places[-1]])
        layer = Carried(len(b), dtype="float64", name=f"hidden_{number + 1}")
        x = layer(x)
        blocks.append((layer, b - interpolant.b[0], w))
    model = keras.Model(inputs, end(x))
    project.set_weights([interpolant.a[:, None]])
    begin.set_weights([-interpolant.b[0]])
    end.set_weights([lowest])
    for layer, b, w in blocks:
        layer.set_weights([b, w[:, None]])
    return model

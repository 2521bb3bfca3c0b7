"""Layers that Keras does not have in the form that the paper's networks need."""

import keras
import tensorflow as tf


def l2(weight_decay: float):
    """The regulariser half lambda w squared, None for lambda = 0 (keras.L2(c) is c w squared)."""
    return keras.regularizers.L2(weight_decay / 2) if weight_decay else None


def he_fan_out():
    """He's normal initialisation by outgoing connections, as in PyTorch's residual networks."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


def he_conv(channels: int, size: int, stride: int = 1, *, weight_decay: float = 0.0):
    """A convolution of the residual networks: padded, without a bias, He's initial weights."""
    return keras.layers.Conv2D(
        channels,
        size,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer=he_fan_out(),
        kernel_regularizer=l2(weight_decay),
    )


@keras.saving.register_keras_serializable(package="rethink_tf")
class FusedBatchNorm(keras.layers.Layer):
    """Batch normalisation with a learnt offset, by the fused kernel.

    The same as `keras.layers.BatchNormalization` on [B, H, W, C], which Keras 3 computes unfused,
    at about 0.8 of the speed on CPUs. By default without a scale, as in TF-slim: this is what makes
    the parameter count equal with and without normalisation, as in the paper's Table 1.

    Args:
        momentum: of the moving averages; at 0.99 they lag by ten epochs on few examples.
            `Evaluation.recalibrate` takes them anew before each evaluation.
        epsilon: added to the variance.
        scale: learn a factor as well.

    Attributes:
        synchronized: take the statistics over all replicas (not fused, and not under XLA).
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-3, scale=False, **kwargs):
        super().__init__(**kwargs)
        self.synchronized = False
        self.momentum, self.epsilon, self.scale = momentum, epsilon, scale

    def build(self, input_shape):
        """Creates gamma (with `scale`), beta, moving_mean, moving_variance, each float32 [C]."""
        shape = (input_shape[-1],)
        # The fused kernel takes its parameters in float32, whatever the precision of x.
        kept = {"shape": shape, "dtype": "float32", "autocast": False}
        if self.scale:
            self.gamma = self.add_weight(name="gamma", initializer="ones", **kept)
        self.beta = self.add_weight(name="beta", initializer="zeros", **kept)
        self.moving_mean = self.add_weight(
            name="moving_mean", initializer="zeros", trainable=False, **kept
        )
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", trainable=False, **kept
        )

    def call(self, x, training=False):
        """x: [B, H, W, C] -> the same shape and dtype."""
        beta = tf.convert_to_tensor(self.beta)
        scale = tf.convert_to_tensor(self.gamma) if self.scale else tf.ones([x.shape[-1]])
        if not (training and self.trainable):  # frozen: as in inference, as in Keras
            mean = tf.convert_to_tensor(self.moving_mean)
            variance = tf.convert_to_tensor(self.moving_variance)
            y, _, _ = tf.compat.v1.nn.fused_batch_norm(
                x, scale, beta, mean, variance, epsilon=self.epsilon, is_training=False
            )
            return y
        rows = tf.cast(tf.size(x) // tf.shape(x)[-1], tf.float32)
        if self.synchronized:
            y, mean, variance = self._over_replicas(x, rows, scale, beta)
        else:
            y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                x, scale, beta, epsilon=self.epsilon, is_training=True
            )
            # The kernel returns the unbiased variance, but Keras averages the biased one.
            variance *= (rows - 1) / rows
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1 - self.momentum))
        return y

    def _over_replicas(self, x, rows, scale, beta):
        values = tf.cast(x, tf.float32)
        sums = [tf.reduce_sum(v, [0, 1, 2]) for v in (values, tf.square(values))]
        context = tf.distribute.get_replica_context()
        total, squares, rows = context.all_reduce(tf.distribute.ReduceOp.SUM, [*sums, rows])
        mean = total / rows
        variance = squares / rows - tf.square(mean)
        y = (values - mean) * tf.math.rsqrt(variance + self.epsilon) * scale + beta
        return tf.cast(y, x.dtype), mean, variance

    def compute_output_shape(self, input_shape):
        """Same as the input's."""
        return input_shape

    def get_config(self):
        """The arguments, for saving."""
        kept = {"momentum": self.momentum, "epsilon": self.epsilon, "scale": self.scale}
        return {**super().get_config(), **kept}


@keras.saving.register_keras_serializable(package="rethink_tf")
class LocalResponseNorm(keras.layers.Layer):
    """Krizhevsky's normalisation over 2 * radius + 1 neighbouring channels.

    The same as `tf.nn.lrn`, whose gradient on CPUs computes a power for each pair of channels: it
    took a quarter of AlexNet's time. The sums over neighbours are a product with a band matrix.

    The constants are those of TensorFlow's CIFAR-10 tutorial, whose layout gives the parameter
    count of the paper's AlexNet; the paper itself does not state them.
    """

    def __init__(self, radius=4, bias=1.0, alpha=0.001 / 9, beta=0.75, **kwargs):
        super().__init__(**kwargs)
        self.settings = {"radius": radius, "bias": bias, "alpha": alpha, "beta": beta}

    def call(self, x):
        """x: [B, H, W, C] -> the same shape and dtype."""
        s, channels = self.settings, x.shape[-1]
        band = tf.linalg.band_part(tf.ones([channels, channels]), s["radius"], s["radius"])
        # In float32 whatever the precision, since squares are summed.
        values = tf.cast(x, tf.float32)
        sums = s["bias"] + s["alpha"] * tf.tensordot(tf.square(values), band, 1)
        y = values * tf.exp(-s["beta"] * tf.math.log(sums))
        return tf.cast(y, x.dtype)

    def get_config(self):
        """The arguments, for saving."""
        return {**super().get_config(), **self.settings}

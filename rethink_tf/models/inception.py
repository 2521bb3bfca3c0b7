"""The paper's small Inception (Figure 3, Appendix A), with and without batch normalisation."""

import keras
from keras import layers

from rethink_tf.models.layers import FusedBatchNorm, l2


def _small_inception(input_shape, num_classes, *, batch_norm, initializer, weight_decay, dropout):
    def conv(channels, size, stride=1):
        """Figure 3's conv module: convolution, batch normalisation, ReLU."""

        def block(x):
            x = layers.Conv2D(
                channels,
                size,
                stride,
                padding="same",
                # With batch normalisation its offset is the bias.
                use_bias=not batch_norm,
                kernel_initializer=initializer,
                kernel_regularizer=l2(weight_decay),
            )(x)
            x = FusedBatchNorm()(x) if batch_norm else x
            return layers.ReLU()(x)

        return block

    def inception(channels_1x1, channels_3x3):
        return lambda x: layers.Concatenate()([conv(channels_1x1, 1)(x), conv(channels_3x3, 3)(x)])

    def downsample(channels):
        pool = layers.MaxPooling2D(3, 2, padding="same")
        return lambda x: layers.Concatenate()([conv(channels, 3, 2)(x), pool(x)])

    x = inputs = keras.Input(input_shape)
    x = conv(96, 3)(x)
    x = inception(32, 32)(x)
    x = inception(32, 48)(x)
    x = downsample(80)(x)
    x = inception(112, 48)(x)
    x = inception(96, 64)(x)
    x = inception(80, 80)(x)
    x = inception(48, 96)(x)
    x = downsample(96)(x)
    x = inception(176, 160)(x)
    x = inception(176, 160)(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(dropout)(x) if dropout else x
    x = layers.Dense(
        num_classes,
        kernel_initializer=initializer,
        kernel_regularizer=l2(weight_decay),
        dtype="float32",
    )(x)
    return keras.Model(inputs, x)


def inception(input_shape, num_classes, *, weight_decay=0.0, dropout=0.0) -> keras.Model:
    """Small Inception: 1,649,402 trainable parameters on 28x28x3 and 10 classes.

    He initialisation (TF-slim's `inception_arg_scope`); dropout, not in the paper, before the
    last layer; weight decay on all kernels.
    """
    return _small_inception(
        input_shape,
        num_classes,
        batch_norm=True,
        initializer="he_normal",
        weight_decay=weight_decay,
        dropout=dropout,
    )


def inception_no_bn(input_shape, num_classes, *, weight_decay=0.0, dropout=0.0) -> keras.Model:
    """Small Inception without batch normalisation: biases instead, 1,649,402 parameters as well.

    Glorot initialisation: at the paper's rate of 0.1, He's gives NaN within the first steps.
    """
    return _small_inception(
        input_shape,
        num_classes,
        batch_norm=False,
        initializer="glorot_uniform",
        weight_decay=weight_decay,
        dropout=dropout,
    )

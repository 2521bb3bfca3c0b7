"""Residual networks (He et al., 2015) for small images: 3x3 stem, no early pooling."""

import keras
from keras import layers

from rethink_tf.models.layers import FusedBatchNorm, he_conv, l2

_STAGES = (64, 128, 256, 512)


def resnet(
    input_shape, num_classes, *, blocks, bottleneck, weight_decay=0.0, dropout=0.0
) -> keras.Model:
    """A residual network of four stages; ResNet-18 has 11,173,962 trainable parameters.

    Args:
        input_shape: (height, width, channels).
        num_classes: number of logits.
        blocks: number of blocks in each of the four stages, such as (2, 2, 2, 2).
        bottleneck: blocks 1x1, 3x3, 1x1 with four times the channels, not 3x3, 3x3.
        weight_decay: lambda of half lambda w squared, on all kernels.
        dropout: before the last layer; not in the source.
    """

    def conv(x, channels, size, stride=1):
        x = he_conv(channels, size, stride, weight_decay=weight_decay)(x)
        return FusedBatchNorm(scale=True, epsilon=1e-5)(x)

    def block(x, channels, stride):
        if bottleneck:
            y = layers.ReLU()(conv(x, channels, 1))
            y = layers.ReLU()(conv(y, channels, 3, stride))
            y = conv(y, 4 * channels, 1)
        else:
            y = layers.ReLU()(conv(x, channels, 3, stride))
            y = conv(y, channels, 3)
        kept = x
        if x.shape[-1] != y.shape[-1] or stride > 1:
            kept = conv(x, y.shape[-1], 1, stride)
        return layers.ReLU()(layers.Add()([kept, y]))

    x = inputs = keras.Input(input_shape)
    x = layers.ReLU()(conv(x, 64, 3))
    for stage, (channels, count) in enumerate(zip(_STAGES, blocks, strict=True)):
        for number in range(count):
            x = block(x, channels, 2 if stage and not number else 1)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(dropout)(x) if dropout else x
    x = layers.Dense(num_classes, kernel_regularizer=l2(weight_decay), dtype="float32")(x)
    return keras.Model(inputs, x)

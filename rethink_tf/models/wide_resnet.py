"""Wide residual networks (Zagoruyko and Komodakis, 2016) for small images.

WRN-28-1 is the network of the first author's own demonstration of random labels.
"""

import keras
from keras import layers

from rethink_tf.models.layers import FusedBatchNorm, he_conv, l2


def wide_resnet(
    input_shape, num_classes, *, depth, width, weight_decay=0.0, dropout=0.0
) -> keras.Model:
    """WRN-depth-width: 369,498 trainable parameters for 28-1, 36,479,194 for 28-10 (10 classes).

    Args:
        input_shape: (height, width, channels); the paper's are 32x32x3.
        num_classes: number of logits.
        depth: 6n + 4, the number of convolutions.
        width: factor on the channels 16, 32 and 64.
        weight_decay: lambda of half lambda w squared, on all kernels (the demonstration's PyTorch
            code decays the scales and offsets as well).
        dropout: between the two convolutions of each block, as in the source.
    """

    def conv(channels, size, stride=1):
        return he_conv(channels, size, stride, weight_decay=weight_decay)

    def activate(x):
        return layers.ReLU()(FusedBatchNorm(scale=True, epsilon=1e-5)(x))

    def block(x, channels, stride):
        kept, y = x, activate(x)
        if x.shape[-1] != channels or stride > 1:
            kept = conv(channels, 1, stride)(y)
        y = activate(conv(channels, 3, stride)(y))
        y = layers.Dropout(dropout)(y) if dropout else y
        return layers.Add()([kept, conv(channels, 3)(y)])

    x = inputs = keras.Input(input_shape)
    x = conv(16, 3)(x)
    for stage, channels in enumerate((16, 32, 64)):
        for number in range((depth - 4) // 6):
            x = block(x, channels * width, 2 if stage and not number else 1)
    x = layers.GlobalAveragePooling2D()(activate(x))
    x = layers.Dense(num_classes, kernel_regularizer=l2(weight_decay), dtype="float32")(x)
    return keras.Model(inputs, x)


def resnet_28(input_shape, num_classes, *, weight_decay=0.0, dropout=0.0) -> keras.Model:
    """WRN-28-1, under the name that an earlier reproduction gives its network.

    That report names a "ResNet-28" and does not define it. 28 is not a depth of the usual family
    6n + 2. It is a depth of the wide residual networks, so WRN-28-1 is used here.
    """
    return wide_resnet(
        input_shape, num_classes, depth=28, width=1, weight_decay=weight_decay, dropout=dropout
    )

"""The paper's small AlexNet (Appendix A)."""

import keras
from keras import layers

from rethink_tf.models.layers import LocalResponseNorm, l2


def alexnet(input_shape, num_classes, *, weight_decay=0.0, dropout=0.0) -> keras.Model:
    """Small AlexNet: 1,387,786 trainable parameters on 28x28x3 and 10 classes.

    Two blocks of 5x5 convolution, 3x3 max-pooling and local response normalisation, dense layers of
    384 and 192. Channels and the place of weight decay (the two dense layers) are those of
    TensorFlow's CIFAR-10 tutorial. The initial weights are Glorot's. With those of
    the tutorial, 61% of 10,000 random labels were fitted after 25 epochs. Dropout, which is not in
    the paper, follows each dense layer.
    """

    def conv_block(x):
        x = layers.Conv2D(64, 5, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(3, 2, padding="same")(x)
        return LocalResponseNorm()(x)

    def dense(units):
        def block(x):
            x = layers.Dense(
                units,
                activation="relu",
                kernel_regularizer=l2(weight_decay),
            )(x)
            return layers.Dropout(dropout)(x) if dropout else x

        return block

    x = inputs = keras.Input(input_shape)
    x = conv_block(x)
    x = conv_block(x)
    x = layers.Flatten()(x)
    x = dense(384)(x)
    x = dense(192)(x)
    x = layers.Dense(num_classes, dtype="float32")(x)
    return keras.Model(inputs, x)

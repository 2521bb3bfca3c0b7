"""The paper's multi-layer perceptrons (Appendix A)."""

import keras
from keras import layers

from rethink_tf.models.layers import l2


def _mlp(input_shape, num_classes, *, hidden_layers, weight_decay, dropout):
    x = inputs = keras.Input(input_shape)
    x = layers.Flatten()(x)
    for _ in range(hidden_layers):
        x = layers.Dense(512, activation="relu", kernel_regularizer=l2(weight_decay))(x)
        x = layers.Dropout(dropout)(x) if dropout else x
    x = layers.Dense(num_classes, kernel_regularizer=l2(weight_decay), dtype="float32")(x)
    return keras.Model(inputs, x)


def mlp_1x512(input_shape, num_classes, *, weight_decay=0.0, dropout=0.0) -> keras.Model:
    """One hidden layer of 512 ReLUs: 1,209,866 parameters on 28x28x3 and 10 classes.

    Glorot initialisation, weight decay on all kernels, dropout (not in the paper) after the ReLUs.
    """
    return _mlp(
        input_shape, num_classes, hidden_layers=1, weight_decay=weight_decay, dropout=dropout
    )


def mlp_3x512(input_shape, num_classes, *, weight_decay=0.0, dropout=0.0) -> keras.Model:
    """Three hidden layers of 512 ReLUs: 1,735,178 parameters on 28x28x3 and 10 classes.

    Otherwise as `mlp_1x512`.
    """
    return _mlp(
        input_shape, num_classes, hidden_layers=3, weight_decay=weight_decay, dropout=dropout
    )

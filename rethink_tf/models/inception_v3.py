"""Inception v3 (Szegedy et al. 2015), as in the paper's Table 2: Keras' functional model."""

import keras

from rethink_tf.models.layers import FusedBatchNorm, l2


def inception_v3(input_shape, num_classes, *, weight_decay=0.0, dropout=0.0) -> keras.Model:
    """`keras.applications.InceptionV3` without weights, with dropout before its last layer.

    Its batch normalisation is computed by the fused kernel (same parameters, same function, no
    scale) with momentum 0.9. With 1,000 classes: 23,817,352 trainable parameters, and 34,432 moving
    statistics.

    Args:
        input_shape: (height, width, channels), at least 75 x 75; the paper's is 299 x 299.
        num_classes: number of logits, any.
        weight_decay: half lambda w squared on all kernels, that of the last layer too; the package
            that the paper used has lambda 4e-5.
        dropout: fraction of the 2,048 pooled features; the package has 0.2.
    """

    def fused(layer):
        if isinstance(layer, keras.layers.BatchNormalization):
            return FusedBatchNorm(epsilon=layer.epsilon, name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    body = keras.applications.InceptionV3(
        include_top=False, weights=None, input_shape=input_shape, pooling="avg"
    )
    body = keras.models.clone_model(
        body,
        clone_function=fused,
        # Drops the mask with which Keras called its own normalisation.
        call_function=lambda layer, *inputs, **_: layer(*inputs),
    )
    for layer in body.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.kernel.regularizer = l2(weight_decay)
    x = keras.layers.Dropout(dropout)(body.output) if dropout else body.output
    x = keras.layers.Dense(num_classes, kernel_regularizer=l2(weight_decay), dtype="float32")(x)
    return keras.Model(body.input, x, name="inception_v3")

"""The networks, by the names of the paper's rows. This dict is the only door to them.

Every builder has the signature `(input_shape, num_classes, *, weight_decay, dropout)` and returns a
functional keras.Model from standardised images [B, H, W, C] to float32 logits [B, num_classes].
Weight decay is coupled L2, half lambda w squared, on the kernels that the model's source decays.
"""

import importlib

MODELS = {
    "inception": "rethink_tf.models.inception:inception",
    "inception_no_bn": "rethink_tf.models.inception:inception_no_bn",
    "alexnet": "rethink_tf.models.alexnet:alexnet",
    "mlp_3x512": "rethink_tf.models.mlp:mlp_3x512",
    "mlp_1x512": "rethink_tf.models.mlp:mlp_1x512",
}
# Those with batch normalisation.
BATCH_NORM = ("inception",)


def build(
    name: str,
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    weight_decay: float = 0.0,
    dropout: float = 0.0,
    precision: str = "float32",
    sync_batch_norm: bool = False,
    seed: int = 0,
):
    """Builds a registered model with freshly drawn weights.

    Args:
        name: a key of MODELS.
        input_shape: (height, width, channels) after cropping.
        num_classes: number of logits.
        weight_decay: lambda of half lambda w squared; 0 for none.
        dropout: fraction of units dropped, 0 for none.
        precision: `float32` or `mixed_bfloat16` (Keras' dtype policy; logits stay float32).
        sync_batch_norm: batch statistics over all replicas, not each replica's own.
        seed: of the initial weights.

    Returns:
        A keras.Model.
    """
    import keras

    module, function = MODELS[name].split(":")
    builder = getattr(importlib.import_module(module), function)
    keras.utils.set_random_seed(seed % 2**32)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        model = builder(input_shape, num_classes, weight_decay=weight_decay, dropout=dropout)
    finally:
        keras.config.set_dtype_policy(before)
    for layer in model.layers:
        if hasattr(layer, "synchronized"):
            layer.synchronized = sync_batch_norm
    return model


def count_trainable(model) -> int:
    """Number of trainable parameters: the paper's #params (moving averages do not count)."""
    return sum(int(v.shape.num_elements()) for v in model.trainable_variables)

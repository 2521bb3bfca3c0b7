"""The networks, by the names of the paper's rows; `registry` lists them.

Every builder has the signature `(input_shape, num_classes, *, weight_decay, dropout)` and returns a
functional keras.Model from preprocessed images [B, H, W, C] to float32 logits [B, num_classes].
Weight decay is coupled L2, half lambda w squared, on the kernels that the model's source decays.
"""

import functools
import importlib
from typing import Any

from rethink_tf.models.custom import applications, rescaling
from rethink_tf.models.custom import build as custom_network
from rethink_tf.models.custom import name as custom_models
from rethink_tf.models.nested import layers_of
from rethink_tf.models.registry import MODELS, ModelSpec, find_spec

__all__ = [
    "MODELS",
    "ModelSpec",
    "accepts",
    "build",
    "conversions",
    "count_trainable",
    "find_spec",
    "layers_of",
    "smallest_input",
]


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
        name: as in `find_spec`, or resolved by `custom.name`.
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

    settings: dict[str, Any]
    if custom_models.is_custom(name):
        builder = functools.partial(custom_network.build, name)
        settings = {"precision": precision}
    else:
        spec = find_spec(name)
        if spec is None:
            raise ValueError(f"expected one of {', '.join(MODELS)}, received {name}")
        module = importlib.import_module(f"rethink_tf.models.{spec.module}")
        builder, settings = getattr(module, spec.builder), dict(spec.arguments)
    settings |= {"weight_decay": weight_decay, "dropout": dropout}
    keras.utils.set_random_seed(seed % 2**32)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        model = builder(input_shape, num_classes, **settings)
    finally:
        keras.config.set_dtype_policy(before)
    for layer in layers_of(model):
        if hasattr(layer, "synchronized"):
            layer.synchronized = sync_batch_norm
    return model


def accepts(name: str) -> bool:
    """Whether a name is one that `build` accepts once it is resolved.

    Raises:
        RequestError: it names a file or folder of another kind than FILE.keras, or `keras:NAME` of
            no application of Keras.
    """
    if applications.is_application(name):
        applications.refuse_unknown(name)
    if find_spec(name) is not None or custom_models.is_custom(name):
        return True
    custom_models.refuse_other_files(name)
    return False


def smallest_input(name: str) -> int:
    """Height and width in pixels of the smallest images that a network accepts; 0: any."""
    if applications.is_application(name):
        return applications.smallest_input(name)
    spec = find_spec(name)
    return spec.smallest_input if spec else 0


def conversions(model, preprocess: str) -> list[str]:
    """What was changed in a custom model and which input it gets; empty for other models."""
    said = [model.rethink_conversions] if getattr(model, "rethink_conversions", "") else []
    if getattr(model, "rethink_scaling", None):
        said.append(rescaling.what_it_gets(model.rethink_scaling, preprocess))
    return said


def count_trainable(model) -> int:
    """Number of trainable parameters: the paper's #params (moving averages do not count)."""
    return sum(int(v.shape.num_elements()) for v in model.trainable_variables)

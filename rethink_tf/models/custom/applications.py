"""The networks of `keras.applications` by name, `keras:ResNet50V2`, with weights drawn anew.

The name alone stands for the network in a run id, as with the paper's networks. Keras publishes
trained weights for each application, and these fit one architecture only, so a later Keras has the
same one. The version of Keras is recorded in config.json, as for every run. Importing this module
loads no Keras.
"""

import difflib
import inspect

from rethink_tf.errors import RequestError
from rethink_tf.models.custom import rescaling

PREFIX = "keras:"

# Name: smallest height and width in pixels that Keras accepts for it.
SMALLEST = dict.fromkeys(
    (
        *(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")),
        *(f"DenseNet{depth}" for depth in (121, 169, 201)),
        *(f"EfficientNetB{number}" for number in range(8)),
        *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
        *("MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large"),
        *("NASNetMobile", "NASNetLarge"),
        *(f"ResNet{depth}{version}" for depth in (50, 101, 152) for version in ("", "V2")),
        *("VGG16", "VGG19"),
    ),
    32,
) | {"InceptionResNetV2": 75, "InceptionV3": 75, "Xception": 71}


def is_application(spec: str) -> bool:
    """Whether a model's name is `keras:NAME`, of whatever NAME."""
    return str(spec).startswith(PREFIX)


def smallest_input(spec: str) -> int:
    """Height and width in pixels of the smallest images for `keras:NAME`."""
    return SMALLEST[spec.removeprefix(PREFIX)]


def refuse_unknown(spec: str) -> None:
    """Refuses `keras:NAME` where Keras has no such application, naming the nearest.

    Raises:
        RequestError: lists the names there are.
    """
    name = str(spec).removeprefix(PREFIX)
    if name in SMALLEST:
        return
    known = {each.lower(): each for each in SMALLEST}
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    hint = f"; did you mean --model={PREFIX}{known[near[0]]}?" if near else ""
    raise RequestError(
        f"--model: expected {PREFIX}NAME with one of {', '.join(SMALLEST)}; received {spec}{hint}"
    )


def build(
    spec: str,
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    weight_decay: float = 0.0,
    dropout: float = 0.0,
):
    """An application of Keras from images [B, H, W, C] to float32 logits [B, num_classes].

    Its weights are drawn under the seed and the dtype policy in force. Where Keras lets its scaling
    of the images be left out, it is: the images of a run are standardised already.

    Args:
        spec: `keras:NAME`.
        input_shape: (height, width, channels), at least `smallest_input`.
        num_classes: number of logits.
        weight_decay, dropout: refused where they are not 0: an application has no place for them.

    Returns:
        A keras.Model with `rethink_conversions` and `rethink_scaling`, as in `custom.build`.

    Raises:
        RequestError: an option is refused, or this Keras lacks the application.
    """
    import keras

    refuse_unknown(spec)
    for flag, value in (("weight_decay", weight_decay), ("dropout", dropout)):
        if value:
            raise RequestError(
                f"--{flag}: {spec} takes no {flag}; type --{flag}=0, or give a function that adds "
                "it, --model=package.module:function"
            )
    function = getattr(keras.applications, spec.removeprefix(PREFIX), None)
    if function is None:
        raise RequestError(f"--model: Keras {keras.__version__} has no {spec}")
    if min(input_shape[:2]) < smallest_input(spec):
        raise RequestError(
            f"--model: expected images of at least {smallest_input(spec)}x{smallest_input(spec)} "
            f"for {spec}, received {input_shape[0]}x{input_shape[1]}"
        )
    notes = [f"{spec}: weights drawn anew by --seed; its outputs are logits"]
    settings = {"weights": None, "classes": num_classes, "classifier_activation": None}
    if "include_preprocessing" in inspect.signature(function).parameters:
        settings["include_preprocessing"] = False
        notes.append("its own scaling of the images is switched off")
    model = function(input_shape=tuple(input_shape), **settings)
    if keras.backend.standardize_dtype(model.output.dtype) != "float32":
        logits = keras.layers.Activation("linear", dtype="float32")(model.output)
        model = keras.Model(model.input, logits, name=model.name)
    model.rethink_conversions = "; ".join(notes)
    model.rethink_scaling = rescaling.own_scaling(model, input_shape)
    return model

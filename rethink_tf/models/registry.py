"""The networks by name: one ModelSpec for each, with all that is known about it.

To add one: write a builder `(input_shape, num_classes, *, weight_decay, dropout, ...)` in a file of
this folder, and its entry here.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

# Without batch normalisation the paper lowers the learning rate (Appendix A).
RATE, RATE_WITHOUT_BATCH_NORM = 0.1, 0.01


@dataclasses.dataclass(frozen=True)
class DigitsRecipe:
    """How a network is trained on `digits`.

    Few examples make few steps per epoch. The paper's decay of 0.95 per epoch then stops networks
    without batch normalisation before they have fitted the labels."""

    batch_size: int
    learning_rate: float
    lr_decay: float
    epochs: int


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """A network and its settings.

    Attributes:
        name: as it is typed, the paper's name for the row.
        module: file of this folder, without its ending.
        builder: function there.
        arguments: what the builder is given besides shape, classes and regularisers.
        batch_norm: whether it has batch normalisation.
        learning_rate: of the first epoch, where none is asked for.
        weight_decay: lambda of half lambda w squared where the paper says "with weight decay". The
            paper states "default coefficient for each model" (Appendix E) and no number. Inception
            has TF-slim's (`inception_arg_scope`), AlexNet that of TensorFlow's CIFAR-10 tutorial,
            the MLPs that of the first author's later code; None: in no table of the paper.
        smallest_input: smallest height and width in pixels that the layers accept; 0 for any.
        digits: its recipe on `digits`; None for the general one.
        xla_on_cpu: whether XLA made it faster on CPUs with several threads, as measured.
    """

    name: str
    module: str
    builder: str
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    batch_norm: bool = True
    learning_rate: float = RATE
    weight_decay: float | None = None
    smallest_input: int = 0
    digits: DigitsRecipe | None = None
    xla_on_cpu: bool = False


def _wide_resnet(depth: int, width: int) -> ModelSpec:
    name, arguments = f"wrn_{depth}_{width}", {"depth": depth, "width": width}
    return ModelSpec(name, "wide_resnet", "wide_resnet", arguments)


def _resnet(name: str, blocks: tuple[int, ...], *, bottleneck: bool) -> ModelSpec:
    return ModelSpec(name, "resnet", "resnet", {"blocks": blocks, "bottleneck": bottleneck})


def _mlp(name: str, digits: DigitsRecipe) -> ModelSpec:
    return ModelSpec(
        name,
        "mlp",
        name,
        batch_norm=False,
        learning_rate=RATE_WITHOUT_BATCH_NORM,
        weight_decay=1e-4,
        digits=digits,
        xla_on_cpu=True,
    )


# Also accepted: any wrn_DEPTH_WIDTH (`find_spec`), and the names that `custom/name.py` reads, such
# as keras:NAME for the networks of keras.applications.
MODELS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            "inception",
            "inception",
            "inception",
            weight_decay=4e-5,
            # All random labels are fitted after epoch 18; three more show that it stays so.
            digits=DigitsRecipe(batch_size=128, learning_rate=0.1, lr_decay=0.95, epochs=21),
        ),
        ModelSpec(
            "inception_no_bn",
            "inception",
            "inception_no_bn",
            batch_norm=False,
            weight_decay=4e-5,
            digits=DigitsRecipe(batch_size=32, learning_rate=0.02, lr_decay=0.98, epochs=60),
        ),
        ModelSpec(
            "alexnet",
            "alexnet",
            "alexnet",
            batch_norm=False,
            learning_rate=RATE_WITHOUT_BATCH_NORM,
            weight_decay=0.004,
            digits=DigitsRecipe(batch_size=32, learning_rate=0.01, lr_decay=0.98, epochs=60),
        ),
        _mlp("mlp_3x512", DigitsRecipe(32, 0.01, 0.98, 80)),
        _mlp("mlp_1x512", DigitsRecipe(32, 0.03, 0.99, 150)),
        _wide_resnet(28, 1),
        _wide_resnet(28, 10),
        _resnet("resnet_18", (2, 2, 2, 2), bottleneck=False),
        ModelSpec("resnet_28", "wide_resnet", "resnet_28"),
        _resnet("resnet_50", (3, 4, 6, 3), bottleneck=True),
        _resnet("resnet_101", (3, 4, 23, 3), bottleneck=True),
        _resnet("resnet_200", (3, 24, 36, 3), bottleneck=True),
        ModelSpec(
            "inception_v3", "inception_v3", "inception_v3", weight_decay=4e-5, smallest_input=75
        ),
    )
}


def find_spec(name: str) -> ModelSpec | None:
    """The ModelSpec of a name, a key of MODELS or any `wrn_DEPTH_WIDTH`; None for other names."""
    wide = re.fullmatch(r"wrn_([1-9]\d{0,2})_([1-9]\d?)", str(name), re.ASCII)
    if wide:
        depth, width = int(wide[1]), int(wide[2])
        if depth >= 10 and depth % 6 == 4:
            return _wide_resnet(depth, width)
    return MODELS.get(name)

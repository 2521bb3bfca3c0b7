"""RunConfig: everything that can change a number of a run, and nothing that cannot.

Every field carries its default, help and bounds; `command_line` makes the flags from it. Equal
configurations are one run: `run_id` is the model's name and a hash of the resolved fields. Imports
no TensorFlow.
"""

import dataclasses
import hashlib
import json
from typing import Any

from rethink_tf import fields, noise
from rethink_tf.corruptions import LABEL_NOISE, PIXELS
from rethink_tf.datasets import DATASETS
from rethink_tf.errors import RequestError
from rethink_tf.models import BATCH_NORM, MODELS

PRECISIONS = ("float32", "mixed_bfloat16")
AUGMENTATIONS = ("none", "crop", "flip_rotate")
LEAST_MIX = 1e-4


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """One run as a value. None stands for "by model and data set" until `resolve`."""

    model: str = fields.field(
        "inception", str, "The network, by the paper's name.", group="What is trained",
        choices=tuple(MODELS),
    )  # fmt: skip
    dataset: str | None = fields.field(
        None, str, "The data set.", group="What is trained", choices=tuple(DATASETS),
        by="cifar10 if it is on disk or can be downloaded, else digits",
    )  # fmt: skip
    examples: int | None = fields.field(
        None, int, "Number of training examples, class-balanced, nested; default: all of them.",
        group="What is trained", low=1,
    )  # fmt: skip
    input_size: int | None = fields.field(
        None, int, "Height and width in pixels that the network sees, cropped from the centre.",
        group="What is trained", low=4, high=1024, by="28; digits 16",
    )  # fmt: skip
    corrupt: float = fields.field(
        0.0, float, "Probability with which each training label is replaced by a uniform class.",
        group="What is corrupted", low=0.0, high=1.0,
    )  # fmt: skip
    label_noise: str = fields.field(
        "uniform", str, "By what a label is replaced: uniform (the paper's; the true class too).",
        group="What is corrupted", choices=LABEL_NOISE,
    )  # fmt: skip
    labels_from: str | None = fields.field(
        None,
        str,
        "Noise file (rethink_tf.noise) that gives the training labels; default: none.",
        group="What is corrupted",
    )
    pixels: str = fields.field(
        "original",
        str,
        "The images: one permutation for all (shuffled), one per image (random), or noise.",
        group="What is corrupted",
        choices=PIXELS,
    )
    pixel_mix: float = fields.field(
        1.0, float, "With --pixels=gaussian: t of (1 - t) image + t noise.",
        group="What is corrupted", low=0.0, high=1.0,
    )  # fmt: skip
    shuffle_fraction: float = fields.field(
        1.0,
        float,
        "With --pixels=shuffled or random: share of the positions that is permuted.",
        group="What is corrupted",
        low=0.0,
        high=1.0,
    )
    augment: str = fields.field(
        "none", str, "Augmentation of the training images, new in each epoch.",
        group="Regularisation", choices=AUGMENTATIONS,
    )  # fmt: skip
    weight_decay: float = fields.field(
        0.0, float, "lambda of coupled L2, half lambda w squared; never part of the reported loss.",
        group="Regularisation", low=0.0, high=10.0,
    )  # fmt: skip
    dropout: float = fields.field(
        0.0, float, "Fraction of the units dropped before the last layer.",
        group="Regularisation", low=0.0, high=1.0, open_ends="high",
    )  # fmt: skip
    learning_rate: float | None = fields.field(
        None, float, "Learning rate of the first epoch.", group="Optimisation", low=0.0,
        high=1000.0, open_ends="low", by="0.1 for the Inceptions, 0.01 else; MNISTs, digits vary",
    )  # fmt: skip
    lr_decay: float | None = fields.field(
        None, float, "Factor on the learning rate after each epoch.", group="Optimisation",
        low=0.0, high=1.0, open_ends="low", by="0.95; MNISTs and digits vary",
    )  # fmt: skip
    momentum: float = fields.field(
        0.9, float, "Momentum of SGD.", group="Optimisation", low=0.0, high=1.0, open_ends="high",
    )  # fmt: skip
    batch_size: int | None = fields.field(
        None, int, "Examples per step, over all devices.", group="Optimisation", low=1,
        high=1_000_000, by="128; digits 32 for all but the Inceptions",
    )  # fmt: skip
    epochs: int | None = fields.field(
        None, int, "Passes over the training set.", group="Optimisation", low=1, high=1_000_000,
        by="70; digits vary",
    )  # fmt: skip
    precision: str = fields.field(
        "float32", str, "Arithmetic of the layers; weights and logits stay float32.",
        group="Optimisation", choices=PRECISIONS,
    )  # fmt: skip
    sync_batch_norm: bool = fields.field(
        False,
        bool,
        "Batch-norm statistics over all replicas instead of each replica's own.",
        group="Optimisation",
    )
    seed: int = fields.field(
        0, int, "Seed of everything that is drawn.", group="Optimisation", low=0, high=2**32 - 1,
    )  # fmt: skip
    eval_every: int = fields.field(
        1, int, "Epochs between exact evaluations: all that stopping and best-so-far can see.",
        group="Evaluation and stopping", low=1, high=1_000_000,
    )  # fmt: skip
    stop_at_train_accuracy: float | None = fields.field(
        None, float, "End the run when the exact training accuracy reaches this; default: never.",
        group="Evaluation and stopping", low=0.0, high=1.0, open_ends="low",
    )  # fmt: skip


# A resolved file stands as path, this mark, and the hash of its content.
_CONTENT = "@sha256:"

FIELDS = {f.name: f for f in dataclasses.fields(RunConfig)}

# Few examples make few steps an epoch; the paper's x0.95 per epoch then stops the networks without
# batch normalisation too early. model: (batch_size, learning_rate, lr_decay, epochs).
_DIGITS = {
    "inception": (128, 0.1, 0.95, 25),
    "inception_no_bn": (32, 0.02, 0.98, 60),
    "alexnet": (32, 0.01, 0.98, 60),
    "mlp_3x512": (32, 0.01, 0.98, 80),
    "mlp_1x512": (32, 0.03, 0.99, 150),
}


def _settings(model: str, dataset: str) -> dict[str, Any]:
    """What the fields left open become for a model on a data set."""
    rate = 0.1 if model.startswith("inception") else 0.01
    settings = {
        "input_size": min(28, *DATASETS[dataset].image_shape[:2]),
        "batch_size": 128,
        "learning_rate": rate,
        "lr_decay": 0.95,
        "epochs": 70,
    }
    if dataset == "digits":
        names = ("batch_size", "learning_rate", "lr_decay", "epochs")
        settings.update(zip(names, _DIGITS[model], strict=True))
    elif dataset in ("mnist", "fashion_mnist"):
        settings.update(lr_decay=0.98, epochs=150)
    return settings


def check_field(name: str, value) -> Any:
    """One field's value in its own type; RequestError with what was expected and what came."""
    return fields.check(name, FIELDS[name], value)


def resolve(config: RunConfig) -> RunConfig:
    """The configuration with every open field filled in, checked, and in its one form.

    Args:
        config: `dataset` must be set; other None fields are resolved by model and data set.

    Returns:
        A RunConfig; configurations that mean the same are equal.

    Raises:
        RequestError: a value is out of its bounds, or fields contradict each other.
    """
    values = {name: check_field(name, getattr(config, name)) for name in FIELDS}
    if values["dataset"] is None:
        raise RequestError(f"--dataset: expected one of {', '.join(DATASETS)}; received none")
    info = DATASETS[values["dataset"]]
    for name, value in _settings(values["model"], values["dataset"]).items():
        values[name] = value if values[name] is None else values[name]

    _check_sizes(values, info)
    _check_corruption(values)
    if values["model"] not in BATCH_NORM:
        values["sync_batch_norm"] = False
    if values["examples"] == info.num_train:
        values["examples"] = None
    examples = values["examples"] or info.num_train
    values["batch_size"] = min(values["batch_size"], examples)
    values["eval_every"] = min(values["eval_every"], values["epochs"])
    return RunConfig(**values)


def _check_sizes(values, info) -> None:
    size, smallest = values["input_size"], min(info.image_shape[:2])
    if size > smallest:
        raise RequestError(
            f"--input_size: expected at most {smallest}, the size of {info.name}'s images, "
            f"received {size}"
        )
    if values["augment"] == "crop" and size >= smallest:
        raise RequestError(
            f"--augment=crop: expected images larger than the input; {info.name}'s are "
            f"{smallest}x{smallest} and --input_size is {size}; type --input_size={smallest - 4}"
        )
    if values["examples"] is not None and values["examples"] > info.num_train:
        raise RequestError(
            f"--examples: expected at most {info.num_train}, the training set of {info.name}, "
            f"received {values['examples']}"
        )


def _check_corruption(values) -> None:
    """Refuses contradictions; brings what means the same to one form (a degree of 0 is none)."""
    pixels = values["pixels"]
    for name, kinds in (("pixel_mix", ("gaussian",)), ("shuffle_fraction", ("shuffled", "random"))):
        if pixels not in kinds and values[name] != 1:
            raise RequestError(
                f"--{name}: expected --pixels={' or '.join(kinds)} with it, received "
                f"--pixels={pixels}"
            )
        if values[name] == 0:
            values["pixels"], values[name] = "original", 1.0
    if values["pixel_mix"] < LEAST_MIX:
        raise RequestError(
            f"--pixel_mix: expected 0 or at least {LEAST_MIX:g}, received {values['pixel_mix']}: "
            "single precision would lose the noise"
        )
    positions = values["input_size"] ** 2
    if round(values["shuffle_fraction"] * positions) < 2:
        raise RequestError(
            f"--shuffle_fraction: expected at least {2 / positions:.2g}, two of the {positions} "
            f"positions, received {values['shuffle_fraction']}: nothing would move"
        )
    if values["pixels"] != "original" and values["augment"] != "none":
        raise RequestError(
            f"--augment={values['augment']}: expected none with --pixels={pixels}: corrupted "
            "pixels are drawn once and fixed, and the paper never combines the two"
        )
    if values["corrupt"] == 0:
        values["label_noise"] = "uniform"
    if values["labels_from"] is not None:
        if values["corrupt"] > 0:
            raise RequestError(
                f"--labels_from: expected --corrupt=0 with it (the file is the corruption), "
                f"received --corrupt={values['corrupt']}"
            )
        path, _, known = values["labels_from"].partition(_CONTENT)
        try:
            known = known or noise.content_hash(path)
        except RequestError as error:
            raise RequestError(f"--labels_from={error}") from None
        values["labels_from"] = f"{path}{_CONTENT}{known}"


def identity(config: RunConfig) -> dict[str, Any]:
    """The fields that name a resolved run.

    A field left at a fixed default is omitted, so a field added later renames nothing; a field
    that resolves from others never is, so a changed resolution cannot pass for the old run.
    """
    values = dataclasses.asdict(config)
    if config.labels_from is not None:  # the content counts, not the path
        values["labels_from"] = config.labels_from.partition(_CONTENT)[2]
    return {
        name: value
        for name, value in values.items()
        if FIELDS[name].metadata["by"] or value != FIELDS[name].default
    }


def labels_path(config: RunConfig) -> tuple[str, str]:
    """Path and content hash of a resolved configuration's noise file."""
    path, _, known = config.labels_from.partition(_CONTENT)
    return path, known


def run_id(config: RunConfig) -> str:
    """Model name and 12 hex digits over `identity` of a resolved configuration."""
    text = json.dumps(identity(config), sort_keys=True)
    return f"{config.model}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def from_dict(values: dict[str, Any]) -> RunConfig:
    """A RunConfig from the `config` of a config.json; RequestError for a field unknown here."""
    unknown = set(values) - set(FIELDS)
    if unknown:
        raise RequestError(f"config: fields unknown to this version: {', '.join(sorted(unknown))}")
    return RunConfig(**values)

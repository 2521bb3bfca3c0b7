"""What open fields become, and which fields contradict each other. Works on a dict of fields."""

from typing import Any

from rethink_tf import noise, schedule
from rethink_tf.datasets import DATASETS
from rethink_tf.errors import RequestError
from rethink_tf.models import SMALLEST_INPUT

# A resolved file stands as path, this mark, and the hash of its content.
CONTENT = "@sha256:"

MILESTONES = "150,225"  # of the first author's demonstration
# Few examples make few steps an epoch; the paper's x0.95 per epoch then stops the networks without
# batch normalisation too early. model: (batch_size, learning_rate, lr_decay, epochs).
_DIGITS = {
    "inception": (128, 0.1, 0.95, 25),
    "inception_no_bn": (32, 0.02, 0.98, 60),
    "alexnet": (32, 0.01, 0.98, 60),
    "mlp_3x512": (32, 0.01, 0.98, 80),
    "mlp_1x512": (32, 0.03, 0.99, 150),
}


def defaults(model: str, dataset: str, lr_schedule: str) -> dict[str, Any]:
    """What the fields left open become for a model on a data set."""
    rate = 0.01 if model in ("alexnet", "mlp_3x512", "mlp_1x512") else 0.1
    info = DATASETS[dataset]
    settings = {
        "input_size": info.image_shape[0] if info.streamed else min(28, *info.image_shape[:2]),
        "batch_size": 128,
        "learning_rate": rate,
        "lr_decay": 0.95 if lr_schedule == "exponential" else 0.1,
        "epochs": 70,
    }
    if lr_schedule != "exponential":
        return settings
    if dataset == "digits" and model in _DIGITS:
        names = ("batch_size", "learning_rate", "lr_decay", "epochs")
        settings.update(zip(names, _DIGITS[model], strict=True))
    elif dataset in ("mnist", "fashion_mnist"):
        settings.update(lr_decay=0.98, epochs=150)
    return settings


def check_schedule(values: dict[str, Any]) -> None:
    """Brings the milestones to one form; refuses them where no schedule has them."""
    found = ",".join(map(str, schedule.milestones(values["lr_milestones"])))
    if values["lr_schedule"] != "step" and found != MILESTONES:
        raise RequestError(
            f"--lr_milestones: expected --lr_schedule=step with it, received "
            f"--lr_schedule={values['lr_schedule']}"
        )
    values["lr_milestones"] = found


def check_sizes(values: dict[str, Any]) -> None:
    """Refuses inputs larger than the images, and more examples than there are."""
    info = DATASETS[values["dataset"]]
    size, smallest = values["input_size"], min(info.image_shape[:2])
    if size < SMALLEST_INPUT.get(values["model"], 0):
        raise RequestError(
            f"--input_size: expected at least {SMALLEST_INPUT[values['model']]} with "
            f"--model={values['model']}, received {size}"
        )
    if (values["augment"] == "inception") != info.streamed and values["augment"] != "none":
        kinds = "none or inception" if info.streamed else "none, crop or flip_rotate"
        raise RequestError(
            f"--augment: expected {kinds} with --dataset={info.name}, received {values['augment']}"
        )
    if size > smallest and not info.streamed:
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


def check_corruption(values: dict[str, Any]) -> None:
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
        path, _, known = values["labels_from"].partition(CONTENT)
        try:
            known = known or noise.content_hash(path)
        except RequestError as error:
            raise RequestError(f"--labels_from={error}") from None
        values["labels_from"] = f"{path}{CONTENT}{known}"

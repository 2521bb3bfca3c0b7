"""Resolves open fields and refuses fields that contradict each other. Works on a dict of fields."""

import dataclasses
from typing import Any

from rethink_tf.config import schedule
from rethink_tf.config.parent_ref import ParentRef
from rethink_tf.data import noise_file, noise_matrix, types
from rethink_tf.data.registry import DATASETS
from rethink_tf.data.sources import image_folder
from rethink_tf.data.types import DatasetInfo
from rethink_tf.errors import RequestError
from rethink_tf.models import find_spec, smallest_input
from rethink_tf.models.custom import applications
from rethink_tf.models.custom import name as custom_models
from rethink_tf.models.registry import RATE_WITHOUT_BATCH_NORM
from rethink_tf.storage import content_hash
from rethink_tf.storage.content_hash import ContentRef

RANDOM = "random"  # also random:DATASET: weights drawn for the image size of that data set

LEAST_MIX = 1e-4
FEW = 10_000  # custom data sets with fewer examples are trained on in small batches
ADAM_RATE = 0.001  # the default of Keras for Adam and AdamW
MOMENTUM = 0.9
MILESTONES = "150,225"  # epochs, as in the first author's demonstration


def input_size(info: DatasetInfo, augment: str = "none") -> int:
    """What is seen of a set's images: the paper's crop; of those of any size, its size for them."""
    if info.content:
        return image_folder.input_side(min(info.image_shape[:2]), augment)
    return info.image_shape[0] if info.streamed else min(28, *info.image_shape[:2])


def defaults(
    model: str,
    info: DatasetInfo,
    lr_schedule: str,
    augment: str = "none",
    optimizer: str = "sgd",
) -> dict[str, Any]:
    """What the fields left open become for a model on a data set."""
    settings = _of_sgd(model, info, lr_schedule, augment)
    if lr_schedule == "cosine":
        settings["lr_decay"] = 1.0
    if optimizer != "sgd":
        settings["learning_rate"] = ADAM_RATE
    return settings


def _of_sgd(model: str, info: DatasetInfo, lr_schedule: str, augment: str) -> dict[str, Any]:
    dataset, custom = info.name, custom_models.is_custom(model)
    spec, size = find_spec(model), input_size(info, augment)
    if applications.is_application(model):  # smaller images are resized, not padded or cropped
        size = max(size, smallest_input(model))
    settings = {
        "input_size": size,
        "batch_size": 128,
        "learning_rate": spec.learning_rate if spec else RATE_WITHOUT_BATCH_NORM,
        "lr_decay": 0.1 if lr_schedule == "step" else 0.95,
        "epochs": 70,
    }
    if lr_schedule == "step":
        return settings
    if dataset == "digits" and spec and spec.digits:
        settings.update(dataclasses.asdict(spec.digits))
    elif dataset in ("mnist", "fashion_mnist"):
        settings.update(lr_decay=0.98, epochs=150)
    elif custom or info.content:
        settings.update(lr_decay=0.98, epochs=100)
    if (custom or info.content) and info.num_train < FEW:
        settings.update(batch_size=32)
    return settings


def check_schedule(values: dict[str, Any]) -> None:
    """Brings the milestones to one form; refuses what the schedule or optimiser does not have."""
    milestones = ",".join(map(str, schedule.milestones(values["lr_milestones"])))
    if values["lr_schedule"] != "step" and milestones != MILESTONES:
        raise RequestError(
            f"--lr_milestones: expected --lr_schedule=step with it, received "
            f"--lr_schedule={values['lr_schedule']}"
        )
    values["lr_milestones"] = milestones
    warmup = values["warmup_epochs"]
    if values["lr_schedule"] != "cosine" and warmup:
        raise RequestError(
            f"--warmup_epochs: expected --lr_schedule=cosine with it, received "
            f"--lr_schedule={values['lr_schedule']}"
        )
    if values["lr_schedule"] == "cosine" and values["lr_decay"] != 1:
        raise RequestError(
            f"--lr_decay: expected none with --lr_schedule=cosine, whose rate follows the cosine "
            f"alone, received {values['lr_decay']}"
        )
    if warmup >= values["epochs"]:
        raise RequestError(
            f"--warmup_epochs: expected fewer than --epochs={values['epochs']}, received {warmup}"
        )
    if values["optimizer"] != "sgd" and values["momentum"] != MOMENTUM:
        raise RequestError(
            f"--momentum: expected --optimizer=sgd with it ({values['optimizer']} has averages of "
            f"its own), received --optimizer={values['optimizer']}"
        )


def check_sizes(values: dict[str, Any], info: types.DatasetInfo) -> None:
    """Refuses inputs larger than the images, and more examples than there are."""
    size, smallest = values["input_size"], min(info.image_shape[:2])
    least = smallest_input(values["model"])
    if size < least:
        raise RequestError(
            f"--input_size: expected at least {least} with "
            f"--model={values['model']}, received {size}"
        )
    if (values["augment"] == "inception") != info.streamed and values["augment"] != "none":
        kinds = "none or inception" if info.streamed else "none, crop or flip_rotate"
        raise RequestError(
            f"--augment: expected {kinds} with --dataset={info.name}, received {values['augment']}"
        )
    # Images are resized to the parent's input size, as for a streamed set or a Keras application.
    resized = (
        info.streamed
        or values["init_from"] is not None
        or applications.is_application(values["model"])
    )
    if size > smallest and not resized:
        raise RequestError(
            f"--input_size: expected at most {smallest}, the size of {info.name}'s images, "
            f"received {size}"
        )
    if values["augment"] == "crop" and size >= smallest:
        way = f"--input_size={smallest - 4}" if smallest - 4 >= least else "--augment=none"
        raise RequestError(
            f"--augment=crop: expected images larger than the input; {info.name}'s are "
            f"{smallest}x{smallest} and --input_size is {size}; type {way}"
        )
    if values["examples"] is not None and values["examples"] > info.num_train:
        raise RequestError(
            f"--examples: expected at most {info.num_train}, the training set of {info.name}, "
            f"received {values['examples']}"
        )


def check_held_out(values: dict[str, Any], info: types.DatasetInfo) -> None:
    """Refuses more held-out examples than are left; all others are trained on where none are named.

    So `examples` is the number that is trained on, with held-out examples and without.
    """
    held_out, most = values["held_out"], info.num_train - (values["examples"] or 1)
    if not held_out:
        return
    if info.streamed:
        raise RequestError(
            f"--held_out: expected 0 with --dataset={info.name}, whose images stay on disk; "
            f"received {held_out}"
        )
    if held_out > most:
        raise RequestError(
            f"--held_out: expected at most {most}, the training examples of {info.name} that are "
            f"not trained on, received {held_out}"
        )
    values["examples"] = values["examples"] or info.num_train - held_out


def check_corruption(values: dict[str, Any], info: DatasetInfo) -> None:
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
    if values["pixels"] == "original":
        values["test_pixels"] = "as_trained"
    positions = values["input_size"] ** 2
    if round(values["shuffle_fraction"] * positions) < 2:
        raise RequestError(
            f"--shuffle_fraction: expected at least {2 / positions:.2g}, two of the {positions} "
            f"positions, received {values['shuffle_fraction']}: no pixel would move"
        )
    if values["pixels"] != "original" and values["augment"] != "none":
        raise RequestError(
            f"--augment={values['augment']}: expected none with --pixels={pixels}: corrupted "
            "pixels are drawn once and fixed, and the paper never combines the two"
        )
    if noise_matrix.is_matrix(values["label_noise"]):
        if values["corrupt"] == 0:
            raise RequestError(
                "--label_noise=FILE.csv: expected --corrupt above 0 with it: the probability with "
                "which a label is replaced by one drawn from the matrix; for the matrix as it is "
                "type --corrupt=1"
            )
        values["label_noise"] = noise_matrix.resolved(values["label_noise"], info.num_classes)
    if values["corrupt"] == 0:
        values["label_noise"] = "uniform"
    if values["labels_from"] is not None:
        if values["corrupt"] > 0:
            raise RequestError(
                f"--labels_from: expected --corrupt=0 with it (the file is the corruption), "
                f"received --corrupt={values['corrupt']}"
            )
        ref = ContentRef.parse(values["labels_from"])
        try:
            known = ref.sha256 or noise_file.content_hash(ref.path)
        except RequestError as error:
            raise RequestError(f"--labels_from={error}") from None
        values["labels_from"] = str(ContentRef(ref.path, known))


def is_random(parent: str) -> bool:
    """Whether --init_from names freshly drawn weights."""
    return parent == RANDOM or parent.startswith(f"{RANDOM}:")


def parent_identity(parent: str) -> str:
    """What of a resolved parent counts: which run it is, or what data; never a path."""
    if not is_random(parent):
        return ParentRef.parse(parent).identity
    name = parent.partition(":")[2]
    return f"{RANDOM}:{ContentRef.parse(name).sha256 or name}"


def check_transfer(values: dict[str, Any]) -> None:
    """Refuses what contradicts a parent; brings it to one form."""
    parent, frozen = values["init_from"], values["freeze"] == "all_but_last"
    if parent is None:
        for name, default in (("freeze", "none"), ("init_epoch", None)):
            if values[name] != default:
                raise RequestError(
                    f"--{name}: expected --init_from=RUN with it (or --init_from=random), "
                    f"received --{name}={values[name]} alone"
                )
        return
    if is_random(parent):
        _check_random(values, frozen)
    else:
        ref = ParentRef.parse(parent)
        if values["init_epoch"] is None:
            values["init_epoch"] = ref.epoch
    if frozen:
        _check_frozen(values)


def _check_random(values: dict[str, Any], frozen: bool) -> None:
    name = values["init_from"].partition(":")[2] or values["dataset"]
    # A custom data set: use its name with the hash.
    if name == content_hash.shown(values["dataset"]):
        name = values["dataset"]
    if name not in DATASETS and name != values["dataset"]:
        raise RequestError(
            f"--init_from=random:DATASET: expected one of {', '.join(DATASETS)}, or random alone "
            f"for this run's own data; received {name}"
        )
    if not frozen:
        raise RequestError(
            "--init_from=random: expected --freeze=all_but_last with it; to train all layers, "
            "leave --init_from out, since that is an ordinary run"
        )
    if values["init_epoch"] is not None:
        raise RequestError(
            f"--init_epoch: expected none with --init_from=random, received {values['init_epoch']}"
        )
    values["init_from"] = f"{RANDOM}:{name}"


def _check_frozen(values: dict[str, Any]) -> None:
    """The frozen part is computed once for each image, in float32, without dropout."""
    values["sync_batch_norm"] = False  # the last layer has no batch normalisation
    reasons = {
        "augment": "the features of each image are computed once, not anew in each epoch",
        "dropout": "dropout is off in the frozen layers",
        "precision": "the features are computed once, in float32, as is the last layer",
    }
    for (name, why), plain in zip(reasons.items(), ("none", 0.0, "float32"), strict=True):
        if values[name] != plain:
            raise RequestError(
                f"--{name}: expected {plain} with --freeze=all_but_last ({why}), "
                f"received {values[name]}"
            )

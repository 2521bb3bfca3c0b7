"""RunConfig: everything that can change a number of a run, and nothing that cannot.

Every field carries its default, help and bounds; `flags` makes the command line from it. Equal
configurations are one run: `run_id` is the model's name and a hash of the resolved fields. Imports
no TensorFlow.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import Any

from rethink_tf.config import fields, resolution
from rethink_tf.config.parent_ref import ParentRef
from rethink_tf.corruptions.corruption import Corruption
from rethink_tf.corruptions.labels import LABEL_NOISE, PIXELS, TEST_PIXELS
from rethink_tf.data import noise_matrix
from rethink_tf.data import registry as datasets
from rethink_tf.data.registry import DATASETS
from rethink_tf.data.sources import custom as custom_data
from rethink_tf.errors import RequestError
from rethink_tf.models import MODELS, find_spec
from rethink_tf.models import accepts as accepts_model
from rethink_tf.models.custom import name as custom_models
from rethink_tf.narrowing import present
from rethink_tf.storage.content_hash import ContentRef

PRECISIONS = ("float32", "mixed_bfloat16")
AUGMENTATIONS = ("none", "crop", "flip_rotate", "inception")
PREPROCESSING = ("standardise", "channel_norm", "inception", "none")
LR_SCHEDULES = ("exponential", "step", "cosine")
OPTIMIZERS = ("sgd", "adam", "adamw")
FREEZE = ("none", "all_but_last")
# Fields that a run with --init_from takes from its parent.
OF_THE_PARENT = ("model", "preprocess", "input_size")
_OURS = {f"tfds:{info.name}": info.name for info in DATASETS.values() if info.download_host_url}


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """The settings of one run. Equal settings are one run, with one run id.

    Each field is the flag of the same name; `rethink-tf train --help` and the page "Configuration"
    explain them. A field left at None is resolved by model and data set. The types are those of a
    resolved configuration.
    """

    model: str = fields.field(
        "inception",
        str,
        "the network, by the paper's name; or your own: package.module:function or FILE.keras; or "
        "keras:NAME of keras.applications; or any wrn_DEPTH_WIDTH",
        group="What is trained",
        choices=tuple(MODELS),
        accepts=accepts_model,
    )
    dataset: str = fields.field(
        None,
        str,
        f"the data set, or one of your own: {custom_data.FORMS}",
        group="What is trained",
        choices=tuple(DATASETS),
        accepts=datasets.accepts,
        forms=custom_data.FORMS,
        meant=custom_data.meant,
        by="cifar10 if it is on disk or can be downloaded, else digits",
    )
    examples: int | None = fields.field(
        None,
        int,
        "number of training examples, class-balanced; a larger subset contains the smaller "
        "ones [all]",
        group="What is trained",
        low=1,
    )
    input_size: int = fields.field(
        None,
        int,
        "height and width in pixels that the network sees, cropped from the centre",
        group="What is trained",
        low=4,
        high=1024,
        by="28; digits 16; imagenet2012 299 (resized); your own: whole images",
    )
    corrupt: float = fields.field(
        0.0,
        float,
        "probability with which each training label is replaced by a random class",
        group="What is corrupted",
        low=0.0,
        high=1.0,
    )
    label_noise: str = fields.field(
        "uniform",
        str,
        "what replaces a label: a random class, which may be the true one (uniform, as in the "
        "paper); a random class other than the true one (exclude_true); the next class "
        "(pair_flip); or FILE.csv: a class drawn from the true class's row of that matrix",
        group="What is corrupted",
        choices=LABEL_NOISE,
        accepts=noise_matrix.is_matrix,
    )
    labels_from: str | None = fields.field(
        None,
        str,
        "file of the training labels, as rethink-tf noise writes it [none]",
        group="What is corrupted",
    )
    pixels: str = fields.field(
        "original",
        str,
        "the images: unchanged (original); pixels permuted, by one permutation for all images "
        "(shuffled) or one for each (random); or replaced by Gaussian noise (gaussian)",
        group="What is corrupted",
        choices=PIXELS,
    )
    pixel_mix: float = fields.field(
        1.0,
        float,
        "with --pixels=gaussian: t in (1 - t) image + t noise",
        group="What is corrupted",
        low=0.0,
        high=1.0,
    )
    shuffle_fraction: float = fields.field(
        1.0,
        float,
        "with --pixels=shuffled or random: fraction of the pixel positions that are permuted",
        group="What is corrupted",
        low=0.0,
        high=1.0,
    )
    test_pixels: str = fields.field(
        "as_trained",
        str,
        "the test images: corrupted like the training images (as_trained), or unchanged (original)",
        group="What is corrupted",
        choices=TEST_PIXELS,
    )
    preprocess: str = fields.field(
        "standardise",
        str,
        "scaling of the input: each image to mean 0 and std 1 (standardise); each channel by its "
        "mean and std over the training set (channel_norm); pixels to -1..1 (inception); or pixels "
        "0..255 unchanged (none)",
        group="What is trained",
        choices=PREPROCESSING,
    )
    augment: str = fields.field(
        "none",
        str,
        "augmentation of the training images, drawn anew in each epoch; inception is only for "
        "imagenet2012",
        group="Regularisation",
        choices=AUGMENTATIONS,
    )
    weight_decay: float = fields.field(
        0.0,
        float,
        "lambda of the L2 penalty lambda/2 |w|^2, which acts on the gradient and is not in the "
        "reported loss; with --optimizer=adamw decoupled, and not on biases and gains",
        group="Regularisation",
        low=0.0,
        high=10.0,
    )
    dropout: float = fields.field(
        0.0,
        float,
        "fraction of the units that are dropped before the last layer",
        group="Regularisation",
        low=0.0,
        high=1.0,
        open_ends="high",
    )
    learning_rate: float = fields.field(
        None,
        float,
        "learning rate of the first epoch",
        group="Optimisation",
        low=0.0,
        high=1000.0,
        open_ends="low",
        by="0.1 with batch norm, 0.01 without or your own; digits vary; 0.001 with adam or adamw",
    )
    lr_decay: float = fields.field(
        None,
        float,
        "factor on the learning rate, see --lr_schedule",
        group="Optimisation",
        low=0.0,
        high=1.0,
        open_ends="low",
        by="0.95; 0.98 for MNISTs and your own; digits vary; step 0.1; cosine 1",
    )
    lr_schedule: str = fields.field(
        "exponential",
        str,
        "how the learning rate falls: by --lr_decay after each epoch (exponential), by --lr_decay "
        "at each of --lr_milestones (step), or along half a cosine (cosine)",
        group="Optimisation",
        choices=LR_SCHEDULES,
    )
    lr_milestones: str = fields.field(
        resolution.MILESTONES,
        str,
        "with --lr_schedule=step: epochs after which the learning rate falls",
        group="Optimisation",
    )
    warmup_epochs: int = fields.field(
        0,
        int,
        "with --lr_schedule=cosine: number of first epochs in which the learning rate rises "
        "linearly",
        group="Optimisation",
        low=0,
        high=1_000_000,
    )
    optimizer: str = fields.field(
        "sgd",
        str,
        "the update rule: SGD with momentum, as in the paper, or Adam or AdamW of Keras",
        group="Optimisation",
        choices=OPTIMIZERS,
    )
    momentum: float = fields.field(
        resolution.MOMENTUM,
        float,
        "momentum of SGD",
        group="Optimisation",
        low=0.0,
        high=1.0,
        open_ends="high",
    )
    batch_size: int = fields.field(
        None,
        int,
        "examples per step, over all devices together",
        group="Optimisation",
        low=1,
        high=1_000_000,
        by="128; digits vary; 32 for your own with fewer than 10,000 examples",
    )
    epochs: int = fields.field(
        None,
        int,
        "passes over the training set",
        group="Optimisation",
        low=1,
        high=1_000_000,
        by="70; 150 for the MNISTs; digits vary; 100 for your own",
    )
    precision: str = fields.field(
        "float32",
        str,
        "arithmetic of the layers; weights and logits stay float32",
        group="Optimisation",
        choices=PRECISIONS,
    )
    sync_batch_norm: bool = fields.field(
        False,
        bool,
        "batch-norm statistics over all replicas (devices) instead of each one's own",
        group="Optimisation",
    )
    seed: int = fields.field(
        0,
        int,
        "seed of all random draws",
        group="Optimisation",
        low=0,
        high=2**32 - 1,
    )
    init_from: str | None = fields.field(
        None,
        str,
        "initial weights: those of a trained run, named by its folder, id or flagfile; or newly "
        "drawn ones: random, or random:DATASET for the images of that data set [none]",
        group="Transfer",
    )
    init_epoch: int | None = fields.field(
        None,
        int,
        "with --init_from: epoch of that run whose weights are used, one of its --keep_epochs "
        "[its last]",
        group="Transfer",
        low=1,
    )
    freeze: str = fields.field(
        "none",
        str,
        "with --init_from: layers whose weights stay as they are; the last layer is always new",
        group="Transfer",
        choices=FREEZE,
    )
    eval_every: int = fields.field(
        1,
        int,
        "epochs between exact evaluations; stopping and best-so-far values use evaluated epochs "
        "only",
        group="Evaluation and stopping",
        low=1,
        high=1_000_000,
    )
    held_out: int = fields.field(
        0,
        int,
        "number of training examples, class-balanced, that are not trained on and replace the test "
        "set; for choosing settings",
        group="Evaluation and stopping",
        low=0,
    )
    stop_at_train_accuracy: float | None = fields.field(
        None,
        float,
        "exact training accuracy, 0 to 1, at which the run ends early [never]",
        group="Evaluation and stopping",
        low=0.0,
        high=1.0,
        open_ends="low",
    )

    @property
    def corruption(self) -> Corruption:
        """How its labels and pixels are corrupted; a matrix is not read here."""
        names = (f.name for f in dataclasses.fields(Corruption) if f.name in FIELDS)
        return Corruption(**{name: getattr(self, name) for name in names})


FIELDS = {f.name: f for f in dataclasses.fields(RunConfig)}


def check_field(name: str, value: Any) -> Any:
    """One field's value in its own type; RequestError with what was expected and what came."""
    return fields.check(name, FIELDS[name], value)


def resolve(
    config: RunConfig,
    data_dir: str | None = None,
    cache_dir: str | None = None,
    report: Callable[[str], None] = print,
) -> RunConfig:
    """The configuration with every open field filled in, checked, and in its one form.

    Args:
        config: `dataset` must be set; other None fields are resolved by model and data set.
        data_dir, cache_dir, report: see `registry.load`; for a data set of one's own.

    Returns:
        A RunConfig; configurations that mean the same are equal.

    Raises:
        RequestError: a value is out of its bounds, or fields contradict each other.
    """
    values = {name: check_field(name, getattr(config, name)) for name in FIELDS}
    if values["dataset"] is None:
        raise RequestError(f"--dataset: expected one of {', '.join(DATASETS)}; received none")
    # A built-in data set under its TFDS name is that built-in data set.
    values["dataset"] = _OURS.get(values["dataset"], values["dataset"])
    size = {"input_size": values["input_size"], "augment": values["augment"], "report": report}
    info = datasets.info(values["dataset"], data_dir, cache_dir, **size)
    values["dataset"] = datasets.resolved(values["dataset"], info)
    if custom_models.is_custom(values["model"]):
        values["model"] = custom_models.resolved(values["model"])
    chosen = values["model"], info, values["lr_schedule"], values["augment"], values["optimizer"]
    for name, value in resolution.defaults(*chosen).items():
        values[name] = value if values[name] is None else values[name]
    resolution.check_schedule(values)
    resolution.check_transfer(values)
    resolution.check_sizes(values, info)
    resolution.check_held_out(values, info)
    resolution.check_corruption(values, info)
    spec = find_spec(values["model"])
    if spec and not spec.batch_norm:
        values["sync_batch_norm"] = False
    whole = info.num_train
    if values["examples"] == whole:
        values["examples"] = None
    examples = values["examples"] or whole
    values["batch_size"] = min(values["batch_size"], examples)
    values["eval_every"] = min(values["eval_every"], values["epochs"])
    return RunConfig(**values)


def smaller_batch(wanted: RunConfig, resolved: RunConfig) -> str | None:
    """A line for the reader where a step asks for more examples than there are; else None.

    Such runs compute the same as one with all examples in each step, so they are that one run.
    """
    if wanted.batch_size is None or wanted.batch_size <= resolved.batch_size:
        return None
    return (
        f"--batch_size: {wanted.batch_size} is more than the training examples; each step takes "
        f"all {resolved.batch_size}: the run is that with --batch_size={resolved.batch_size}"
    )


def identity(config: RunConfig) -> dict[str, Any]:
    """The fields that name a resolved run.

    A field left at a fixed default is omitted, so a field added later renames nothing; a field
    that resolves from others never is, so a changed resolution cannot pass for the old run.
    """
    values = {name: getattr(config, name) for name in FIELDS}
    values["label_noise"] = label_noise_identity(config)
    if config.labels_from is not None:  # the content counts, not the path
        values["labels_from"] = ContentRef.parse(config.labels_from).sha256
    if config.init_from is not None:  # which run it is, not where it lies
        values["init_from"] = resolution.parent_identity(config.init_from)
    if custom_data.is_custom(config.dataset):
        values["dataset"] = ContentRef.parse(config.dataset).sha256
    if custom_models.is_custom(config.model):
        values["model"] = custom_models.identity(config.model)
    return {
        name: value
        for name, value in values.items()
        if FIELDS[name].metadata["by"] or value != FIELDS[name].default
    }


def label_noise_identity(config: RunConfig) -> str:
    """The kind of noise of a resolved configuration; of a matrix the hash, not the path."""
    return ContentRef.parse(config.label_noise).sha256 or config.label_noise


def labels_ref(config: RunConfig) -> ContentRef:
    """The noise file of a resolved configuration that has one."""
    return ContentRef.parse(present(config.labels_from, "labels_from"))


def parent_ref(config: RunConfig) -> ParentRef:
    """The trained parent of a resolved configuration that has one."""
    return ParentRef.parse(present(config.init_from, "init_from"))


def run_id(config: RunConfig) -> str:
    """Model name and 12 hex digits over `identity` of a resolved configuration."""
    text = json.dumps(identity(config), sort_keys=True)
    custom = custom_models.is_custom(config.model)
    name = custom_models.folder_name(config.model) if custom else config.model
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def from_dict(values: dict[str, Any]) -> RunConfig:
    """A RunConfig from the `config` of a config.json; RequestError for a field unknown here."""
    unknown = set(values) - set(FIELDS)
    if unknown:
        raise RequestError(f"config: fields unknown to this version: {', '.join(sorted(unknown))}")
    return RunConfig(**values)

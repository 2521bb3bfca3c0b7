"""The tables and figures as data: rows (flagfiles) x axes (text) x seeds, at three scales."""

import dataclasses
from collections.abc import Mapping
from typing import Any

SCALES = ("paper", "cpu", "smoke")
SCALED = ("examples", "epochs", "eval_every")
TRAINING = ("rethink_tf.main",)


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A table or figure.

    Attributes:
        title: what it shows, in a line.
        rows: flagfiles below flags/, as patterns.
        axes: flag: its values, separated by blanks; each row is run at each combination.
        scales: scale: {pattern of a row or of a model: (examples, epochs, eval_every)}, of what is
            no training {flag: value} in place of these; the first that fits counts, where none
            fits the run is at the paper's scale.
        children: the experiment whose runs start from these; says which epochs to keep.
        command: what follows `python -m`: a module, and the command that it is asked for. One other
            than TRAINING is given the flags of the file, not its name, with --seed, --runs_dir,
            --threads and what the sweep was given; it writes RUNS_DIR/<run id>/summary.json last.
        identified_by: of a task that is no training, the module whose `identify(argv)` returns
            (configuration, run id).
    """

    title: str
    rows: tuple[str, ...]
    axes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    scales: Mapping[str, Mapping] = dataclasses.field(default_factory=dict)
    children: str | None = None
    command: tuple[str, ...] = TRAINING
    identified_by: str | None = None


_KERNEL_TASK: dict[str, Any] = {
    "command": ("rethink_tf", "kernels"),
    "identified_by": "rethink_tf.experiments.kernels.task",
}


def _study(name: str) -> dict[str, Any]:
    return {
        "command": ("rethink_tf", name),
        "identified_by": f"rethink_tf.experiments.studies.{name}",
    }


# `cpu`: each experiment ends in a night (10 hours) on two cores, which train so many images/s: MLPs
# 40,000 (hence at the paper's scale), AlexNet 1,500, Inception and WRN-28-1 150, ResNet-18 40,
# ResNet-50 20, Inception v3 7. Experiments that share runs share the scale.
_CIFAR = {
    "cpu": {
        "mlp_*": (50_000, 70, 1),
        "inception_crop": (5_000, 200, 20),
        "inception_flip_rotate": (5_000, 200, 20),
        "inception*": (5_000, 40, 10),
        "alexnet_fashion_*": (5_000, 70, 10),
        "resnet_*": (1_000, 20, 20),
        "alexnet*": (20_000, 70, 10),
    },
    "smoke": {"*": (200, 2, 2)},
}
_IMAGENET = {"cpu": {"*": (500, 30, 30)}, "smoke": {"*": (16, 1, 1)}}
_CAPACITY = {
    "cpu": {"*_all": (1_000, 30, 30), "*_10000": (500, 30, 30)},
    "smoke": {"*_all": (32, 1, 1), "*_10000": (16, 1, 1)},
}
# Longer than 50 epochs at every scale: some of the transfers start from that epoch.
_LEVELS = {"cpu": {"*": (3_000, 60, 20)}, "smoke": {"*": (128, 51, 51)}}
_TRANSFER = {"cpu": {"*": (10_000, 150, 10)}, "smoke": {"*": (200, 2, 2)}}
_WRN = {"cpu": {"*": (2_500, 300, 50)}, "smoke": {"*": (200, 2, 2)}}
# Full sets even there, which take 15 GB at most; the number of filters is what takes hours.
_KERNELS: dict[str, dict[str, dict[str, Any]]] = {
    "cpu": {"*_random_conv": {"filters": "1024,4096,8192,16384"}},
    "smoke": {
        "*_random_conv": {"examples": 200, "filters": "32,64"},
        "*": {"examples": 200},
    },
}
_SIGNS = {
    "cpu": {
        "inception": {"examples": 5_000, "epochs": 40, "eval_every": 10},
        "alexnet": {"examples": 20_000, "epochs": 70, "eval_every": 10},
    },
    "smoke": {"*": {"examples": 200, "epochs": 2, "eval_every": 2}},
}
_THEOREM = {"smoke": {"*": {"counts": "20", "depths": "2,3", "largest": 1_000}}}
_DESCENT = {"smoke": {"*": {"images": 20, "steps": 100, "choice_images": 50}}}
_PROBABILITIES = {"corrupt": "0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1"}

EXPERIMENTS: dict[str, Experiment] = {
    "table1": Experiment(
        "Training and test accuracy on CIFAR-10, true and random labels",
        ("table1/*.flags",),
        scales=_CIFAR,
    ),
    "table2": Experiment(
        "Training and test accuracy on ImageNet, true and random labels",
        ("table2/*.flags",),
        scales=_IMAGENET,
    ),
    "table3": Experiment(
        "Kernel interpolation of MNIST and CIFAR-10",
        ("table3/*.flags",),
        scales=_KERNELS,
        **_KERNEL_TASK,
    ),
    "table4": Experiment(
        "Random labels of CIFAR-10 with explicit regularisers",
        ("table4/*.flags",),
        scales=_CIFAR,
    ),
    "figure1a": Experiment(
        "Learning curves on CIFAR-10 under five corruptions",
        ("figure1a/*.flags",),
        scales=_CIFAR,
    ),
    "figure1b": Experiment(
        "Time to overfit against label corruption",
        ("figure1bc/*.flags",),
        _PROBABILITIES,
        _CIFAR,
    ),
    "figure1c": Experiment(
        "Test error against label corruption",
        ("figure1bc/*.flags",),
        _PROBABILITIES,
        _CIFAR,
    ),
    "figure2a": Experiment(
        "ImageNet: regularisers and early stopping",
        ("figure2a/*.flags",),
        scales=_IMAGENET,
    ),
    "figure2b": Experiment(
        "CIFAR-10: batch normalisation and early stopping",
        ("figure2b/*.flags",),
        scales=_CIFAR,
    ),
    "capacity": Experiment(
        "Memorisation by size of a ResNet, Fashion-MNIST",
        ("capacity/*.flags",),
        scales=_CAPACITY,
    ),
    "regularisation": Experiment(
        "Weight decay, dropout, corrupted data",
        ("regularisation/*.flags",),
        scales=_CIFAR,
    ),
    "levels": Experiment(
        "Levels of randomisation of labels and pixels",
        ("levels/*.flags",),
        scales=_LEVELS,
        children="transfer",
    ),
    "transfer": Experiment(
        "The levels' features on Fashion-MNIST",
        ("transfer/*.flags",),
        scales=_TRANSFER,
    ),
    "wrn": Experiment(
        "WRN-28-1 as in the first author's demonstration",
        ("wrn/*.flags",),
        scales=_WRN,
    ),
    "rademacher": Experiment(
        "Equation 1: random signs are fitted",
        ("rademacher/*.flags",),
        scales=_SIGNS,
        **_study("rademacher"),
    ),
    "expressivity": Experiment(
        "Theorem 1: 2n + d weights fit any n labels",
        ("expressivity/*.flags",),
        scales=_THEOREM,
        **_study("expressivity"),
    ),
    "implicit": Experiment(
        "SGD finds the least norm, which does not tell who predicts",
        ("implicit/*.flags",),
        scales=_DESCENT,
        **_study("implicit"),
    ),
    "measures": Experiment(
        "Norms, margins and sharpness of networks that learnt or memorised",
        ("measures/*.flags",),
        **_study("measures"),
    ),
}

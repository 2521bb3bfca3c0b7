"""The tables and figures as data: rows (flagfiles) x axes (text) x seeds, at four scales."""

import dataclasses
from collections.abc import Mapping
from typing import Any

SCALES = ("paper", "cpu", "hours", "smoke")
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
        left_out: scale: patterns of the rows that it leaves out, since they would take too long.
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
    left_out: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
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


# Each experiment takes at most a night (10 hours) at `cpu` and about three hours at `hours`, on two
# cores at the images/s of `rates.ASSUMED`. The MLPs are fast enough for the paper's scale.
# Experiments that share runs share their sizes. `hours` has at least 2,000 examples, but not for
# ImageNet's large images.
_CIFAR = {
    "cpu": {
        "mlp_*": (50_000, 70, 1),
        "inception_crop": (5_000, 200, 20),
        "inception_flip_rotate": (5_000, 200, 20),
        "inception*": (5_000, 40, 10),
        "alexnet*": (20_000, 70, 10),
    },
    "hours": {
        "mlp_*": (50_000, 70, 1),
        "inception_crop": (2_000, 150, 30),
        "inception_flip_rotate": (2_000, 150, 30),
        "inception*": (2_000, 30, 10),
        "alexnet*": (5_000, 70, 10),
    },
    "smoke": {"*": (200, 2, 2)},
}
# Exact passes over ImageNet's 50,000 test images take 40 minutes each.
_IMAGENET = {
    "cpu": {"*": (500, 30, 30)},
    "hours": {"*": (500, 15, 15)},
    "smoke": {"*": (16, 1, 1)},
}
# Networks that are compared are trained on the same examples, each for as many epochs as it needs.
_REGULARISATION = {
    "cpu": {"resnet_*": (5_000, 24, 12), "alexnet*": (5_000, 70, 10)},
    "hours": {"resnet_*": (5_000, 16, 8), "alexnet*": (5_000, 70, 10)},
    "smoke": {"*": (200, 2, 2)},
}
_CAPACITY = {
    "cpu": {"*": (2_000, 24, 12)},
    "hours": {"*": (2_000, 20, 10)},
    "smoke": {"*": (16, 1, 1)},
}
# More than 50 epochs at every scale, since some transfers start from the weights of epoch 50.
_LEVELS = {
    "cpu": {"*": (3_000, 60, 20)},
    "hours": {"*": (2_000, 90, 30)},
    "smoke": {"*": (128, 51, 51)},
}
_TRANSFER = {
    "cpu": {"*": (10_000, 100, 20)},
    "hours": {"*": (2_000, 150, 30)},
    "smoke": {"*": (200, 2, 2)},
}
# Patterns of the names of levels. `[!h]` leaves out the rows of epochs, which end in h_050.
_EVERY_SECOND = ("*[!h]_0[13579]0",)
_BELOW_100 = ("*[!h]_0?0",)
_EARLY_040 = ("*_040_epoch_*",)
# Each rate of the last layer is also tried on held-out training images; the report takes the best.
_RATES = {"held_out": "0 5000", "learning_rate": "0.05 0.2 1 5"}
_WRN = {
    "cpu": {"*": (2_500, 300, 50)},
    "hours": {"*": (5_000, 120, 20)},
    "smoke": {"*": (200, 2, 2)},
}
# Full data sets at these scales too: they take 16 GB at most. The filters are what takes hours.
_KERNELS: dict[str, dict[str, dict[str, Any]]] = {
    "cpu": {"*_random_conv": {"filters": "1024,4096,8192,16384"}},
    "hours": {"*_random_conv": {"filters": "1024,4096"}},
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
    "hours": {
        "inception": {"examples": 2_000, "epochs": 30, "eval_every": 10},
        "alexnet": {"examples": 5_000, "epochs": 70, "eval_every": 10},
    },
    "smoke": {"*": {"examples": 200, "epochs": 2, "eval_every": 2}},
}
_THEOREM = {"smoke": {"*": {"counts": "20", "depths": "2,3", "largest": 1_000}}}
_DESCENT = {"smoke": {"*": {"images": 20, "steps": 100, "choice_images": 50}}}
_SCORES = {"smoke": {"*": {"models": 6}}}
# Full sets at the other scales: n^3 operations, as the kernels of Table 3 take.
_LEFT_OUT = {"smoke": {"*": {"examples": 200}}}
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
        left_out={"hours": ("*_aug*", "*_wd", "*_dropout*")},
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
        left_out={"hours": ("wd",)},
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
        left_out={
            "cpu": ("*_all",),
            "hours": ("*_all", "resnet_200_*"),
            # The exact pass over the test set takes minutes even for the smallest network.
            "smoke": ("*_all", "resnet_101_*", "resnet_200_*"),
        },
    ),
    "regularisation": Experiment(
        "Weight decay, dropout, corrupted data",
        ("regularisation/*.flags",),
        scales=_REGULARISATION,
        left_out={
            "cpu": ("resnet_18_*_random_*_dropout", "resnet_18_fashion_mnist_random_*"),
            "hours": ("*_fashion_mnist_*", "*_random_pixels_*", "resnet_18_*_random_*"),
        },
    ),
    "levels": Experiment(
        "Levels of randomisation of labels and pixels",
        ("levels/*.flags",),
        scales=_LEVELS,
        left_out={"cpu": _EVERY_SECOND, "hours": _EVERY_SECOND, "smoke": _BELOW_100},
        children="transfer",
    ),
    "levels_constant": Experiment(
        "The levels at a constant learning rate of 0.01 and a weight decay of 1e-4",
        ("levels_constant/*.flags",),
        scales=_LEVELS,
        left_out={"cpu": _EVERY_SECOND, "hours": _EVERY_SECOND, "smoke": _BELOW_100},
    ),
    "levels_clean_test": Experiment(
        "Levels of randomised training pixels, tested on uncorrupted images",
        # The unchanged images are the same run as in `levels`, whose file they share.
        ("levels_clean_test/*.flags", "levels/original.flags"),
        scales=_LEVELS,
        left_out={"cpu": _EVERY_SECOND, "hours": _EVERY_SECOND, "smoke": _BELOW_100},
        children="transfer",
    ),
    "transfer": Experiment(
        "Transfer from the levels to Fashion-MNIST",
        ("transfer/*.flags",),
        _RATES,
        _TRANSFER,
        left_out={
            "cpu": (*_EVERY_SECOND, *_EARLY_040),
            "hours": (*_EVERY_SECOND, "*[!h]_0[26]0", *_EARLY_040),
            "smoke": (*_BELOW_100, *_EARLY_040, "*_epoch_0[1-9]0", "[gs]*_100*", "random_p*"),
        },
    ),
    "wrn": Experiment(
        "WRN-28-1 as in the first author's demonstration",
        ("wrn/*.flags",),
        scales=_WRN,
        left_out={"hours": ("cifar100_*",)},
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
        "SGD finds the solution of least norm; the norm does not predict the test error",
        ("implicit/*.flags",),
        scales=_DESCENT,
        **_study("implicit"),
    ),
    "measures": Experiment(
        "Norms, margins and sharpness of networks that learnt or memorised",
        ("measures/*.flags",),
        **_study("measures"),
    ),
    "memorisation": Experiment(
        "Memorisation scores of each example, true and random labels",
        ("memorisation/*.flags",),
        scales=_SCORES,
        **_study("memorisation"),
    ),
    "leave_one_out": Experiment(
        "Exact leave-one-out of the kernel interpolant, true and random labels",
        ("leave_one_out/*.flags",),
        scales=_LEFT_OUT,
        command=("rethink_tf", "leave-one-out"),
        identified_by="rethink_tf.experiments.kernels.leave_one_out",
    ),
}

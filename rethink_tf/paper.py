"""The paper's own numbers, and which run is a row of it. Imports no TensorFlow."""

import dataclasses

from rethink_tf.config import FIELDS, RunConfig, resolve


@dataclasses.dataclass(frozen=True)
class Table1Row:
    """A row of Table 1 (CIFAR-10): accuracies are fractions; `weight_decay` says on or off."""

    name: str
    model: str
    augment: str
    weight_decay: bool
    corrupt: float
    train_accuracy: float
    test_accuracy: float


def _rows(model, *settings):
    for augment, decay, corrupt, train, test in settings:
        kind = "random" if corrupt else "_".join(
            ["true", *(["crop"] if augment == "crop" else []), *(["wd"] if decay else [])]
        )  # fmt: skip
        yield Table1Row(f"{model}_{kind}", model, augment, decay, corrupt, train / 100, test / 100)


TABLE1 = {
    row.name: row
    for row in (
        *_rows(
            "inception",
            ("crop", True, 0.0, 100.0, 89.05),
            ("crop", False, 0.0, 100.0, 89.31),
            ("none", True, 0.0, 100.0, 86.03),
            ("none", False, 0.0, 100.0, 85.75),
            ("none", False, 1.0, 100.0, 9.78),
        ),
        *_rows(
            "inception_no_bn",
            ("none", True, 0.0, 100.0, 83.00),
            ("none", False, 0.0, 100.0, 82.00),
            ("none", False, 1.0, 100.0, 10.12),
        ),
        *_rows(
            "alexnet",
            ("crop", True, 0.0, 99.90, 81.22),
            ("crop", False, 0.0, 99.82, 79.66),
            ("none", True, 0.0, 100.0, 77.36),
            ("none", False, 0.0, 100.0, 76.07),
            ("none", False, 1.0, 99.82, 9.86),
        ),
        *_rows(
            "mlp_3x512",
            ("none", True, 0.0, 100.0, 53.35),
            ("none", False, 0.0, 100.0, 52.39),
            ("none", False, 1.0, 100.0, 10.48),
        ),
        *_rows(
            "mlp_1x512",
            ("none", True, 0.0, 99.80, 50.39),
            ("none", False, 0.0, 100.0, 50.51),
            ("none", False, 1.0, 99.34, 10.61),
        ),
    )
}
# The paper states "default coefficient for each model" (Appendix E) and no number. lambda of half
# lambda w squared: Inception from TF-slim's inception_arg_scope, AlexNet from TensorFlow's CIFAR-10
# tutorial (its two dense layers), the MLPs from the first author's later code.
WEIGHT_DECAY = {
    "inception": 4e-5,
    "inception_no_bn": 4e-5,
    "alexnet": 0.004,
    "mlp_3x512": 1e-4,
    "mlp_1x512": 1e-4,
}
# Fields in which a run may differ from a row and still be that row.
_FREE = ("seed", "precision", "eval_every", "epochs", "examples", "stop_at_train_accuracy")


@dataclasses.dataclass(frozen=True)
class Table4Row:
    """A row of Table 4 (CIFAR-10, random labels, with a regulariser).

    `accuracy` is the online accuracy on the (augmented) training batches; None: failed to converge.
    """

    model: str
    augment: str
    weight_decay: bool
    accuracy: float | None


TABLE4 = {
    "inception_weight_decay": Table4Row("inception", "none", True, 1.0),
    "alexnet_weight_decay": Table4Row("alexnet", "none", True, None),
    "mlp_3x512_weight_decay": Table4Row("mlp_3x512", "none", True, 1.0),
    "mlp_1x512_weight_decay": Table4Row("mlp_1x512", "none", True, 0.9921),
    "inception_crop": Table4Row("inception", "crop", False, 0.9993),
    "inception_flip_rotate": Table4Row("inception", "flip_rotate", False, 0.9928),
}


def table4_config(row: Table4Row) -> RunConfig:
    """The resolved configuration of a row of Table 4; the length of the augmented ones is ours."""
    decay = WEIGHT_DECAY[row.model] if row.weight_decay else 0.0
    longer = {"lr_decay": 0.999, "epochs": 200} if row.augment != "none" else {}
    return resolve(
        RunConfig(
            model=row.model,
            dataset="cifar10",
            augment=row.augment,
            corrupt=1.0,
            weight_decay=decay,
            **longer,
        )
    )


def _same_but(free: tuple[str, ...], one: RunConfig, other: RunConfig) -> bool:
    return all(getattr(one, n) == getattr(other, n) for n in FIELDS if n not in free)


def table4_row(config: RunConfig) -> Table4Row | None:
    """The row of Table 4 that a resolved run is of, at whatever scale; None if of none."""
    for row in TABLE4.values():
        if _same_but(_FREE, config, table4_config(row)):
            return row
    return None


def row_config(row: Table1Row) -> RunConfig:
    """The resolved configuration of a row at the paper's scale."""
    return resolve(
        RunConfig(
            model=row.model,
            dataset="cifar10",
            augment=row.augment,
            corrupt=row.corrupt,
            weight_decay=WEIGHT_DECAY[row.model] if row.weight_decay else 0.0,
        )
    )


def table1_row(config: RunConfig) -> tuple[Table1Row, bool] | None:
    """The row of Table 1 that a resolved run is of, and whether at full scale; None if of none."""
    for row in TABLE1.values():
        reference = row_config(row)
        if _same_but(_FREE, config, reference):
            return row, (
                config.examples is None
                and config.epochs >= reference.epochs
                and config.stop_at_train_accuracy is None
            )
    return None

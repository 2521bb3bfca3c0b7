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
        same = all(
            getattr(config, name) == getattr(reference, name)
            for name in FIELDS
            if name not in _FREE
        )
        if same:
            return row, (
                config.examples is None
                and config.epochs >= reference.epochs
                and config.stop_at_train_accuracy is None
            )
    return None

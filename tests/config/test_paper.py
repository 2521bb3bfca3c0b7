"""Table 1 as the paper prints it, the runs that are its rows, and the flagfiles of those runs."""

import dataclasses
from pathlib import Path

import pytest

from rethink_tf.config import flags, paper
from rethink_tf.config.run_config import FIELDS, RunConfig, resolve, run_id

FLAGS = Path(__file__).resolve().parents[2] / "flags" / "table1"
# Table 1: model, random crop, weight decay, random labels, train and test accuracy in percent.
PARAMETERS = {
    "inception": 1_649_402,
    "inception_no_bn": 1_649_402,
    "alexnet": 1_387_786,
    "mlp_3x512": 1_735_178,
    "mlp_1x512": 1_209_866,
}
PRINTED = {
    "inception_true_crop_wd": ("inception", True, True, False, 100.0, 89.05),
    "inception_true_crop": ("inception", True, False, False, 100.0, 89.31),
    "inception_true_wd": ("inception", False, True, False, 100.0, 86.03),
    "inception_true": ("inception", False, False, False, 100.0, 85.75),
    "inception_random": ("inception", False, False, True, 100.0, 9.78),
    "inception_no_bn_true_wd": ("inception_no_bn", False, True, False, 100.0, 83.00),
    "inception_no_bn_true": ("inception_no_bn", False, False, False, 100.0, 82.00),
    "inception_no_bn_random": ("inception_no_bn", False, False, True, 100.0, 10.12),
    "alexnet_true_crop_wd": ("alexnet", True, True, False, 99.90, 81.22),
    "alexnet_true_crop": ("alexnet", True, False, False, 99.82, 79.66),
    "alexnet_true_wd": ("alexnet", False, True, False, 100.0, 77.36),
    "alexnet_true": ("alexnet", False, False, False, 100.0, 76.07),
    "alexnet_random": ("alexnet", False, False, True, 99.82, 9.86),
    "mlp_3x512_true_wd": ("mlp_3x512", False, True, False, 100.0, 53.35),
    "mlp_3x512_true": ("mlp_3x512", False, False, False, 100.0, 52.39),
    "mlp_3x512_random": ("mlp_3x512", False, False, True, 100.0, 10.48),
    "mlp_1x512_true_wd": ("mlp_1x512", False, True, False, 99.80, 50.39),
    "mlp_1x512_true": ("mlp_1x512", False, False, False, 100.0, 50.51),
    "mlp_1x512_random": ("mlp_1x512", False, False, True, 99.34, 10.61),
}
# lambda in (lambda / 2) |w|^2; the paper gives none.
COEFFICIENTS = {
    "inception": 4e-5,
    "inception_no_bn": 4e-5,
    "alexnet": 0.004,
    "mlp_3x512": 1e-4,
    "mlp_1x512": 1e-4,
}


def from_flagfile(path) -> RunConfig:
    wanted, options = flags.parse([f"--flagfile={path}"])
    assert options == flags.Options(), "a row says what is trained, not where"
    return resolve(wanted)


def test_the_table_is_the_papers_in_its_order():
    assert list(paper.TABLE1) == list(PRINTED)
    assert len(PRINTED) == 19
    for name, (model, crop, decay, random, train, test) in PRINTED.items():
        assert paper.TABLE1[name] == paper.Table1Row(
            name,
            model,
            PARAMETERS[model],
            "crop" if crop else "none",
            decay,
            1.0 if random else 0.0,
            pytest.approx(train / 100, abs=1e-12),
            pytest.approx(test / 100, abs=1e-12),
        )


@pytest.mark.parametrize("name", PRINTED)
def test_the_configuration_of_a_row(name):
    model, crop, decay, random, *_ = PRINTED[name]
    config = paper.row_config(paper.TABLE1[name])
    assert config == RunConfig(
        model=model,
        dataset="cifar10",
        input_size=28,
        corrupt=1.0 if random else 0.0,
        augment="crop" if crop else "none",
        weight_decay=COEFFICIENTS[model] if decay else 0.0,
        learning_rate=0.1 if model.startswith("inception") else 0.01,
        lr_decay=0.95,
        batch_size=128,
        epochs=70,
    )


@pytest.mark.parametrize("name", PRINTED)
def test_the_flagfile_of_a_row_is_the_row(name):
    path = FLAGS / f"{name}.flags"
    config, row = from_flagfile(path), paper.TABLE1[name]
    assert config == paper.row_config(row)
    assert run_id(config) == run_id(paper.row_config(row))
    assert paper.table1_row(config) == (row, True)
    text = path.read_text()
    assert f"train {PRINTED[name][4]:.2f}%, test {PRINTED[name][5]:.2f}%" in text
    assert ("lambda in (lambda / 2) |w|^2" in text) == row.weight_decay


def test_every_row_has_its_flagfile_and_no_other_lies_there():
    assert {path.stem for path in FLAGS.iterdir()} == set(PRINTED)
    assert len({run_id(paper.row_config(row)) for row in paper.TABLE1.values()}) == 19


def changed(name, **fields):
    config = paper.row_config(paper.TABLE1[name])
    return resolve(dataclasses.replace(config, **fields))


@pytest.mark.parametrize(
    "fields, full",
    [
        ({"seed": 5}, True),
        ({"precision": "mixed_bfloat16"}, True),
        ({"eval_every": 10}, True),
        ({"epochs": 71}, True),
        ({"examples": 50_000}, True),
        ({"epochs": 69}, False),
        ({"examples": 49_999}, False),
        ({"examples": 5000, "epochs": 30}, False),
        ({"stop_at_train_accuracy": 0.5}, False),
    ],
)
def test_a_row_at_another_scale_is_the_row_and_says_so(fields, full):
    for name in ("inception_random", "mlp_1x512_true_wd"):
        assert paper.table1_row(changed(name, **fields)) == (paper.TABLE1[name], full)


@pytest.mark.parametrize(
    "fields",
    [
        {"corrupt": 0.5},
        {"weight_decay": 5e-4},
        {"dropout": 0.5},
        {"learning_rate": 0.05},
        {"lr_decay": 0.999},
        {"momentum": 0.0},
        {"batch_size": 64},
        {"input_size": 32},
        {"augment": "flip_rotate"},
        {"pixels": "shuffled"},
        {"dataset": "cifar100"},
        {"dataset": "digits", "input_size": 16},
        {"held_out": 5_000},
    ],
)
def test_what_is_no_row(fields):
    assert paper.table1_row(changed("inception_true", **fields)) is None


def test_labels_drawn_otherwise_are_no_row():
    assert paper.table1_row(changed("inception_random", label_noise="exclude_true")) is None
    assert paper.table1_row(changed("inception_random", augment="crop")) is None


def test_every_field_either_makes_a_row_or_is_free():
    free = {"seed", "precision", "eval_every", "epochs", "examples", "stop_at_train_accuracy"}
    assert set(paper._FREE) == free
    assert free < set(FIELDS)

"""A run is a value: resolved defaults, bounds, and what contradicts what."""

import dataclasses
import math
import re

import pytest

from rethink_tf.config import run_config
from rethink_tf.config.run_config import FIELDS, RunConfig, check_field, resolve
from rethink_tf.errors import RequestError

# (model, data set): input_size, batch_size, learning_rate, lr_decay, epochs
RESOLVED = {
    ("inception", "digits"): (16, 128, 0.1, 0.95, 21),
    ("inception_no_bn", "digits"): (16, 32, 0.02, 0.98, 60),
    ("alexnet", "digits"): (16, 32, 0.01, 0.98, 60),
    ("mlp_3x512", "digits"): (16, 32, 0.01, 0.98, 80),
    ("mlp_1x512", "digits"): (16, 32, 0.03, 0.99, 150),
}
for _model, _rate in {
    "inception": 0.1,
    "inception_no_bn": 0.1,
    "alexnet": 0.01,
    "mlp_3x512": 0.01,
    "mlp_1x512": 0.01,
}.items():
    for _dataset in ("cifar10", "cifar100"):
        RESOLVED[_model, _dataset] = (28, 128, _rate, 0.95, 70)
    for _dataset in ("mnist", "fashion_mnist"):
        RESOLVED[_model, _dataset] = (28, 128, _rate, 0.98, 150)
for _model in (
    "wrn_28_1",
    "wrn_28_10",
    "resnet_18",
    "resnet_28",
    "resnet_50",
    "resnet_101",
    "resnet_200",
):
    RESOLVED[_model, "digits"] = (16, 128, 0.1, 0.95, 70)
    for _dataset in ("cifar10", "cifar100"):
        RESOLVED[_model, _dataset] = (28, 128, 0.1, 0.95, 70)
    for _dataset in ("mnist", "fashion_mnist"):
        RESOLVED[_model, _dataset] = (28, 128, 0.1, 0.98, 150)
for _model in {model for model, _ in RESOLVED}:
    _rate = RESOLVED[_model, "cifar10"][2]
    RESOLVED[_model, "imagenet2012"] = (299, 128, _rate, 0.95, 70)
RESOLVED["inception_v3", "imagenet2012"] = (299, 128, 0.1, 0.95, 70)
_FRACTION = ("a number from 0.0 to 1.0", [0, 1, 0.5], [-0.001, 1.001])
_BELOW_ONE = ("a number from 0.0 below 1.0", [0, 0.999], [-0.001, 1])
_ABOVE_ZERO = ("a number above 0.0 to 1.0", [1e-9, 1], [0, -0.0, 1.001])
_COUNT = ("a whole number from 1 to 1000000", [1, 1_000_000, 5.0], [0, -1, 1_000_001, 1.5])
# field: what is asked for in words, values that are taken, values that are refused
BOUNDS = {
    "examples": ("a whole number of at least 1", [1, 10**9], [0, -1, 2.5]),
    "input_size": ("a whole number from 4 to 1024", [4, 1024], [3, 1025, 28.5]),
    "corrupt": _FRACTION,
    "pixel_mix": _FRACTION,
    "shuffle_fraction": _FRACTION,
    "weight_decay": ("a number from 0.0 to 10.0", [0, 10], [-1e-9, 10.001]),
    "dropout": _BELOW_ONE,
    "learning_rate": ("a number above 0.0 to 1000.0", [1e-9, 1000], [0, -0.1, 1000.5]),
    "lr_decay": _ABOVE_ZERO,
    "warmup_epochs": ("a whole number from 0 to 1000000", [0, 1_000_000], [-1, 0.5, 1_000_001]),
    "momentum": _BELOW_ONE,
    "batch_size": _COUNT,
    "epochs": _COUNT,
    "seed": ("a whole number from 0 to 4294967295", [0, 2**32 - 1], [-1, 2**32, 0.5]),
    "eval_every": _COUNT,
    "held_out": ("a whole number of at least 0", [0, 1, 1499], [-1, 0.5]),
    "stop_at_train_accuracy": _ABOVE_ZERO,
    "init_epoch": ("a whole number of at least 1", [1, 10**9], [0, -1, 2.5]),
}
NEVER_A_NUMBER = [math.nan, math.inf, -math.inf, True, False, "1", [1]]


def test_what_is_not_held_out_is_trained_on():
    assert resolve(RunConfig(dataset="digits", held_out=300)).examples == 1200
    assert resolve(RunConfig(dataset="digits", held_out=300, examples=500)).examples == 500


def test_resolved_defaults_of_every_model_on_every_data_set():
    names = ("input_size", "batch_size", "learning_rate", "lr_decay", "epochs")
    found = {}
    for model in run_config.MODELS:
        for dataset in run_config.DATASETS:
            if model == "inception_v3" and dataset != "imagenet2012":
                with pytest.raises(RequestError, match="--input_size: expected at least 75 with"):
                    resolve(RunConfig(model=model, dataset=dataset))
                continue
            resolved = resolve(RunConfig(model=model, dataset=dataset))
            found[model, dataset] = tuple(getattr(resolved, name) for name in names)
            assert resolve(resolved) == resolved
    assert found == RESOLVED


def test_what_was_given_is_kept():
    fields = dict(input_size=20, batch_size=7, learning_rate=0.3, lr_decay=0.5, epochs=3)
    resolved = resolve(RunConfig(dataset="cifar10", **fields))
    assert {name: getattr(resolved, name) for name in fields} == fields


def test_no_field_with_bounds_is_missing_from_the_table():
    assert set(BOUNDS) == {n for n, f in FIELDS.items() if f.metadata["kind"] in (int, float)}


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds(name):
    wanted, good, bad = BOUNDS[name]
    for value in good:
        taken = check_field(name, value)
        assert taken == value and type(taken) is FIELDS[name].metadata["kind"]
    for value in [*bad, *NEVER_A_NUMBER]:
        with pytest.raises(RequestError) as error:
            check_field(name, value)
        assert str(error.value).startswith(f"--{name}: expected {wanted}, received ")
        with pytest.raises(RequestError):
            resolve(RunConfig(**{"dataset": "cifar10", name: value}))


@pytest.mark.parametrize("name", ["epochs", "corrupt", "examples"])
def test_a_number_too_large_for_a_float_is_refused_like_any_other(name):
    with pytest.raises(RequestError, match=f"^--{name}: expected "):
        resolve(RunConfig(**{"dataset": "cifar10", name: 10**400}))


@pytest.mark.parametrize(
    "fields, message",
    [
        (
            {"model": "incption"},
            r"--model: expected one of .*received incption; did you mean --model=inception\?",
        ),
        ({"model": "mlp3x512"}, r"received mlp3x512; did you mean --model=mlp_3x512\?"),
        ({"dataset": "cifar"}, r"did you mean --dataset=cifar10\?"),
        (
            {"dataset": "zzz"},
            "digits, imagenet2012, or folder:PATH, npz:FILE, tfds:NAME; received zzz",
        ),
        ({"dataset": None}, "digits, imagenet2012; received none"),
        (
            {"precision": "bfloat16"},
            r"received bfloat16; did you mean --precision=mixed_bfloat16\?",
        ),
        ({"augment": "zzz"}, "--augment: expected one of none, .*received zzz"),
        ({"pixels": "gausian"}, r"did you mean --pixels=gaussian\?"),
        ({"model": None}, "--model: expected a value, received none"),
        ({"corrupt": None}, "--corrupt: expected a value, received none"),
        ({"model": 3}, "received 3"),
        (
            {"augment": "crop"},
            "--augment=crop: .*16x16 and --input_size is 16; type --input_size=12",
        ),
        ({"dataset": "mnist", "augment": "crop"}, "type --input_size=24"),
        ({"dataset": "cifar10", "augment": "crop", "input_size": 32}, "type --input_size=28"),
        ({"input_size": 17}, "--input_size: expected at most 16, .*digits's images, received 17"),
        ({"examples": 1501}, "--examples: expected at most 1500, .*digits, received 1501"),
        ({"dataset": "mnist", "examples": 60_001}, "expected at most 60000"),
        ({"held_out": 1500}, "--held_out: expected at most 1499, .*digits .*received 1500"),
        ({"held_out": 501, "examples": 1000}, "--held_out: expected at most 500, the training"),
        (
            {"dataset": "imagenet2012", "held_out": 1},
            "--held_out: expected 0 with --dataset=imagenet2012",
        ),
        ({"pixels": "random", "augment": "flip_rotate"}, "expected none with --pixels=random"),
        ({"pixel_mix": 0.5}, "--pixel_mix: expected --pixels=gaussian with it"),
        ({"shuffle_fraction": 0.5}, "--shuffle_fraction: expected --pixels=shuffled or random"),
        ({"labels_from": "x.csv", "corrupt": 0.5}, "--labels_from: expected --corrupt=0 with it"),
    ],
)
def test_refused_with_one_line(fields, message):
    with pytest.raises(RequestError) as error:
        resolve(RunConfig(**{"dataset": "digits", **fields}))
    assert re.search(message, str(error.value)) and "\n" not in str(error.value)


def test_crop_is_taken_where_the_images_are_larger():
    assert resolve(RunConfig(dataset="digits", augment="crop", input_size=15)).input_size == 15
    assert resolve(RunConfig(dataset="cifar10", augment="crop")).input_size == 28


def test_a_config_survives_json_and_refuses_unknown_fields():
    resolved = resolve(
        RunConfig(model="mlp_1x512", dataset="cifar10", batch_size=64, input_size=24)
    )
    assert run_config.from_dict(dict(reversed(dataclasses.asdict(resolved).items()))) == resolved
    with pytest.raises(RequestError, match="this version: colour, zoom$"):
        run_config.from_dict({"zoom": 1, "colour": 2, "model": "alexnet"})


def test_a_shuffle_that_would_move_nothing_is_refused():
    least = {"dataset": "digits", "pixels": "shuffled"}
    assert resolve(RunConfig(**least, shuffle_fraction=0.008)).pixels == "shuffled"
    with pytest.raises(RequestError, match="received 0.005: no pixel would move"):
        resolve(RunConfig(**least, shuffle_fraction=0.005))

"""A run is a value: frozen ids, resolved defaults, bounds, and what contradicts what."""

import dataclasses
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rethink_tf import config
from rethink_tf.config import FIELDS, RunConfig, check_field, identity, resolve, run_id
from rethink_tf.errors import RequestError
from rethink_tf.fields import field

REPOSITORY = Path(__file__).resolve().parent.parent
# The folders of the runs that exist. A changed id here means that no run of before is found again.
FROZEN = {
    "inception-d11e19b74e52": dict(model="inception", dataset="cifar10", corrupt=1.0),
    "inception-742381ab04a6": dict(model="inception", dataset="cifar10"),
    "inception-ab7838f803dc": dict(model="inception", dataset="digits", corrupt=1.0),
    "inception-8a5f13099cd9": dict(
        model="inception", dataset="cifar100", augment="crop", weight_decay=4e-5
    ),
    "inception_no_bn-5f747c5cf471": dict(
        model="inception_no_bn", dataset="cifar10", corrupt=0.5, seed=3
    ),
    "inception_no_bn-5fee166e7ed5": dict(model="inception_no_bn", dataset="digits"),
    "alexnet-e61676ce433d": dict(
        model="alexnet", dataset="cifar10", weight_decay=0.004, augment="crop"
    ),
    "alexnet-1c1aca9234ba": dict(
        model="alexnet", dataset="fashion_mnist", dropout=0.5, precision="mixed_bfloat16"
    ),
    "mlp_3x512-8d4b5ead749e": dict(
        model="mlp_3x512", dataset="mnist", corrupt=1.0, learning_rate=0.02, lr_decay=1.0
    ),
    "mlp_3x512-ec7fd9e53094": dict(
        model="mlp_3x512", dataset="cifar10", examples=5000, momentum=0.0, eval_every=5
    ),
    "mlp_1x512-d1be464e270a": dict(
        model="mlp_1x512", dataset="digits", corrupt=1.0, examples=300, epochs=2
    ),
    "mlp_1x512-af0652bf3460": dict(
        model="mlp_1x512", dataset="cifar10", batch_size=64, input_size=24,
        stop_at_train_accuracy=1.0,
    ),
    "mlp_1x512-b62e1411b6e9": dict(
        model="mlp_1x512", dataset="digits", augment="flip_rotate", seed=2**32 - 1
    ),
}  # fmt: skip
# (model, data set): input_size, batch_size, learning_rate, lr_decay, epochs
RESOLVED = {
    ("inception", "digits"): (16, 128, 0.1, 0.95, 25),
    ("inception_no_bn", "digits"): (16, 32, 0.02, 0.98, 60),
    ("alexnet", "digits"): (16, 32, 0.01, 0.98, 60),
    ("mlp_3x512", "digits"): (16, 32, 0.01, 0.98, 80),
    ("mlp_1x512", "digits"): (16, 32, 0.03, 0.99, 150),
}
for _model, _rate in {
    "inception": 0.1, "inception_no_bn": 0.1, "alexnet": 0.01, "mlp_3x512": 0.01, "mlp_1x512": 0.01
}.items():  # fmt: skip
    for _dataset in ("cifar10", "cifar100"):
        RESOLVED[_model, _dataset] = (28, 128, _rate, 0.95, 70)
    for _dataset in ("mnist", "fashion_mnist"):
        RESOLVED[_model, _dataset] = (28, 128, _rate, 0.98, 150)
for _model in (
    "wrn_28_1", "wrn_28_10", "resnet_18", "resnet_28", "resnet_50", "resnet_101", "resnet_200"
):  # fmt: skip
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
    "momentum": _BELOW_ONE,
    "batch_size": _COUNT,
    "epochs": _COUNT,
    "seed": ("a whole number from 0 to 4294967295", [0, 2**32 - 1], [-1, 2**32, 0.5]),
    "eval_every": _COUNT,
    "stop_at_train_accuracy": _ABOVE_ZERO,
}
NEVER_A_NUMBER = [math.nan, math.inf, -math.inf, True, False, "1", [1]]


@pytest.mark.parametrize("expected", FROZEN)
def test_frozen_run_ids(expected):
    assert run_id(resolve(RunConfig(**FROZEN[expected]))) == expected


def test_run_ids_depend_on_no_hash_seed_and_no_process():
    code = f"from rethink_tf.config import *\nfor f in {list(FROZEN.values())!r}: "
    code += "print(run_id(resolve(RunConfig(**f))))"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": str(REPOSITORY)},
    )
    assert result.stdout.split() == list(FROZEN)


def with_fields(monkeypatch, fields):
    """RunConfig made anew of the given dataclass fields, in their order."""
    specification = [
        (f.name, f.type, dataclasses.field(default=f.default, metadata=f.metadata)) for f in fields
    ]
    made = dataclasses.make_dataclass("RunConfig", specification, frozen=True)
    monkeypatch.setattr(config, "RunConfig", made)
    monkeypatch.setattr(config, "FIELDS", {f.name: f for f in dataclasses.fields(made)})
    return made


def test_run_ids_depend_on_no_order_of_the_fields(monkeypatch):
    made = with_fields(monkeypatch, reversed(FIELDS.values()))
    assert next(iter(config.FIELDS)) == "stop_at_train_accuracy"
    assert [run_id(resolve(made(**fields))) for fields in FROZEN.values()] == list(FROZEN)


def test_a_field_added_at_a_fixed_default_renames_no_run(monkeypatch):
    new = dataclasses.make_dataclass(
        "New",
        [("aardvark", int, field(3, int, "New.", group="New", low=0, high=9))],
        frozen=True,
    )
    made = with_fields(monkeypatch, [*dataclasses.fields(new), *FIELDS.values()])
    assert [run_id(resolve(made(**fields))) for fields in FROZEN.values()] == list(FROZEN)
    changed = [run_id(resolve(made(**fields, aardvark=4))) for fields in FROZEN.values()]
    assert not set(changed) & set(FROZEN)


def test_identity_omits_fixed_defaults_and_never_what_resolves():
    resolving = ["dataset", "input_size", "learning_rate", "lr_decay", "batch_size", "epochs"]
    assert [name for name, field in FIELDS.items() if field.metadata["by"]] == resolving
    # The model names the run, and is omitted at its default.
    plain = dict(zip(resolving, ("cifar10", 28, 0.1, 0.95, 128, 70), strict=True))
    assert identity(resolve(RunConfig(dataset="cifar10"))) == plain
    full = identity(resolve(RunConfig(model="alexnet", dataset="cifar10", corrupt=0.3, seed=1)))
    assert set(full) == {*resolving, "model", "corrupt", "seed"}


def test_every_field_changes_the_id(tmp_path):
    (tmp_path / "noise.csv").write_text("index,true,given\n0,1,2\n1,3,3\n")
    gaussian, random = {"pixels": "gaussian"}, {"pixels": "random"}
    half = {"corrupt": 0.5}
    changes = {
        "model": ({}, "alexnet"), "dataset": ({}, "cifar100"), "examples": ({}, 49_999),
        "input_size": ({}, 27), "corrupt": ({}, 0.1), "label_noise": (half, "exclude_true"),
        "labels_from": ({}, str(tmp_path / "noise.csv")), "pixels": ({}, "shuffled"),
        "pixel_mix": (gaussian, 0.5), "shuffle_fraction": (random, 0.5), "augment": ({}, "crop"),
        "weight_decay": ({}, 1e-5), "dropout": ({}, 0.1), "learning_rate": ({}, 0.2),
        "lr_decay": ({}, 0.9), "momentum": ({}, 0.8), "batch_size": ({}, 127), "epochs": ({}, 71),
        "precision": ({}, "mixed_bfloat16"), "sync_batch_norm": ({}, True),
        "seed": ({}, 1), "eval_every": ({}, 2),
        "stop_at_train_accuracy": ({}, 1.0), "preprocess": ({}, "channel_norm"),
        "lr_schedule": ({}, "step"), "lr_milestones": ({"lr_schedule": "step"}, "15,25"),
    }  # fmt: skip
    assert set(changes) == set(FIELDS), "a new field needs a value here"
    seen = set()
    for name, (others, value) in changes.items():
        before = resolve(RunConfig(dataset="cifar10", **others))
        after = resolve(RunConfig(**{"dataset": "cifar10", **others, name: value}))
        assert run_id(before) != run_id(after), name
        seen.add(run_id(after).partition("-")[2])
    assert len(seen) == len(FIELDS)


@pytest.mark.parametrize(
    "one, other",
    [
        ({"dataset": "cifar10"}, {"dataset": "cifar10", "examples": 50_000}),
        ({"dataset": "mnist"}, {"dataset": "mnist", "examples": 60_000}),
        ({"dataset": "digits"}, {"dataset": "digits", "examples": 1500}),
        ({"dataset": "digits"}, {"dataset": "digits", "input_size": 16, "batch_size": 128}),
        ({"dataset": "digits", "epochs": 25}, {"dataset": "digits", "learning_rate": 0.1}),
        ({"dataset": "digits", "eval_every": 25}, {"dataset": "digits", "eval_every": 999}),
        ({"dataset": "digits", "epochs": 1}, {"dataset": "digits", "epochs": 1, "eval_every": 9}),
        ({"dataset": "digits", "corrupt": 1}, {"dataset": "digits", "corrupt": 1.0}),
        ({"dataset": "digits", "momentum": 0.0}, {"dataset": "digits", "momentum": -0.0}),
        ({"dataset": "digits"}, {"dataset": "digits", "corrupt": -0.0, "dropout": -0.0}),
        ({"dataset": "digits"}, {"dataset": "digits", "label_noise": "exclude_true"}),
        (
            {"dataset": "digits", "model": "alexnet"},
            {"dataset": "digits", "model": "alexnet", "sync_batch_norm": True},
        ),
        ({"dataset": "digits"}, {"dataset": "digits", "pixels": "gaussian", "pixel_mix": 0}),
        ({"dataset": "digits"}, {"dataset": "digits", "pixels": "random", "shuffle_fraction": 0}),
    ],
)
def test_settings_that_mean_the_same_are_one_run(one, other):
    assert resolve(RunConfig(**one)) == resolve(RunConfig(**other))
    assert run_id(resolve(RunConfig(**one))) == run_id(resolve(RunConfig(**other)))


def test_a_noise_file_counts_by_content_and_not_by_path(tmp_path):
    paths = [tmp_path / name for name in ("a.csv", "b.csv", "other.csv")]
    for path, given in zip(paths, (2, 2, 0), strict=True):
        path.write_text(f"index,true,given\n0,1,{given}\n1,3,3\n")
    runs = [resolve(RunConfig(dataset="cifar10", labels_from=str(path))) for path in paths]
    assert run_id(runs[0]) == run_id(runs[1]) != run_id(runs[2])
    assert config.labels_path(runs[1])[0] == str(paths[1])
    paths[0].unlink()
    assert resolve(runs[0]) == runs[0], "resolved already: the file is not read again"


def test_resolved_defaults_of_every_model_on_every_data_set():
    names = ("input_size", "batch_size", "learning_rate", "lr_decay", "epochs")
    found = {}
    for model in config.MODELS:
        for dataset in config.DATASETS:
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
            "--model: expected one of inception, inception_no_bn, alexnet, mlp_3x512, mlp_1x512, "
            "wrn_28_1, wrn_28_10, resnet_18, resnet_28, resnet_50, resnet_101, resnet_200, "
            "inception_v3; received incption; did you mean --model=inception?",
        ),
        ({"model": "mlp3x512"}, "received mlp3x512; did you mean --model=mlp_3x512?"),
        ({"dataset": "cifar"}, "received cifar; did you mean --dataset=cifar10?"),
        ({"dataset": "zzz"}, "digits, imagenet2012; received zzz"),
        ({"dataset": None}, "digits, imagenet2012; received none"),
        ({"precision": "bfloat16"}, "received bfloat16; did you mean --precision=mixed_bfloat16?"),
        ({"augment": "zzz"}, "expected one of none, crop, flip_rotate, inception; received zzz"),
        ({"pixels": "gausian"}, "did you mean --pixels=gaussian?"),
        ({"model": None}, "--model: expected a value, received none"),
        ({"corrupt": None}, "--corrupt: expected a value, received none"),
        ({"model": 3}, "received 3"),
        (
            {"augment": "crop"},
            "--augment=crop: expected images larger than the input; digits's are 16x16 and "
            "--input_size is 16; type --input_size=12",
        ),
        ({"dataset": "mnist", "augment": "crop"}, "type --input_size=24"),
        ({"dataset": "cifar10", "augment": "crop", "input_size": 32}, "type --input_size=28"),
        ({"input_size": 17}, "--input_size: expected at most 16, the size of digits's images, "),
        ({"examples": 1501}, "--examples: expected at most 1500, the training set of digits, "),
        ({"dataset": "mnist", "examples": 60_001}, "expected at most 60000"),
        ({"pixels": "random", "augment": "flip_rotate"}, "expected none with --pixels=random"),
        ({"pixel_mix": 0.5}, "--pixel_mix: expected --pixels=gaussian with it"),
        ({"shuffle_fraction": 0.5}, "--shuffle_fraction: expected --pixels=shuffled or random"),
        ({"labels_from": "x.csv", "corrupt": 0.5}, "--labels_from: expected --corrupt=0 with it"),
    ],
)
def test_refused_with_one_line(fields, message):
    with pytest.raises(RequestError) as error:
        resolve(RunConfig(**{"dataset": "digits", **fields}))
    assert message in str(error.value) and "\n" not in str(error.value)
    assert ("did you mean" in str(error.value)) == ("did you mean" in message)


def test_crop_is_taken_where_the_images_are_larger():
    assert resolve(RunConfig(dataset="digits", augment="crop", input_size=15)).input_size == 15
    assert resolve(RunConfig(dataset="cifar10", augment="crop")).input_size == 28


def test_a_config_survives_json_and_refuses_unknown_fields():
    resolved = resolve(RunConfig(**FROZEN["mlp_1x512-af0652bf3460"]))
    assert config.from_dict(dict(reversed(dataclasses.asdict(resolved).items()))) == resolved
    with pytest.raises(RequestError, match="unknown to this version: colour, zoom$"):
        config.from_dict({"zoom": 1, "colour": 2, "model": "alexnet"})


def test_a_shuffle_that_would_move_nothing_is_refused():
    least = {"dataset": "digits", "pixels": "shuffled"}
    assert resolve(RunConfig(**least, shuffle_fraction=0.008)).pixels == "shuffled"
    with pytest.raises(RequestError, match="received 0.005: nothing would move"):
        resolve(RunConfig(**least, shuffle_fraction=0.005))


def test_a_batch_of_all_examples_has_one_form():
    few = {"dataset": "digits", "examples": 100}
    assert resolve(RunConfig(**few, batch_size=256)) == resolve(RunConfig(**few, batch_size=100))

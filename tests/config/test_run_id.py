"""Which runs are the same: frozen ids, and what an identity is made of."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rethink_tf.config import run_config
from rethink_tf.config.fields import field
from rethink_tf.config.run_config import FIELDS, RunConfig, identity, resolve, run_id

REPOSITORY = Path(__file__).resolve().parents[2]
# The folders of the runs that exist. A changed id here means that no run of before is found again.
FROZEN = {
    "inception-d11e19b74e52": dict(model="inception", dataset="cifar10", corrupt=1.0),
    "inception-742381ab04a6": dict(model="inception", dataset="cifar10"),
    "inception-e83e0d3a687b": dict(model="inception", dataset="digits", corrupt=1.0),
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
        model="mlp_1x512",
        dataset="cifar10",
        batch_size=64,
        input_size=24,
        stop_at_train_accuracy=1.0,
    ),
    "mlp_1x512-b62e1411b6e9": dict(
        model="mlp_1x512", dataset="digits", augment="flip_rotate", seed=2**32 - 1
    ),
}


@pytest.mark.parametrize("expected", FROZEN)
def test_frozen_run_ids(expected):
    assert run_id(resolve(RunConfig(**FROZEN[expected]))) == expected


def test_run_ids_depend_on_no_hash_seed_and_no_process():
    code = f"from rethink_tf.config.run_config import *\nfor f in {list(FROZEN.values())!r}: "
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
    monkeypatch.setattr(run_config, "RunConfig", made)
    monkeypatch.setattr(run_config, "FIELDS", {f.name: f for f in dataclasses.fields(made)})
    return made


def test_run_ids_depend_on_no_order_of_the_fields(monkeypatch):
    made = with_fields(monkeypatch, reversed(FIELDS.values()))
    assert next(iter(run_config.FIELDS)) == "stop_at_train_accuracy"
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
    frozen = {"init_from": "random", "freeze": "all_but_last"}
    child = {"init_from": "runs/p@parent:inception-00:3:abc"}
    changes = {
        "model": ({}, "alexnet"),
        "dataset": ({}, "cifar100"),
        "examples": ({}, 49_999),
        "input_size": ({}, 27),
        "corrupt": ({}, 0.1),
        "label_noise": (half, "exclude_true"),
        "labels_from": ({}, str(tmp_path / "noise.csv")),
        "pixels": ({}, "shuffled"),
        "pixel_mix": (gaussian, 0.5),
        "shuffle_fraction": (random, 0.5),
        "test_pixels": (random, "original"),
        "augment": ({}, "crop"),
        "weight_decay": ({}, 1e-5),
        "dropout": ({}, 0.1),
        "learning_rate": ({}, 0.2),
        "lr_decay": ({}, 0.9),
        "momentum": ({}, 0.8),
        "batch_size": ({}, 127),
        "epochs": ({}, 71),
        "precision": ({}, "mixed_bfloat16"),
        "sync_batch_norm": ({}, True),
        "seed": ({}, 1),
        "eval_every": ({}, 2),
        "held_out": ({}, 5_000),
        "stop_at_train_accuracy": ({}, 1.0),
        "preprocess": ({}, "channel_norm"),
        "lr_schedule": ({}, "step"),
        "warmup_epochs": ({"lr_schedule": "cosine"}, 3),
        "optimizer": ({"learning_rate": 0.1}, "adam"),
        "lr_milestones": ({"lr_schedule": "step"}, "15,25"),
        "init_from": (frozen, "random:digits"),
        "init_epoch": (child, 2),
        "freeze": (child, "all_but_last"),
    }
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
        ({"dataset": "digits"}, {"dataset": "digits", "test_pixels": "original"}),
        ({"dataset": "digits"}, {"dataset": "digits", "input_size": 16, "batch_size": 128}),
        ({"dataset": "digits", "epochs": 21}, {"dataset": "digits", "learning_rate": 0.1}),
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
    assert run_config.labels_ref(runs[1]).path == str(paths[1])
    paths[0].unlink()
    assert resolve(runs[0]) == runs[0], "resolved already: the file is not read again"


def test_a_batch_of_all_examples_has_one_form():
    few = {"dataset": "digits", "examples": 100}
    assert resolve(RunConfig(**few, batch_size=256)) == resolve(RunConfig(**few, batch_size=100))

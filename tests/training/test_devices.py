"""What a run says of the devices that it computes on."""

import re

import pytest

from rethink_tf.training import trainer
from rethink_tf.training.devices import setup as devices


@pytest.mark.parametrize(
    "precision, jit, capabilities, text",
    [
        (
            "float32",
            True,
            [(8, 0)],
            "XLA is on; --precision=mixed_bfloat16 .*another run",
        ),
        ("float32", True, [(7, 5), (9, 0)], "XLA is on; float32"),
        (
            "float32",
            False,
            [],
            r"XLA is off \(with --deterministic, --sync_batch_norm\), slower; float32",
        ),
        ("mixed_bfloat16", True, [(8, 6), (9, 0)], "XLA is on; mixed_bfloat16"),
        (
            "mixed_bfloat16",
            True,
            [(7, 0)],
            "XLA is on; .*no bfloat16: --precision=float32 .*another run",
        ),
        ("mixed_bfloat16", True, [], "XLA is on; mixed_bfloat16"),
    ],
)
def test_xla_and_mixed_precision_on_gpus(precision, jit, capabilities, text):
    assert re.search(text, devices.gpu_settings(precision, jit, capabilities))


def test_capabilities_of_the_gpus_that_tell_them(monkeypatch, tensorflow):
    details = {"a": {"compute_capability": (8, 0)}, "b": {}, "c": {"compute_capability": (7, 5)}}
    config = tensorflow.config
    monkeypatch.setattr(config, "get_visible_devices", lambda kind: "abc" if kind == "GPU" else "")
    monkeypatch.setattr(config.experimental, "get_device_details", details.get)
    assert devices.capabilities() == [(8, 0), (7, 5)]


def test_xla_by_device_model_and_threads(monkeypatch, tensorflow):
    on_cpu = {
        (model, threads): trainer.compile_with_xla(model, threads)
        for model in ("inception", "alexnet", "mlp_1x512", "mlp_3x512")
        for threads in (1, 2)
    }
    assert {key for key, on in on_cpu.items() if on} == {("mlp_1x512", 2), ("mlp_3x512", 2)}
    monkeypatch.setattr(tensorflow.config, "list_logical_devices", lambda kind: [kind])
    assert trainer.compile_with_xla("inception", 1)


def test_one_strategy_for_all_runs_of_a_process(tensorflow):
    """A second one on the same devices would use the keys of the first for its collectives."""
    first = devices.strategy("mirrored", 1)
    assert isinstance(first, tensorflow.distribute.MirroredStrategy)
    assert first.num_replicas_in_sync == 1 and devices.strategy("mirrored", 1) is first

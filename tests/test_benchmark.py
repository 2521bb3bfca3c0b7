"""scripts/benchmark.py measures what it says it measures. No timing is asserted here."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import benchmark  # noqa: E402
import benchmark_loop  # noqa: E402
import benchmark_step  # noqa: E402
import benchmark_torch  # noqa: E402

from rethink_tf import models  # noqa: E402

needs_torch = pytest.mark.skipif(
    benchmark_torch.version() is None, reason="PyTorch is not installed (it is optional)"
)
# Forward multiply-adds at 28x28x3 and 10 classes: of the whole network, of its first layer.
MULTIPLY_ADDS = {
    "inception": (204_219_680, 28 * 28 * 27 * 96),
    "inception_no_bn": (204_219_680, 28 * 28 * 27 * 96),
    "mlp_1x512": (2352 * 512 + 512 * 10, 2352 * 512),
    "mlp_3x512": (2352 * 512 + 2 * 512**2 + 512 * 10, 2352 * 512),
    "alexnet": (
        28 * 28 * 75 * 64 + 14 * 14 * 1600 * 64 + 3136 * 384 + 384 * 192 + 192 * 10,
        28 * 28 * 75 * 64,
    ),
}


def tiny_options(**changes):
    options = benchmark.parse(["--batch_size=4", "--input_size=8", "--examples=8", "--seconds=0"])
    options.threads, options.torch = 1, benchmark_torch.version() is not None
    return argparse.Namespace(**{**vars(options), **changes})


@pytest.mark.parametrize("name", MULTIPLY_ADDS)
def test_flops_are_those_of_three_passes_without_the_first_input_gradient(name):
    whole, first = MULTIPLY_ADDS[name]
    flops = benchmark_step.flops_per_image(models.build(name, (28, 28, 3), 10))
    assert flops == 2 * (3 * whole - first)


def test_flops_of_the_small_inception():
    model = models.build("inception", (28, 28, 3), 10)
    assert benchmark_step.flops_per_image(model) == 1_221_253_824


def test_candidates_take_turns_and_the_best_counts():
    calls, times = [], {"a": iter([9, 2, 4, 1, 3]), "b": iter([9, 1, 2, 2, 2])}

    def candidate(name):
        def run(count):
            calls.append((name, count))
            return next(times[name])

        return run

    best = benchmark_step.take_turns({n: candidate(n) for n in "ab"}, 2.0)
    assert calls[4:] == [("a", 2), ("b", 4)] * 3
    assert best == {"a": 0.5, "b": 0.5}


@needs_torch
@pytest.mark.parametrize("size", [8, 28])
@pytest.mark.parametrize("name", models.MODELS)
def test_twins_in_pytorch_have_our_trainable_parameters(name, size):
    twin = benchmark_torch.network(name, size, 3, 10)
    ours = models.count_trainable(models.build(name, (size, size, 3), 10))
    assert benchmark_torch.count_trainable(*twin) == ours


@needs_torch
@pytest.mark.parametrize("name", ["alexnet", "mlp_3x512"])
def test_twins_in_pytorch_give_our_logits(name):
    import torch

    model = models.build(name, (8, 8, 3), 10)
    body, head = benchmark_torch.network(name, 8, 3, 10)
    ours = [x for x in model.layers if hasattr(x, "kernel")]
    theirs = [x for x in (*body.modules(), head) if hasattr(x, "weight")]
    for layer, twin in zip(ours, theirs, strict=True):
        kernel = np.asarray(layer.kernel)
        if name == "alexnet" and kernel.shape == (2 * 2 * 64, 384):  # rows are (h, w, c) here
            kernel = kernel.reshape(4, 64, -1).transpose(1, 0, 2).reshape(kernel.shape)
        axes = (3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)
        twin.weight.data = torch.tensor(kernel.transpose(axes))
        twin.bias.data = torch.tensor(np.asarray(layer.bias))
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    x = torch.tensor(images)
    x = x if name.startswith("mlp") else x.permute(0, 3, 1, 2)
    np.testing.assert_allclose(head(body(x)).detach(), model(images), atol=1e-5)


@pytest.mark.parametrize("augment", ["none", "crop"])
def test_a_row_of_the_step_table(monkeypatch, augment):
    monkeypatch.setattr(benchmark_step, "MATMUL_SIZES", (32,))
    options = tiny_options(xla="both", augment=augment)
    row, pure = benchmark_step.measure("mlp_1x512", "float32", options)
    assert row["parameters"] == 192 * 512 + 512 + 5130
    assert row["default"] == "XLA off" and set(row["ours"]) == {"XLA off", "XLA on"}
    assert set(row["torch"]) == ({"plain"} if options.torch else set())
    assert pure() > 0 and row["matmul_gflops"] > 0
    lines = benchmark.step_table([row], options.torch)
    assert len(lines) == 2 and len(lines[0]) <= 100 and ("ratio" in lines[0]) == options.torch


def test_figures_of_the_loop_from_a_history():
    timing = [
        {"train_seconds": 5.0, "eval_seconds": 2.0, "finished": 110.0},
        {"train_seconds": 2.0, "eval_seconds": 1.2, "finished": 113.5},
        {"train_seconds": 2.5, "eval_seconds": 1.0, "finished": 117.25},
    ]
    figures = benchmark_loop.loop_figures(timing, 100.0, 5000, 1000)
    expected = {
        "epoch_images_per_second": 2500,
        "evaluation_images_per_second": 6000,
        "evaluation_share": 10 / 30.25,
        "bookkeeping_seconds": 0.25,
        "bookkeeping_share": 0.25 / 30.25,
        "start_to_training_seconds": 3,
        "start_to_first_step_seconds": 6,
    }
    assert figures == pytest.approx(expected)
    row = {"model": "inception_no_bn", "precision": "mixed_bfloat16", "examples": 5000}
    row |= {"step_images_per_second": 2510.0, **figures}
    assert all(len(line) <= 100 for line in benchmark.loop_table([row]))


def test_a_whole_run_writes_json(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark_step, "MATMUL_SIZES", (32,))
    path = tmp_path / "figures.json"
    flags = ["--models=mlp_1x512", "--input_size=8", "--batch_size=4", "--examples=8"]
    flags += ["--seconds=0", "--epoch_seconds=1e-6", "--threads=1", f"--json={path}"]
    assert benchmark.main(flags) == 0
    text, report = capsys.readouterr().out, json.loads(path.read_text())
    assert all(len(line) <= 100 for line in text.splitlines()) and "matmul peak" in text
    assert {"cpu", "cores", "threads", "versions"} <= set(report["machine"])
    assert report["matmul_gflops"].keys() == {"float32"}
    (row,) = report["loop"]
    assert row["examples"] == 8 and row["epoch_images_per_second"] > 0


@pytest.mark.parametrize(
    "flag",
    ["--models=vgg", "--seconds=x", "--seconds=-1", "--xla=maybe", "--unknown", "--input_size=10",
     "--json=/no/such/folder/x", "--data_dir=/no/such/folder", "--examples=5"],
)  # fmt: skip
def test_a_bad_flag_is_one_line_and_exit_code_2(flag, capsys):
    with pytest.raises(SystemExit) as raised:
        benchmark.parse([flag])
    error = capsys.readouterr().err
    assert raised.value.code == 2 and error.count("\n") == 1 and flag.split("=")[0] in error

"""The pure step of scripts/benchmark.py: operations, turns, twins, rows. No timing is asserted."""

import benchmark_step
import benchmark_tables
import benchmark_torch
import benchmark_twins
import numpy as np
import pytest
from benchmark_candidate import LeftOut
from tiny_benchmark import Here, in_this_process, needs_torch, tiny_options

from rethink_tf import models

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
@pytest.mark.parametrize("name", benchmark_twins.TWINS)
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
def test_a_row_of_the_step_table(monkeypatch, tensorflow, augment):
    monkeypatch.setattr(benchmark_step, "MATMUL_SIZES", (32,))
    options = tiny_options(xla="both", augment=augment, parts=["step", "streamed"], torch=False)
    row, pure = benchmark_step.measure("mlp_1x512", "float32", options, in_this_process)
    assert row["parameters"] == 192 * 512 + 512 + 5130
    assert row["default"] == "XLA off" and set(row["ours"]) == {"XLA off", "XLA on"}
    assert row["torch"] == {} and row["left_out"] == {}
    assert pure() > 0 and row["matmul_gflops"] > 0 and row["streamed"] > 0
    assert -1 < row["seals"] < 10
    lines = benchmark_tables.step_table([row], options.torch)
    assert len(lines) == 2 and len(lines[0]) <= 100 and ("ratio" in lines[0]) == options.torch


def test_only_the_parts_asked_for_are_measured(tensorflow):
    row, _ = benchmark_step.measure("mlp_1x512", "float32", tiny_options(parts=["loop"]),
                                    in_this_process)  # fmt: skip
    assert row["torch"] == {} and not {"streamed", "matmul_gflops"} & set(row)


@pytest.mark.parametrize("augment", ["none", "crop"])
def test_streamed_steps_train_on_every_example_of_the_table(tensorflow, augment):
    from benchmark_streamed import StreamedSteps

    from rethink_tf.corruptions import checksum

    options = tiny_options(augment=augment)
    table = benchmark_step.random_table(options)
    steps = StreamedSteps(
        lambda: models.build("mlp_1x512", (8, 8, 3), 10),
        tensorflow.distribute.OneDeviceStrategy("/CPU:0"),
        table,
        batch_size=4,
        input_size=8,
        augment=augment,
        momentum=0.9,
        seed=0,
        jit=False,
    )
    before = [w.copy() for w in steps.model.get_weights()]
    steps.begin_epoch(1, 0.1)
    assert steps.advance(0, 2) == 2
    online = steps.online()  # the whole of a table of 8, whatever its order
    assert online["seen"] == 8
    assert online["checksum"] == checksum.label_checksum(table.index, table.given)
    after = steps.model.get_weights()
    assert any((a != b).any() for a, b in zip(after, before, strict=True))


# torch.compile


class InvalidCxxCompiler(RuntimeError):
    pass


class CppCompileError(RuntimeError):
    pass


@pytest.mark.parametrize(
    "error, reason",
    [
        (InvalidCxxCompiler("No working C++ compiler found in g++\nand more"),
         "torch.compile: no C++ compiler works here"),
        (CppCompileError("g++: fatal error"), "torch.compile: no C++ compiler works here"),
        (NotImplementedError("not this one\nand more"),
         "torch.compile: NotImplementedError: not this one"),
        (RuntimeError(), "torch.compile: RuntimeError: "),
    ],
)  # fmt: skip
def test_why_a_compiled_step_does_not_run(error, reason):
    def run(count):
        assert count == 1
        raise error

    assert benchmark_torch.why_not(run) == reason


def test_a_compiled_step_that_runs():
    assert benchmark_torch.why_not(lambda count: 0.5) is None
    with pytest.raises(FloatingPointError):
        benchmark_torch.why_not(lambda count: (_ for _ in ()).throw(FloatingPointError("NaN")))


def test_settings_worth_trying():
    assert benchmark_twins.settings("mlp_3x512") == {"plain": {}}
    assert set(benchmark_twins.settings("alexnet")) == {"channels_last", "contiguous"}


class Pretended:
    """Starts candidates that take a time of their own, and fail where they are told to.

    Args:
        times: seconds of one unit, by a word in the candidate's name or setting; [1.0].
        fails: what cannot be made, by such a word: why.
        breaks: what fails in its n-th call.
    """

    def __init__(self, times=(), fails=(), breaks=()):
        self.times, self.fails, self.breaks = dict(times), dict(fails), dict(breaks)
        self.made, self.closed = [], []

    def __call__(self, make, **arguments):
        words = [make, *(k for k, v in arguments.items() if v is True)]
        words += [f"{k}={v}" for k, v in arguments.items()]
        text = " ".join(words)
        self.made.append(text)
        for word, why in self.fails.items():
            if word in text:
                raise LeftOut(why)
        calls = []

        def run(count):
            calls.append(count)
            for word, number in self.breaks.items():
                if word in text and len(calls) >= number:
                    raise LeftOut(f"{word} broke")
            return count * next((t for word, t in self.times.items() if word in text), 1.0)

        return Here(run, {"parameters": 7, "flops_per_image": 10})


def test_the_fastest_setting_is_compiled_too():
    start = Pretended({"channels_last": 2.0})
    options = tiny_options(no_torch_compile=False)
    found, left_out = benchmark_step.torch_steps("alexnet", "float32", options, 7, start)
    assert list(found) == ["channels_last", "contiguous", "contiguous compiled"]
    assert left_out == {} and ["compiled=True" in made for made in start.made] == [False] * 2 + [
        True
    ]
    found, _ = benchmark_step.torch_steps("alexnet", "float32", tiny_options(), 7, start)
    assert list(found) == ["channels_last", "contiguous"]


def test_a_setting_that_fails_is_left_out_with_its_reason():
    options = tiny_options(no_torch_compile=False)
    start = Pretended(fails={"compiled": "torch.compile: no C++ compiler works here"})
    found, left_out = benchmark_step.torch_steps("alexnet", "float32", options, 7, start)
    assert list(found) == ["channels_last", "contiguous"]
    assert left_out == {"channels_last compiled": "torch.compile: no C++ compiler works here"}
    start = Pretended(breaks={"channels_last": 2})
    found, left_out = benchmark_step.torch_steps("alexnet", "float32", options, 7, start)
    assert list(found) == ["contiguous", "contiguous compiled"]
    assert left_out == {"channels_last": "channels_last broke"}
    with pytest.raises(ValueError, match="8 parameters, but 7 in PyTorch"):
        benchmark_step.torch_steps("alexnet", "float32", options, 8, start)


def test_a_row_names_what_cannot_run(capsys):
    options = tiny_options(xla="both", torch=True, parts=["step", "streamed"])
    start = Pretended(
        fails={"benchmark_torch": "killed", "streamed=True": "no"}, breaks={"=4096": 3}
    )
    row, pure = benchmark_step.measure("mlp_1x512", "float32", options, start)
    assert set(row["ours"]) == {"XLA on", "XLA off"} and "streamed" not in row and pure() == 1.0
    assert row["left_out"] == {
        "PyTorch plain": "killed", "streamed": "no", "matmul 4096": "=4096 broke"
    }  # fmt: skip
    lines = benchmark_tables.step_table([row], True)
    assert len(lines) == 5 and lines[1].endswith("left out")
    assert "left out for mlp_1x512: PyTorch plain: killed" in lines
    assert benchmark_tables.streamed_table([row])[1].split()[-2:] == ["-", "-"]


def test_a_row_of_our_step_alone_that_cannot_run():
    options = tiny_options(xla="both", torch=False, parts=["step", "streamed"])
    row, pure = benchmark_step.measure(
        "mlp_1x512", "float32", options, Pretended(fails={"jit=True": "no XLA", "size=": "no"})
    )
    assert row["default"] == "XLA off" and "matmul_gflops" not in row and pure is not None
    assert benchmark_tables.step_table([row], False)[1].endswith("  off        -")
    row, pure = benchmark_step.measure(
        "mlp_1x512", "float32", options, Pretended(fails={"our_candidate": "no TensorFlow"})
    )
    assert row["failed"] == "no TensorFlow" and pure is None
    assert "no TensorFlow" in benchmark_tables.step_table([row], True)[1]

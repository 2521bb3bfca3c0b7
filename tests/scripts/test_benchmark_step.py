"""The pure step of scripts/benchmark.py: operations, turns, PyTorch's copies, rows."""

import numpy as np
import pytest
from benchmark import steps, tables, task, tensorflow_steps, torch_steps
from benchmark.candidates import LeftOut, Race
from small_benchmark import Here, in_this_process, needs_torch, tiny_options

from rethink_tf import models
from rethink_tf.training.trainer import compile_with_xla

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
    flops = tensorflow_steps.flops_per_image(models.build(name, (28, 28, 3), 10))
    assert flops == 2 * (3 * whole - first)


def test_flops_of_the_small_inception():
    model = models.build("inception", (28, 28, 3), 10)
    assert tensorflow_steps.flops_per_image(model) == 1_221_253_824


@needs_torch
@pytest.mark.parametrize("size", [8, 28])
@pytest.mark.parametrize("name", task.TWINS)
def test_references_in_pytorch_have_our_trainable_parameters(name, size):
    reference = torch_steps.network(name, size, 3, 10)
    ours = models.count_trainable(models.build(name, (size, size, 3), 10))
    assert torch_steps.count_trainable(*reference) == ours


@needs_torch
@pytest.mark.parametrize("name", ["alexnet", "mlp_3x512"])
def test_references_in_pytorch_give_our_logits(name):
    import torch

    model = models.build(name, (8, 8, 3), 10)
    body, head = torch_steps.network(name, 8, 3, 10)
    ours = [x for x in model.layers if hasattr(x, "kernel")]
    theirs = [x for x in (*body.modules(), head) if hasattr(x, "weight")]
    for layer, reference in zip(ours, theirs, strict=True):
        kernel = np.asarray(layer.kernel)
        if name == "alexnet" and kernel.shape == (2 * 2 * 64, 384):  # rows are (h, w, c) here
            kernel = kernel.reshape(4, 64, -1).transpose(1, 0, 2).reshape(kernel.shape)
        axes = (3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)
        reference.weight.data = torch.tensor(kernel.transpose(axes))
        reference.bias.data = torch.tensor(np.asarray(layer.bias))
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    x = torch.tensor(images)
    x = x if name.startswith("mlp") else x.permute(0, 3, 1, 2)
    np.testing.assert_allclose(head(body(x)).detach(), model(images), atol=1e-5)


@pytest.mark.parametrize("augment", ["none", "crop"])
def test_a_row_of_the_step_table(monkeypatch, tensorflow, augment):
    monkeypatch.setattr(steps, "MATMUL_SIZES", (32,))
    options = tiny_options(xla="both", augment=augment, parts=("step", "streamed"))
    race = Race(in_this_process)
    row = steps.measure("mlp_1x512", "float32", options, race)
    assert row["parameters"] == 192 * 512 + 512 + 5130
    assert row["default"] == "XLA off" and set(row["ours"]) == {"XLA off", "XLA on"}
    assert row["torch"] == {} and row["left_out"] == {}
    assert race.again(row["default"], 0.0) > 0 and list(race.running) == [row["default"]]
    assert row["matmul_gflops"] > 0 and row["streamed"] > 0 and -1 < row["seals"] < 10
    lines = step_table(row, False)
    assert len(lines) == 2 and len(lines[0]) <= 100 and "ratio" not in lines[0]


def step_table(row, torch):
    rows = [{"model": "mlp_1x512", "precision": "float32", **row}]
    return tables.table(tables.step_columns(rows, torch), rows) + tables.left_out(rows)


def test_only_the_parts_asked_for_are_measured(tensorflow):
    race = Race(in_this_process)
    row = steps.measure("mlp_1x512", "float32", tiny_options(parts=("loop",)), race)
    assert row["torch"] == {} and not {"streamed", "matmul_gflops", "seals"} & set(row)


def trained(kind, **changes):
    """Steps of a kind that have trained on two batches, the whole table; the weights before."""
    made = tensorflow_steps.make_steps(
        "mlp_1x512", "float32", tiny_options(**changes), jit=False, kind=kind
    )
    before = [w.copy() for w in made.model.get_weights()]
    made.begin_epoch(1, 0.1)
    assert made.advance(0, 2) == 2
    return made, before


@pytest.mark.parametrize("augment", ["none", "crop"])
def test_streamed_steps_train_on_every_example_of_the_table(tensorflow, augment):
    from rethink_tf.corruptions import checksum

    options = tiny_options(augment=augment)
    made, before = trained("StreamedSteps", augment=augment)
    running = made.running()  # the whole of a table of 8, whatever its order
    assert running["seen"] == 8
    _, given = task.noise(options)
    assert running["checksum"] == checksum.label_checksum(np.arange(8), given)
    after = made.model.get_weights()
    assert any((a != b).any() for a, b in zip(after, before, strict=True))


def test_unsealed_steps_train_alike_and_take_no_words(tensorflow):
    sealed, _ = trained("")
    unsealed, _ = trained("UnsealedSteps")
    assert sealed.running() == unsealed.running()
    assert sealed.image_checksum() != 0 == unsealed.image_checksum()
    assert sum(len(rows) for rows, *_ in sealed.got()) > 0
    assert sum(len(rows) for rows, *_ in unsealed.got()) == 0


def test_the_seals_cost_what_a_step_takes_longer_than_one_without_them():
    start = Pretended({"UnsealedSteps": 0.8})
    row = steps.measure("mlp_1x512", "float32", tiny_options(), Race(start))
    assert row["seals"] == pytest.approx(0.25)
    start = Pretended(fails={"UnsealedSteps": "no unsealed steps"})
    row = steps.measure("mlp_1x512", "float32", tiny_options(), Race(start))
    assert "seals" not in row and row["left_out"] == {"unsealed": "no unsealed steps"}


def test_the_seals_are_compared_in_the_same_way_of_compiling():
    default = compile_with_xla("inception", 1)
    start = Pretended(fails={f"jit={default} kind=''": "not this way"})
    row = steps.measure("inception", "float32", tiny_options(xla="both"), Race(start))
    assert row["default"] == f"XLA {'off' if default else 'on'}" and "seals" not in row


# torch.compile


class InvalidCxxCompiler(RuntimeError):
    pass


class CppCompileError(RuntimeError):
    pass


@pytest.mark.parametrize(
    "error, reason",
    [
        (
            InvalidCxxCompiler("No working C++ compiler found in g++\nand more"),
            "torch.compile: no C++ compiler works here",
        ),
        (CppCompileError("g++: fatal error"), "torch.compile: no C++ compiler works here"),
        (
            NotImplementedError("not this one\nand more"),
            "torch.compile: NotImplementedError: not this one",
        ),
        (RuntimeError(), "torch.compile: RuntimeError: "),
    ],
)
def test_why_a_compiled_step_does_not_run(error, reason):
    def run(count):
        assert count == 1
        raise error

    assert torch_steps.why_not(run) == reason


def test_a_compiled_step_that_runs():
    assert torch_steps.why_not(lambda count: 0.5) is None
    with pytest.raises(FloatingPointError):
        torch_steps.why_not(lambda count: (_ for _ in ()).throw(FloatingPointError("NaN")))


def test_settings_worth_trying():
    assert task.torch_settings("mlp_3x512") == {"plain": {}}
    assert set(task.torch_settings("alexnet")) == {"channels_last", "contiguous"}


class Pretended:
    """Starts candidates that take a time of their own, and fail where they are told to.

    Args:
        times: seconds of one unit, by a word in the candidate's name or setting; [1.0].
        fails: what cannot be made, by such a word: why.
        breaks: what fails in its n-th call.
    """

    def __init__(self, times=(), fails=(), breaks=()):
        self.times, self.fails, self.breaks = dict(times), dict(fails), dict(breaks)
        self.made = []

    def __call__(self, make, **arguments):
        words = {"kind": "", **arguments}
        text = " ".join([make, *(f"{k}={words[k]!r}" for k in sorted(words, key=str))])
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


def torch_race(start, options, parameters=7):
    """Names of PyTorch's candidates that run, and why others do not."""
    race = Race(start)
    same = {"precision": "float32", "options": vars(options)}
    steps.enter_torch("alexnet", same, options, parameters, race)
    return [name.removeprefix("PyTorch ") for name in race.running], race.left_out


def test_the_fastest_setting_is_compiled_too():
    start = Pretended({"channels_last": 2.0})
    found, left_out = torch_race(start, tiny_options(no_torch_compile=False))
    assert found == ["channels_last", "contiguous", "contiguous compiled"] and left_out == {}
    assert ["compiled=True" in made for made in start.made] == [False, False, True]
    found, _ = torch_race(start, tiny_options())
    assert found == ["channels_last", "contiguous"]


def test_a_setting_that_fails_is_left_out_with_its_reason():
    options = tiny_options(no_torch_compile=False)
    start = Pretended(fails={"compiled": "torch.compile: no C++ compiler works here"})
    found, left_out = torch_race(start, options)
    assert found == ["channels_last", "contiguous"]
    reason = "torch.compile: no C++ compiler works here"
    assert left_out == {"PyTorch channels_last compiled": reason}
    found, left_out = torch_race(Pretended(breaks={"channels_last": 2}), options)
    assert found == ["contiguous", "contiguous compiled"]
    assert left_out == {"PyTorch channels_last": "channels_last broke"}
    with pytest.raises(ValueError, match="8 parameters, but 7 in PyTorch"):
        torch_race(start, options, parameters=8)


def test_a_row_names_what_cannot_run():
    options = tiny_options(xla="both", no_torch=False, parts=("step", "streamed"))
    start = Pretended(
        fails={"torch_steps": "killed", "StreamedSteps": "no"}, breaks={"size=4096": 3}
    )
    race = Race(start)
    row = steps.measure("mlp_1x512", "float32", options, race)
    assert set(row["ours"]) == {"XLA on", "XLA off"} and "streamed" not in row
    assert race.again(row["default"], 1.0) == 1.0
    assert row["left_out"] == {
        "PyTorch plain": "killed",
        "streamed": "no",
        "matmul 4096": "size=4096 broke",
    }
    lines = step_table(row, True)
    assert len(lines) == 5 and lines[1].endswith("left out")
    assert "left out for mlp_1x512: PyTorch plain: killed" in lines
    who = {"model": "mlp_1x512", "precision": "float32"}
    assert tables.table(tables.STREAMED, [who | row])[1].split()[-2:] == ["-", "-"]


def test_a_row_of_our_step_alone_that_cannot_run():
    options = tiny_options(xla="both", parts=("step", "streamed"))
    start = Pretended(fails={"jit=True": "no XLA", "size=": "no"})
    row = steps.measure("mlp_1x512", "float32", options, Race(start))
    assert row["default"] == "XLA off" and "matmul_gflops" not in row
    assert step_table(row, False)[1].endswith("  off        -")


@pytest.mark.parametrize("failure", ["fails", "breaks"])
def test_a_model_whose_step_cannot_run_at_all_says_why(failure):
    start = Pretended(**{failure: {":ours": "no TensorFlow" if failure == "fails" else 3}})
    with pytest.raises(LeftOut, match="^no TensorFlow$" if failure == "fails" else "^:ours broke$"):
        steps.measure("mlp_1x512", "float32", tiny_options(xla="both"), Race(start))

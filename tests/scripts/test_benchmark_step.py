"""The pure step of scripts/benchmark.py: operations, PyTorch's networks, kinds, rows."""

import numpy as np
import pytest
from benchmark import command, steps, task, tensorflow_steps
from benchmark.candidates import LeftOut, Race
from small_benchmark import Here, in_this_process, needs_torch, tiny_options

from rethink_tf import models

MLP = {"model": "mlp_1x512", "precision": "float32"}
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


def in_pytorch(model):
    from benchmark import torch_steps

    return torch_steps.Network(tensorflow_steps.layers_of(model))


@needs_torch
@pytest.mark.parametrize("size", [8, 28])
@pytest.mark.parametrize("name", command.MODELS)
def test_references_in_pytorch_have_our_trainable_parameters(name, size):
    model = models.build(name, (size, size, 3), 10)
    count = sum(p.numel() for p in in_pytorch(model).parameters() if p.requires_grad)
    assert count == models.count_trainable(model)


@needs_torch
@pytest.mark.parametrize("name", ["alexnet", "mlp_3x512"])
def test_references_in_pytorch_give_our_logits(name):
    import torch

    model = models.build(name, (8, 8, 3), 10)
    network = in_pytorch(model)
    ours = [x for x in model.layers if hasattr(x, "kernel")]
    theirs = [x for x in network.modules() if hasattr(x, "weight")]
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
    np.testing.assert_allclose(network(x).detach(), model(images), atol=1e-5)


@pytest.fixture
def few_examples(monkeypatch):
    """Two batches."""
    monkeypatch.setattr(task, "EXAMPLES", 8)


def test_a_row_of_the_step_table(monkeypatch, tensorflow, few_examples):
    monkeypatch.setattr(steps, "MATMUL_SIZES", {"cpu": (32,)})
    race = Race(in_this_process)
    row = steps.measure(MLP, tiny_options(parts=("step",)), race)
    assert row["XLA"] == "off", "one thread"
    assert min(row["images/s"], row["GFLOP/s peak"], row["of peak"]) > 0
    assert row["seals"] > -1 and row["input"] < 1 and row["PyTorch"] is None
    assert race.left_out == {} and list(race.running) == [steps.STEP]


def test_only_the_step_is_measured_for_a_run(tensorflow):
    start = Pretended()
    row = steps.measure(MLP, tiny_options(parts=("loop",)), Race(start))
    assert row["images/s"] == 4 and row["of peak"] is row["seals"] is row["input"] is None
    assert len(start.made) == 1


def trained(kind):
    """Steps of a kind that have trained on two batches, the whole table; the weights before."""
    made = tensorflow_steps.make_steps("mlp_1x512", "float32", tiny_options(), False, kind)
    before = [w.copy() for w in made.model.get_weights()]
    assert made.advance(0, 2) == 2
    return made, before


def test_streamed_steps_train_on_every_example_of_the_table(tensorflow, few_examples):
    from rethink_tf.corruptions import checksum

    made, before = trained("StreamedSteps")
    running = made.running()  # the whole of a table of 8, whatever its order
    assert running["seen"] == 8
    _, given = task.noise(8, 8)
    assert running["checksum"] == checksum.label_checksum(np.arange(8), given)
    after = made.model.get_weights()
    assert any((a != b).any() for a, b in zip(after, before, strict=True))


def test_unsealed_steps_train_alike_and_take_no_checksum(tensorflow, few_examples):
    sealed, _ = trained("Steps")
    unsealed, _ = trained("UnsealedSteps")
    assert sealed.running() == unsealed.running()
    assert sealed.image_checksum() != 0 == unsealed.image_checksum()
    assert sum(len(rows) for rows, *_ in sealed.got()) > 0
    assert sum(len(rows) for rows, *_ in unsealed.got()) == 0


def test_the_columns_of_a_row_by_hand():
    facts = {"xla": True, "flops_per_image": 5 * 10**9}
    best = {"our step": 0.5, "UnsealedSteps": 0.4, "StreamedSteps": 1.0}
    best |= {"PyTorch contiguous": 1.0, "PyTorch channels_last compiled": 0.8}
    best |= {"matmul 1000": 0.02, "matmul 2000": 0.1}
    row = steps.row(facts, best, 4)
    assert row == pytest.approx({
        "images/s": 8.0,
        "XLA": "on",
        "GFLOP/s peak": 160.0,
        "of peak": 0.25,
        "seals": 0.25,
        "input": 0.5,
        "PyTorch": 5.0,
        "ratio": 1.6,
        "setting": "channels_last compiled",
    })  # fmt: skip


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
        text = " ".join([make, *(f"{k}={arguments[k]!r}" for k in sorted(arguments))])
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

        kind = "Flatten" if "mlp" in arguments.get("model", "") else "Conv2D"
        layers = [(kind, {}, 3, [0])]
        facts = {"layers": layers, "flops_per_image": 10, "xla": True}
        return Here(run, facts)


def test_every_setting_of_pytorch_takes_part():
    options = tiny_options(no_torch=False, parts=("step",))
    convolutional = Race(Pretended({"channels_last": 0.5}, fails={"channels_last comp": "no C++"}))
    row = steps.measure(MLP | {"model": "alexnet"}, options, convolutional)
    assert row["setting"] == "channels_last" and row["PyTorch"] == 8
    assert convolutional.left_out == {"PyTorch channels_last compiled": "no C++"}
    start = Pretended()
    steps.measure(MLP, options, Race(start))
    settings = [made.rpartition("setting=")[2] for made in start.made if "torch_steps" in made]
    assert settings == ["'contiguous'", "'contiguous compiled'"], "an MLP gets no images"


def test_a_row_names_what_cannot_run():
    options = tiny_options(no_torch=False, parts=("step",), device="gpu")
    start = Pretended(
        fails={"torch_steps": "killed", "StreamedSteps": "no"}, breaks={"size=16384": 3}
    )
    race = Race(start)
    row = steps.measure(MLP, options, race)
    assert row["input"] is row["PyTorch"] is None and row["GFLOP/s peak"] > 0
    assert race.left_out == {
        "PyTorch contiguous": "killed",
        "PyTorch contiguous compiled": "killed",
        "StreamedSteps": "no",
        "matmul 16384": "size=16384 broke",
    }


@pytest.mark.parametrize("failure", ["fails", "breaks"])
def test_a_model_whose_step_cannot_run_at_all_says_why(failure):
    race = Race(Pretended(**{failure: {":ours": "no TensorFlow" if failure == "fails" else 3}}))
    assert steps.measure(MLP, tiny_options(), race) == {}
    why = "no TensorFlow" if failure == "fails" else ":ours broke"
    assert race.left_out[steps.STEP] == why

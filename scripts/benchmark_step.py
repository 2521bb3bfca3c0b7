"""The pure training step, ours and PyTorch's, and the matmul peak, for benchmark.py.

Each candidate is a process of its own (benchmark_candidate.py), ours and PyTorch's alike.
"""

import math
import time
from types import SimpleNamespace

import benchmark_noise
import benchmark_twins
import numpy as np
from benchmark_candidate import Candidate, LeftOut
from benchmark_noise import CHANNELS, CLASSES
from benchmark_twins import MOMENTUM

from rethink_tf.models import build, count_trainable

ROUNDS = 3
LEARNING_RATE = 0.01  # low enough for every model: a NaN would falsify the time
MATMUL_SIZES = (2048, 4096)


def flops_per_image(model) -> int:
    """Floating-point operations of one training image in all convolutions and dense layers.

    A multiply-add is two. Forward, weight gradient and input gradient cost the same; the first
    layer has no input gradient. Padding counts as work, everything else as none.
    """
    import keras

    forward = []
    for layer in model.layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            places = math.prod(layer.output.shape[1:-1])
            forward.append(2 * places * math.prod(layer.kernel.shape))
    return 3 * sum(forward) - forward[0]


def random_table(options):
    """A resident set of noise: a `pipeline.Table` of uint8 [examples, size, size, 3]."""
    from rethink_tf.data.types import Table

    found = benchmark_noise.arrays(options)
    index, labels = np.arange(options.examples), found.given
    return Table(index, found.images, labels, labels.copy(), CLASSES)


def take_turns(
    candidates: dict, seconds: float, rounds: int = ROUNDS, left_out: dict | None = None
) -> dict[str, float]:
    """Best seconds per unit of each candidate over several rounds, in each of which all run.

    Args:
        candidates: functions by name; f(count) does `count` units and returns the seconds taken.
        seconds: how long each is to run in a round.
        rounds: number of rounds.
        left_out: gets the name of each candidate that cannot run, and why; None: that is raised.
    """
    counts, best = {}, {}

    def timed(name, count):
        if name in (left_out or ()):
            return None
        try:
            return candidates[name](count)
        except LeftOut as why:
            if left_out is None:
                raise
            left_out[name] = str(why)
            best.pop(name, None)

    for name in candidates:
        timed(name, 2)  # compiles
        took = timed(name, 2)
        if took is not None:
            counts[name] = max(1, round(seconds / (took / 2)))
    for _ in range(rounds):
        for name in counts:
            took = timed(name, counts[name])
            if took is not None:
                best[name] = min(took / counts[name], best.get(name, float("inf")))
    return best


def matmul(precision: str, size: int):
    """A candidate for `take_turns`: products of square matrices."""
    import tensorflow as tf

    dtype = tf.float32 if precision == "float32" else tf.bfloat16
    a = tf.cast(tf.random.normal([size, size]), dtype)

    def run(count):
        started = time.monotonic()
        for _ in range(count):
            product = tf.matmul(a, a)
        float(product[0, 0])
        return time.monotonic() - started

    return run


def our_step(name, precision, table, options, jit, strategy=None, kind=None):
    """A candidate for `take_turns`: steps of `Steps`, without an epoch's begin; and its model.

    Args:
        name: a key of MODELS.
        precision: `float32` or `mixed_bfloat16`.
        table: see `random_table`.
        options: of the command line.
        jit: compile forward and backward with XLA.
        strategy: default: one device.
        kind: the class of the steps; default: `Steps`.
    """
    import tensorflow as tf

    from rethink_tf.corruptions.pixels import accelerator
    from rethink_tf.training.train_step import Steps

    shape = (options.input_size, options.input_size, CHANNELS)
    steps = (kind or Steps)(
        lambda: build(name, shape, CLASSES, precision=precision),
        strategy or tf.distribute.OneDeviceStrategy(accelerator()),
        table,
        batch_size=options.batch_size,
        input_size=options.input_size,
        augment=options.augment,
        momentum=MOMENTUM,
        seed=0,
        jit=jit,
    )
    steps.begin_epoch(1, LEARNING_RATE)
    whole, position = table.num_examples // options.batch_size, 0

    def run(count):
        nonlocal position
        started = time.monotonic()
        while count:
            reached = steps.advance(position, min(count, whole - position))
            count, position = count - (reached - position), reached % whole
        if steps.diverged_at() is not None:  # waits for the device
            raise FloatingPointError(f"{name}: the loss became NaN or infinite")
        return time.monotonic() - started

    return run, steps.model


def _options(options) -> SimpleNamespace:
    """The options of a candidate's process, in which TensorFlow is started with these threads."""
    from rethink_tf.training.devices import setup as devices

    given = SimpleNamespace(**options)
    devices.start(given.threads)
    return given


def our_candidate(name: str, precision: str, options: dict, jit: bool, streamed: bool = False):
    """`our_step` for benchmark_candidate.py, with what is known of its model."""
    given, kind = _options(options), None
    if streamed:
        from benchmark_streamed import StreamedSteps as kind
    run, model = our_step(name, precision, random_table(given), given, jit, kind=kind)
    return run, {"parameters": count_trainable(model), "flops_per_image": flops_per_image(model)}


def matmul_candidate(precision: str, options: dict, size: int):
    """`matmul` for benchmark_candidate.py."""
    _options(options)
    return matmul(precision, size), {}


def _started(wanted: dict[str, tuple[str, dict]], start, left_out: dict) -> dict:
    """The candidates that can be made; why others cannot goes to `left_out`."""
    found = {}
    for name, (make, arguments) in wanted.items():
        try:
            found[name] = start(make, **arguments)
        except LeftOut as why:
            left_out[name] = str(why)
    return found


def torch_steps(name, precision, options, parameters, start=Candidate) -> tuple[dict, dict]:
    """PyTorch's candidates by setting, and why others are left out.

    torch.compile takes minutes, so it is tried on the fastest of the other settings alone.

    Raises:
        ValueError: a twin has not `parameters` trainable parameters.
    """
    make, left_out = "benchmark_torch:candidate", {}
    same = {"name": name, "precision": precision, "options": vars(options)}
    same["learning_rate"] = LEARNING_RATE
    settings = benchmark_twins.settings(name)
    wanted = {key: (make, same | setting) for key, setting in settings.items()}
    found = _started(wanted, start, left_out)
    for candidate in found.values():
        if candidate.facts["parameters"] != parameters:
            count = candidate.facts["parameters"]
            raise ValueError(f"{name}: {parameters} parameters, but {count} in PyTorch")
    if options.no_torch_compile or not found:
        return found, left_out
    first = take_turns(found, options.seconds / ROUNDS, 1, left_out)
    found = {key: candidate for key, candidate in found.items() if key in first}
    if found:
        fastest = min(first, key=first.get)
        setting = settings[fastest] | {"compiled": True}
        wanted = {f"{fastest} compiled": (make, same | setting)}
        found |= _started(wanted, start, left_out)
    return found, left_out


def measure(name: str, precision: str, options, start=Candidate) -> tuple[dict, object]:
    """One model in one precision: our step and, as `--parts` says, others, taking turns.

    With `step` these are PyTorch's and the matmul, with `streamed` our step fed by tf.data.

    Args:
        name: a key of MODELS.
        precision: `float32` or `mixed_bfloat16`.
        options: of the command line.
        start: makes a candidate: a process of its own.

    Returns:
        (the row of the report, a function that measures our step again, in seconds). Where our step
        cannot run at all, the row has `failed`, the reason, in place of figures, and the function
        is None.
    """
    from rethink_tf.training.trainer import compile_with_xla

    default = compile_with_xla(name, options.threads)
    given, left_out = {"precision": precision, "options": vars(options)}, {}
    mine = {"name": name, **given}
    ours = {
        f"XLA {'on' if jit else 'off'}": ("benchmark_step:our_candidate", {**mine, "jit": jit})
        for jit in (default, not default)[: 2 if options.xla == "both" else 1]
    }
    ours = _started(ours, start, left_out)
    row = {"model": name, "precision": precision}
    if not ours:
        return {**row, "failed": next(iter(left_out.values())), "left_out": left_out}, None
    facts = next(iter(ours.values())).facts
    torch, others = {}, {}
    if "streamed" in options.parts:
        others["streamed"] = (
            "benchmark_step:our_candidate", {**mine, "jit": default, "streamed": True}
        )  # fmt: skip
    if "step" in options.parts:
        if options.torch:
            torch, torch_left = torch_steps(name, precision, options, facts["parameters"], start)
            left_out |= {f"PyTorch {key}": why for key, why in torch_left.items()}
        others |= {
            f"matmul {size}": ("benchmark_step:matmul_candidate", {**given, "size": size})
            for size in MATMUL_SIZES
        }
    others = _started(others, start, left_out)
    theirs = {f"PyTorch {key}": candidate for key, candidate in torch.items()}
    best = take_turns({**ours, **theirs, **others}, options.seconds, left_out=left_out)
    rates = {key: options.batch_size / seconds for key, seconds in best.items()}
    ours = {key: candidate for key, candidate in ours.items() if key in best}
    if not ours:
        return {**row, "failed": next(iter(left_out.values())), "left_out": left_out}, None
    row |= {
        "parameters": facts["parameters"],
        "flops_per_image": facts["flops_per_image"],
        "default": next(iter(ours)),
        "ours": {key: rates[key] for key in ours},
        "torch": {key: rates[f"PyTorch {key}"] for key in torch if f"PyTorch {key}" in rates},
        "left_out": left_out,
    }
    if "streamed" in rates:
        row["streamed"] = rates["streamed"]
    products = {size: best.get(f"matmul {size}") for size in MATMUL_SIZES}
    peaks = [2e-9 * size**3 / seconds for size, seconds in products.items() if seconds]
    if peaks:
        row["matmul_gflops"] = max(peaks)
    alone = {row["default"]: ours[row["default"]]}
    for candidate in {**ours, **theirs, **others}.values():
        if candidate not in alone.values():
            candidate.close()
    return row, lambda: take_turns(alone, options.seconds, 1)[row["default"]]

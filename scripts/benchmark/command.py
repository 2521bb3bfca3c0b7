"""The command line of benchmark.py, and the order in which it measures."""

import contextlib
import dataclasses
import os
import sys
import tempfile
from pathlib import Path

from benchmark import runs, steps, tables, task
from benchmark.candidates import Candidate, LeftOut, Race
from rethink_tf import console, environment
from rethink_tf.cli import app
from rethink_tf.config import fields
from rethink_tf.config.command_line import CommandLine, Parsed
from rethink_tf.config.run_config import PRECISIONS
from rethink_tf.errors import ExitCode, RequestError

# The networks of Table 1; Inception without normalisation is nearly the same work as with it.
USUAL = ("inception", "alexnet", "mlp_3x512", "mlp_1x512")
MODELS = (*USUAL, "inception_no_bn", "wrn_28_1", "resnet_18")  # those that torch_steps.py has


def _flag(default, help: str, **bounds):
    """A flag of the kind of its default; text where that is None."""
    kind = str if default is None else type(default)
    return fields.field(default, kind, help, group="What is measured, and how", **bounds)


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is measured, and how; `parts`, `models` and `precisions` are tuples once read."""

    parts: str = _flag("step,loop", f"some of {', '.join(tables.PARTS)}")
    models: str = _flag(",".join(USUAL), f"some of {', '.join(MODELS)}")
    precisions: str | None = _flag(
        None, f"some of {', '.join(PRECISIONS)}", by="float32, and both for the Inceptions"
    )
    device: str = _flag(
        "auto",
        "where all is computed; auto: on a GPU that TensorFlow sees, else on the CPU",
        choices=("auto", "cpu", "gpu"),
    )
    batch_size: int = _flag(128, "examples per step", low=2, high=task.EXAMPLES)
    input_size: int = _flag(28, "height and width, a multiple of 4", low=8, high=32)
    seconds: float = _flag(
        2.0, "of each candidate in each of three rounds; an epoch of a run takes five times", low=0
    )
    threads: int = _flag(0, "of arithmetic; 0: as many as there are cores", low=0, high=4096)
    no_torch: bool = _flag(False, "leave PyTorch out")
    data_dir: str | None = _flag(None, "where imagenet2012 lies, for input", by="as for a run")
    gpu_rate: int = _flag(1000, "images/s of the GPU that input is to feed", low=1)


LINE = CommandLine(
    "python scripts/benchmark.py",
    """
    Measures training. All candidates take turns within one run and the best of three counts, so
    that a noisy neighbour hits all alike; all use the same number of threads. Each is a process of
    its own, and one that cannot run is named and left out. PyTorch is optional.
    """
    + "".join(f"\n\n{part}: {about}." for part, about in tables.PARTS.items()),
    (Flags,),
)


def main(argv: list[str]) -> int:
    """The command, its errors in one line; returns the exit code."""
    return app.guarded(lambda argv: LINE.run(argv, _run), argv, app.NOTHING_KEPT)


def _run(parsed: Parsed) -> int:
    options = on_this_machine(checked(parsed[Flags]))
    rows, left_out = {part: [] for part in tables.PARTS}, {}
    try:
        with tempfile.TemporaryDirectory() as scratch:
            _measure_all(options, Path(scratch), rows, left_out)
    finally:  # what was measured before Ctrl-C is shown too
        console.say(tables.show(rows, left_out))
    return ExitCode.DONE


def _measure_all(options: Flags, scratch: Path, rows: dict, left_out: dict) -> None:
    """Adds what is measured to `rows`, by part, and what could not run to `left_out`."""
    for name in options.models if {"step", "loop"} & {*options.parts} else ():
        both = PRECISIONS if name.startswith("inception") else PRECISIONS[:1]
        for precision in options.precisions or both:
            print(f"measuring {name}, {precision}", file=sys.stderr, flush=True)
            who = {"model": name, "precision": precision}
            left_out[f"{name}, {precision}"] = measure(who, options, scratch, rows)
    if "input" in options.parts:
        with contextlib.closing(Race()) as race:
            rows["input"] += steps.measure_input(options, race)
        left_out["input"] = race.left_out


def checked(asked: Flags) -> Flags:
    """The flags with lists as tuples and the number of threads."""
    if asked.input_size % 4:
        raise RequestError(f"--input_size: expected a multiple of 4, received {asked.input_size}")
    return dataclasses.replace(
        asked,
        parts=_some_of("parts", asked.parts, tuple(tables.PARTS)),
        models=_some_of("models", asked.models, MODELS),
        precisions=asked.precisions and _some_of("precisions", asked.precisions, PRECISIONS),
        threads=asked.threads or environment.cores(),
    )


def _some_of(name: str, text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    for word in text.split(","):
        fields.check_choice(name, word, known)
    return tuple(text.split(","))


def on_this_machine(options: Flags) -> Flags:
    """The options with the device that is there; prints devices, cores, load and versions."""
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # of all processes that are started
    load = os.getloadavg()[0]
    try:
        platform = Candidate("benchmark.tensorflow_steps:platform", threads=options.threads)
    except LeftOut as why:
        raise RequestError(f"--device: expected one that TensorFlow can start: {why}") from None
    platform.close()
    facts = platform.facts
    if options.device == "gpu" != facts["device"]:
        raise RequestError("--device: expected auto or cpu, received gpu: TensorFlow sees no GPU")
    versions = ", ".join(f"{name} {v}" for name, v in facts["versions"].items())
    console.say(
        f"{', '.join(facts['devices'])}, {environment.cores()} cores, {options.threads} threads, "
        f"load average {load:.1f} before\n{versions}\n"
        f"batch {options.batch_size}, images {options.input_size}x{options.input_size}"
    )
    return dataclasses.replace(options, device=facts["device"])


def measure(who: dict, options: Flags, scratch: Path, rows: dict) -> dict[str, str]:
    """Adds the rows of one model in one precision to those of each part.

    Returns:
        What could not run, and why.
    """
    with contextlib.closing(Race()) as race:
        step = steps.measure(who, options, race)
        if step and "step" in options.parts:
            rows["step"].append(who | step)
        if step and "loop" in options.parts:
            try:
                rows["loop"].append(who | runs.loop(who, step["images/s"], options, race, scratch))
            except LeftOut as why:
                race.left_out["the run"] = str(why)
    return race.left_out

"""The command line of benchmark.py, and the order in which it measures."""

import dataclasses
import os
import sys
import tempfile
from pathlib import Path

from benchmark import imagenet_input, runs, steps, tables, task
from benchmark.candidates import Candidate, LeftOut, Race
from rethink_tf import console, environment
from rethink_tf.cli import app
from rethink_tf.config import fields
from rethink_tf.config.command_line import CommandLine, Parsed
from rethink_tf.config.run_config import PRECISIONS
from rethink_tf.errors import ExitCode, RequestError

PARTS = ("step", "loop", "input")


def _flag(default, help: str, **bounds):
    """A flag of the kind of its default; text where that is None."""
    kind = str if default is None else type(default)
    return fields.field(default, kind, help, group="What is measured, and how", **bounds)


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is measured, and how; `parts`, `models` and `precisions` are tuples once read."""

    parts: str = _flag("step,loop", f"some of {', '.join(PARTS)}")
    models: str = _flag(",".join(task.TABLE1), f"some of {', '.join(task.MODELS)}")
    precisions: str | None = _flag(
        None, f"some of {', '.join(PRECISIONS)}", by="float32, and both for the Inceptions"
    )
    device: str = _flag(
        "auto",
        "where all is computed; auto: on a GPU that TensorFlow sees, else on the CPU",
        choices=("auto", "cpu", "gpu"),
    )
    batch_size: int = _flag(128, "examples per step", low=2)
    input_size: int = _flag(28, "height and width, a multiple of 4", low=8, high=32)
    examples: int = _flag(50_000, "resident images of the pure step", low=2)
    seconds: float = _flag(2.0, "of each candidate in each of the three rounds", low=0)
    epoch_seconds: float = _flag(10.0, "of an epoch of a run, at most 50,000 images", low=1e-6)
    threads: int = _flag(0, "of arithmetic; 0: as many as there are cores", low=0, high=4096)
    no_torch: bool = _flag(False, "leave PyTorch out")
    data_dir: str | None = _flag(None, "where imagenet2012 lies, for input", by="as for a run")
    gpu_rate: int = _flag(1000, "images/s of the GPU that input is to feed", low=1)


LINE = CommandLine(
    "python scripts/benchmark.py",
    """
    Measures images per second of training: the pure step beside PyTorch's, with its share of the
    matmul peak, the cost of the seals and the share of the input where tf.data feeds it (step);
    epochs of a real run, with evaluation, bookkeeping, checkpoints, start and peak memory (loop);
    how fast ImageNet is read, decoded and corrupted (input).

    All candidates take turns within one run and the best of three counts, so that a noisy
    neighbour hits all alike; all use the same number of threads. Each is a process of its own, and
    one that cannot run is named and left out. PyTorch is optional.
    """,
    (Flags,),
)


def _some_of(name: str, text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    for word in text.split(","):
        fields.check_choice(name, word, known)
    return tuple(text.split(","))


def checked(parsed: Parsed) -> Flags:
    """The flags, with lists as tuples; RequestError where they contradict one another."""
    asked = parsed[Flags]
    for name, good, expected in (
        ("examples", asked.examples >= asked.batch_size, "at least --batch_size"),
        ("input_size", asked.input_size % 4 == 0, "a multiple of 4"),
    ):
        if not good:
            raise RequestError(f"--{name}: expected {expected}, received {getattr(asked, name)}")
    return dataclasses.replace(
        asked,
        parts=_some_of("parts", asked.parts, PARTS),
        models=_some_of("models", asked.models, task.MODELS),
        precisions=asked.precisions and _some_of("precisions", asked.precisions, PRECISIONS),
        threads=asked.threads or environment.cores(),
    )


def machine(options) -> str:
    """What computes: devices, cores, load, versions.

    Raises:
        RequestError: TensorFlow does not see the device that is asked for.
    """
    load = os.getloadavg()[0]
    try:
        platform = Candidate("benchmark.tensorflow_steps:platform", options=options)
    except LeftOut as why:
        raise RequestError(
            f"--device: expected one that is there, received {options.device}: {why}"
        ) from None
    platform.close()
    versions = ", ".join(f"{name} {v}" for name, v in platform.facts["versions"].items())
    return (
        f"{', '.join(platform.facts['devices'])}, {environment.cores()} cores, "
        f"{options.threads} threads, load average {load:.1f} before\n{versions}\n"
        f"batch {options.batch_size}, images {options.input_size}x{options.input_size}"
    )


def measure(name: str, precision: str, options, scratch: Path, rows: dict) -> dict[str, str]:
    """Adds the rows of one model in one precision to those of each part.

    Returns:
        What could not run, and why.
    """
    race, who = Race(), {"model": name, "precision": precision}
    try:
        step = steps.measure(name, precision, options, race)
        if step and "step" in options.parts:
            rows["step"].append(who | step)
        if step and "loop" in options.parts:
            rows["loop"].append(who | runs.loop(who, step["images/s"], options, race, scratch))
    except LeftOut as why:
        race.left_out["the run"] = str(why)
    finally:
        race.close()
    return race.left_out


def run(argv: list[str]) -> int:
    """Measures and prints; returns the exit code."""
    return LINE.run(argv, _measure_all)


def _measure_all(parsed: Parsed) -> int:
    options = checked(parsed)
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # of all processes that are started
    console.say(machine(options))
    rows, left_out = {part: [] for part in PARTS}, {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.models if {"step", "loop"} & {*options.parts} else ():
            both = PRECISIONS if name.startswith("inception") else PRECISIONS[:1]
            for precision in options.precisions or both:
                who = f"{name}, {precision}"
                print(f"measuring {who}", file=sys.stderr, flush=True)
                left_out[who] = measure(name, precision, options, Path(scratch), rows)
    if "input" in options.parts:
        row, left_out["input"] = imagenet_input.measure(options)
        rows["input"] += [row] if row else []
    console.say(tables.show(rows, left_out))
    return ExitCode.DONE


def main(argv: list[str]) -> int:
    """The command, its errors in one line; returns the exit code."""
    return app.guarded(run, argv, app.NOTHING_KEPT)

"""The command line of benchmark.py, and the order in which it measures."""

import dataclasses
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

from benchmark import runs, steps, streamed_input, tables, task
from benchmark.candidates import Candidate, LeftOut, Race
from benchmark.task import flag
from rethink_tf import console, environment
from rethink_tf.cli import app
from rethink_tf.config import fields
from rethink_tf.config.command_line import CommandLine, Parsed
from rethink_tf.config.run_config import PRECISIONS
from rethink_tf.errors import ExitCode, RequestError

PARTS = ("step", "loop")


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is measured, and how; `parts`, `models` and `precisions` are tuples once read."""

    parts: str = flag(",".join(PARTS), "some of these")
    models: str = flag(",".join(task.TABLE1), f"some of {', '.join(task.MODELS)}")
    precisions: str | None = flag(
        None, f"some of {', '.join(PRECISIONS)}", by="float32, and both for the Inceptions"
    )
    device: str = flag(
        "auto",
        "where all is computed; auto: on a GPU that TensorFlow sees, else on the CPU",
        choices=("auto", "cpu", "gpu"),
    )
    batch_size: int = flag(128, "examples per step", low=2)
    input_size: int = flag(28, "height and width, a multiple of 4", low=8, high=32)
    examples: int = flag(50_000, "resident images of the pure step", low=2)
    seconds: float = flag(2.0, "of each candidate in each of the three rounds", low=0)
    epoch_seconds: float = flag(10.0, "of an epoch of a run, at most 50,000 images", low=1e-6)
    threads: int = flag(0, "of arithmetic; 0: as many as there are cores", low=0, high=4096)
    json: str | None = flag(None, "a file for all figures", by="none")
    no_torch: bool = flag(False, "leave PyTorch out")


LINE = CommandLine(
    "python scripts/benchmark.py",
    """
    Measures images per second of training: the pure step beside PyTorch's, with its share of the
    matmul peak, the cost of the seals and the share of the input where tf.data feeds it (step);
    epochs of a real run, with evaluation, bookkeeping, checkpoints, start and peak memory (loop).

    All candidates take turns within one run and the best of three counts, so that a noisy
    neighbour hits all alike; all use the same number of threads. Each is a process of its own, and
    one that cannot run is named and left out. PyTorch is optional.

    With --input_only it measures the input of a streamed set and nothing else, with flags of its
    own: --input_only --help lists them.
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
    folder = Path(asked.json or "").absolute().parent
    for name, good, expected in (
        ("examples", asked.examples >= asked.batch_size, "at least --batch_size"),
        ("input_size", asked.input_size % 4 == 0, "a multiple of 4"),
        ("json", folder.is_dir(), "a file in an existing folder"),
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


def machine(options) -> dict:
    """What computes: CPU by name, cores, load, devices, versions.

    Raises:
        RequestError: TensorFlow does not see the device that is asked for.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")]
    cpu = names[0] if names else platform.processor() or platform.machine()
    load = os.getloadavg()[0]
    try:
        found = Candidate("benchmark.tensorflow_steps:platform", options=options)
    except LeftOut as why:
        raise RequestError(
            f"--device: expected one that is there, received {options.device}: {why}"
        ) from None
    found.close()
    return {"cpu": cpu, "cores": environment.cores(), "load": load, **found.facts}


def measure(name: str, precision: str, options, scratch: Path, report: dict) -> None:
    """Adds to the report what `--parts` asks for of one model in one precision."""
    race, who = Race(), {"model": name, "precision": precision}

    def pure_step():
        again = race.best(options.seconds, 1, [steps.STEP])
        if not again:
            raise LeftOut(race.left_out[steps.STEP])
        return again[steps.STEP]

    def add(part, function, *given):
        try:
            row = who | function(*given)
        except LeftOut as why:
            row = who | {"failed": str(why)}
        report[part].append(row)
        return row

    try:
        row = add("step", steps.measure, name, precision, options, race)
        if "loop" in options.parts:
            add("loop", runs.loop, row, pure_step, options, scratch)
    finally:
        race.close()


def run(argv: list[str]) -> int:
    """Measures, prints, writes; returns the exit code."""
    return LINE.run(argv, _measure_all)


def _measure_all(parsed: Parsed) -> int:
    options = checked(parsed)
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # of all processes that are started
    report = {"machine": machine(options), "settings": dataclasses.asdict(options)}
    report |= {part: [] for part in PARTS}
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.models:
            both = PRECISIONS if name.startswith("inception") else PRECISIONS[:1]
            for precision in options.precisions or both:
                print(f"measuring {name}, {precision}", file=sys.stderr, flush=True)
                measure(name, precision, options, Path(scratch), report)
    console.say(tables.show(report))
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    return ExitCode.DONE


def main(argv: list[str]) -> int:
    """The command, its errors in one line; returns the exit code."""
    if "--input_only" in argv:
        rest = [flag for flag in argv if flag != "--input_only"]
        return app.guarded(streamed_input.run, rest, app.NOTHING_KEPT)
    return app.guarded(run, argv, app.NOTHING_KEPT)

"""The command line of benchmark.py, and the order in which it measures."""

import dataclasses
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from benchmark import runs, steps, streamed_input, tables, task
from benchmark.candidates import LeftOut, Race
from benchmark.task import flag
from rethink_tf import console, environment
from rethink_tf.cli import app
from rethink_tf.config import fields
from rethink_tf.config.command_line import CommandLine
from rethink_tf.config.run_config import PRECISIONS
from rethink_tf.data import registry as datasets
from rethink_tf.errors import RequestError
from rethink_tf.training.devices import setup as devices

PARTS = ("step", "loop", "replicas", "streamed", "checkpoint")


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is measured, and how; `parts`, `models` and `precisions` are tuples once read."""

    parts: str = flag(",".join(PARTS), "some of these")
    models: str = flag(",".join(task.TABLE1), f"some of {', '.join(task.TWINS)}")
    precisions: str | None = flag(
        None, f"some of {', '.join(PRECISIONS)}", by="float32, and both for the Inceptions"
    )
    xla: str = flag("auto", "as training does, or the other way too", choices=("auto", "both"))
    augment: str = flag("none", "crop: random crops from 32x32", choices=("none", "crop"))
    batch_size: int = flag(128, "examples per step", low=2)
    input_size: int = flag(28, "height and width, a multiple of 4", low=8, high=32)
    examples: int = flag(50_000, "resident images of the pure step", low=2)
    seconds: float = flag(2.0, "of each candidate in each of the three rounds", low=0)
    epoch_seconds: float = flag(10.0, "of an epoch of a run, at most 50,000 images", low=1e-6)
    data_dir: str | None = flag(None, "folder with a TFDS cifar10 for the runs", by="noise")
    threads: int = flag(0, "of arithmetic; 0: as many as there are cores", low=0, high=4096)
    json: str | None = flag(None, "a file for all figures", by="none")
    no_torch: bool = flag(False, "leave PyTorch out")
    no_torch_compile: bool = flag(False, "leave torch.compile out")


LINE = CommandLine(
    "python scripts/benchmark.py",
    """
    Measures images per second of training: the pure step beside PyTorch's, a step without seals
    and the matmul peak (step); epochs of a real run, with evaluation, bookkeeping, start and peak
    memory (loop); two replicas against one (replicas); the same steps fed by tf.data (streamed);
    the cost of checkpoints, the time of a resume (checkpoint).

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


def read(argv: list[str]) -> Flags | None:
    """The checked command line; None where it asks for help, RequestError where it is wrong."""
    parsed = LINE.parse(argv)
    if parsed is None:
        return None
    asked = parsed[Flags]
    wanted = {
        "examples": (asked.examples >= asked.batch_size, "at least --batch_size"),
        "input_size": (asked.input_size % 4 == 0, "a multiple of 4"),
        "augment": (
            asked.augment == "none" or asked.input_size <= 28,
            "none where --input_size is above 28",
        ),
        "data_dir": (
            not asked.data_dir or datasets.is_on_disk("cifar10", asked.data_dir),
            "a folder with a TFDS cifar10",
        ),
        "json": (
            not asked.json or Path(asked.json).absolute().parent.is_dir(),
            "a file in an existing folder",
        ),
    }
    for name, (good, expected) in wanted.items():
        if not good:
            raise RequestError(f"--{name}: expected {expected}, received {getattr(asked, name)}")
    precisions = asked.precisions and _some_of("precisions", asked.precisions, PRECISIONS)
    return dataclasses.replace(
        asked,
        parts=_some_of("parts", asked.parts, PARTS),
        models=_some_of("models", asked.models, task.TWINS),
        precisions=precisions,
    )


def machine(options) -> dict:
    """What computes: CPU by name, cores, threads, devices, versions, whether PyTorch takes part."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")]
    found, torch = devices.describe(), not options.no_torch
    if torch:
        found["versions"]["torch"] = task.torch_version()
    cpu = names[0] if names else platform.processor() or platform.machine()
    settings = {"threads": options.threads, "torch": torch}
    return {"cpu": cpu, "cores": environment.cores(), **settings, **found}


def busy_elsewhere() -> float | None:
    """CPU seconds so far that were not ours: other processes, stolen by the host; Linux only."""
    try:
        ticks = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return None
    user, nice, system, _, _, irq, softirq, steal = (int(x) for x in ticks)
    whole = user + nice + system + irq + softirq + steal
    return whole / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])


def measure(name: str, precision: str, options, scratch: Path, report: dict) -> None:
    """Adds to the report what `--parts` asks for of one model in one precision."""

    def add(part, function, *given):
        row = {"model": name, "precision": precision}
        try:
            row |= function(*given)
        except LeftOut as why:
            row["failed"] = str(why)
        report[part].append(row)
        return row

    if set(options.parts) - {"replicas"}:
        race = Race()
        row = add("steps", steps.measure, name, precision, options, race)

        def pure_step():
            return race.again(row["default"], options.seconds)

        if "loop" in options.parts:
            add("loop", runs.loop, row, pure_step, options, scratch)
        race.close()
        if "checkpoint" in options.parts:
            add("checkpoint", runs.checkpoint, row, options, scratch)
    if "replicas" in options.parts:
        add("replicas", steps.replicas, name, precision, options, Race())


def run(argv: list[str]) -> int:
    """Measures, prints, writes."""
    options = read(argv)
    if options is None:
        console.say(LINE.help())
        return 0
    options = dataclasses.replace(
        options,
        threads=devices.start(options.threads),
        no_torch=options.no_torch or task.torch_version() is None,
    )
    report = {"machine": machine(options), "settings": dataclasses.asdict(options)}
    report |= {part: [] for part in ("steps", "loop", "replicas", "checkpoint")}
    others, started = busy_elsewhere(), time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.models:
            both = PRECISIONS if name.startswith("inception") else PRECISIONS[:1]
            for precision in options.precisions or both:
                print(f"measuring {name}, {precision}", file=sys.stderr, flush=True)
                measure(name, precision, options, Path(scratch), report)
    if others is not None:
        capacity = (time.monotonic() - started) * (os.cpu_count() or 1)
        report["busy_elsewhere"] = (busy_elsewhere() - others) / capacity
    report["matmul_gflops"] = tables.peaks(report["steps"])
    console.say(tables.show(report))
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    return 0


def main(argv: list[str]) -> int:
    """The command, its errors in one line; returns the exit code."""
    if "--input_only" in argv:
        rest = [flag for flag in argv if flag != "--input_only"]
        return app.guarded(streamed_input.run, rest, app.NOTHING_KEPT)
    return app.guarded(run, argv, app.NOTHING_KEPT)

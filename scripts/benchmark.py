"""Images per second of training: against the matmul peak, against PyTorch, and in the real loop.

    python scripts/benchmark.py [--models=inception] [--json=FILE] [--help]

All candidates take turns within one run and the best of three counts, so that a noisy neighbour
hits all alike; all use the same number of threads. PyTorch is optional.
"""

import argparse
import gc
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import benchmark_loop  # noqa: E402
import benchmark_step  # noqa: E402
import benchmark_torch  # noqa: E402

from rethink_tf import datasets, devices  # noqa: E402
from rethink_tf.config import PRECISIONS  # noqa: E402
from rethink_tf.models import MODELS  # noqa: E402


def peaks(rows: list[dict]) -> dict[str, float]:
    """The matmul peak by precision, GFLOP/s: the best of the whole run."""
    found = {}
    for row in rows:
        found[row["precision"]] = max(row["matmul_gflops"], found.get(row["precision"], 0.0))
    return found


def step_table(rows: list[dict], torch: bool) -> list[str]:
    """The lines of the report on the pure step."""
    head = f"{'model':<16}{'precision':<16}{'GFLOP':>8}{'images/s':>10}  {'XLA':<4}{'of peak':>8}"
    head += f"{'other XLA':>11}" if any(len(r["ours"]) > 1 for r in rows) else ""
    lines = [head + (f"{'PyTorch':>9}{'ratio':>7}  setting" if torch else "")]
    for row in rows:
        ours, gflop = row["ours"][row["default"]], row["flops_per_image"] / 1e9
        share = ours * gflop / peaks(rows)[row["precision"]]
        text = f"{row['model']:<16}{row['precision']:<16}{gflop:8.4f}{ours:10,.0f}"
        text += f"  {row['default'].removeprefix('XLA '):<4}{share:8.0%}"
        text += "".join(f"{v:11,.0f}" for k, v in row["ours"].items() if k != row["default"])
        if torch:
            setting, rate = max(row["torch"].items(), key=lambda item: item[1])
            text += f"{rate:9,.0f}{ours / rate:7.2f}  {setting}"
        lines.append(text)
    return lines


def loop_table(rows: list[dict]) -> list[str]:
    """The lines of the report on the real training loop."""
    lines = [
        f"{'model':<16}{'precision':<16}{'examples':>9}{'epoch':>9}{'of step':>9}"
        f"{'evaluation':>12}{'bookkeeping':>13}{'start':>7}{'+step':>7}"
    ]
    for row in rows:
        if "failed" in row:
            lines.append(f"{row['model']:<16}{row['precision']:<16} {row['failed']}"[:100])
            continue
        share = row["epoch_images_per_second"] / row["step_images_per_second"]
        lines.append(
            f"{row['model']:<16}{row['precision']:<16}{row['examples']:9,}"
            f"{row['epoch_images_per_second']:9,.0f}{share:9.1%}{row['evaluation_share']:12.1%}"
            f"{row['bookkeeping_share']:13.1%}{row['start_to_training_seconds']:7.1f}"
            f"{row['start_to_first_step_seconds']:7.1f}"
        )
    return lines


def machine(options) -> dict:
    """What computes: CPU by name, cores, threads, devices, versions, whether PyTorch takes part."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")]
    found = devices.describe()
    if options.torch:
        found["versions"]["torch"] = benchmark_torch.version()
    cpu = names[0] if names else platform.processor() or platform.machine()
    settings = {"threads": options.threads, "torch": options.torch}
    return {"cpu": cpu, "cores": devices.cores(), **settings, **found}


def busy_elsewhere() -> float | None:
    """CPU seconds so far that were not ours: other processes, stolen by the host; Linux only."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return None
    user, nice, system, _, _, irq, softirq, steal = (int(x) for x in fields)
    ticks = user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        print(f"benchmark: {message}", file=sys.stderr)
        sys.exit(2)


def _some_of(known):
    def parse(text):
        for name in text.split(","):
            if name not in known:
                raise argparse.ArgumentTypeError(f"expected {','.join(known)}; received {name!r}")
        return text.split(",")

    return parse


def _one_of(*known):
    def parse(text):
        if text in known:
            return text
        raise argparse.ArgumentTypeError(f"expected {' or '.join(known)}; received {text!r}")

    return parse


def _number(kind, low, high=10**9):
    def parse(text):
        try:
            if low <= (value := kind(text)) <= high:
                return value
        except ValueError:
            pass
        wanted = f"a number from {low} to {high}"
        raise argparse.ArgumentTypeError(f"expected {wanted}, received {text!r}")

    return parse


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line; exits with code 2 and one line where it is wrong."""
    parser = _Parser("benchmark.py", description=__doc__, allow_abbrev=False,
                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip

    def flag(name, kind, default, help):
        shown = f" [{default}]" if default is not None else ""
        parser.add_argument(f"--{name}", type=kind, default=default, metavar="X", help=help + shown)

    flag("models", _some_of(MODELS), None, f"some of {','.join(MODELS)}; default: all")
    flag(
        "precisions",
        _some_of(PRECISIONS),
        None,
        f"some of {','.join(PRECISIONS)}; default: float32, and both for the Inceptions",
    )
    flag("xla", _one_of("auto", "both"), "auto", "auto: as training does; both: the other way too")
    flag("augment", _one_of("none", "crop"), "none", "crop: random crops from 32x32")
    flag("batch_size", _number(int, 2), 128, "examples per step")
    flag("input_size", _number(int, 8, 28), 28, "height and width in pixels, a multiple of 4")
    flag("examples", _number(int, 2), 50_000, "resident images of the pure step")
    flag("seconds", _number(float, 0), 2.0, "of each candidate in each of the three rounds")
    flag(
        "epoch_seconds",
        _number(float, 0),
        10.0,
        "of an epoch of the real loop, at most 50,000 images; 0 leaves the loop out",
    )
    flag("data_dir", Path, None, "folder with a TFDS cifar10 for the loop; default: noise")
    flag("threads", _number(int, 0, 4096), 0, "of arithmetic; 0: as many as there are cores")
    flag("json", Path, None, "a file for all figures")
    parser.add_argument("--no_torch", action="store_true", help="leave PyTorch out")
    parser.add_argument("--torch_compile", action="store_true", help="try torch.compile as well")
    options = parser.parse_args(argv)
    options.models = options.models or list(MODELS)
    if options.examples < options.batch_size:
        parser.error(f"--examples: expected at least --batch_size, received {options.examples}")
    if options.input_size % 4:
        parser.error(f"--input_size: expected a multiple of 4, received {options.input_size}")
    if options.data_dir and not datasets.is_on_disk("cifar10", options.data_dir):
        parser.error(f"--data_dir: expected a TFDS cifar10 in {options.data_dir}")
    if options.json and not options.json.absolute().parent.is_dir():
        parser.error(f"--json: expected an existing folder, received {options.json}")
    return options


def show(report: dict) -> str:
    """The whole report as text."""
    facts, options, torch = report["machine"], report["settings"], report["machine"]["torch"]
    size, peak = options["input_size"], peaks(report["steps"])
    lines = [
        f"{facts['cpu']}, {facts['cores']} cores, {facts['threads']} threads",
        ", ".join(f"{k} {v}" for k, v in facts["versions"].items()),
        "matmul peak: " + ", ".join(f"{k} {v:,.0f} GFLOP/s" for k, v in peak.items()),
        "",
        f"The pure training step: batch {options['batch_size']}, {size}x{size}x3, best of "
        f"{benchmark_step.ROUNDS} x {options['seconds']:g} s; GFLOP of a training image",
        *step_table(report["steps"], torch),
    ]
    if not torch:
        lines.append("PyTorch is left out or not installed: no comparison")
    if report["loop"]:
        lines += [
            "",
            "The real loop: images/s of an epoch's training and its ratio to the pure step; shares",
            "of an epoch of 50,000 images with 10,000 for testing; seconds from the start of the",
            "process to training, and to the end of its first step",
            *loop_table(report["loop"]),
        ]
    if report.get("busy_elsewhere", 0) > 0.05:
        lines.append(
            f"\nNOT A QUIET MACHINE: others took {report['busy_elsewhere']:.0%} of its processors, "
            "which hurts PyTorch's\nOpenMP threads far more than TensorFlow's"
        )
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Measures, prints, writes; returns the exit code."""
    options = parse(argv)
    options.threads = devices.start(options.threads)
    options.torch = benchmark_torch.version() is not None and not options.no_torch
    report = {
        "machine": machine(options), "settings": vars(options), "steps": [], "loop": []
    }  # fmt: skip
    others, started = busy_elsewhere(), time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.models:
            both = PRECISIONS if name.startswith("inception") else PRECISIONS[:1]
            for precision in options.precisions or both:
                print(f"measuring {name}, {precision}", file=sys.stderr, flush=True)
                row, pure = benchmark_step.measure(name, precision, options)
                report["steps"].append(row)
                if options.epoch_seconds:
                    row = benchmark_loop.run_training(row, pure, options, Path(scratch))
                    report["loop"].append(row)
                del pure  # and with it model and data
                gc.collect()
    if others is not None:
        capacity = (time.monotonic() - started) * (os.cpu_count() or 1)
        report["busy_elsewhere"] = (busy_elsewhere() - others) / capacity
    report["matmul_gflops"] = peaks(report["steps"])
    print(show(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1, default=str) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Images per second of training: against the matmul peak, against PyTorch, and in the real loop.

    python scripts/benchmark.py [--parts=step,loop] [--models=inception] [--json=FILE] [--help]

Parts: the pure training step beside PyTorch's and the matmul peak (step); epochs of a real run,
with evaluation, bookkeeping, start and peak memory (loop); two replicas against one (replicas); the
same steps fed by tf.data (streamed); the cost of checkpoints, the time of a resume (checkpoint).

With --input_only it measures the input of a streamed set and nothing else (benchmark_input.py):

    python scripts/benchmark.py --input_only --data_dir=DIR [--gpu_rate=1000] [flags of a run]

All candidates take turns within one run and the best of three counts, so that a noisy neighbour
hits all alike; all use the same number of threads. Each is a process of its own, and one that
cannot run is named and left out. PyTorch is optional.
"""

import gc
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import benchmark_input
import benchmark_loop
import benchmark_options
import benchmark_replicas
import benchmark_resume
import benchmark_step
import benchmark_tables
import benchmark_twins

from rethink_tf import environment
from rethink_tf.config.run_config import PRECISIONS
from rethink_tf.training.devices import setup as devices


def machine(options) -> dict:
    """What computes: CPU by name, cores, threads, devices, versions, whether PyTorch takes part."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")]
    found = devices.describe()
    if options.torch:
        found["versions"]["torch"] = benchmark_twins.version()
    cpu = names[0] if names else platform.processor() or platform.machine()
    settings = {"threads": options.threads, "torch": options.torch}
    return {"cpu": cpu, "cores": environment.cores(), **settings, **found}


def busy_elsewhere() -> float | None:
    """CPU seconds so far that were not ours: other processes, stolen by the host; Linux only."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return None
    user, nice, system, _, _, irq, softirq, steal = (int(x) for x in fields)
    ticks = user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])


def measure(name: str, precision: str, options, scratch: Path, report: dict) -> None:
    """Adds to the report what `--parts` asks for of one model in one precision."""
    parts = set(options.parts)
    if parts - {"replicas"}:
        row, pure = benchmark_step.measure(name, precision, options)
        report["steps"].append(row)
        if "failed" in row:
            missing = {key: row[key] for key in ("model", "precision", "failed")}
            for part in parts & {"loop", "checkpoint"}:
                report[part].append(missing)
            parts -= {"loop", "checkpoint"}
        if "loop" in parts:
            report["loop"].append(benchmark_loop.run_training(row, pure, options, scratch))
        del pure  # and with it model and data
        gc.collect()
        if "checkpoint" in parts:
            report["checkpoint"].append(benchmark_resume.measure(row, options, scratch))
    if "replicas" in parts:
        report["replicas"].append(benchmark_replicas.measure(name, precision, options))


def main(argv: list[str]) -> int:
    """Measures, prints, writes; returns the exit code."""
    if "--input_only" in argv:
        return benchmark_input.main([flag for flag in argv if flag != "--input_only"])
    options = benchmark_options.parse(argv, __doc__)
    options.threads = devices.start(options.threads)
    options.torch = benchmark_twins.version() is not None and not options.no_torch
    report = {"machine": machine(options), "settings": vars(options)}
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
    report["matmul_gflops"] = benchmark_tables.peaks(report["steps"])
    print(benchmark_tables.show(report))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1, default=str) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

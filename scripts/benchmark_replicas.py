"""One replica against two, in a process of its own with two logical CPU devices.

For benchmark.py, which starts it as a script: the number of devices is fixed when TensorFlow
starts.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import benchmark_runs

REPLICAS = 2
_TAKEN = ("batch_size", "input_size", "examples", "seconds", "augment", "threads")


def measure(name: str, precision: str, options) -> dict:
    """One model in one precision with one replica and with two, taking turns.

    Returns:
        The row of the report: images/s by number of replicas under `replicas`. Only `failed`, the
        reason, where the process failed.
    """
    asked = {key: getattr(options, key) for key in _TAKEN}
    asked |= {"model": name, "precision": precision}
    done = subprocess.run(
        [sys.executable, __file__, json.dumps(asked)],
        capture_output=True,
        text=True,
        env=benchmark_runs.environment(),
    )
    found = {"model": name, "precision": precision}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return {**found, "failed": lines[-1]}
    return {**found, "replicas": json.loads(done.stdout.strip().splitlines()[-1])}


def _measure_here(asked: dict) -> dict[str, float]:
    """Images per second by number of replicas; TensorFlow is not yet started."""
    import benchmark_step

    from rethink_tf.training import trainer
    from rethink_tf.training.devices import setup as devices

    options = argparse.Namespace(**asked)
    threads = devices.start(options.threads, REPLICAS)
    strategies = {
        "1": devices.strategy("one_device"), str(REPLICAS): devices.strategy("mirrored", REPLICAS)
    }  # fmt: skip
    table = benchmark_step.random_table(options)
    jit = trainer.compile_with_xla(options.model, threads)
    candidates = {
        count: benchmark_step.our_step(
            options.model, options.precision, table, options, jit, strategy=strategy
        )[0]
        for count, strategy in strategies.items()
    }
    best = benchmark_step.take_turns(candidates, options.seconds)
    return {count: options.batch_size / seconds for count, seconds in best.items()}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    print(json.dumps(_measure_here(json.loads(sys.argv[1]))))

"""The part of benchmark.py that trains for real: runs of rethink_tf.main as own processes."""

import os
import sys
import time
from pathlib import Path

import numpy as np

from benchmark import task
from benchmark.candidates import LeftOut, Race
from benchmark.steps import STEP
from rethink_tf.config.flags import Options
from rethink_tf.experiments.sweep import process
from rethink_tf.runs import results

TRAIN, TEST = 50_000, 10_000  # of CIFAR-10
EPOCHS = 4  # the first compiles and does not count: best of three
EVERY = Options().checkpoint_every  # epochs between two checkpoints


def run(flags: dict, log: Path, module: str = "rethink_tf.main") -> tuple[float, int]:
    """Trains with these flags; when it started, and its peak memory in bytes.

    The peak begins with what this process holds, which is small: it loads no TensorFlow.

    Raises:
        LeftOut: with the last line of a run that failed.
    """
    started = time.time()
    child = process.start(module, [f"--{name}={value}" for name, value in flags.items()], log)
    try:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    finally:
        child.kill()  # where this process is interrupted
    if child.returncode:
        lines = log.read_text().strip().splitlines()
        raise LeftOut((lines or [f"exit code {child.returncode}"])[-1])
    return started, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def write_noise(folder: Path, examples: int, size: int) -> Path:
    """An npz file of noise, a fifth as many test images as training images."""
    path, num_test = folder / f"noise{examples}.npz", examples // 5
    if not path.exists():
        images, labels = task.noise(examples + num_test, size)
        train, test = slice(examples), slice(examples, None)
        np.savez(
            path,
            x_train=images[train],
            y_train=labels[train],
            x_test=images[test],
            y_test=labels[test],
        )
    return path


def loop(who: dict, rate: float, options, race: Race, scratch: Path) -> dict:
    """Trains a model for real and compares with the pure step just before and just after.

    Args:
        who: model and precision.
        rate: images/s of its step, by which the examples of an epoch are chosen.
        options: of the command.
        race: in which the step still runs.
        scratch: folder for data and runs.

    Raises:
        LeftOut: the step broke, or training failed.
    """
    batches = max(2, round(rate * options.epoch_seconds / options.batch_size))
    examples = min(TRAIN, batches * options.batch_size)
    runs_dir = scratch / "-".join(who.values())
    flags = who | {
        "dataset": f"npz:{write_noise(scratch, examples, options.input_size)}",
        "cache_dir": scratch / "cache",
        "runs_dir": runs_dir,
        "input_size": options.input_size,
        "learning_rate": task.LEARNING_RATE,
        "epochs": EPOCHS,
        "batch_size": options.batch_size,
        "threads": options.threads,
        "checkpoint_every": 2,  # so that an epoch without one is timed too
    }
    rates = [rate, _step_rate(race, options)]
    started, peak = run(flags, scratch / "log")
    rates.append(_step_rate(race, options))
    (run_dir,) = runs_dir.iterdir()
    timing = [line["timing"] for line in results.read_history(run_dir)]
    writes = results.read_summary(run_dir)["timing"]["checkpoint_seconds"]
    shares = figures(timing, started, examples, min(writes))
    of_step = shares["images/s"] / max(rates)
    return {"examples": examples, "of step": of_step, **shares, "MB": peak // 10**6}


def _step_rate(race: Race, options) -> float:
    """Images/s of the pure step now."""
    best = race.best(options.seconds, 1, [STEP])
    if not best:
        raise LeftOut(race.left_out[STEP])
    return options.batch_size / best[STEP]


def figures(timing: list[dict], started: float, examples: int, write: float) -> dict:
    """What the `timing` of a history says of a process that was started then, by the same clock.

    Shares are of an epoch of 50,000 with 10,000 for testing, the best of several; the first of
    `timing` compiles and does not count. `write` is the seconds of a checkpoint.
    """
    later, scale = timing[1:], TRAIN / examples
    train, evaluate = (min(t[key] for t in later) for key in ("train_seconds", "eval_seconds"))
    other = min(
        b["finished"] - a["finished"] - b["train_seconds"] - b["eval_seconds"]
        for a, b in zip(timing, later, strict=False)
    )
    whole = scale * (train + evaluate) + other
    first = timing[0]
    before = first["finished"] - started - first["train_seconds"] - first["eval_seconds"]
    return {
        "images/s": examples / train,
        "evaluation": scale * evaluate / whole,
        "bookkeeping": other / whole,
        "checkpoint": write / (EVERY * whole),
        "start": before,
        "+step": before + first["train_seconds"] - train,
    }

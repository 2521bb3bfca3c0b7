"""The part of benchmark.py that trains for real: runs of rethink_tf.main as own processes."""

import math
import time
from pathlib import Path

import numpy as np

from benchmark import task
from benchmark.candidates import Candidate, Race
from benchmark.steps import STEP
from rethink_tf import main
from rethink_tf.config.flags import Options
from rethink_tf.models import registry
from rethink_tf.runs import results
from rethink_tf.theory.kernels import memory

EPOCHS = 4  # the first compiles and does not count: best of three
EPOCH_SECONDS = 5  # of training in an epoch, times --seconds
EVERY = Options().checkpoint_every  # epochs between two checkpoints


def train(flags: dict) -> tuple[float, dict]:
    """Trains with these flags; when the process started, and the facts of `trained`."""
    started = time.time()
    process = Candidate("benchmark.runs:trained", flags=flags)
    process.close()
    return started, process.facts


def trained(flags: dict):
    """A candidate that has trained a run before its facts are asked for.

    These are its peak memory in bytes, and the most batches on which an evaluation of it measures
    batch-norm statistics.
    """
    main.main([f"--{name}={value}" for name, value in flags.items()])
    from rethink_tf.training.evaluation import RECALIBRATION_STEPS

    steps = RECALIBRATION_STEPS if registry.MODELS[flags["model"]].batch_norm else 0
    return None, {"peak_bytes": memory.peak(), "recalibration": steps}


def evaluated(examples: int, batch_size: int, recalibration: int) -> int:
    """Images of the forward passes of one evaluation, with a fifth as many for testing."""
    return examples + examples // 5 + min(recalibration, examples // batch_size) * batch_size


def write_noise(folder: Path, examples: int, size: int) -> Path:
    """An npz file of noise, a fifth as many test images as training images."""
    path = folder / "noise.npz"
    images, labels = task.noise(examples + examples // 5, size)
    x_train, x_test = np.split(images, [examples])
    y_train, y_test = np.split(labels, [examples])
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return path


def loop(who: dict, rate: float, options, race: Race, scratch: Path) -> dict:
    """The row of a model and precision that train for real, in folders in `scratch`.

    `rate` is the images/s of the pure step, by which the examples of an epoch are chosen. It is
    measured again afterwards, and the better one counts. LeftOut if training fails.
    """
    batches = max(2, round(rate * EPOCH_SECONDS * options.seconds / options.batch_size))
    examples = min(task.EXAMPLES, batches * options.batch_size)
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
    started, facts = train(flags)
    rate_after = options.batch_size / race.best(options.seconds, rounds=1).get(STEP, math.inf)
    (run_dir,) = runs_dir.iterdir()
    timing = [line["timing"] for line in results.read_history(run_dir)]
    writes = results.read_summary(run_dir)["timing"]["checkpoint_seconds"]
    batch_size, recalibration = options.batch_size, facts["recalibration"]
    whole, here = (evaluated(n, batch_size, recalibration) for n in (task.EXAMPLES, examples))
    shares = figures(timing, started, examples, min(writes), whole / here)
    of_step = shares["images/s"] / max(rate, rate_after)
    megabytes = facts["peak_bytes"] // 10**6
    return {"examples": examples, "of step": of_step, **shares, "MB": megabytes}


def figures(timing: list[dict], started: float, examples: int, write: float, passes: float) -> dict:
    """What the `timing` of a history says of a process that was started then, by the same clock.

    Shares are of an epoch of 50,000 with 10,000 for testing, the best of several; the first of
    `timing` compiles and does not count. `write` is the seconds of a checkpoint, `passes` how many
    times as many images an evaluation of 50,000 and 10,000 has.
    """
    first, *later = timing
    train, evaluate = (min(t[key] for t in later) for key in ("train_seconds", "eval_seconds"))
    begins = [t["finished"] - t["train_seconds"] - t["eval_seconds"] for t in timing]
    other = min(begin - t["finished"] for t, begin in zip(timing, begins[1:], strict=False))
    train_whole, evaluate_whole = task.EXAMPLES / examples * train, passes * evaluate
    whole = train_whole + evaluate_whole + other
    start = begins[0] - started
    return {
        "images/s": examples / train,
        "evaluation": evaluate_whole / whole,
        "bookkeeping": other / whole,
        "checkpoint": write / (EVERY * whole),
        "start": start,
        "+step": start + first["train_seconds"] - train,
    }

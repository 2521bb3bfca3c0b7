"""The parts of benchmark.py that train for real: runs of rethink_tf.main as own processes."""

import io
import json
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from benchmark import peak_memory, task
from benchmark.candidates import LeftOut, environment
from rethink_tf.config.flags import Options
from rethink_tf.data import registry as datasets
from rethink_tf.errors import ExitCode
from rethink_tf.runs import results

TRAIN, TEST = 50_000, 10_000  # of CIFAR-10
EPOCHS = 4  # the first compiles and does not count: best of three
EVERY = Options().checkpoint_every


def run(flags: dict, scratch: Path, stop_when=None) -> dict:
    """Trains with these flags; stops it by SIGTERM once `stop_when()`, asked often, is true.

    Returns:
        `started` (by the clock of the history), `code`, `error` (the last line, where it ended
        otherwise than DONE), `peak_bytes` of memory.
    """
    usage = scratch / "usage.json"
    command = [sys.executable, peak_memory.__file__, str(usage)]
    command += [sys.executable, "-m", "rethink_tf.main"]
    command += [f"--{name}={value}" for name, value in flags.items()]
    with tempfile.TemporaryFile("w+") as errors:
        started = time.time()
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=errors, env=environment()
        )
        try:
            while stop_when is not None and process.poll() is None:
                if stop_when():
                    process.terminate()
                    break
                time.sleep(0.05)
            code = process.wait()
        finally:
            process.terminate()
        errors.seek(0)
        lines = errors.read().strip().splitlines()
    error = (lines or [f"exit code {code}"])[-1] if code else None
    return {"started": started, "code": code, "error": error, **json.loads(usage.read_text())}


def data(options, examples: int, scratch: Path) -> tuple[dict, int]:
    """Flags for a CIFAR-10 of `examples` training images, decoded already, and its test images.

    The user's own, or one of noise with a fifth as many test images.
    """
    flags = {"dataset": "cifar10", "cache_dir": scratch / "cache"}
    num_test = TEST
    if options.data_dir is not None:
        flags |= {"data_dir": options.data_dir, "examples": examples}
    else:
        flags["data_dir"], num_test = scratch / f"noise{examples}", examples // 5
        if not flags["data_dir"].exists():
            write_noise(flags["data_dir"], examples)
    places = {name: flags[name] for name in ("data_dir", "cache_dir")}
    datasets.load("cifar10", **places, report=str)
    return flags, num_test


def write_noise(folder: Path, examples: int) -> None:
    """Writes a TFDS cifar10 of noise, as many test images as a fifth of the training images."""
    import tensorflow_datasets as tfds
    from absl import logging

    def split(name, count):
        images = np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), np.uint8)
        return [
            (i, {"id": f"{name}_{i:05d}", "image": images[i], "label": i % 10})
            for i in range(count)
        ]

    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    splits = {"train": split("train", examples), "test": split("test", examples // 5)}
    features = {
        "id": tfds.features.Text(),
        "image": tfds.features.Image(shape=(32, 32, 3), encoding_format="png"),
        "label": tfds.features.ClassLabel(num_classes=10),
    }
    with redirect_stdout(io.StringIO()):
        tfds.dataset_builders.store_as_tfds_dataset(
            name="cifar10",
            version="3.0.2",
            features=tfds.features.FeaturesDict(features),
            split_datasets=splits,
            data_dir=folder,
            file_format="tfrecord",
        )


def request(row: dict, options, scratch: Path, kind: str) -> tuple[dict, int, int]:
    """(flags of rethink_tf.main, examples of an epoch, test examples) of a run of a model.

    The row of `steps.measure` says the speed, by which the examples are chosen, or that the step
    could not be measured: LeftOut. Runs of one kind share a folder of `scratch`.
    """
    if "failed" in row:
        raise LeftOut(row["failed"])
    rate = row["ours"][row["default"]]
    batches = max(2, round(rate * options.epoch_seconds / options.batch_size))
    examples = min(TRAIN, batches * options.batch_size)
    flags, num_test = data(options, examples, scratch)
    flags |= {
        "runs_dir": scratch / f"{kind}-{row['model']}-{row['precision']}",
        "model": row["model"],
        "precision": row["precision"],
        "input_size": options.input_size,
        "augment": options.augment,
        "learning_rate": task.LEARNING_RATE,
        "epochs": EPOCHS,
        "batch_size": options.batch_size,
        "threads": options.threads,
    }
    return flags, examples, num_test


def history(runs_dir: Path) -> list[dict]:
    """The history of the only run of a folder; empty before it has one."""
    return [line for path in Path(runs_dir).glob("*") for line in results.read_history(path)]


def loop(row: dict, pure_step, options, scratch: Path) -> dict:
    """Trains a model for real and compares with the pure step just before and just after.

    `pure_step` returns seconds per step. LeftOut where training failed.
    """
    flags, examples, num_test = request(row, options, scratch, "loop")
    pure = pure_step()
    done = run(flags, scratch)
    if done["code"]:
        raise LeftOut(done["error"])
    pure = min(pure, pure_step())
    timing = [line["timing"] for line in history(flags["runs_dir"])]
    return {
        "examples": examples,
        "step_images_per_second": max(row["ours"][row["default"]], options.batch_size / pure),
        "peak_bytes": done["peak_bytes"],
        **loop_figures(timing, done["started"], examples, num_test),
    }


def full_epoch(timing: list[dict], examples: int, num_test: int) -> dict:
    """Seconds of an epoch of 50,000 with 10,000 for testing, the best of several.

    The first of `timing` compiles and does not count. `other` is all but steps, evaluation and
    checkpoints, `all` the sum.
    """
    later = timing[1:]
    train, evaluate = (min(t[key] for t in later) for key in ("train_seconds", "eval_seconds"))
    other = min(
        b["finished"] - a["finished"] - b["train_seconds"] - b["eval_seconds"]
        for a, b in zip(timing, later, strict=False)
    )
    parts = {
        "train": train * TRAIN / examples,
        "evaluate": evaluate * (TRAIN + TEST) / (examples + num_test),
        "other": other,
    }
    return {**parts, "all": sum(parts.values())}


def _seconds_to_training(first: dict, started: float) -> float:
    """From the start of a process to that of its first epoch, whose timing is given."""
    return first["finished"] - started - first["train_seconds"] - first["eval_seconds"]


def loop_figures(timing: list[dict], started: float, examples: int, num_test: int) -> dict:
    """What the `timing` of a history says of a process that was started then, by the same clock.

    Shares are those of an epoch of 50,000 with 10,000 for testing.
    """
    full, before = full_epoch(timing, examples, num_test), _seconds_to_training(timing[0], started)
    train = full["train"] * examples / TRAIN
    return {
        "epoch_images_per_second": TRAIN / full["train"],
        "evaluation_images_per_second": (TRAIN + TEST) / full["evaluate"],
        "evaluation_share": full["evaluate"] / full["all"],
        "bookkeeping_seconds": full["other"],
        "bookkeeping_share": full["other"] / full["all"],
        "start_to_training_seconds": before,
        "start_to_first_step_seconds": before + timing[0]["train_seconds"] - train,
    }


def checkpoint(row: dict, options, scratch: Path) -> dict:
    """Stops a run by SIGTERM after its first epoch, lets it go on, and reads what it wrote.

    LeftOut where a run did not end as it should.
    """
    flags, examples, num_test = request(row, options, scratch, "checkpoint")
    flags["checkpoint_every"] = 1  # several writes, of which the best counts
    stopped = run(flags, scratch, stop_when=lambda: bool(history(flags["runs_dir"])))
    if stopped["code"] != ExitCode.TERMINATED:
        raise LeftOut(
            stopped["error"] or "it ended before it was stopped: a longer --epoch_seconds"
        )
    resumed = run(flags, scratch)
    if resumed["code"]:
        raise LeftOut(resumed["error"])
    (run_dir,) = Path(flags["runs_dir"]).iterdir()
    (place,) = results.read_config(run_dir)["resumed"]
    timing = [line["timing"] for line in results.read_history(run_dir)][place["epoch"] :]
    last = results.read_summary(run_dir)["timing"]
    return {
        "examples": examples,
        "checkpoint_bytes": max(
            path.stat().st_size for path in (run_dir / results.CHECKPOINTS).iterdir()
        ),
        **checkpoint_figures(timing, last, resumed["started"], examples, num_test),
    }


def checkpoint_figures(
    timing: list[dict], last: dict, started: float, examples: int, num_test: int
) -> dict:
    """What the epochs of a resumed process and the summary's `timing` say.

    The share is of the epochs between two checkpoints by default, at 50,000 examples with 10,000
    for testing; the next step is counted from the start of the process.
    """
    full, first = full_epoch(timing, examples, num_test), timing[0]
    # The first epoch of the second process is what the stopped one left of it.
    images = (first["images_per_second"] or 0.0) * first["train_seconds"]
    steps = first["train_seconds"] - images * full["train"] / TRAIN
    write = min(last["checkpoint_seconds"])
    return {
        "checkpoint_seconds": write,
        "checkpoint_share": write / (EVERY * full["all"]),
        "restore_seconds": last["restore_seconds"],
        "start_to_next_step_seconds": _seconds_to_training(first, started) + steps,
    }

"""Epochs as training really runs them, in a process of its own, for benchmark.py."""

import io
import os
import subprocess
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from absl import logging
from benchmark_step import LEARNING_RATE

from rethink_tf import datasets, results

ROOT = Path(__file__).resolve().parents[1]
EPOCHS = 4  # the first compiles and does not count: best of three
TRAIN, TEST = 50_000, 10_000  # of CIFAR-10


def write_noise(folder: Path, examples: int) -> None:
    """Writes a TFDS cifar10 of noise, as many test images as a fifth of the training images."""
    import tensorflow_datasets as tfds

    def split(name, count):
        images = np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), np.uint8)
        return [
            (i, {"id": f"{name}_{i:05d}", "image": images[i], "label": i % 10})
            for i in range(count)
        ]

    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    with redirect_stdout(io.StringIO()):
        tfds.dataset_builders.store_as_tfds_dataset(
            name="cifar10",
            version="3.0.2",
            features=tfds.features.FeaturesDict({
                "id": tfds.features.Text(),
                "image": tfds.features.Image(shape=(32, 32, 3), encoding_format="png"),
                "label": tfds.features.ClassLabel(num_classes=10),
            }),
            split_datasets={
                "train": split("train", examples), "test": split("test", examples // 5)
            },
            data_dir=folder,
            file_format="tfrecord",
        )  # fmt: skip


def run_training(row: dict, pure_step, options, scratch: Path) -> dict:
    """Trains a model for real and compares with the pure step just before and just after.

    Args:
        row: of `measure`; says the speed, by which the epoch's examples are chosen.
        pure_step: measures it: a function that returns seconds per step.
        options: of the command line.
        scratch: an empty folder that is reused between calls.

    Returns:
        The row of the report. Shares are those of an epoch of 50,000 with 10,000 for testing.
        Only `failed`, the reason, where training failed.
    """
    rate = row["ours"][row["default"]]
    batches = max(2, round(rate * options.epoch_seconds / options.batch_size))
    examples = min(TRAIN, batches * options.batch_size)
    data_dir, num_test = options.data_dir, TEST
    if data_dir is None:
        data_dir, num_test = scratch / f"noise{examples}", examples // 5
        if not data_dir.exists():
            write_noise(data_dir, examples)
    places = {"data_dir": data_dir, "cache_dir": scratch / "cache",
              "runs_dir": scratch / f"runs-{row['model']}-{row['precision']}"}  # fmt: skip
    datasets.load("cifar10", data_dir=data_dir, cache_dir=places["cache_dir"], report=str)
    flags = {
        **places, "model": row["model"], "precision": row["precision"], "dataset": "cifar10",
        "input_size": options.input_size, "augment": options.augment,
        "learning_rate": LEARNING_RATE, "batch_size": options.batch_size, "epochs": EPOCHS,
        "threads": options.threads,
    }  # fmt: skip
    if options.data_dir is not None:
        flags["examples"] = examples
    command = [sys.executable, "-m", "rethink_tf.main", *(f"--{k}={v}" for k, v in flags.items())]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    pure = pure_step()
    started = time.time()
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["training failed"])[-1]
        return {"model": row["model"], "precision": row["precision"], "failed": reason}
    pure = min(pure, pure_step())
    (history,) = (results.read_history(p.parent) for p in places["runs_dir"].glob("*/summary.json"))
    return {
        "model": row["model"], "precision": row["precision"], "examples": examples,
        "step_images_per_second": max(rate, options.batch_size / pure),
        **loop_figures([line["timing"] for line in history], started, examples, num_test),
    }  # fmt: skip


def loop_figures(timing: list[dict], started: float, examples: int, num_test: int) -> dict:
    """What the `timing` of a history says; the first epoch, which compiles, counts for the start.

    Args:
        timing: of each epoch: train_seconds, eval_seconds, finished.
        started: when the process was started, by the clock of `finished`.
        examples: in an epoch.
        num_test: test examples, evaluated with the training examples after each epoch.
    """
    first, later = timing[0], timing[1:]
    train, evaluate = (min(t[key] for t in later) for key in ("train_seconds", "eval_seconds"))
    other = min(
        b["finished"] - a["finished"] - b["train_seconds"] - b["eval_seconds"]
        for a, b in zip(timing, later, strict=False)
    )
    before = first["finished"] - started - first["train_seconds"] - first["eval_seconds"]
    full_train = train * TRAIN / examples
    full_evaluate = evaluate * (TRAIN + TEST) / (examples + num_test)
    full = full_train + full_evaluate + other
    return {
        "epoch_images_per_second": examples / train,
        "evaluation_images_per_second": (examples + num_test) / evaluate,
        "evaluation_share": full_evaluate / full,
        "bookkeeping_seconds": other,
        "bookkeeping_share": other / full,
        "start_to_training_seconds": before,
        "start_to_first_step_seconds": before + first["train_seconds"] - train,
    }

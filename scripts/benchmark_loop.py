"""Epochs as training really runs them, in a process of its own, for benchmark.py."""

import argparse
from pathlib import Path

import benchmark_runs
from benchmark_runs import TEST, TRAIN
from benchmark_step import LEARNING_RATE

from rethink_tf.runs import results

EPOCHS = 4  # the first compiles and does not count: best of three


def request(row: dict, options, scratch: Path, kind: str) -> tuple[dict, int, int]:
    """What a run of a model is to be.

    Args:
        row: of `benchmark_step.measure`; says the speed, by which the examples are chosen.
        options: of the command line.
        scratch: a folder that is reused between calls.
        kind: of the run; runs of one kind share a folder.

    Returns:
        (flags of rethink_tf.main, examples of an epoch, test examples).
    """
    batches = max(
        2, round(row["ours"][row["default"]] * options.epoch_seconds / options.batch_size)
    )
    examples = min(TRAIN, batches * options.batch_size)
    flags, num_test = benchmark_runs.data(options, examples, scratch)
    flags |= {
        "runs_dir": scratch / f"{kind}-{row['model']}-{row['precision']}",
        "model": row["model"], "precision": row["precision"], "input_size": options.input_size,
        "augment": options.augment, "learning_rate": LEARNING_RATE, "epochs": EPOCHS,
        "batch_size": options.batch_size, "threads": options.threads,
    }  # fmt: skip
    return flags, examples, num_test


def history(runs_dir: Path) -> list[dict]:
    """The history of the only run of a folder; empty before it has one."""
    return [line for path in Path(runs_dir).glob("*") for line in results.read_history(path)]


def run_training(row: dict, pure_step, options: argparse.Namespace, scratch: Path) -> dict:
    """Trains a model for real and compares with the pure step just before and just after.

    Args:
        row, options, scratch: see `request`.
        pure_step: measures our step: a function that returns seconds per step.

    Returns:
        The row of the report. Shares are those of an epoch of 50,000 with 10,000 for testing.
        Only `failed`, the reason, where training failed.
    """
    flags, examples, num_test = request(row, options, scratch, "loop")
    pure = pure_step()
    done = benchmark_runs.run(flags, scratch)
    found = {"model": row["model"], "precision": row["precision"]}
    if done["code"]:
        return {**found, "failed": done["error"]}
    pure = min(pure, pure_step())
    timing = [line["timing"] for line in history(flags["runs_dir"])]
    return {
        **found,
        "examples": examples,
        "step_images_per_second": max(row["ours"][row["default"]], options.batch_size / pure),
        "peak_bytes": done["peak_bytes"],
        **loop_figures(timing, done["started"], examples, num_test),
    }


def full_epoch(timing: list[dict], examples: int, num_test: int) -> dict:
    """Seconds of an epoch of 50,000 with 10,000 for testing, the best of several.

    Args:
        timing: of the epochs of a history, the first of which compiles and does not count.
        examples, num_test: training and test examples of the run.

    Returns:
        `train`, `evaluate`, `other` (all but steps, evaluation and checkpoints), and their `all`.
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


def loop_figures(timing: list[dict], started: float, examples: int, num_test: int) -> dict:
    """What the `timing` of a history says; the first epoch, which compiles, counts for the start.

    Args:
        timing: of each epoch: train_seconds, eval_seconds, finished.
        started: when the process was started, by the clock of `finished`.
        examples: in an epoch.
        num_test: test examples, evaluated with the training examples after each epoch.
    """
    first, full = timing[0], full_epoch(timing, examples, num_test)
    before = first["finished"] - started - first["train_seconds"] - first["eval_seconds"]
    train = full["train"] * examples / TRAIN
    return {
        "epoch_images_per_second": TRAIN / full["train"],
        "evaluation_images_per_second": (TRAIN + TEST) / full["evaluate"],
        "evaluation_share": full["evaluate"] / full["all"],
        "bookkeeping_seconds": full["other"],
        "bookkeeping_share": full["other"] / full["all"],
        "start_to_training_seconds": before,
        "start_to_first_step_seconds": before + first["train_seconds"] - train,
    }

"""Checks the summary of a task that is not a training before tables are made from it."""

from pathlib import Path
from typing import Any

from rethink_tf.errors import StorageError
from rethink_tf.runs import results
from rethink_tf.runs import task as plain_runs

# kind: the keys of a summary that its tables and figures use.
NEEDED = {
    "kernels": ("test_accuracy", "norm", "ridge", "filters", "ridge_test_accuracy", "solutions"),
    "rademacher": ("complexity", "draws"),
    "expressivity": ("fits",),
    "implicit": ("choices", "sgd"),
    "measures": (),
    "memorisation": ("score", "memorised", "reliability", "train_accuracy", "other_accuracy"),
    "leave-one-out": ("leave_one_out_error", "test_error", "stability", "seconds"),
}


def check(path: Path, run_id: str, summary: dict[str, Any]) -> None:
    """Refuses a summary with the settings of another run, or without the values that tables need.

    Args:
        path: of the summary, for the message.
        run_id: of the run that it should be of.
        summary: with its config.

    Raises:
        StorageError: names what is wrong.
    """
    kind = summary.get("kind")
    if kind not in NEEDED:
        return
    known = plain_runs.run_id(kind, summary["config"])
    if known != run_id:
        raise StorageError(
            f"{path}: its settings are those of {known}, not of {run_id}: damaged, or written by "
            "another version"
        )
    missing = [key for key in NEEDED[kind] if key not in summary]
    if missing and summary["status"] == results.DONE:
        raise StorageError(f"{path}: damaged: expected {missing[0]}, found none; delete it")

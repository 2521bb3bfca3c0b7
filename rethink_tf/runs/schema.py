"""What the JSON files of a run must hold: damage is refused before anyone computes with it.

Knows keys and values, no file names. Imports nothing of the package but its errors.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from rethink_tf.errors import StorageError

DONE, INVALID, DIVERGED = "DONE", "INVALID", "DIVERGED"
# Keys of a history and of a summary that hold a number, or null.
NUMBERS = (
    "loss",
    "accuracy",
    "train_loss",
    "train_accuracy",
    "clean_accuracy",
    "corrupted_accuracy",
    "corrupted_original_accuracy",
    "test_loss",
    "test_accuracy",
    "best_test_accuracy",
    "learning_rate",
    "label_checksum",
)
# Those that not every version has written.
LATER_NUMBERS = (
    "train_top5_accuracy",
    "test_top5_accuracy",
    "best_test_top5_accuracy",
    "train_examples",
    "test_examples",
)
# The key of a summary that holds the digests; the key and value of config.json that say that the
# summary will have them.
DIGESTS = "sha256"
FORMAT, WITH_DIGESTS = "record_format", 2
LARGEST = 1e40  # single precision ends below; a whole number in JSON may have any length


def digest(value: Any) -> str:
    """SHA-256 over a JSON value, hexadecimal; the order of an object's keys does not count."""
    # Read back first: a tuple, or a number as a key, is otherwise after it was written.
    content = json.loads(json.dumps(value))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < LARGEST


def check_numbers(path: Path, values: dict[str, Any]) -> None:
    """Refuses figures that are no finite number nor null, and accuracies that are no fraction."""
    for key in (*NUMBERS, *LATER_NUMBERS):
        value = values.get(key)
        good = value is None or _is_number(value)
        if good and value is not None and key.endswith("accuracy"):
            good = 0 <= value <= 1
        if not good:
            raise StorageError(f"{path}: damaged: expected a number in {key}, found {value!s:.40}")


def check_history(path: Path, lines: list[Any]) -> None:
    """Refuses lines of a history that are not its epochs, one after the other.

    Raises:
        StorageError: names `path`, what was expected and what was found.
    """
    for epoch, line in enumerate(lines, 1):
        if not isinstance(line, dict):
            raise StorageError(f"{path}: expected one JSON object a line")
        if not _is_number(line.get("epoch")) or line["epoch"] != epoch:
            raise StorageError(
                f"{path}: damaged: expected epoch {epoch} in line {epoch}, found "
                f"{line.get('epoch')!s:.40}"
            )
        check_numbers(path, line)


def check_summary(path: Path, summary: dict[str, Any]) -> None:
    """Refuses a summary without a status, or with figures that are none."""
    if summary.get("status") not in (DONE, INVALID, DIVERGED):
        raise StorageError(
            f"{path}: damaged: expected the status {DONE}, {INVALID} or {DIVERGED}, found "
            f"{summary.get('status')!s:.40}; delete it"
        )
    check_numbers(path, summary)


def check_finished(path: Path, run_id: str | None, summary: dict[str, Any]) -> None:
    """Refuses a summary that is another run's, or lacks what is said of a finished run.

    Args:
        path: of the file, for the message.
        run_id: of the run that it should be of.
        summary: as `check_summary` lets pass.
    """
    if summary.get("run_id") != run_id:
        raise StorageError(
            f"{path}: expected the summary of {run_id}, found that of "
            f"{summary.get('run_id')!s:.60}; move it to where it belongs"
        )
    done = summary["status"] == DONE
    training = "kind" not in summary  # a kernel's solution and the like has no epochs
    needed = ("train_accuracy", "test_accuracy", "changed_fraction", "epochs")
    missing = [key for key in needed if done and training and not _is_number(summary.get(key))]
    missing += [key for key in NUMBERS if training and key not in summary]
    missing += [] if done or isinstance(summary.get("reason"), str) else ["reason"]
    checks = summary.get("audit")
    if not isinstance(checks, list) or not all(map(_is_check, checks)):
        missing.append("audit")
    if missing:
        raise StorageError(f"{path}: damaged: {missing[0]} is missing or no value; delete it")


def _is_check(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("name"), str) and "passed" in value

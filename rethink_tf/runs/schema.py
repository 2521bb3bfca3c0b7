"""What the JSON files of a run hold: their keys, types and meaning; damage is refused.

The typed records are the one definition: `docs/reference/files.md` is made of them, and a test
holds a run's files against them. Knows keys and values, no file names. Imports nothing of the
package but its errors.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict, get_args, get_origin, get_type_hints

from rethink_tf.errors import StorageError

DONE, INVALID, DIVERGED = "DONE", "INVALID", "DIVERGED"
Number = float | None


class EpochTiming(TypedDict):
    """The wall-clock figures of an epoch, of the process that ended it."""

    train_seconds: Annotated[float, "seconds of training"]
    eval_seconds: Annotated[float, "seconds of the exact passes"]
    images_per_second: Annotated[
        Number,
        "training examples per second, without the first steps of a process, which compile; null "
        "if there were no others",
    ]
    finished: Annotated[float, "end of the epoch, in seconds since 1970"]


class ExactValues(TypedDict):
    """Exact passes over all examples; null in epochs that are not evaluated."""

    train_loss: Annotated[Number, "mean loss on the whole training set, given labels"]
    train_accuracy: Annotated[Number, "accuracy on the whole training set, given labels"]
    train_top5_accuracy: Annotated[
        Number, "the given label is among the five largest logits; null for 5 classes or fewer"
    ]
    clean_accuracy: Annotated[
        Number, "accuracy on the training examples whose given label is the true one"
    ]
    corrupted_accuracy: Annotated[
        Number, "accuracy on the noisy examples, given labels; `noisy` on the console"
    ]
    corrupted_original_accuracy: Annotated[
        Number, "accuracy on the noisy examples, true labels; `noisy>true` on the console"
    ]
    test_loss: Annotated[Number, "mean loss on the test set"]
    test_accuracy: Annotated[Number, "accuracy on the test set"]
    test_top5_accuracy: Annotated[Number, "top-5 accuracy on the test set"]
    best_test_accuracy: Annotated[Number, "the best test accuracy so far"]
    best_test_epoch: Annotated[int | None, "the epoch of the best test accuracy"]
    best_test_top5_accuracy: Annotated[Number, "the best top-5 test accuracy so far"]


class EpochValues(ExactValues):
    """What an epoch measures."""

    loss: Annotated[Number, "mean loss over the epoch's batches, each before its update"]
    accuracy: Annotated[Number, "running accuracy: mean over the same batches"]
    learning_rate: Annotated[Number, "learning rate of this epoch"]
    label_checksum: Annotated[
        int | None, "checksum of the (index, given label) pairs that entered the loss"
    ]


class HistoryLine(EpochValues):
    """One line of history.jsonl, an object for each epoch."""

    epoch: Annotated[int, "number of the epoch, from 1"]
    violation: Annotated[
        str | None, "the difference from a seal that ended the run as INVALID, or null"
    ]
    timing: Annotated[EpochTiming, "all wall-clock times"]


class SealRecord(TypedDict):
    """The seal of a split."""

    examples: Annotated[int, "number of examples"]
    labels: Annotated[int, "checksum of the (index, given label) pairs"]
    images: Annotated[int, "checksum of the (index, image) pairs"]


class ParentRecord(TypedDict):
    """The run that a transferred run starts from."""

    run_id: Annotated[str, "run id of the parent, or random:DATASET"]
    epoch: Annotated[int, "epoch of the parent's weights"]
    weights_hash: Annotated[str | None, "hash of all variables of the parent"]


class CheckRecord(TypedDict):
    """One check of the audit."""

    name: Annotated[str, "name of the check"]
    passed: Annotated[bool | None, "whether it passed; null if it could not be tested"]
    detail: Annotated[str, "what was measured"]


class Facts(TypedDict):
    """What both config.json and summary.json say of a run."""

    run_id: Annotated[str, "model and hash of the resolved configuration"]
    replicas: Annotated[int, "devices that share a batch, over all workers"]
    workers: Annotated[int, "processes"]
    parameters: Annotated[int, "number of trainable parameters"]
    classes: Annotated[int, "number of classes"]
    labels_hash: Annotated[str, "hash of the (index, given label) pairs"]
    train_examples: Annotated[int, "number of training examples"]
    test_examples: Annotated[int, "number of test examples"]
    changed_fraction: Annotated[float, "share of training labels that are not the true ones"]
    audit: Annotated[list[CheckRecord], "the checks: `name`, `passed`, `detail`"]
    seals: Annotated[
        dict[str, SealRecord],
        "for `train` and `test`: number of `examples`, checksums of `labels` and `images`",
    ]
    parent: Annotated[
        ParentRecord | None, "`run_id`, `epoch`, `weights_hash` of the parent of a transfer"
    ]
    image_shape: Annotated[list[int], "height, width, channels of the data set's images"]
    arrivals: Annotated[list[str], "what was changed in a model or data set of your own"]


class Environment(TypedDict):
    """What must not change between a checkpoint and its resume."""

    versions: Annotated[dict[str, str], "versions of Python and of the libraries"]
    threads: Annotated[int, "number of threads that TensorFlow uses"]
    xla: Annotated[bool, "whether XLA compiles the steps"]
    replicas: Annotated[int, "devices that share a batch, over all workers"]
    deterministic: Annotated[bool, "whether `--deterministic` was given"]
    devices: Annotated[list[str], "the processors or GPUs that are used"]
    labels_hash: Annotated[str, "hash of the (index, given label) pairs"]


class ConfigRecord(Facts):
    """config.json, written before the first epoch."""

    record_format: Annotated[int, "format of these files; missing in files without digests"]
    config: Annotated[dict[str, Any], "the resolved fields"]
    versions: Annotated[dict[str, str], "versions of Python and of the libraries"]
    threads: Annotated[int, "number of threads that TensorFlow uses"]
    xla: Annotated[bool, "whether XLA compiles the steps"]
    deterministic: Annotated[bool, "whether `--deterministic` was given"]
    devices: Annotated[list[str], "the processors or GPUs that are used"]
    argv: Annotated[list[str] | None, "the command line"]
    git_commit: Annotated[str | None, "commit of the code"]
    resumed: NotRequired[
        Annotated[
            list[dict[str, Any]],
            "one entry for each resume: epoch, step, run, environment, command line",
        ]
    ]


class RunTiming(TypedDict):
    """The wall-clock figures of the last process of a run."""

    seconds: Annotated[float, "total seconds"]
    finished: Annotated[float, "end of the run, in seconds since 1970"]
    checkpoint_seconds: Annotated[list[float], "seconds of each checkpoint"]
    restore_seconds: Annotated[Number, "seconds of the restore; null if the run was not resumed"]


class Summary(Facts, EpochValues):
    """summary.json, written last, by rename: the mark of a finished run."""

    status: Annotated[str, "`DONE`, `INVALID` or `DIVERGED`"]
    reason: Annotated[str | None, "why it is not `DONE`"]
    config: Annotated[dict[str, Any], "the resolved fields"]
    epochs: Annotated[int, "number of epochs that were trained"]
    violation: NotRequired[Annotated[str | None, "the `violation` of the last epoch"]]
    clean_fitted_since_median: Annotated[Number, "median of `fitted_since`, clean examples"]
    clean_forgotten_median: Annotated[Number, "median of `forgotten`, clean examples"]
    clean_margin_median: Annotated[Number, "median of `margin`, clean examples"]
    corrupted_fitted_since_median: Annotated[Number, "median of `fitted_since`, noisy examples"]
    corrupted_forgotten_median: Annotated[Number, "median of `forgotten`, noisy examples"]
    corrupted_margin_median: Annotated[Number, "median of `margin`, noisy examples"]
    weights_hash: Annotated[
        str, "hash of all variables; with `--freeze=all_but_last`, of those of the last layer"
    ]
    exact: Annotated[bool, "false if the run was resumed in a changed environment"]
    differed: Annotated[list[str], "what changed, and after which epoch and step"]
    timing: Annotated[RunTiming, "seconds of the last process: all, each checkpoint, the restore"]
    sha256: Annotated[dict[str, str], "digest of each file when the run ended, by file name"]


def described(record: Any) -> Iterator[tuple[str, Any, str]]:
    """The keys of a typed record in its order: (key, type, meaning)."""
    for name, hint in get_type_hints(record, include_extras=True).items():
        if get_origin(hint) is NotRequired:
            (hint,) = get_args(hint)
        kind, meaning = get_args(hint)
        yield name, kind, meaning


# Keys of a history and of a summary whose value is a number or null.
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
# The same, but not written by every version.
LATER_NUMBERS = (
    "train_top5_accuracy",
    "test_top5_accuracy",
    "best_test_top5_accuracy",
    "train_examples",
    "test_examples",
)
_ALL_NUMBERS = tuple((key, key.endswith("accuracy")) for key in (*NUMBERS, *LATER_NUMBERS))
# What is said of a damaged file without which a finished run is not read.
ANEW = "the run is not used: move its folder away, and the command that trained it trains it anew"
# The key of a summary that holds the digests; the key and value of config.json that say that the
# summary will have them.
DIGESTS = "sha256"
FORMAT, WITH_DIGESTS = "record_format", 2
_NUMERIC = frozenset((int, float))  # not bool, which is an int too
LARGEST = 1e40  # above the range of float32; whole numbers in JSON may have any length


def digest(value: Any) -> str:
    """SHA-256 over a JSON value, hexadecimal; the order of an object's keys does not count."""
    # As it is after writing and reading: JSON turns tuples into lists and number keys into text.
    content = json.loads(json.dumps(value))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _is_number(value: Any) -> bool:
    return type(value) in _NUMERIC and -LARGEST < value < LARGEST


def check_numbers(path: Path, values: dict[str, Any]) -> None:
    """Refuses figures that are no finite number nor null, and accuracies that are no fraction."""
    for key, is_fraction in _ALL_NUMBERS:
        value = values.get(key)
        if value is None:
            continue
        expected = "" if _is_number(value) else "a number"
        if not expected and is_fraction and not 0 <= value <= 1:
            expected = "a fraction from 0 to 1"
        if expected:
            raise StorageError(
                f"{path}: damaged: expected {expected} in {key}, found {value!s:.40}; delete the "
                "folder and train the run again"
            )


def check_history(path: Path, lines: list[Any]) -> None:
    """Refuses lines of a history that are not its epochs, one after the other.

    Raises:
        StorageError: names `path`, what was expected and what was found.
    """
    for epoch, line in enumerate(lines, 1):
        if not isinstance(line, dict):
            raise StorageError(f"{path}: expected one JSON object a line; {ANEW}")
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
    """Refuses a summary that is another run's, or lacks keys of a finished run.

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
    training = "kind" not in summary  # a task that is not a training has no epochs
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

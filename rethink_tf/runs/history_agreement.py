"""Whether a summary follows from its history and its configuration. Imports no TensorFlow."""

from pathlib import Path
from typing import Any

from rethink_tf.audit import check as checks
from rethink_tf.errors import StorageError
from rethink_tf.runs import results
from rethink_tf.runs import schema as records

# Keys of history lines that are not in the summary.
OF_AN_EPOCH = ("epoch", "timing")


# Numbers of a summary that describe the data, not the last epoch.
_OF_THE_DATA = ("train_examples", "test_examples")


_BEST = ("best_test_accuracy", "best_test_epoch", "best_test_top5_accuracy")


_SHOWN = 60  # characters of a value in a message


class DisagreementError(StorageError):
    """The files of a record do not agree; the message names the files and the difference."""


def disagree(run_dir: Path, name: str, what: str) -> DisagreementError:
    """The error for a file of a run, not yet raised."""
    return DisagreementError(f"{run_dir}/{name}: {what}")


def _short(value: Any) -> str:
    return f"{value!s:.{_SHOWN}}"


def differ(path: Path, other: str, key: str, here: Any, there: Any) -> DisagreementError:
    """The error for a key that has another value in another file, not yet raised."""
    return DisagreementError(
        f"{path}: does not agree with {other}: {key} is {_short(here)} here, {_short(there)} there"
    )


def check_history(
    path: Path,
    history: Path,
    summary: dict[str, Any],
    lines: list[dict[str, Any]],
    *,
    whole: bool = True,
) -> None:
    """Refuses a summary that does not follow from its history and its configuration.

    Args:
        path, history: of the summary and of the history, for the message.
        summary: with its config.
        lines: of the history.
        whole: whether all epochs and all keys are there. A shortened history has at least the last
            line and the best one.

    Raises:
        DisagreementError: names what differs.
    """
    last = lines[-1] if lines else {}
    epochs, done = summary.get("epochs"), last.get("epoch", 0)
    if epochs != done or (whole and len(lines) != done):
        until, there = (f" up to {epochs}", f"those up to {done}") if lines else ("", "none")
        raise DisagreementError(f"{history}: expected the run's epochs{until}, found {there}")
    keys = [key for key in last if key not in OF_AN_EPOCH]
    if whole:
        numbers = (*records.NUMBERS, *records.LATER_NUMBERS)
        keys += [k for k in numbers if k in summary and k not in {*keys, *_OF_THE_DATA}]
    for key in keys:
        if summary.get(key) != last.get(key):
            raise differ(path, history.name, key, summary.get(key), last.get(key))
    _check_best(path, history, summary, lines, whole)
    _check_status(path, history, summary, lines, whole)


def _check_best(
    path: Path, history: Path, summary: dict[str, Any], lines: list[dict[str, Any]], whole: bool
) -> None:
    """The best values of each epoch are those of the epochs up to it."""
    best = dict.fromkeys(_BEST)
    for line in lines:
        tested, fifth = line.get("test_accuracy"), line.get("test_top5_accuracy")
        if tested is not None and (best[_BEST[0]] is None or best[_BEST[0]] < tested):
            best |= {_BEST[0]: tested, _BEST[1]: line["epoch"]}
        if fifth is not None:
            best[_BEST[2]] = max(fifth, best[_BEST[2]] or 0.0)
        for key in _BEST if whole else ():
            if key in line and line[key] != best[key]:
                where = f"{key} of epoch {line['epoch']}"
                raise differ(history, "its epochs", where, line[key], best[key])
    for key in _BEST if whole else _BEST[:2]:
        if key in summary and summary[key] != best[key]:
            raise differ(path, history.name, key, summary[key], best[key])


def _check_status(
    path: Path, history: Path, summary: dict[str, Any], lines: list[dict[str, Any]], whole: bool
) -> None:
    status, why = summary["status"], _why_not(summary, lines)
    if status == results.DONE and why:
        raise DisagreementError(f"{path}: says {status}, but {why}")
    if status == results.DIVERGED and lines and _ended_well(summary, lines):
        raise DisagreementError(
            f"{path}: says {status}, but all epochs are there with a finite loss"
        )
    sums = [line.get("label_checksum") for line in lines]
    sums = sums if status == results.DONE else sums[:-1]  # the last one may be why it is INVALID
    if whole and len(set(sums)) > 1:
        odd = next(n for n, value in enumerate(sums, 1) if value != sums[0])
        raise DisagreementError(
            f"{history}: the labels of epoch {odd} are not those of epoch 1, but {path.name} says "
            f"{status}"
        )


def _why_not(summary: dict[str, Any], lines: list[dict[str, Any]]) -> str:
    """Why a run cannot be DONE by its history, configuration and checks; empty where it can."""
    config, last = summary["config"], lines[-1] if lines else {}
    wanted, stop = config.get("epochs"), config.get("stop_at_train_accuracy")
    reached = last.get("train_accuracy")
    stopped = stop is not None and reached is not None and reached >= stop
    if summary["epochs"] != wanted and not stopped:
        return f"expected all {wanted} epochs, found {summary['epochs']}"
    if reached is None or last.get("train_loss") is None:
        return "its last epoch has no training loss or accuracy"
    for check in summary.get("audit") or ():
        if check["passed"] is False:
            return f"its check {check['name']} failed"
    if checks.at_chance(summary) is False:
        return f"a test accuracy of {summary['test_accuracy']} is not at chance"
    return ""


def _ended_well(summary: dict[str, Any], lines: list[dict[str, Any]]) -> bool:
    last = lines[-1]
    return summary["epochs"] == summary["config"].get("epochs") and not (
        last.get("train_accuracy") is not None and last.get("train_loss") is None
    )

"""What the summary of a kernel run says, out of the record of its solutions."""

from typing import Any

from rethink_tf.errors import RequestError


def summary_of(record: dict[str, Any]) -> dict[str, Any]:
    """What the summary of a kernel run says beyond `task`.

    Returns:
        The keys of the record but those of its configuration; `train_accuracy`, `test_accuracy` and
        `norm` (`norms.all_classes`) with the most filters and the least ridge, `ridge` and
        `filters` of that; `ridge_test_accuracy` with as many and the largest ridge, None where
        none is above 0; `reason` where it is INVALID.

    Raises:
        RequestError: nothing was solved.
    """
    solutions = record["solutions"]
    if not solutions:
        raise RequestError("--ridge: expected one with which it can be solved; type a larger one")
    most = max(values["filters"] for values in solutions)
    solutions = sorted((v for v in solutions if v["filters"] == most), key=lambda v: v["ridge"])
    least, largest = solutions[0], solutions[-1]
    failed = [v["test_at_chance"] for v in record["solutions"] if "test_at_chance" in v]
    failed = [check["detail"] for check in failed if check["passed"] is False]
    return {k: v for k, v in record.items() if k not in ("data", "settings", "threads")} | {
        "reason": failed[0] if failed else None,
        "train_accuracy": 1 - least["train_error"],
        "test_accuracy": 1 - least["test_error"],
        "norm": least["norms"]["all_classes"],
        "ridge": least["ridge"],
        "filters": most,
        "ridge_test_accuracy": 1 - largest["test_error"] if largest["ridge"] else None,
        "train_examples": record["examples"],
    }

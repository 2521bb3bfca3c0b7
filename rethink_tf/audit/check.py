"""One measured property, and whether two arrays agree. Imports NumPy alone."""

import dataclasses
import re
from typing import Any

import numpy as np

Z_LIMIT = 5.0  # standard deviations from chance above which a leak of true labels is refused
TAIL = 1e-6  # chance that one check refuses an honest run, per side


@dataclasses.dataclass(frozen=True)
class Check:
    """One measured property. `passed` is None where it cannot be tested, `detail` says why."""

    name: str
    passed: bool | None
    detail: str

    def __post_init__(self) -> None:
        # `np.False_ is False` does not hold: a check that returned it would never refuse a run.
        if self.passed is not None:
            object.__setattr__(self, "passed", bool(self.passed))

    def __str__(self) -> str:
        word = {True: "ok", False: "FAILED", None: "not testable"}[self.passed]
        return f"{self.name}: {word} ({self.detail})"


def equal(name: str, got: np.ndarray, expected: np.ndarray, what: str) -> Check:
    """Whether two arrays are equal; the detail names the first difference."""
    if got.shape != expected.shape:
        return Check(name, False, f"expected shape {expected.shape}, received {got.shape}")
    wrong = np.flatnonzero((got != expected).reshape(len(got), -1).any(axis=1))
    if len(wrong):
        return Check(name, False, f"{len(wrong)} of {len(got)} {what} differ, first at {wrong[0]}")
    return Check(name, True, f"{len(got)} of {len(got)} {what} equal")


_CHANCE = re.compile(r"chance (\d*\.\d+) \+- (\d*\.(\d+))")


def at_chance(summary: dict[str, Any]) -> bool | None:
    """Whether the test accuracy in a run's summary is at chance, computed from the number itself.

    Args:
        summary: has `test_accuracy` and, in `audit`, the check of `audit.after_training`, from
            which chance and its standard deviation are taken.

    Returns:
        None where chance was not, or could not be, tested.
    """
    checks = [check for check in summary.get("audit") or () if check["name"] == "test_at_chance"]
    match = _CHANCE.search(str(checks[-1].get("detail"))) if checks else None
    if match is None:
        return None
    q, std, digits = float(match[1]), float(match[2]), len(match[3])
    rounding = 0.5 * 10.0**-digits
    away = max(abs(summary["test_accuracy"] - q) - rounding, 0.0)
    return away <= Z_LIMIT * (std + rounding)

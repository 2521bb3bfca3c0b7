"""One measured property, and whether two arrays agree. Imports NumPy alone."""

import dataclasses

import numpy as np

TAIL = 1e-6  # of an honest run being refused by one check, each side


@dataclasses.dataclass(frozen=True)
class Check:
    """One measured property. `passed` is None where it cannot be tested, `detail` says why."""

    name: str
    passed: bool | None
    detail: str

    def __post_init__(self):
        # NumPy's False is not False: a check that gave it would never refuse a run.
        if self.passed is not None:
            object.__setattr__(self, "passed", bool(self.passed))

    def __str__(self):
        word = {True: "ok", False: "FAILED", None: "not testable"}[self.passed]
        return f"{self.name}: {word} ({self.detail})"


def equal(name: str, got: np.ndarray, expected: np.ndarray, what: str) -> Check:
    """Whether two arrays agree everywhere; the first disagreement is named."""
    if got.shape != expected.shape:
        return Check(name, False, f"expected shape {expected.shape}, received {got.shape}")
    wrong = np.flatnonzero((got != expected).reshape(len(got), -1).any(axis=1))
    if len(wrong):
        return Check(name, False, f"{len(wrong)} of {len(got)} {what} differ, first at {wrong[0]}")
    return Check(name, True, f"{len(got)} of {len(got)} {what} equal")

"""Given labels beside the true ones, and how often each class went to each.

Imports NumPy alone.
"""

import dataclasses
import functools

import numpy as np


@dataclasses.dataclass(frozen=True)
class Labels:
    """Integers [N] `true` and `given`, 0 to `num_classes` - 1, in one order.

    `index`: int64 [N], the examples' identities, ascending, where the order is theirs.
    """

    true: np.ndarray
    given: np.ndarray
    num_classes: int
    index: np.ndarray | None = None

    @functools.cached_property
    def place(self) -> np.ndarray:
        """int64 [N]: the identities where these are known, positions otherwise."""
        if self.index is None:
            return np.arange(len(self.true), dtype=np.int64)
        return np.asarray(self.index, np.int64)

    @functools.cached_property
    def changed(self) -> np.ndarray:
        """bool [N]: which labels were changed."""
        return self.true != self.given

    @functools.cached_property
    def table(self) -> np.ndarray:
        """int64 [K, K]: how often true class i was given label j."""
        return transitions(self.true, self.given, self.num_classes)

    @functools.cached_property
    def flows(self) -> np.ndarray:
        """The table without the examples that kept their class."""
        return self.table - np.diag(np.diag(self.table))

    @property
    def count(self) -> str:
        """How many labels were changed, in words."""
        n, moved = len(self.true), int(self.changed.sum())
        return f"{moved:,} of {n:,} changed ({moved / n:.4f})"

    @functools.cached_property
    def chance(self) -> float:
        """How often two examples drawn at random share their true class."""
        return float(((self.table.sum(axis=1) / len(self.true)) ** 2).sum())


def transitions(true: np.ndarray, given: np.ndarray, num_classes: int) -> np.ndarray:
    """Table [K, K] of how often true class i was given label j."""
    cells = np.asarray(true, np.int64) * num_classes + np.asarray(given, np.int64)
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)

"""What each training example did: when it was fitted for good, how often it was forgotten."""

import numpy as np


class Record:
    """Follows every training example over the evaluated epochs.

    Attributes, each [N] in the order of the Table:
        fitted_since: int32, the first evaluated epoch from which on the example was always
            predicted as given; 0 while it is not.
        forgotten: int32, how often it went from fitted to not fitted between evaluations.
        margin: float32, at the last evaluation: logit of the given label less the largest other.
    """

    ARRAYS = ("fitted_since", "forgotten", "margin")

    def __init__(self, count: int):
        self.fitted_since = np.zeros(count, np.int32)
        self.forgotten = np.zeros(count, np.int32)
        self.margin = np.full(count, np.nan, np.float32)

    def update(self, epoch: int, fitted: np.ndarray, margin: np.ndarray) -> None:
        """Takes in one evaluation: `fitted` bool [N], `margin` float32 [N]."""
        before = self.fitted_since > 0
        self.forgotten += before & ~fitted
        self.fitted_since = np.where(fitted, np.where(before, self.fitted_since, epoch), 0).astype(
            np.int32
        )
        self.margin = np.asarray(margin, np.float32)

    def arrays(self) -> dict[str, np.ndarray]:
        """The record as arrays, for a checkpoint or for `examples.npz`."""
        return {name: getattr(self, name) for name in self.ARRAYS}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Takes back what `arrays` gave; ValueError where it is of other examples."""
        for name in self.ARRAYS:
            own = getattr(self, name)
            if arrays[name].shape != own.shape:
                raise ValueError(f"expected {name} of shape {own.shape}, got {arrays[name].shape}")
            setattr(self, name, arrays[name].astype(own.dtype))

    def medians(self, corrupted: np.ndarray) -> dict[str, float | None]:
        """Medians over clean and over corrupted examples (`corrupted` bool [N]).

        The median epoch is None where half of the examples were not fitted in the end.
        """
        found = {}
        for part, chosen in (("clean", ~corrupted), ("corrupted", corrupted)):
            since = np.where(self.fitted_since > 0, self.fitted_since, np.inf)[chosen]
            for name, values in (
                ("fitted_since", since),
                ("forgotten", self.forgotten[chosen]),
                ("margin", self.margin[chosen]),
            ):
                median = float(np.median(values)) if len(values) else None
                finite = median is not None and np.isfinite(median)
                found[f"{part}_{name}_median"] = median if finite else None
        return found

"""Training dynamics: what each training example did over the evaluated epochs. NumPy alone.

Every measure is taken in exact passes over all examples, after the epochs that are evaluated. With
p_t the probability (softmax) of the given class after evaluated epoch t, and T evaluated epochs:

`aum`              area under the margin: the mean over t of the given class's logit less the
                   largest other (Pleiss et al. 2020, "Identifying mislabeled data using the area
                   under the margin ranking"). They take the logits during the epoch, before each
                   update; here they are taken after it.
`confidence`       the mean over t of p_t (Swayamdipta et al. 2020, "Dataset cartography").
`variability`      the standard deviation over t of p_t, dividing by T (the same).
`cumulative_loss`  the sum over t of -log p_t, in nats (Ravikumar et al. 2025, "Towards memorization
                   estimation"). Divided by T it is the mean loss of Huang et al. 2019, "O2U-Net".
`el2n_E`           the L2 norm of (softmax - one-hot given label) after epoch E (Paul et al. 2021,
                   "Deep learning on a data diet"). They average it over networks; this is of one.
`first_fitted`     the first evaluated epoch in which it was predicted as given; 0: never.
`fitted_since`     the evaluated epoch from which on it was always predicted as given; 0: none.
                   With the network's last prediction in place of the given label it is the
                   "iteration learned" of Baldock et al. 2021.
`forgotten`        how often it was predicted as given at one evaluation and not at the next (Toneva
                   et al. 2019, who compare the times at which it stood in a batch).
`margin`           at the last evaluation: the given class's logit less the largest other.

All depend on which epochs were evaluated. So these are recorded with them, and scores of different
epochs are never compared (`analysis.example_scores`).
"""

import numpy as np

from rethink_tf.runs import results
from rethink_tf.training.metrics import Outcome

# EL2N is measured at the first evaluated epoch that is not before each of these.
EL2N_EPOCHS = (1, 2, 5, 10, 20)
EL2N = "el2n_"
_EPOCHS, _COMPLETE = results.EXAMPLES_GRID
_ERRORS = "el2n"


class Record:
    """Follows every training example over the evaluated epochs; see the module for the measures.

    Args:
        count: N, the number of examples.
        el2n_epochs: EL2N is taken at the first evaluated epoch from each of these on.

    Attributes:
        fitted_since, first_fitted, forgotten: int32 [N].
        margin: float32 [N], NaN before the first evaluation.
        evaluated_epochs: int32 [T], ascending: the epochs that the measures are taken over.
        complete: whether these are all evaluated epochs. False after a resume from a checkpoint of
            a version that kept no sums: then the measures are of the epochs since.
    """

    ARRAYS = ("fitted_since", "forgotten", "margin")  # kept by every version
    _SUMS = ("first_fitted", "margin_sum", "loss_sum", "confidence", "squares")

    def __init__(self, count: int, el2n_epochs: tuple[int, ...] = EL2N_EPOCHS):
        self.fitted_since = np.zeros(count, np.int32)
        self.forgotten = np.zeros(count, np.int32)
        self.margin = np.full(count, np.nan, np.float32)
        self.el2n_epochs = tuple(sorted(el2n_epochs))
        self._begin_sums()
        self.complete = True

    def _begin_sums(self) -> None:
        count = len(self.margin)
        self.evaluated_epochs = np.zeros(0, np.int32)
        self.first_fitted = np.zeros(count, np.int32)
        self.margin_sum = np.zeros(count)
        self.loss_sum = np.zeros(count)
        # Mean and sum of squared deviations by Welford's method. A difference of sums would lose
        # the digits of examples whose confidence hardly changes.
        self.confidence = np.zeros(count)
        self.squares = np.zeros(count)
        self.el2n: dict[int, np.ndarray] = {}

    def update(self, epoch: int, outcome: Outcome, given: np.ndarray) -> None:
        """Adds one evaluation.

        Args:
            epoch: from 1, later than the one before.
            outcome: of all N examples; `error` may be None where no EL2N is due.
            given: int [N], the labels to learn.
        """
        fitted = outcome.predicted == given
        before = self.fitted_since > 0
        self.forgotten = self.forgotten + (before & ~fitted).astype(np.int32)
        since = np.where(before, self.fitted_since, epoch)
        self.fitted_since = np.where(fitted, since, 0).astype(np.int32)
        self.margin = np.asarray(outcome.margin, np.float32)

        first = fitted & (self.first_fitted == 0)
        self.first_fitted = np.where(first, epoch, self.first_fitted).astype(np.int32)
        loss = np.asarray(outcome.loss, np.float64)
        self.margin_sum = self.margin_sum + outcome.margin
        self.loss_sum = self.loss_sum + loss
        probability = np.exp(-loss)
        apart = probability - self.confidence
        self.confidence = self.confidence + apart / (len(self.evaluated_epochs) + 1)
        self.squares = self.squares + apart * (probability - self.confidence)
        if outcome.error is not None and self._el2n_due(epoch):
            self.el2n[epoch] = np.asarray(outcome.error, np.float32)
        self.evaluated_epochs = np.append(self.evaluated_epochs, np.int32(epoch))

    def _el2n_due(self, epoch: int) -> bool:
        """Whether this is the first evaluated epoch from one of `el2n_epochs` on."""
        last = self.evaluated_epochs[-1] if len(self.evaluated_epochs) else 0
        return any(last < wanted <= epoch for wanted in self.el2n_epochs)

    def measures(self) -> dict[str, np.ndarray]:
        """The measures by name, each [N]: what `arrays` of every version had, and the dynamics.

        Those over several epochs are NaN while no epoch is recorded; `el2n_E` are there for the
        epochs E at which they were taken.
        """
        count = len(self.evaluated_epochs)
        over_epochs = {
            "aum": self.margin_sum / max(count, 1),
            "confidence": self.confidence,
            "variability": np.sqrt(self.squares / max(count, 1)),
            "cumulative_loss": self.loss_sum,
        }
        by_name = {name: getattr(self, name) for name in (*self.ARRAYS, "first_fitted")}
        for name, values in over_epochs.items():
            by_name[name] = np.where(count > 0, values, np.nan).astype(np.float32)
        return by_name | {f"{EL2N}{epoch}": values for epoch, values in self.el2n.items()}

    def columns(self) -> dict[str, np.ndarray]:
        """What `examples.npz` holds: the measures, and the epochs that they are taken over."""
        return self.measures() | {
            _EPOCHS: self.evaluated_epochs,
            _COMPLETE: np.array(self.complete),
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """The state, for a checkpoint: sums in float64, so that a resume is exact."""
        values = {name: getattr(self, name) for name in (*self.ARRAYS, *self._SUMS)}
        errors = list(self.el2n.values()) or [np.zeros(len(self.margin), np.float32)]
        values[_ERRORS] = np.stack(errors)[: len(self.el2n)]
        values[f"{_ERRORS}_taken"] = np.array(list(self.el2n), np.int32)
        return values | {_EPOCHS: self.evaluated_epochs, _COMPLETE: np.array(self.complete)}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Takes back what `arrays` gave; ValueError where it is of other examples.

        Arrays of a version that kept no sums are taken too: `complete` is False from then on, and
        the measures are of the epochs that follow.
        """
        for name in self.ARRAYS:
            setattr(self, name, self._checked(name, arrays[name]))
        self._begin_sums()
        if _EPOCHS not in arrays or "margin_sum" not in arrays:
            # True if nothing was evaluated before.
            self.complete = bool(np.isnan(self.margin).all())
            return
        for name in self._SUMS:
            setattr(self, name, self._checked(name, arrays[name]))
        taken = arrays[f"{_ERRORS}_taken"].tolist()
        errors = zip(taken, arrays[_ERRORS], strict=True)
        self.el2n = {epoch: values.astype(np.float32) for epoch, values in errors}
        self.evaluated_epochs = arrays[_EPOCHS].astype(np.int32)
        self.complete = bool(arrays[_COMPLETE])

    def _checked(self, name: str, array: np.ndarray) -> np.ndarray:
        """A copy in the dtype of the attribute; ValueError where the shape is another."""
        own = getattr(self, name)
        if array.shape != own.shape:
            raise ValueError(f"expected {name} of shape {own.shape}, got {array.shape}")
        return array.astype(own.dtype)

    def medians(self, corrupted: np.ndarray) -> dict[str, float | None]:
        """Medians over clean and over corrupted examples (`corrupted` bool [N]).

        The median epoch is None where half of the examples were not fitted in the end.
        """
        medians = {}
        for part, chosen in (("clean", ~corrupted), ("corrupted", corrupted)):
            since = np.where(self.fitted_since > 0, self.fitted_since, np.inf)[chosen]
            for name, values in (
                ("fitted_since", since),
                ("forgotten", self.forgotten[chosen]),
                ("margin", self.margin[chosen]),
            ):
                median = float(np.median(values)) if len(values) else None
                finite = median is not None and np.isfinite(median)
                medians[f"{part}_{name}_median"] = median if finite else None
        return medians

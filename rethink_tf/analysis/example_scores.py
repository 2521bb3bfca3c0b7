"""Which examples did a network memorise? Training dynamics read back, ranked and compared.

The measures are defined in `training.per_example`. If the true labels are known, it also measures
how well each of them finds the noisy labels. Imports no TensorFlow.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf.errors import RequestError
from rethink_tf.printable import printable
from rethink_tf.runs import agreement, description, results
from rethink_tf.storage import paths
from rethink_tf.training.per_example import EL2N

IDENTITY = ("index", "true", "given")
# Measure: its name for the reader; 1 if a large value suggests a wrong label, else -1.
MEASURES = {
    "aum": ("area under the margin", -1),
    "confidence": ("confidence", -1),
    "variability": ("variability", 1),
    "cumulative_loss": ("cumulative loss", 1),
    "first_fitted": ("epoch first fitted", 1),
    "fitted_since": ("epoch fitted for good", 1),
    "forgotten": ("times forgotten", 1),
    "margin": ("margin at the end", -1),
}
# Share of labels that may equal the true ones beyond chance in labels that count as random.
RANDOM_SHARE = 0.05
_EPOCHS_OF_FITTING = ("first_fitted", "fitted_since")


@dataclasses.dataclass(frozen=True, eq=False)
class ExampleScores:
    """The measures of the N training examples of one training.

    Attributes:
        name: of the training, for the reader.
        index: int64 [N], identities.
        given: int [N], the labels to learn.
        true: int [N], the true labels; None where they are not known.
        measures: name of the measure: [N]; `Record.measures` lists them.
        epochs: int [T], ascending: the evaluated epochs that they are taken over.
        complete: whether these are all epochs that were evaluated.
    """

    name: str
    index: np.ndarray
    given: np.ndarray
    true: np.ndarray | None
    measures: dict[str, np.ndarray]
    epochs: np.ndarray
    complete: bool

    @property
    def noisy(self) -> np.ndarray | None:
        """bool [N], given != true; None where the true labels are not known."""
        return None if self.true is None else self.given != self.true

    @property
    def labels_are_random(self) -> bool:
        """Whether given labels agree with the true ones about as often as by chance.

        By at most RANDOM_SHARE of all examples; False where the true labels are not known.
        """
        noisy = self.noisy
        if noisy is None or self.true is None:
            return False
        classes = int(max(self.true.max(), self.given.max())) + 1
        shares = [np.bincount(x, minlength=classes) / len(x) for x in (self.true, self.given)]
        return bool(1 - noisy.mean() <= float(shares[0] @ shares[1]) + RANDOM_SHARE)

    def suspicion(self, name: str) -> np.ndarray:
        """A measure, float64 [N], with its sign such that larger values are more suspicious.

        An example that was never fitted, or is not fitted at the end, counts as fitted after the
        last epoch. One that was never fitted counts as forgotten most, as Toneva et al. rank it.
        """
        values = self.measures[name].astype(np.float64)
        if name in _EPOCHS_OF_FITTING:
            values = np.where(values > 0, values, self.epochs[-1] + 1.0)
        if name == "forgotten":
            values = np.where(self.measures["first_fitted"] > 0, values, values.max() + 1)
        return _sign(name) * values


def title(name: str) -> str:
    """A measure's name for the reader."""
    if name.startswith(EL2N):
        return f"EL2N at epoch {name.removeprefix(EL2N)}"
    return MEASURES[name][0]


def _sign(name: str) -> int:
    return 1 if name.startswith(EL2N) else MEASURES[name][1]


def of_run(run_dir: Path | str) -> ExampleScores:
    """The scores of a finished run, out of its examples.npz.

    Raises:
        RequestError: no run ended well there, or its version recorded no training dynamics.
        StorageError: a file is damaged, or the files do not agree.
    """
    folder = paths.absolute(run_dir)
    agreement.read_trained(run_dir)
    columns = results.read_examples(folder)
    grid = results.read_examples_grid(folder)
    if grid is None:
        raise RequestError(
            f"{run_dir}: expected training dynamics in its {results.EXAMPLES}; an older version "
            "wrote this file without them; train the run again with another --runs_dir"
        )
    index, true, given = (columns.pop(name) for name in IDENTITY)
    epochs, complete = grid
    if not len(epochs):
        raise RequestError(
            f"{run_dir}: expected recorded evaluations, found none: the run was resumed from a "
            "checkpoint of an older version after its last evaluation"
        )
    name = description.run_name(folder)
    return ExampleScores(name, index, given, true, columns, epochs, complete)


def refuse_uncomparable(first: ExampleScores, other: ExampleScores) -> None:
    """Refuses two trainings whose scores cannot be compared.

    Raises:
        RequestError: other examples, other given labels, or other evaluated epochs.
    """
    if not np.array_equal(first.index, other.index):
        raise RequestError(
            f"expected scores of the same examples; the {len(first.index):,} of {first.name} and "
            f"the {len(other.index):,} of {other.name} have different indices"
        )
    if differ := int(np.sum(first.given != other.given)):
        raise RequestError(
            f"expected scores of the same given labels; {differ:,} labels differ between "
            f"{first.name} and {other.name}; train both with the same --seed or --labels_from"
        )
    if not np.array_equal(first.epochs, other.epochs):
        raise RequestError(
            f"expected scores of the same evaluated epochs, received {epochs_text(first.epochs)} "
            f"of {first.name} and {epochs_text(other.epochs)} of {other.name}; train both with "
            "the same --epochs and --eval_every"
        )


def epochs_text(epochs: np.ndarray) -> str:
    """Evaluated epochs for the reader: `1 to 30`, `2 to 30 by 2`, `1, 2, 5, 7`."""
    steps = set(np.diff(epochs).tolist())
    if len(epochs) > 2 and len(steps) == 1:
        by = steps.pop()
        return f"{epochs[0]} to {epochs[-1]}" + (f" by {by}" if by > 1 else "")
    if len(epochs) > 8:
        return f"{', '.join(map(str, epochs[:4]))}, ... {epochs[-1]} ({len(epochs)} epochs)"
    return ", ".join(map(str, epochs))


def rank_correlations(scores: Sequence[ExampleScores]) -> dict[str, list[float | None]]:
    """Spearman's rank correlation of each measure between the first training and each other one.

    Args:
        scores: of the same examples, labels and evaluated epochs.

    Returns:
        Measure: one number from -1 to 1 for each training after the first; None where one of the
        two has a single value.

    Raises:
        RequestError: see `refuse_uncomparable`.
    """
    from scipy.stats import rankdata

    first, *others = scores
    for other in others:
        refuse_uncomparable(first, other)
    correlations: dict[str, list[float | None]] = {}
    for name in first.measures:
        correlations[name] = []
        for other in others:
            ranks = [rankdata(one.suspicion(name)) for one in (first, other)]
            constant = any(r.min() == r.max() for r in ranks)
            correlations[name].append(None if constant else float(np.corrcoef(*ranks)[0, 1]))
    return correlations


@dataclasses.dataclass(frozen=True)
class Detection:
    """How well a measure finds the noisy labels.

    Attributes:
        measure: its name.
        roc_auc: probability that a noisy example is more suspicious than a clean one, ties counted
            half; 0.5 by chance.
        average_precision: mean precision over the recalled noisy examples; by chance their share.
        precision: of the n most suspicious examples, n the number of noisy ones, the noisy share;
            where the n-th is tied, the expected share of a random choice among the ties.
    """

    measure: str
    roc_auc: float
    average_precision: float
    precision: float


def detection(scores: ExampleScores) -> list[Detection]:
    """How well each measure finds the noisy labels, the best by ROC AUC first.

    Empty where the true labels are not known, or where all or none are noisy.
    """
    noisy = scores.noisy
    if noisy is None or noisy.all() or not noisy.any():
        return []
    from sklearn.metrics import average_precision_score, roc_auc_score

    detections = []
    for name in scores.measures:
        values = scores.suspicion(name)
        detections.append(
            Detection(
                name,
                float(roc_auc_score(noisy, values)),
                float(average_precision_score(noisy, values)),
                _precision(noisy, values),
            )
        )
    return sorted(detections, key=lambda one: -one.roc_auc)


def _precision(noisy: np.ndarray, values: np.ndarray) -> float:
    """The noisy share of the sum(noisy) largest values."""
    count = int(noisy.sum())
    least = np.sort(values)[-count]
    above, tied = values > least, values == least
    chosen = noisy[above].sum() + noisy[tied].mean() * (count - above.sum())
    return float(chosen / count)


def detection_table(detections: Sequence[Detection], noisy: np.ndarray) -> list[list[str]]:
    """The detection as cells, titles first, chance last."""
    count, share = int(noisy.sum()), float(noisy.mean())
    rows = [["measure", "ROC AUC", "average precision", f"noisy among {count:,} most suspicious"]]
    rows += [
        [
            title(one.measure),
            f"{one.roc_auc:.3f}",
            f"{one.average_precision:.3f}",
            f"{100 * one.precision:.1f}%",
        ]
        for one in detections
    ]
    return [*rows, ["chance", "0.500", f"{share:.3f}", f"{100 * share:.1f}%"]]


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Ranked examples: title, description, positions int [n], and the measure that ranks them."""

    title: str
    rule: str
    positions: np.ndarray
    measure: str


def rankings(scores: ExampleScores, count: int) -> list[Ranking]:
    """The most and the least typical examples, the most suspicious labels, the most forgotten.

    Args:
        scores: of one training.
        count: examples of each; fewer where there are not as many.
    """
    measures = scores.measures
    typical = measures["confidence"]
    positive = np.flatnonzero(measures["aum"] > 0)
    forgotten = np.flatnonzero(measures["forgotten"] > 0)

    def first(keys: tuple[np.ndarray, ...], among: np.ndarray | None = None) -> np.ndarray:
        """Positions of the smallest keys, the last key first; ties by identity."""
        order = np.lexsort((scores.index, *keys))
        return (order if among is None else order[np.isin(order, among)])[:count]

    return [
        Ranking("Most typical", "highest confidence", first((-typical,)), "confidence"),
        Ranking(
            "Least typical",
            "lowest confidence among examples with a positive area under the margin, whose given "
            "label had on average the largest logit",
            first((typical,), positive),
            "confidence",
        ),
        Ranking(
            "Ambiguous", "highest variability", first((-measures["variability"],)), "variability"
        ),
        Ranking(
            "Most suspicious labels",
            "lowest area under the margin: on average another class had a larger logit",
            first((measures["aum"],)),
            "aum",
        ),
        Ranking(
            "Forgotten most",
            "given label predicted at one evaluation but not at the next, most often first; ties "
            "by the lowest area under the margin",
            first((measures["aum"], -measures["forgotten"]), forgotten),
            "forgotten",
        ),
    ]


def csv(scores: ExampleScores) -> str:
    """All measures as CSV, a row for each example, keyed by `index`.

    `# key=value` lines above the column names state the training and its epochs.
    """
    columns: dict[str, Any] = {"index": scores.index, "given": scores.given}
    if scores.true is not None:
        columns["true"] = scores.true
    columns |= scores.measures
    lines = [
        f"# name={printable(scores.name)}",
        f"# evaluated_epochs={' '.join(map(str, scores.epochs))}",
        f"# complete={str(scores.complete).lower()}",
        ",".join(columns),
    ]
    texts = [
        values.tolist() if values.dtype.kind in "iu" else [f"{v:.7g}" for v in values]
        for values in columns.values()
    ]
    return (
        "\n".join([*lines, *(",".join(map(str, row)) for row in zip(*texts, strict=True))]) + "\n"
    )

"""A bound on the error on new data that follows from how far label noise is fitted.

After Garg, Balakrishnan, Kolter and Lipton (2021), "RATT: Leveraging unlabeled data to guarantee
generalization". A network that predicts new examples badly must memorise: where it fits few of the
wrong labels that it was trained on, its error on new examples is small. The derivation, and what is
assumed, is in docs/guides/noise_bound.md. Imports no TensorFlow.
"""

import csv as csv_files
import dataclasses
import io
import math
from pathlib import Path

import numpy as np

from rethink_tf.config.run_config import RunConfig
from rethink_tf.corruptions import labels
from rethink_tf.errors import RequestError, StorageError
from rethink_tf.runs import agreement, description, results
from rethink_tf.storage import paths

DELTA = 0.05


@dataclasses.dataclass(frozen=True)
class Counts:
    """How many training examples are of each kind.

    Attributes:
        classes: K.
        kept: n, whose labels were not replaced.
        replaced: m, whose labels were drawn anew from all classes; some got their true class.
        changed: M, of these the ones whose given label is not the true one.
    """

    classes: int
    kept: int
    replaced: int
    changed: int


def from_changed(accuracy: float, counts: Counts, delta: float = DELTA) -> float:
    """The bound by the examples with a wrong label: (K - 1) (a + sqrt(log(1/delta) / (2 M))).

    Args:
        accuracy: a, the share of changed labels that are predicted as given, 0 to 1.
        counts: of the training set.
        delta: probability that the bound fails though what it assumes holds, 0 to 1.

    Returns:
        The bound on the error, a fraction; from 1 on it says nothing.
    """
    confidence = math.sqrt(math.log(1 / delta) / (2 * counts.changed))
    return (counts.classes - 1) * (accuracy + confidence)


def from_replaced(
    clean_error: float, replaced_error: float, counts: Counts, delta: float = DELTA
) -> float:
    """The bound by the replaced labels, where nobody knows which of them are wrong.

    The multiclass theorem of Garg et al.: e + (K - 1) - K r + c sqrt(log(4/delta) / (2 m)) with
    c = 2 K + sqrt(K) + m / (n sqrt(K)).

    Args:
        clean_error: e, the error on the examples whose labels were not replaced, 0 to 1.
        replaced_error: r, the share of replaced labels that are not predicted as given, 0 to 1.
        counts: of the training set.
        delta: see `from_changed`.

    Returns:
        The bound on the error, a fraction; from 1 on it says nothing.
    """
    k, root = counts.classes, math.sqrt(counts.classes)
    factor = 2 * k + root + counts.replaced / (counts.kept * root)
    confidence = math.sqrt(math.log(4 / delta) / (2 * counts.replaced))
    return clean_error + (k - 1) - k * replaced_error + factor * confidence


@dataclasses.dataclass(frozen=True, eq=False)
class NoiseBound:
    """The bounds of a run by evaluated epoch, beside its true test error.

    Attributes:
        name: of the run, for the reader.
        counts, delta: see `from_changed`.
        epochs: int [T], the evaluated ones.
        clean_error: float [T], on the examples whose given label is the true one.
        noisy_accuracy: float [T], share of changed labels that are predicted as given.
        changed: float [T], `from_changed`.
        replaced: float [T], `from_replaced`. A run does not record the error on the replaced labels
            that got their true class; it is taken to be `clean_error` (see the guide).
        test_error: float [T], on the test set.
    """

    name: str
    counts: Counts
    delta: float
    epochs: np.ndarray
    clean_error: np.ndarray
    noisy_accuracy: np.ndarray
    changed: np.ndarray
    replaced: np.ndarray
    test_error: np.ndarray

    @property
    def exceeded(self) -> np.ndarray:
        """int [..], epochs at which the test error is above the smaller of the two bounds."""
        return self.epochs[self.test_error > np.minimum(self.changed, self.replaced)]


def of_run(run_dir: Path | str, delta: float = DELTA) -> NoiseBound:
    """The bounds of a finished run, by epoch, out of its history.

    Raises:
        RequestError: no run ended well there, or its noise is of a kind that gives no bound.
        StorageError: a file is damaged, or the files do not agree.
    """
    folder = paths.absolute(run_dir)
    run = agreement.read_trained(run_dir)
    config = agreement.stored_config(run.summary)
    _refuse_other_noise(run_dir, config)
    counts = _counts(folder, config, run.summary["classes"])
    lines = [line for line in run.history if line["train_accuracy"] is not None]
    noisy_accuracy, clean_accuracy, test_accuracy = (
        np.array([line[key] for line in lines], np.float64)
        for key in ("corrupted_accuracy", "clean_accuracy", "test_accuracy")
    )
    clean_error = 1 - clean_accuracy
    wrong = counts.changed / counts.replaced
    replaced_error = wrong * (1 - noisy_accuracy) + (1 - wrong) * clean_error
    return NoiseBound(
        description.run_name(folder),
        counts,
        delta,
        np.array([line["epoch"] for line in lines]),
        clean_error,
        noisy_accuracy,
        np.array([from_changed(a, counts, delta) for a in noisy_accuracy]),
        np.array(
            [
                from_replaced(e, r, counts, delta)
                for e, r in zip(clean_error, replaced_error, strict=True)
            ]
        ),
        1 - test_accuracy,
    )


def _refuse_other_noise(run_dir: Path | str, config: RunConfig) -> None:
    """Refuses a run for which the derivation does not hold."""
    wanted = {
        "--corrupt above 0 and below 1": 0 < config.corrupt < 1,
        "--label_noise=uniform": config.label_noise == "uniform",
        "no --labels_from": config.labels_from is None,
        "no --init_from": config.init_from is None,
        "--test_pixels=as_trained": config.test_pixels == "as_trained",
    }
    for flag, holds in wanted.items():
        if not holds:
            raise RequestError(
                f"{run_dir}: the bound needs {flag}; this run has {_received(flag, config)}"
            )


def _received(flag: str, config: RunConfig) -> str:
    name = flag.split("--")[1].partition("=")[0].split()[0]
    return f"--{name}={getattr(config, name)}"


def _counts(folder: Path, config: RunConfig, classes: int) -> Counts:
    """The kinds of a run's training examples, from the rule of its noise and its examples.npz."""
    columns = results.read_examples(folder)
    replaced = labels.replaced_labels(columns["index"], corrupt=config.corrupt, seed=config.seed)
    changed = columns["true"] != columns["given"]
    if np.any(changed & ~replaced):
        raise StorageError(
            f"{folder / results.EXAMPLES}: expected changed labels only where --corrupt and --seed "
            "of the run replace them; found others"
        )
    if not changed.any() or replaced.all():
        raise RequestError(
            f"{folder}: the bound needs changed labels and labels that were not replaced; of "
            f"{len(changed):,} labels of this run {int(changed.sum()):,} are changed and "
            f"{int(replaced.sum()):,} replaced"
        )
    return Counts(classes, int((~replaced).sum()), int(replaced.sum()), int(changed.sum()))


def csv(bound: NoiseBound) -> str:
    """The bounds as CSV, a row for each evaluated epoch, with the counts above the names."""
    out = io.StringIO()
    for name, value in {"delta": bound.delta, **dataclasses.asdict(bound.counts)}.items():
        out.write(f"# {name}={value}\n")
    columns = {
        "epoch": bound.epochs,
        "clean_error": bound.clean_error,
        "noisy_accuracy": bound.noisy_accuracy,
        "bound_from_changed": bound.changed,
        "bound_from_replaced": bound.replaced,
        "test_error": bound.test_error,
    }
    writer = csv_files.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(
        [epoch, *(f"{value:.7g}" for value in rest)]
        for epoch, *rest in zip(*columns.values(), strict=True)
    )
    return out.getvalue()

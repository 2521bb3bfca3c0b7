"""The corruptions of the paper (section 2.1): pure, batched functions of (value, index, seed).

Each exists twice: a TensorFlow body that the pipeline maps on the accelerator, and a NumPy
reference written on its own, which the audit compares with what the pipeline yields. Integer
results are bit-equal, Gaussian values agree to 1e-5 of a standard deviation.

Labels: one uniform word decides *whether* a label is replaced, an independent one *by what*. So
sweeps over the probability are nested: what is corrupted at 0.5 stays so, with the same value,
at 0.9.
"""

from typing import Any

import numpy as np

from rethink_tf.corruptions import threefry
from rethink_tf.corruptions.threefry import SplitId, Stream

LABEL_NOISE = ("uniform", "exclude_true", "pair_flip")
TEST_PIXELS = ("as_trained", "original")
PIXELS = ("original", "shuffled", "random", "gaussian")


def _threshold(probability: float) -> int:
    """A word below this, of 2**32, is an event of the given probability."""
    return round(probability * 2**32)


def matrix_bounds(matrix: np.ndarray) -> np.ndarray:
    """The boundaries by which a random word becomes a label.

    A 32-bit word of true class i becomes the label whose number is the count of boundaries in row i
    that are not above the word.

    Args:
        matrix: float [K, K], probabilities of the labels (columns) of each true class (rows).

    Returns:
        int64 [K, K - 1], ascending from 0 to 2**32. A label of probability 0 has no word.
    """
    upper = np.cumsum(np.asarray(matrix, np.float64), axis=1)
    # Rows sum to 1 up to rounding. Dividing by the sum makes the last bound exactly 1.
    return np.rint(upper[:, :-1] / upper[:, -1:] * 2**32).astype(np.int64)


def corrupt_labels(
    labels: np.ndarray,
    index: np.ndarray,
    *,
    corrupt: float,
    num_classes: int,
    seed: int,
    label_noise: str = "uniform",
    matrix: np.ndarray | None = None,
    split: SplitId = SplitId.TRAIN,
) -> np.ndarray:
    """Labels as given: each replaced with a probability, independently (NumPy reference).

    Args:
        labels: integer [N], 0 to num_classes - 1: the true labels.
        index: integer [N]: the examples' identities.
        corrupt: probability of replacement, 0 to 1.
        num_classes: at least 2.
        seed: 0 to 2**32 - 1.
        label_noise: `uniform` draws any class, the true one included (the paper's definition);
            `exclude_true` any other class; `pair_flip` the next class.
        matrix: float [K, K] in place of `label_noise`, rows of sum 1: a replaced label of class i
            is drawn from row i, which may include class i itself.
        split: whose labels they are. Test labels are corrupted to compute an error against them,
            never for a run (see `analysis.corrupted_test`).

    Returns:
        int32 [N].
    """
    whether, what = (
        word.astype(np.int64) for word in threefry.bits(seed, Stream.LABEL, split, index)
    )
    labels = np.asarray(labels, np.int64)
    if matrix is not None:
        bounds = matrix_bounds(matrix)
        # One ascending list of all rows, where row i starts at i * 2**32: one search for all.
        place = np.arange(num_classes, dtype=np.int64)[:, None] << 32
        below = np.searchsorted((bounds + place).ravel(), (labels << 32) + what, side="right")
        drawn = below - labels * (num_classes - 1)
    elif label_noise == "uniform":
        drawn = what * num_classes >> 32
    elif label_noise == "exclude_true":
        drawn = (labels + 1 + (what * (num_classes - 1) >> 32)) % num_classes
    elif label_noise == "pair_flip":
        drawn = (labels + 1) % num_classes
    else:
        raise ValueError(
            f"label_noise: expected one of {', '.join(LABEL_NOISE)}, received {label_noise!r}"
        )
    return np.where(whether < _threshold(corrupt), drawn, labels).astype(np.int32)


def replaced_labels(
    index: np.ndarray, *, corrupt: float, seed: int, split: SplitId = SplitId.TRAIN
) -> np.ndarray:
    """Which labels `corrupt_labels` replaces; with `uniform` noise some by their own true class.

    Args:
        index: integer [N]: the examples' identities.
        corrupt: probability of replacement, 0 to 1.
        seed: 0 to 2**32 - 1.
        split: whose labels they are.

    Returns:
        bool [N].
    """
    whether, _ = threefry.bits(seed, Stream.LABEL, split, index)
    return whether.astype(np.int64) < _threshold(corrupt)


def corrupt_labels_tf(
    labels: Any,
    index: Any,
    *,
    corrupt: float,
    num_classes: int,
    seed: int,
    label_noise: str = "uniform",
    matrix: np.ndarray | None = None,
) -> Any:
    """`corrupt_labels` in TensorFlow: integer tensors [N] in, int32 [N] out."""
    import tensorflow as tf

    whether, what = threefry.bits_tf(seed, Stream.LABEL, SplitId.TRAIN, index)
    labels, what = tf.cast(labels, tf.int64), tf.cast(what, tf.int64)

    def below(classes: Any) -> Any:
        return tf.bitwise.right_shift(what * classes, tf.constant(32, tf.int64))

    def of_matrix(matrix: np.ndarray) -> Any:
        bounds = tf.gather(tf.constant(matrix_bounds(matrix)), labels)
        return tf.reduce_sum(tf.cast(what[:, None] >= bounds, tf.int64), axis=1)

    kinds = {
        "uniform": lambda: below(num_classes),
        "exclude_true": lambda: (labels + 1 + below(num_classes - 1)) % num_classes,
        "pair_flip": lambda: (labels + 1) % num_classes,
    }
    drawn = kinds[label_noise]() if matrix is None else of_matrix(matrix)
    replaced = tf.cast(whether, tf.int64) < _threshold(corrupt)
    return tf.cast(tf.where(replaced, drawn, labels), tf.int32)


def expected_changed(corrupt: float, num_classes: int, label_noise: str = "uniform") -> float:
    """The expected fraction of labels that differ from the true ones: p(1 - 1/K) if uniform."""
    return corrupt * (1 - 1 / num_classes) if label_noise == "uniform" else corrupt

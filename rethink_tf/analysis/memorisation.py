"""Memorisation scores: does a network know an example only because it was trained on it?

    rethink-tf memorisation --model=mlp_1x512 --dataset=digits --models=400 --share=0.7

After Feldman and Zhang (2020), "What neural networks memorize and why". Many networks are trained,
each on a random part of the training set. The score of an example is the share of the networks
trained on it that predict its label, minus that share of the other networks. The influence of a
training example on a test example is the same difference for the prediction of the test example.

This module computes scores from matrices of right and wrong predictions; `subset_networks` trains.
Imports no TensorFlow.
"""

import dataclasses
from typing import Any

import numpy as np

# The thresholds of Feldman and Zhang's figures, for examples and for pairs.
LEAST_SCORE, LEAST_INFLUENCE = 0.25, 0.15
MOST_PAIRS = 100_000  # pairs that are kept: those with the largest influence
SCORES = "scores.npz"  # file of a run with the columns of `Scores`
_BLOCK = 1024  # training examples whose influence is computed at a time


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """The score of every example; NaN where every network, or none, was trained on it.

    Attributes:
        score: float64 [N], `inside` minus `outside`.
        standard_error: float64 [N], of the score, from the unbiased variance of right and wrong
            within each of the two groups of networks; NaN if a group has one network. It is 0 where
            all agree; more networks might not.
        inside, outside: float64 [N], how often the networks that were trained on the example, and
            the others, predict it as labelled.
        networks: int64 [N], how many were trained on it.
    """

    score: np.ndarray
    standard_error: np.ndarray
    inside: np.ndarray
    outside: np.ndarray
    networks: np.ndarray


def scores(trained: np.ndarray, right: np.ndarray) -> Scores:
    """The memorisation scores of N examples by K networks.

    Args:
        trained: bool [K, N], whether the network was trained on the example.
        right: bool [K, N], whether it predicts the example as labelled.
    """
    every = len(trained)
    networks = trained.sum(axis=0)
    inside = _share((trained & right).sum(axis=0), networks)
    outside = _share((~trained & right).sum(axis=0), every - networks)
    variance = _variance(inside, networks) + _variance(outside, every - networks)
    return Scores(inside - outside, np.sqrt(variance), inside, outside, networks)


def _share(count: np.ndarray, of: np.ndarray) -> np.ndarray:
    return np.divide(count, of, out=np.full(np.shape(count), np.nan), where=of > 0)


def _variance(share: np.ndarray, networks: np.ndarray) -> np.ndarray:
    """Of a mean of right (1) and wrong (0) over so many networks; NaN for fewer than two."""
    return _share(share * (1 - share), np.where(networks > 1, networks - 1, 0))


def influence_pairs(
    trained: np.ndarray,
    right: np.ndarray,
    score: np.ndarray,
    *,
    least_score: float = LEAST_SCORE,
    least_influence: float = LEAST_INFLUENCE,
) -> dict[str, np.ndarray]:
    """Pairs of a memorised training example and a test example that it helps to predict.

    Args:
        trained: bool [K, N].
        right: bool [K, M], whether the network predicts the test example right.
        score: float64 [N], of `scores`.
        least_score, least_influence: of a pair that is listed.

    Returns:
        `train` and `test`, int64 positions; `influence` and `standard_error`, float64: by falling
        influence, at most MOST_PAIRS; and `pairs`, int64 [], how many there are.
    """
    chosen = np.flatnonzero(score >= least_score)
    total = right.sum(axis=0, dtype=np.float64)
    parts: list[np.ndarray] = [np.zeros((4, 0))]
    count = 0
    for start in range(0, len(chosen), _BLOCK):
        rows = chosen[start : start + _BLOCK]
        networks = trained[:, rows].sum(axis=0)[:, None]
        # Whole numbers below 2**24: exact in float32.
        both = trained[:, rows].T.astype(np.float32) @ right.astype(np.float32)
        inside = _share(both, np.broadcast_to(networks, both.shape))
        others = np.broadcast_to(len(trained) - networks, both.shape)
        outside = _share(total - both, others)
        influence = inside - outside
        train, test = np.nonzero(influence >= least_influence)
        count += len(train)
        own, other = np.broadcast_to(networks, both.shape)[train, test], others[train, test]
        variance = _variance(inside[train, test], own) + _variance(outside[train, test], other)
        columns = rows[train], test, influence[train, test], np.sqrt(variance)
        parts.append(np.stack(columns))
    train, test, influence, error = np.concatenate(parts, axis=1)
    order = np.argsort(-influence, kind="stable")[:MOST_PAIRS]
    return {
        "train": train[order].astype(np.int64),
        "test": test[order].astype(np.int64),
        "influence": influence[order],
        "standard_error": error[order],
        "pairs": np.array(count),
    }


def reliability(trained: np.ndarray, right: np.ndarray) -> dict[str, float | None]:
    """How well the scores of one half of the networks predict those of the other half.

    Args:
        trained, right: see `scores`; even and odd networks are the halves.

    Returns:
        `halves`, the correlation over examples that have both scores; `all`, what it would be for
        two sets of as many networks as there are (Spearman and Brown); `mean_difference`, of the
        absolute difference of the halves. None where it is not defined.
    """
    first, second = (scores(trained[half::2], right[half::2]).score for half in (0, 1))
    both = np.isfinite(first) & np.isfinite(second)
    first, second = first[both], second[both]
    if len(first) < 2 or not (first.std() > 0 and second.std() > 0):
        return dict.fromkeys(("halves", "all", "mean_difference"))
    halves = float(np.corrcoef(first, second)[0, 1])
    return {
        "halves": halves,
        "all": 2 * halves / (1 + halves) if halves > -1 else None,
        "mean_difference": float(np.abs(first - second).mean()),
    }


def summary(
    scores: Scores, trained: np.ndarray, right: np.ndarray, noisy: np.ndarray, least_score: float
) -> dict[str, Any]:
    """The summary of the scores of a training set, as plain values.

    Args:
        scores: of `scores`.
        trained, right: see `scores`.
        noisy: bool [N], whether the given label is not the true one.
        least_score: of an example that counts as memorised.

    Returns:
        `score`, `memorised` (share of scores of at least `least_score`), `inside` and `outside`:
        means over `all`, `clean` and `noisy` examples that have a score, None where there is none;
        `standard_error`, the median; `without_score`, a number of examples; `reliability`.
    """
    has = np.isfinite(scores.score)
    parts = {"all": has, "clean": has & ~noisy, "noisy": has & noisy}
    columns = {
        "score": scores.score,
        "memorised": scores.score >= least_score,
        "inside": scores.inside,
        "outside": scores.outside,
    }
    means = {
        name: {part: float(v[rows].mean()) if rows.any() else None for part, rows in parts.items()}
        for name, v in columns.items()
    }
    errors = scores.standard_error[np.isfinite(scores.standard_error)]
    return {
        **means,
        "standard_error": float(np.median(errors)) if len(errors) else None,
        "without_score": int((~has).sum()),
        "reliability": reliability(trained, right),
    }

"""Theorem 1: a two-layer ReLU network with 2n + d weights fits any n labels in d dimensions.

    rethink-tf expressivity --dataset=cifar10

The proof of the paper's section 4 and Appendix C is a recipe, and this follows it: project all
points on one direction, sort, put a threshold before each, solve a triangular system.
`memorise(x, y)` gives the network for any arrays; with `depth` above 2 it is Corollary 1's.
Everything is float64. Imports TensorFlow only to make the network.
"""

import dataclasses
from hashlib import blake2b

import numpy as np

from rethink_tf.errors import RequestError

# Entries of the direction are multiples of this. Projections of whole-numbered pixels are then
# exact sums, whatever the order of the additions.
GRID = 2.0**-28
DRAWS = 16  # directions tried; used is the one whose closest two projections are farthest apart


@dataclasses.dataclass(frozen=True)
class Interpolant:
    """c(z) = sum over j of w_j max(<a, z> - b_j, 0), the network of Theorem 1.

    Attributes:
        a: float64 [d], the direction.
        b: float64 [n], ascending thresholds.
        w: float64 [n].
        t: float64 [n], the projections of the points, ascending; b_j < t_j <= b_{j+1}.
        slope: float64 [n], of c between b_j and b_{j+1}: the sums of w.
        y: float64 [n], the labels in this order.
    """

    a: np.ndarray
    b: np.ndarray
    w: np.ndarray
    t: np.ndarray
    slope: np.ndarray
    y: np.ndarray


def interpolate(x, y, *, seed: int = 0, place: float = 0.0) -> Interpolant:
    """The weights of Theorem 1 for n points and any labels.

    The triangular system A w = y with A_ij = max(t_i - b_j, 0) is solved by forward substitution on
    the slopes of c, in O(n); A is never formed.

    Args:
        x: real [n, ...], the points, all different.
        y: real [n], labels of any kind: classes, or numbers.
        seed: of the directions drawn.
        place: of each threshold between the projection before (0) and its own (1, not included).
            The paper asks for any strictly between; 0 is as good for the proof, has the largest
            diagonal, and loses far fewer digits than the middle, 0.5.

    Raises:
        RequestError: shapes do not match, a number is not finite, or two points are equal.
    """
    x, y = _checked(x, y)
    if not 0 <= place < 1:
        raise RequestError(f"place: expected a number from 0 to below 1, received {place}")
    a, t = _direction(x, seed)
    order = np.argsort(t)
    t, y = t[order], y[order]
    gaps = np.diff(t)
    first = np.ceil(gaps.mean() / GRID) * GRID if len(gaps) else 1.0
    first = max(first, np.spacing(abs(t[0])))
    b = np.concatenate([[t[0] - first], t[:-1] + place * gaps])
    slope = _slopes(t, b, y)
    return Interpolant(a, b, np.diff(slope, prepend=0.0), t, slope, y)


def _slopes(t, b, y) -> np.ndarray:
    """Forward substitution: the slope after b_i follows from all before it."""
    if np.array_equal(b[1:], t[:-1]):
        return np.diff(y, prepend=0.0) / (t - b)
    slope, before, at = np.empty_like(t), 0.0, b[0]
    value = 0.0  # value of c at `at`
    for i in range(len(t)):
        value += before * (b[i] - at)
        at = b[i]
        slope[i] = before = (y[i] - value) / (t[i] - b[i])
    return slope


def _checked(x, y) -> tuple[np.ndarray, np.ndarray]:
    """Points float64 [n, d] and labels float64 [n], all different, all finite."""
    try:
        x, y = np.asarray(x), np.asarray(y)
    except ValueError:  # rows of different lengths
        raise RequestError(
            "memorise: expected arrays, received lists of different lengths"
        ) from None
    if x.ndim < 1 or x.size == 0 or y.shape != x.shape[:1]:
        raise RequestError(
            "memorise: expected points [n, ...] and one label for each, [n]; received "
            f"{list(x.shape)} and {list(y.shape)}"
        )
    if x.dtype.kind not in "biuf" or y.dtype.kind not in "biuf":
        raise RequestError(f"memorise: expected real numbers, received {x.dtype} and {y.dtype}")
    x = x.reshape(len(x), -1).astype(np.float64) + 0.0  # -0.0 becomes 0.0
    y = y.astype(np.float64)
    for name, array in (("points", x), ("labels", y)):
        if not np.isfinite(array).all():
            raise RequestError(f"memorise: expected finite {name}, found NaN or infinity")
    refuse_duplicates(x, y)
    return x, y


def refuse_duplicates(x: np.ndarray, y: np.ndarray) -> None:
    """Refuses equal points [n, d]: no function of a point can tell them apart (RequestError)."""
    if x.shape[1] == 1 and len(np.unique(x)) == len(x):  # much faster in one dimension
        return
    seen: dict[bytes, int] = {}
    places = [seen.setdefault(blake2b(row.tobytes()).digest(), i) for i, row in enumerate(x)]
    repeated = np.flatnonzero(np.array(places) != np.arange(len(x)))
    if not len(repeated):
        return
    again, before = int(repeated[0]), places[repeated[0]]
    raise RequestError(
        f"memorise: expected {len(x)} different points, {len(repeated)} are repetitions; first, "
        f"points {before} and {again} are equal, with labels {y[before]:g} and {y[again]:g}; keep "
        "one of each"
    )


def _direction(x: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The direction of several that separates best, and the projections on it."""
    draw, best, widest = np.random.default_rng(seed), None, 0.0
    # In one dimension all directions are equivalent.
    for _ in range(DRAWS if x.shape[1] > 1 else 1):
        a = np.round(draw.standard_normal(x.shape[1]) / GRID) * GRID
        t = x @ a
        gap = np.diff(np.sort(t)).min() if len(t) > 1 else np.inf
        if np.isfinite(t).all() and gap > widest:
            best, widest = (a, t), gap
    if best is None:
        raise RequestError(
            f"memorise: in float64, none of {DRAWS} directions separates these {len(x)} points; "
            "scale their features to a similar range, or use fewer points"
        )
    return best


def memorise(x, y, *, depth: int = 2, seed: int = 0):
    """A ReLU network that gives every point its label: Theorem 1, or Corollary 1 with more layers.

    Args:
        x: real [n, ...], the points, all different; d numbers each.
        y: real [n], labels of any kind.
        depth: 2 for Theorem 1: n hidden units, exactly 2n + d weights. k for Corollary 1: k - 1
            hidden layers of at most ceil(n / (k - 1)) + 3 units, 2n + d + 2(k - 1) weights.
        seed: of the directions drawn.

    Returns:
        A functional keras.Model in float64, from points [B, ...] to labels [B, 1].

    Raises:
        RequestError: shapes do not match, a number is not finite, or two points are equal.
    """
    interpolant = interpolate(x, y, seed=seed)
    x = np.asarray(x)
    if not 2 <= depth <= len(interpolant.t) + 1:
        raise RequestError(
            f"depth: expected from 2 to n + 1 = {len(interpolant.t) + 1} layers, received {depth}"
        )
    from rethink_tf.theory import memorising

    if depth == 2:
        return memorising.shallow(x.shape[1:], interpolant)
    return memorising.deep(x.shape[1:], interpolant, hidden=depth - 1)


def values(interpolant: Interpolant, t: np.ndarray) -> np.ndarray:
    """c at projections t [m], as the network sums it: float64 [m], in blocks of 64 MB."""
    rows = max(1, 2**23 // len(interpolant.b))
    parts = (t[s : s + rows, None] - interpolant.b for s in range(0, len(t), rows))
    return np.concatenate([np.maximum(part, 0.0) @ interpolant.w for part in parts])


def conditioning(interpolant: Interpolant, dense: int = 2000) -> dict[str, float | None]:
    """How well the system is posed.

    Args:
        interpolant: the weights.
        dense: largest n for which the condition number is computed, from A as a whole.

    Returns:
        `smallest_eigenvalue` of A, min_i (t_i - b_i), and `largest`; `condition`, the ratio of A's
        singular values (None above `dense`); `digits_lost`, log10 of the largest sum of the terms'
        absolute values over the largest label: c is a sum of numbers so much larger than itself.
    """
    diagonal = interpolant.t - interpolant.b
    reach = (
        np.abs(interpolant.w).cumsum() * interpolant.t
        - (np.abs(interpolant.w) * interpolant.b).cumsum()
    )
    scale = max(np.abs(interpolant.y).max(), np.finfo(float).tiny)
    condition = None
    if len(interpolant.t) <= dense:
        singular = np.linalg.svd(
            np.maximum(interpolant.t[:, None] - interpolant.b, 0.0), compute_uv=False
        )
        condition = float(singular[0] / singular[-1])
    return {
        "smallest_eigenvalue": float(diagonal.min()),
        "largest_eigenvalue": float(diagonal.max()),
        "condition": condition,
        "digits_lost": float(np.log10(max(reach.max() / scale, 1.0))),
    }

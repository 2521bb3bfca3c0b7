"""The prediction of the kernel interpolant for each example, solved without that example.

    rethink-tf leave-one-out --dataset=fashion_mnist

No refit is needed. With alpha = (K + ridge I)^-1 y and d the diagonal of that inverse, the solution
without example i misses its target by y_i - f_without_i(x_i) = alpha_i / d_i, and at any x it
differs from the solution of all examples by alpha_i / d_i times entry i of (K + ridge I)^-1 k_x.
Both are exact. d is the sum of squares of each column of L^-1, which is made block column by block
column beside the factor L: n**3 / 3 multiplications and additions, as many as L took. Neither d nor
the second inverse depends on the labels, so other labels cost one solve.
"""

import dataclasses
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg import blas

from rethink_tf.theory.kernels import cholesky, gram, interpolate, minimum_norm
from rethink_tf.theory.kernels.gram import Gram, Kernel
from rethink_tf.theory.kernels.minimum_norm import Factor, Solution

TEST_POINTS = 1024  # test points that are solved for at a time
PROBES = 8  # examples whose diagonal entry is checked by a solve in float64
Progress = Callable[[str, float], object]


@dataclasses.dataclass(frozen=True, eq=False)
class LeftOut:
    """The solution of all examples beside the n solutions without one of them.

    Attributes:
        solution: of all examples; where equal examples were merged, of the different ones.
        fitted: float64 [n, k], f(x_i).
        predicted: float64 [n, k], f_without_i(x_i).
        stability: float64 [n], the largest |f(x) - f_without_i(x)| over test points and outputs.
        groups: positions of examples that are equal for the kernel, ascending, a list a group.
        diagonal_error: the largest relative error of d over PROBES examples, those with the
            largest entries among them, against float64.
        seconds: `factor`, `diagonal`, `refine`, `predict`, `stability`.
    """

    solution: Solution
    fitted: np.ndarray
    predicted: np.ndarray
    stability: np.ndarray
    groups: list[list[int]]
    diagonal_error: float
    seconds: dict[str, float]


def margins(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The value at the label less the largest other: [n, k] and integer [n] -> [n]."""
    rows = np.arange(len(labels))
    others = values.copy()
    others[rows, labels] = -np.inf
    return values[rows, labels] - others.max(axis=1)


def memorised(found: LeftOut, labels: np.ndarray) -> np.ndarray:
    """Which examples are predicted as labelled with them in the training set and not without.

    Args:
        found: of `leave_one_out`.
        labels: integer [n], as given.

    Returns:
        bool [n].
    """
    fitted, without = (v.argmax(axis=1) == labels for v in (found.fitted, found.predicted))
    return fitted & ~without


def inverse_diagonal(factor: Factor, progress: Progress = lambda stage, share: None) -> np.ndarray:
    """The diagonal of (L L^T)^-1: float64 [n], of a factor in whatever precision.

    Args:
        factor: its rows; finished block columns are read from and kept beside them.
        progress: gets `diagonal of the inverse` and the share of it that is done.
    """
    blocks, rows, kept = factor.blocks, factor.rows, factor.kept
    n = rows[-1][1]
    diagonal, done = np.empty(n), 0
    for column, (start, stop) in enumerate(rows):
        name = f"diagonal_{column:04d}"
        found = kept.load_part(name)
        if found is None:
            found = {"diagonal": _squared_columns(blocks, rows, column)}
            kept.keep_part(name, found)
        diagonal[start:stop] = found["diagonal"]
        done += (n - start) ** 3 - (n - stop) ** 3
        progress("diagonal of the inverse", done / n**3)
    return diagonal


def _squared_columns(blocks: list[np.ndarray], rows, column: int) -> np.ndarray:
    """The sum of squares of each column of one block column of L^-1: float64 [b]."""
    triangular_solve = blas.get_blas_funcs("trsm", [blocks[0]])
    start, stop = rows[column]
    inverse = np.empty((rows[-1][1] - start, stop - start), blocks[0].dtype)
    total = np.zeros(stop - start)
    for (first, last), row in zip(rows[column:], blocks[column:], strict=True):
        if first == start:
            right = np.eye(stop - start, dtype=inverse.dtype)
        else:
            right = -(row[:, start:first] @ inverse[: first - start])
        # The transpose is in Fortran order, as BLAS wants.
        part = triangular_solve(1.0, row[:, first:].T, right, trans_a=1)
        inverse[first - start : last - start] = part
        total += np.square(part, dtype=np.float64).sum(axis=0)
    return total


def reach(
    factor: Factor, matrix: Gram, name: str = "test", progress: Progress = lambda stage, share: None
) -> np.ndarray:
    """How far each example's dual direction reaches: the largest |((K + ridge I)^-1 k_x)_i| over x.

    Args:
        factor: of this matrix.
        matrix: the Gram, its test points the x.
        name: of the test points, under which finished parts are kept beside the factor.
        progress: gets `stability` and the share of it that is done.

    Returns:
        float64 [n].
    """
    dtype = factor.blocks[0].dtype.type
    largest = np.zeros(matrix.n)
    for start in range(0, matrix.m, TEST_POINTS):
        here = (start, min(start + TEST_POINTS, matrix.m))
        part = f"reach_{name}_{start:06d}"
        found = factor.kept.load_part(part)
        if found is None:
            vectors = np.empty((matrix.n, here[1] - here[0]), dtype)
            for there in factor.rows:
                vectors[slice(*there)] = matrix.test_tile(here, there, np.float64).T
            solved = cholesky.solve(factor.blocks, vectors)
            found = {"largest": np.abs(solved, out=solved).max(axis=1).astype(np.float64)}
            factor.kept.keep_part(part, found)
        np.maximum(largest, found["largest"], out=largest)
        progress("stability", here[1] / matrix.m)
    return largest


def equal_rows(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows of [n, d] are equal.

    Returns:
        int64 [u], the first row of each kind, ascending; and int64 [n], each row's kind.
    """
    first: dict[bytes, int] = {}
    kinds = np.empty(len(features), np.int64)
    # -0.0 becomes 0.0, which has other bytes.
    for i, row in enumerate(np.ascontiguousarray(features + 0.0)):
        kinds[i] = first.setdefault(hashlib.blake2b(row.data, digest_size=16).digest(), len(first))
    _, rows = np.unique(kinds, return_index=True)
    return rows, kinds


@dataclasses.dataclass(frozen=True, eq=False)
class _Points:
    """What is solved for: the examples, or the different ones where equal examples are merged.

    Attributes:
        features: float32 [u, d].
        targets: float64 [u, k], the means over equal examples.
        of_example: int64 [n], the point of each example.
        sizes: int64 [u], the number of examples of each point.
    """

    features: np.ndarray
    targets: np.ndarray
    of_example: np.ndarray
    sizes: np.ndarray


def _points(
    train: np.ndarray, targets: np.ndarray, first: np.ndarray, kinds: np.ndarray, merge: bool
) -> _Points:
    """The points of examples; `first` and `kinds` are of `equal_rows`."""
    if not merge or len(first) == len(train):
        return _Points(train, targets, np.arange(len(train)), np.ones(len(train), np.int64))
    sizes = np.bincount(kinds)
    means = np.zeros((len(first), targets.shape[1]))
    np.add.at(means, kinds, targets)
    return _Points(train[first], means / sizes[:, None], kinds, sizes)


def leave_one_out(
    train: np.ndarray,
    test: np.ndarray,
    targets: np.ndarray,
    kernel: Kernel,
    *,
    tolerance: float = 1e-6,
    refinements: int = 10,
    cache: Path | None = None,
    product: Callable = gram.product_on_host,
    progress: Progress = lambda stage, share: None,
    **options: Any,
) -> LeftOut:
    """The n solutions without one example, from one factor.

    Without ridge, equal examples are one point whose target is the mean of theirs: the limit of
    vanishing ridge, and the least-squares solution of minimum norm. An example with an equal one is
    then predicted by the mean target of those that are equal to it.

    Args:
        train: float32 [n, d].
        test: float32 [m, d], the points at which the stability is taken.
        targets: float64 [n, k].
        kernel: of the features.
        tolerance, refinements: see `minimum_norm.solve_with`.
        cache: folder of kept factors, see `interpolate.factor_folder`; the diagonal of the inverse
            and the reach are kept beside the factor's rows.
        product: see `gram.of_features`.
        progress: gets a stage and the share of it that is done.
        options: ridge, dtype, block, eliminate and report of `minimum_norm.factorise`.

    Raises:
        RequestError: see `minimum_norm.factorise`.
    """
    first, kinds = equal_rows(train)
    points = _points(train, targets, first, kinds, merge=options.get("ridge", 0) == 0)
    matrix = gram.holding(gram.of_features(points.features, test, kernel, product))
    if cache is not None:
        facts = {name: value for name, value in options.items() if name != "report"}
        cache = interpolate.factor_folder(cache, points.features, kernel, **facts)
    factor = minimum_norm.factorise(matrix, cache=cache, progress=progress, **options)
    began = time.perf_counter()
    diagonal = inverse_diagonal(factor, progress)
    seconds = {"diagonal": time.perf_counter() - began}
    refinement = {"tolerance": tolerance, "refinements": refinements, "progress": progress}
    solution, error = _solve_with_probes(factor, matrix, points.targets, diagonal, refinement)
    began = time.perf_counter()
    name = hashlib.sha256(np.ascontiguousarray(test).data).hexdigest()[:12]
    largest = reach(factor, matrix, name, progress)
    seconds = solution.seconds | seconds | {"stability": time.perf_counter() - began}
    values = _of_examples(points, targets, solution, diagonal, largest)
    groups = [np.flatnonzero(kinds == k).tolist() for k in np.flatnonzero(np.bincount(kinds) > 1)]
    return LeftOut(solution, *values, groups, error, seconds)


def _of_examples(
    points: _Points,
    targets: np.ndarray,
    solution: Solution,
    diagonal: np.ndarray,
    largest: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`fitted`, `predicted` and `stability` of `LeftOut`, of each example.

    Args:
        points: that were solved for.
        targets: float64 [n, k], of the examples.
        solution: of the points.
        diagonal: of their inverse, [u].
        largest: their `reach`, [u].
    """
    kinds = points.of_example
    miss = (solution.alpha / diagonal[:, None])[kinds]
    mean, several = points.targets[kinds], points.sizes[kinds] > 1
    predicted = mean - miss
    # Leaving out one of several equal examples keeps the point, but changes its mean target.
    change = (targets[several] - mean[several]) / (points.sizes[kinds][several, None] - 1)
    miss[several] = change
    predicted[several] = mean[several] - change
    stability = np.abs(miss).max(axis=1) * largest[kinds]
    return solution.fitted[kinds], predicted, stability


def _solve_with_probes(
    factor: Factor, matrix: Gram, targets: np.ndarray, diagonal: np.ndarray, options: dict[str, Any]
) -> tuple[Solution, float]:
    """The solution, and the largest relative error of the diagonal at a few examples.

    Entries of the diagonal are solved for as further right-hand sides, so that they cost no further
    pass over K. Half of the examples are those of the largest entries, of which rounding takes
    most.
    """
    n, outputs = targets.shape
    count = min(PROBES, n)
    spread = np.arange(count // 2) * n // max(1, count // 2)
    probes = np.unique([*spread, *np.argsort(diagonal)[n - (count - count // 2) :]])
    # As long as the targets, since the residual is computed over all columns together.
    scale = np.linalg.norm(targets) or 1.0
    units = np.zeros((n, len(probes)))
    units[probes, np.arange(len(probes))] = scale
    found = minimum_norm.solve_with(factor, matrix, np.hstack([targets, units]), **options)
    exact = found.alpha[probes, outputs + np.arange(len(probes))] / scale
    error = float(np.abs(diagonal[probes] / exact - 1).max())
    columns = {name: getattr(found, name)[:, :outputs] for name in ("alpha", "fitted", "predicted")}
    return dataclasses.replace(found, **columns), error


def stability(found: LeftOut) -> dict[str, float]:
    """Over the examples that are left out, of the largest change of any test prediction.

    Each is a lower bound of the uniform stability of section 2.2 for the absolute loss of one
    output, which is a supremum over training sets and points.

    Returns:
        `largest`, `percentile_99`, `mean`.
    """
    return {
        "largest": float(found.stability.max()),
        "percentile_99": float(np.percentile(found.stability, 99)),
        "mean": float(found.stability.mean()),
    }


def memory_of(n: int, m: int, d: int, dtype: str, block: int | None = None) -> dict[str, int]:
    """Bytes that `leave_one_out` takes at its peak, by what takes them; as `interpolate.memory_of`.

    The block column of the inverse and the kernel vectors of test points come after each other, and
    after the tiles of the factor. Five times their size: with three, 8.36 GB were stated for 60,000
    examples where the whole process, its libraries included, took 9.56 GB.
    """
    parts = interpolate.memory_of(n, m, d, dtype, block)
    size, height = np.dtype(dtype).itemsize, cholesky.block_rows(n, block)[0][1]
    parts["block columns"] = 5 * n * max(height, min(m, TEST_POINTS)) * size
    return parts

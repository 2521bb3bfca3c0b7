"""The minimum-norm interpolant of section 5: alpha with K alpha = y, and its norms and errors."""

import dataclasses
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rethink_tf.errors import RequestError
from rethink_tf.storage import array_cache
from rethink_tf.theory.kernels import cholesky, gram
from rethink_tf.theory.kernels.gram import Gram

DTYPES = {"float32": np.float32, "float64": np.float64}


@dataclasses.dataclass(frozen=True, eq=False)
class Solution:
    """What solving (K + ridge I) alpha = y gave.

    Attributes:
        alpha: float64 [n, k], the coefficients of the kernel functions.
        fitted: float64 [n, k], K alpha on the training points.
        predicted: float64 [m, k], on the test points.
        ridge: the ridge.
        residuals: relative residual |y - (K + ridge I) alpha| / |y| of the unrefined solution, of
            each refinement step, and as computed anew at the end.
        shift: the largest shift that the factor took; the solution is of the unshifted matrix.
        seconds: of `factor` (kernel matrix included), `refine`, `predict`.
        new_flops: of the part of the factorisation that was not read from disk.
    """

    alpha: np.ndarray
    fitted: np.ndarray
    predicted: np.ndarray
    ridge: float
    residuals: list[float]
    shift: float
    seconds: dict[str, float]
    new_flops: int


def one_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Targets of 0 and 1, not centred: float64 [n, num_classes]."""
    return np.eye(num_classes)[labels]


def errors(values: np.ndarray, labels: np.ndarray) -> float:
    """The fraction of rows [n, k] whose largest value is not at the label."""
    return float(np.mean(values.argmax(axis=1) != labels))


def norms(solution: Solution) -> dict[str, float | list[float]]:
    """The l2 norm of the solution under each definition in use.

    The paper says "l2 norm" and neither of which vector nor how classes are summed.

    Returns:
        `all_classes`: sqrt(sum over classes of alpha' K alpha), of the weights of all classes
        taken as one vector in feature space; `class_mean`, `class_largest` and `each_class`: of
        sqrt(alpha' K alpha), one class by itself; `coefficients`: |alpha|, all classes.
    """
    squared = np.einsum("nk,nk->k", solution.alpha, solution.fitted)
    each = np.sqrt(np.maximum(squared, 0))  # rounding may leave a zero below zero
    return {
        "all_classes": float(np.sqrt(each @ each)),
        "class_mean": float(each.mean()),
        "class_largest": float(each.max()),
        "each_class": each.tolist(),
        "coefficients": float(np.linalg.norm(solution.alpha)),
    }


def solve(
    matrix: Gram,
    targets: np.ndarray,
    *,
    ridge: float = 0.0,
    dtype: str = "float32",
    block: int | None = None,
    rows: list[tuple[int, int]] | None = None,
    tolerance: float = 1e-6,
    refinements: int = 10,
    eliminate: Callable[[np.ndarray, list[np.ndarray]], float] = cholesky.eliminate_on_host,
    cache: Path | None = None,
    report: Callable[[str], object] = lambda line: None,
    progress: Callable[[str, float], object] = lambda stage, share: None,
) -> Solution:
    """Solves (K + ridge I) alpha = y: for ridge 0 the interpolant of minimum norm.

    Args:
        matrix: the Gram.
        targets: float64 [n, k].
        ridge: at least 0, added to the diagonal as it is (not times n).
        dtype: of the factor; residuals and coefficients are float64 whatever it is.
        block: rows of a block; None chooses.
        rows: the block rows themselves, where the matrix has its own.
        tolerance, refinements: of `refinement.refine`; the tolerance is relative to |y|.
        eliminate: see `cholesky.factorise`.
        cache: folder that keeps the factor's rows, of this very K, ridge, dtype and block.
        report: gets a line where the cache is damaged or cannot be written.
        progress: gets a stage (`factor`, `residual`, `test set`) and the share of it that is done.

    Raises:
        RequestError: K has no inverse and ridge is 0, or K is not positive definite.
    """
    n = matrix.n
    if targets.ndim != 2 or len(targets) != n:
        raise ValueError(f"targets: expected [{n}, k], got {list(targets.shape)}")
    if ridge == 0 and matrix.rank < n:
        raise RequestError(
            f"--ridge: expected more than 0, since {matrix.rank} features cannot interpolate "
            f"{n} examples; type --ridge=1, or --examples={matrix.rank}"
        )
    rows = rows or cholesky.block_rows(n, block)
    kept = _Kept(cache, report)
    began = time.perf_counter()
    factor, shift = _factor(matrix, rows, dtype, ridge, eliminate, kept, progress)
    seconds = {"factor": time.perf_counter() - began}
    began = time.perf_counter()
    alpha, residual, history = _refined(
        matrix, rows, factor, targets, ridge, tolerance, refinements, progress
    )
    seconds["refine"] = time.perf_counter() - began
    began = time.perf_counter()
    predicted = gram.test_times(matrix, rows, alpha, lambda share: progress("test set", share))
    seconds["predict"] = time.perf_counter() - began
    fitted = targets - residual - ridge * alpha
    flops = (n**3 - kept.cubes) // 3
    return Solution(alpha, fitted, predicted, ridge, history, shift, seconds, flops)


def _factor(matrix: Gram, rows, dtype: str, ridge: float, eliminate, kept: "_Kept", progress):
    """The Cholesky factor of K + ridge I by block rows, and the largest shift that it took."""
    whole = max(1, matrix.n**3 // 3)
    try:
        return cholesky.factorise(
            rows,
            lambda i: gram.block_row(matrix, rows, i, DTYPES[dtype], ridge),
            eliminate=eliminate,
            load=kept.load,
            keep=kept.keep,
            progress=lambda flops: progress("factor", flops / whole),
        )
    except cholesky.NotPositiveDefinite:
        raise RequestError(
            f"--ridge: the kernel matrix is not positive definite in {dtype} (features that "
            "overflow, or far fewer directions than examples); type --ridge=1 or --dtype=float64"
        ) from None


def _refined(
    matrix: Gram, rows, factor, targets: np.ndarray, ridge: float, tolerance, refinements, progress
):
    """Coefficients, last residual and its history, of the system itself and not of the factor."""
    from rethink_tf.theory.kernels import refinement

    def times(x):
        share = lambda done: progress("residual", done)  # noqa: E731
        return gram.times(matrix, rows, x, share) + ridge * x

    return refinement.refine(
        times,
        lambda right: cholesky.solve(factor, right),
        targets,
        tolerance=tolerance,
        most=refinements,
    )


class _Kept:
    """The factor's rows on disk: each written whole or not at all, and checked when read."""

    def __init__(self, folder: Path | None, report):
        self.folder, self.report = folder, report
        self.cubes = 0  # three times the flops that the rows on disk saved

    def load(self, i: int) -> tuple[np.ndarray, float] | None:
        if self.folder is None:
            return None
        entry = self.folder / f"row_{i:04d}"
        try:
            found = array_cache.load(entry)
        except (array_cache.DamagedCache, OSError) as error:
            self.report(f"a row of the kept factor is damaged and is made again ({error})")
            shutil.rmtree(entry, ignore_errors=True)
            return None
        if found is None:
            return None
        row = found["row"]
        self.cubes += row.shape[1] ** 3 - (row.shape[1] - len(row)) ** 3
        return row, float(found["shift"])

    def keep(self, i: int, row: np.ndarray, shift: float) -> None:
        if self.folder is None:
            return
        try:
            array_cache.store(self.folder / f"row_{i:04d}", {"row": row, "shift": np.array(shift)})
        except OSError as error:
            self.report(
                f"cannot keep the factor in {self.folder} ({error}); without it an "
                "interrupted solve starts over; type --cache_dir=DIR with room for it"
            )
            self.folder = None

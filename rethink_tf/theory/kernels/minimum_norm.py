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
    each = np.sqrt(np.maximum(squared, 0))  # rounding may make a zero negative
    return {
        "all_classes": float(np.sqrt(each @ each)),
        "class_mean": float(each.mean()),
        "class_largest": float(each.max()),
        "each_class": each.tolist(),
        "coefficients": float(np.linalg.norm(solution.alpha)),
    }


@dataclasses.dataclass(frozen=True, eq=False)
class Factor:
    """The Cholesky factor of K + ridge I, and what it took to make.

    Attributes:
        blocks: block rows of L, as `cholesky.factorise` returns them.
        rows: first and one past the last row of each block row.
        ridge: the ridge.
        shift: the largest shift of a diagonal block; 0.0 where it took none.
        seconds: of making or reading it, kernel matrix included.
        new_flops: of the part that was not read from disk.
        kept: what lies on disk beside its rows.
    """

    blocks: list[np.ndarray]
    rows: list[tuple[int, int]]
    ridge: float
    shift: float
    seconds: float
    new_flops: int
    kept: "Kept"


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
        ridge, dtype, block, rows, eliminate, cache, report: see `factorise`.
        tolerance, refinements: see `solve_with`.
        progress: gets a stage (`factor`, `residual`, `test set`) and the share of it that is done.

    Raises:
        RequestError: K has no inverse and ridge is 0, or K is not positive definite.
    """
    _require_targets(matrix, targets)
    matrix = gram.holding(matrix)
    factor = factorise(
        matrix,
        ridge=ridge,
        dtype=dtype,
        block=block,
        rows=rows,
        eliminate=eliminate,
        cache=cache,
        report=report,
        progress=progress,
    )
    return solve_with(
        factor, matrix, targets, tolerance=tolerance, refinements=refinements, progress=progress
    )


def _require_targets(matrix: Gram, targets: np.ndarray) -> None:
    if targets.ndim != 2 or len(targets) != matrix.n:
        raise ValueError(f"targets: expected [{matrix.n}, k], got {list(targets.shape)}")


def factorise(
    matrix: Gram,
    *,
    ridge: float = 0.0,
    dtype: str = "float32",
    block: int | None = None,
    rows: list[tuple[int, int]] | None = None,
    eliminate: Callable[[np.ndarray, list[np.ndarray]], float] = cholesky.eliminate_on_host,
    cache: Path | None = None,
    report: Callable[[str], object] = lambda line: None,
    progress: Callable[[str, float], object] = lambda stage, share: None,
) -> Factor:
    """The factor of K + ridge I, of which no label is a part.

    Args:
        matrix: the Gram.
        ridge: at least 0, added to the diagonal as it is (not times n).
        dtype: of the factor.
        block: rows of a block; None chooses.
        rows: the block rows themselves, where the matrix has its own.
        eliminate: see `cholesky.factorise`.
        cache: folder that keeps the factor's rows, of this very K, ridge, dtype and block.
        report: gets a line where the cache is damaged or cannot be written.
        progress: gets the stage `factor` and the share of it that is done.

    Raises:
        RequestError: K has no inverse and ridge is 0, or K is not positive definite.
    """
    n = matrix.n
    if ridge == 0 and matrix.rank < n:
        raise RequestError(
            f"--ridge: expected more than 0, since {matrix.rank} features cannot interpolate "
            f"{n} examples; type --ridge=1, or --examples={matrix.rank}"
        )
    rows = rows or cholesky.block_rows(n, block)
    kept = Kept(cache, report)
    began = time.perf_counter()
    try:
        blocks, shift = cholesky.factorise(
            rows,
            lambda i: gram.block_row(matrix, rows, i, DTYPES[dtype], ridge),
            eliminate=eliminate,
            load=kept.load,
            keep=kept.keep,
            progress=lambda flops: progress("factor", flops / max(1, n**3 // 3)),
        )
    except cholesky.NotPositiveDefinite:
        raise RequestError(
            f"--ridge: the kernel matrix is not positive definite in {dtype} (features that "
            "overflow, or far fewer directions than examples); type --ridge=1 or --dtype=float64"
        ) from None
    seconds = time.perf_counter() - began
    return Factor(blocks, rows, ridge, shift, seconds, (n**3 - kept.cubes) // 3, kept)


def solve_with(
    factor: Factor,
    matrix: Gram,
    targets: np.ndarray,
    *,
    tolerance: float = 1e-6,
    refinements: int = 10,
    progress: Callable[[str, float], object] = lambda stage, share: None,
) -> Solution:
    """Solves (K + ridge I) alpha = y with a factor; residuals and coefficients are float64.

    Args:
        factor: of this matrix.
        matrix: the Gram.
        targets: float64 [n, k].
        tolerance, refinements: of `refinement.refine`; the tolerance is relative to |y|.
        progress: gets a stage and the share of it that is done: `residual`, before each refinement
            one that names the residual so far, `test set`.
    """
    from rethink_tf.theory.kernels import refinement

    _require_targets(matrix, targets)
    rows, ridge, seconds = factor.rows, factor.ridge, {"factor": factor.seconds}

    # What the next product is for, since each takes as long as the first.
    stage = "residual"

    def times(x):
        return gram.times(matrix, rows, x, lambda done: progress(stage, done)) + ridge * x

    def refined(step, residual):
        nonlocal stage
        stage = f"residual {residual:.0e} after {step} of at most {refinements} refinements; next"

    began = time.perf_counter()
    alpha, residual, history = refinement.refine(
        times,
        lambda right: cholesky.solve(factor.blocks, right),
        targets,
        tolerance=tolerance,
        most=refinements,
        progress=refined,
    )
    seconds["refine"] = time.perf_counter() - began
    began = time.perf_counter()
    predicted = gram.test_times(matrix, rows, alpha, lambda share: progress("test set", share))
    seconds["predict"] = time.perf_counter() - began
    fitted = targets - residual - ridge * alpha
    return Solution(
        alpha, fitted, predicted, ridge, history, factor.shift, seconds, factor.new_flops
    )


class Kept:
    """Parts of a solve on disk: each written whole or not at all, and checked when read.

    Args:
        folder: of this very K, ridge, dtype and block; None keeps nothing.
        report: gets a line where a part is damaged or cannot be written.
    """

    def __init__(self, folder: Path | None, report: Callable[[str], object]):
        self.folder, self.report = folder, report
        self.cubes = 0  # three times the operations that rows read from disk saved

    def load_part(self, name: str) -> dict[str, np.ndarray] | None:
        """The arrays of a part; None where it was not kept, or is damaged."""
        if self.folder is None:
            return None
        entry = self.folder / name
        try:
            return array_cache.load(entry)
        except (array_cache.DamagedCache, OSError) as error:
            self.report(f"a row of the kept factor is damaged and is computed again ({error})")
            shutil.rmtree(entry, ignore_errors=True)
            return None

    def keep_part(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Keeps the arrays of a part; where nothing can be written, the solve continues without."""
        if self.folder is None:
            return
        try:
            array_cache.store(self.folder / name, arrays)
        except OSError as error:
            self.report(
                f"cannot keep the factor in {self.folder} ({error}), so an interrupted solve "
                "starts over; type --cache_dir=DIR with enough space"
            )
            self.folder = None

    def load(self, i: int) -> tuple[np.ndarray, float] | None:
        """Row i of the factor and its shift, or None."""
        found = self.load_part(f"row_{i:04d}")
        if found is None:
            return None
        row = found["row"]
        self.cubes += row.shape[1] ** 3 - (row.shape[1] - len(row)) ** 3
        return row, float(found["shift"])

    def keep(self, i: int, row: np.ndarray, shift: float) -> None:
        """Keeps row i of the factor."""
        self.keep_part(f"row_{i:04d}", {"row": row, "shift": np.array(shift)})

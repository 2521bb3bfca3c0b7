"""Blocked Cholesky factorisation of a symmetric matrix of which only the lower half is ever held.

The matrix is a list of block rows: row i is one array [b, (i + 1) b], so 60,000 x 60,000 takes
7.3 GB in float32 and no array has 2**31 elements (LAPACK's 32-bit indices and TensorFlow's GPU
kernels fail beyond). A row is made, eliminated by the rows above and never touched again: it can
be kept on disk at once, and a later process resumes at the next row.
"""

from collections.abc import Callable

import numpy as np
from scipy.linalg import blas, lapack

# Relative to the mean diagonal; a larger shift would change the matrix too much.
LARGEST_SHIFT = 1e-2


class NotPositiveDefinite(Exception):
    """A diagonal block cannot be factorised, even shifted."""


def block_rows(n: int, block: int | None = None) -> list[tuple[int, int]]:
    """First and one past the last row of each block row; `block` None chooses the size by n."""
    # Large blocks multiply faster, but with few blocks most of the work is on the diagonal.
    block = block or min(1024, max(256, min(768, -(-n // 1024) * 192), -(-n // 3072) * 64))
    return [(start, min(start + block, n)) for start in range(0, n, block)]


def factorise(
    rows: list[tuple[int, int]],
    make_row: Callable[[int], np.ndarray],
    *,
    eliminate: Callable[[np.ndarray, list[np.ndarray]], float],
    load: Callable[[int], tuple[np.ndarray, float] | None] = lambda i: None,
    keep: Callable[[int, np.ndarray, float], object] = lambda i, row, shift: None,
    progress: Callable[[int], object] = lambda flops: None,
) -> tuple[list[np.ndarray], float]:
    """The lower factor L of K = L L^T, as block rows.

    Args:
        rows: of `block_rows`.
        make_row: makes block row i of K, a new C-contiguous array [b, stop], float32 or float64.
        eliminate: `eliminate_on_host` or a device's: turns row i of K into row i of L in place.
        load: row i of L and its shift if it was made before, else None.
        keep: gets each new row of L, and its shift.
        progress: gets the flops done so far, of n**3 / 3, after each row that is not loaded.

    Returns:
        The block rows of L; their parts above the diagonal are zero. And the largest shift of a
        diagonal block that it took, 0.0 where K was positive definite in this arithmetic: then L
        is the factor of a matrix near K, good for preconditioning.

    Raises:
        NotPositiveDefinite: it took a shift above LARGEST_SHIFT of the mean diagonal.
    """
    factor: list[np.ndarray] = []
    largest = 0.0
    for i, (_, stop) in enumerate(rows):
        made = load(i)
        if made is None:
            row = make_row(i)
            made = row, eliminate(row, factor)
            keep(i, *made)
            progress(stop**3 // 3)
        factor.append(made[0])
        largest = max(largest, made[1])
    return factor, largest


def eliminate_on_host(row: np.ndarray, factor: list[np.ndarray]) -> float:
    """Turns a block row of K into one of L, in place, by NumPy's and SciPy's BLAS.

    Returns:
        The shift of its diagonal block; 0.0 if it took none.
    """
    triangular_solve, add_square = blas.get_blas_funcs(("trsm", "syrk"), [row])
    height, width = len(row), row.shape[1]
    buffer = np.empty((height, len(factor[0]) if factor else 0), row.dtype)
    corner = np.array(row[:, width - height :])
    for above in factor:
        stop = above.shape[1]
        start = stop - len(above)
        part = row[:, start:stop]
        rest = buffer[:, : stop - start]
        np.matmul(row[:, :start], above[:, :start].T, out=rest)
        np.subtract(part, rest, out=rest)
        # L_ik L_kk^T = A, so L_kk L_ik^T = A^T. The transposes are in Fortran order, as BLAS wants.
        solved = triangular_solve(1.0, above[:, start:].T, rest.T, trans_a=1, overwrite_b=1)
        part[:] = solved.T
        # Updates the upper half of the transpose, which is the lower half of the corner.
        corner = add_square(-1.0, solved, beta=1.0, c=corner.T, trans=1, overwrite_c=1).T
    return factorise_corner(corner, row[:, width - height :], width)


def factorise_corner(corner: np.ndarray, out: np.ndarray, n: int) -> float:
    """Writes the lower factor of a diagonal block to `out`; returns the shift that it took.

    Args:
        corner: what is left of the block [b, b] after elimination; its lower half is read.
        out: the block before elimination; is overwritten.
        n: rows of the matrix up to the end of the block.
    """
    (potrf,) = lapack.get_lapack_funcs(["potrf"], [corner])
    scale, shift = float(np.mean(np.diag(out))), 0.0
    # A smaller pivot is only the rounding of sums of n terms, and all later rows divide by it.
    least = 2 * np.sqrt(n) * float(np.finfo(corner.dtype).eps) * scale
    while True:
        shifted = corner + shift * np.eye(len(corner), dtype=corner.dtype) if shift else corner
        # The transpose is in Fortran order. Clearing by LAPACK takes as long as the factorisation.
        upper, failed = potrf(shifted.T, lower=0, clean=0)
        if failed == 0 and np.diag(upper).min() ** 2 >= least:
            out[:] = np.tril(upper.T)
            return shift
        shift = 10 * shift or 10 * least
        if not np.isfinite(scale) or shift > LARGEST_SHIFT * scale:
            raise NotPositiveDefinite


def solve(factor: list[np.ndarray], right: np.ndarray) -> np.ndarray:
    """(L L^T)^-1 right, in the factor's arithmetic.

    Args:
        factor: block rows of L.
        right: [n, k].

    Returns:
        [n, k] in the factor's dtype.
    """
    triangular_solve = blas.get_blas_funcs("trsm", [factor[0]])
    x = np.array(right, factor[0].dtype)
    for row in factor:
        stop = row.shape[1]
        start = stop - len(row)
        part = x[start:stop] - row[:, :start] @ x[:start]
        x[start:stop] = triangular_solve(1.0, row[:, start:].T, part, trans_a=1)
    for row in reversed(factor):
        stop = row.shape[1]
        start = stop - len(row)
        x[start:stop] = triangular_solve(1.0, row[:, start:].T, x[start:stop])
        x[:start] -= row[:, :start].T @ x[start:stop]
    return x

"""Iterative refinement: solves K x = y to float64 accuracy with a less precise factor.

The step from a residual is a conjugate direction with the factor as preconditioner: where plain
refinement converges this does so faster, and where the factor is too coarse for it (condition
number times rounding above one, or a shifted factor) it still converges.
"""

from collections.abc import Callable

import numpy as np


def refine(
    times: Callable[[np.ndarray], np.ndarray],
    precondition: Callable[[np.ndarray], np.ndarray],
    right: np.ndarray,
    *,
    tolerance: float,
    most: int,
    progress: Callable[[int, float], object] = lambda step, residual: None,
) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Solves K x = right, each column by itself.

    Args:
        times: K x in float64.
        precondition: near K^-1 x, in any precision.
        right: float64 [n, k].
        tolerance: of |right - K x| / |right| over all columns.
        most: the largest number of steps after the unrefined solution; each costs one `times`.

    Returns:
        x [n, k]; right - K x as computed from it in one more `times` where there were steps; and
        the relative residual of the unrefined solution, after each step, and of that last one.
    """
    scale = np.linalg.norm(right) or 1.0

    def step_from(residual):
        return _scaled(precondition, residual)

    x = step_from(right)
    residual = right - times(x)
    history = [float(np.linalg.norm(residual) / scale)]
    progress(0, history[0])
    direction, before, slope = None, residual, None
    best = (history[0], x, residual)
    for step in range(1, most + 1):
        if history[-1] <= tolerance or not np.isfinite(history[-1]):
            break
        z = step_from(residual)
        if direction is None:
            direction = z
        else:
            # Polak and Ribiere's formula, which stays right if the preconditioner rounds.
            beta = np.einsum("nk,nk->k", z, residual - before) / slope
            direction = z + beta * direction
        slope = np.einsum("nk,nk->k", z, residual)
        slope[slope == 0] = 1.0
        image = times(direction)
        bend = np.einsum("nk,nk->k", direction, image)
        bend[bend == 0] = 1.0
        length = np.einsum("nk,nk->k", direction, residual) / bend
        before = residual
        x, residual = x + length * direction, residual - length * image
        history.append(float(np.linalg.norm(residual) / scale))
        progress(step, history[-1])
        if history[-1] < best[0]:
            best = (history[-1], x, residual)
    x, residual = best[1:]
    if len(history) > 1:
        residual = right - times(x)
        history.append(float(np.linalg.norm(residual) / scale))
    return x, residual, history


def _scaled(precondition: Callable[[np.ndarray], np.ndarray], residual: np.ndarray) -> np.ndarray:
    """`precondition` of columns brought to length 1, since float32 would lose what is small."""
    size = np.linalg.norm(residual, axis=0)
    size[size == 0] = 1.0
    return np.asarray(precondition(residual / size), np.float64) * size

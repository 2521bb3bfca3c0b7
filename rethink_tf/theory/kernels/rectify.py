"""Rectified on both sides and averaged over cells in one pass, compiled by Numba where it is there.

NumPy reads and writes the responses four times for it. `pip install -e '.[theory]'` brings Numba.
"""

import functools
import importlib.util
from collections.abc import Callable

import numpy as np

Pass = Callable[[np.ndarray, np.ndarray, int], None]


def available() -> bool:
    """Whether Numba is installed."""
    return importlib.util.find_spec("numba") is not None


def compiled(pool: np.ndarray, low: float) -> Pass:
    """The pass over the responses of one image.

    Args:
        pool: of `random_conv.pooling`, float32 [cells, positions].
        low: what the negative side starts from: max(0, low - z).

    Returns:
        A function of responses z, float32 [positions, f], of the array to write, float32 [2, cells,
        filters], and of the first of the f filters there: the averages of max(0, z), then of
        max(0, low - z). It does not hold the interpreter's lock.

    Raises:
        ImportError: there is no Numba.
    """
    cells = [np.flatnonzero(column) for column in pool.T]
    ends = np.cumsum([len(part) for part in cells])
    run = _run()
    arguments = np.concatenate(cells), ends, pool.max(axis=1), np.float32(low)
    return lambda z, out, start: run(z, out, start, *arguments)


@functools.cache
def _run():
    import numba

    # The flags allow vector instructions for the maximum, and keep the order of sums.
    @numba.njit(nogil=True, fastmath={"nnan", "nsz"})
    def run(z, out, start, cells, ends, shares, low):
        # Slices of whole arrays, so that the compiler knows that the last axis is contiguous.
        zero, first, stop = np.float32(0), 0, start + z.shape[1]
        out[:, :, start:stop] = zero
        for position in range(len(ends)):
            responses = z[position]
            for k in range(first, ends[position]):
                positive = out[0, cells[k], start:stop]
                negative = out[1, cells[k], start:stop]
                for i in range(len(responses)):
                    value = responses[i]
                    positive[i] += max(value, zero)
                    negative[i] += max(low - value, zero)
            first = ends[position]
        for cell in range(len(shares)):
            for i in range(start, stop):
                out[0, cell, i] *= shares[cell]
                out[1, cell, i] *= shares[cell]

    return run

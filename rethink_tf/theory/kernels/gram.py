"""Kernel matrices made tile by tile, in any precision, from features that lie in memory.

A `Gram` is all that the solver knows of a kernel: tiles of K between training points, and between
test and training points. Small matrices keep their float64 tiles. Large ones are computed anew each
time they are asked for, so that float64 residuals need no second matrix; `streamed.py` has one for
features that are never all in memory.
"""

import dataclasses
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_info

from rethink_tf.errors import RequestError

KERNELS = ("gaussian", "linear")
CHUNK_BYTES = 1 << 20  # part of a tile for elementwise operations, which fits into a core's cache
TEST_ROWS = 2048
HELD_BYTES = 2**30  # memory for float64 tiles that are kept: enough for 15,000 examples


@dataclasses.dataclass(frozen=True)
class Kernel:
    """k(x, y): `linear` is <x, y>, `gaussian` exp(-gamma |x - y|^2)."""

    name: str
    gamma: float | None = None

    def __post_init__(self):
        if self.name not in KERNELS:
            raise RequestError(f"kernel: expected one of {', '.join(KERNELS)}; got {self.name!r}")
        if self.name == "gaussian" and not (self.gamma and 0 < self.gamma < float("inf")):
            raise RequestError(f"gamma: expected a number above 0, got {self.gamma}")

    def apply(self, tile: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Inner products to kernel values, in place.

        Args:
            tile: [a, b] inner products, float32 or float64.
            left, right: [a] and [b], squared norms in float64.
        """
        if self.name == "linear":
            return tile
        gamma = tile.dtype.type(self.gamma)
        left, right = ((self.gamma * s).astype(tile.dtype) for s in (left, right))
        step = max(1, CHUNK_BYTES // max(1, tile[:1].nbytes))

        def chunk(start):
            part = tile[start : start + step]
            part *= 2 * gamma
            part -= left[start : start + step, None]
            part -= right
            np.minimum(part, 0, out=part)  # rounding can make squared distances negative
            np.exp(part, out=part)

        in_threads(chunk, range(0, len(tile), step))
        return tile


def in_threads(work: Callable[[int], object], items) -> None:
    """Calls `work` on each item, on as many threads as BLAS has.

    NumPy gives up the interpreter's lock inside, so elementwise passes run side by side.
    """
    threads = blas_threads()
    if threads < 2 or len(items) < 2:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, items))


@functools.cache
def blas_threads() -> int:
    """The threads of NumPy's BLAS, as they were when first asked for."""
    found = [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]
    return max(found, default=1)


@dataclasses.dataclass(frozen=True, eq=False)
class Gram:
    """The kernel matrix of n training points, and that of m test points against them.

    Attributes:
        n, m: numbers of points.
        rank: an upper bound of the rank of K (n if nothing is known).
        tile: (rows, columns, dtype) -> new [a, b], K between training points; both are (start,
            stop).
        test_tile: the same between test rows and training columns.
    """

    n: int
    m: int
    rank: int
    tile: Callable[[tuple[int, int], tuple[int, int], type], np.ndarray]
    test_tile: Callable[[tuple[int, int], tuple[int, int], type], np.ndarray]


def product_on_host(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """left right^T of [a, d] and [b, d]: new [a, b]."""
    return left @ right.T


def of_features(
    train: np.ndarray, test: np.ndarray, kernel: Kernel, product=product_on_host
) -> Gram:
    """The Gram of features in memory.

    Args:
        train: float32 [n, d].
        test: float32 [m, d].
        kernel: applied to their inner products.
        product: `product_on_host` or a device's.
    """
    squares = {id(x): squared_norms(x) for x in (train, test)}

    def tile_of(x, rows, columns, dtype):
        left, right = x[slice(*rows)], train[slice(*columns)]
        products = product(left.astype(dtype, copy=False), right.astype(dtype, copy=False))
        squared = squares[id(x)][slice(*rows)], squares[id(train)][slice(*columns)]
        return kernel.apply(products, *squared)

    n, d = train.shape
    rank = min(n, d) if kernel.name == "linear" else n
    return Gram(
        n,
        len(test),
        rank,
        lambda rows, columns, dtype: tile_of(train, rows, columns, dtype),
        lambda rows, columns, dtype: tile_of(test, rows, columns, dtype),
    )


def held_bytes(n: int) -> int:
    """Bytes of the float64 tiles that `holding` keeps, of n points; 0 where it keeps none."""
    whole = 4 * n * (n + 1024)  # half of K, plus the other half of the blocks on the diagonal
    return whole if whole <= HELD_BYTES else 0


def holding(gram: Gram) -> Gram:
    """The same Gram, which makes each float64 tile between training points once if K is small.

    The factor needs each tile once and every residual once more.
    """
    if not held_bytes(gram.n):
        return gram
    made: dict[tuple, np.ndarray] = {}

    def tile(rows, columns, dtype):
        if dtype is not np.float64:
            return gram.tile(rows, columns, dtype)
        if (rows, columns) not in made:
            made[rows, columns] = gram.tile(rows, columns, dtype)
            made[rows, columns].flags.writeable = False
        return made[rows, columns]

    return dataclasses.replace(gram, tile=tile)


def squared_norms(x: np.ndarray) -> np.ndarray:
    """|x_i|^2 in float64: [n]."""
    return np.concatenate(
        [np.square(x[s : s + 1024], dtype=np.float64).sum(axis=1) for s in range(0, len(x), 1024)]
    )


def block_row(gram: Gram, rows: list[tuple[int, int]], i: int, dtype, ridge: float) -> np.ndarray:
    """Row i of K + ridge I up to its diagonal, of float64 tiles: new [b, stop] of `dtype`.

    A tile made in float32 errs by 1e-5 on the diagonal, where |x|^2 + |y|^2 - 2 <x, y> cancels: a
    hundred times the rounding of the entries, and more than the factorisation itself adds.
    """
    start, stop = rows[i]
    row = np.empty((stop - start, stop), dtype)
    for columns in rows[: i + 1]:
        tile = gram.tile(rows[i], columns, np.float64)
        row[:, slice(*columns)] = tile
    row[np.arange(stop - start), np.arange(start, stop)] = np.diag(tile) + ridge
    return row


def times(
    gram: Gram, rows: list[tuple[int, int]], x: np.ndarray, progress=lambda share: None
) -> np.ndarray:
    """K x in float64, by tiles of the lower half: x float64 [n, k] -> [n, k]."""
    out = np.zeros_like(x)
    for i, here in enumerate(rows):
        for there in rows[: i + 1]:
            tile = gram.tile(here, there, np.float64)
            out[slice(*here)] += tile @ x[slice(*there)]
            if there != here:
                out[slice(*there)] += tile.T @ x[slice(*here)]
        progress((here[1] / gram.n) ** 2)
    return out


def test_times(
    gram: Gram, rows: list[tuple[int, int]], x: np.ndarray, progress=lambda share: None
) -> np.ndarray:
    """K(test, train) x in float64: [n, k] -> [m, k]."""
    out = np.zeros((gram.m, x.shape[1]))
    for start in range(0, gram.m, TEST_ROWS):
        here = (start, min(start + TEST_ROWS, gram.m))
        for there in rows:
            out[slice(*here)] += gram.test_tile(here, there, np.float64) @ x[slice(*there)]
            progress((start + (here[1] - start) * there[1] / gram.n) / gram.m)
    return out

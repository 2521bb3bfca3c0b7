"""The Gram matrix of features that are made block by block and never all in memory.

Each block is standardised by its training part (as Coates & Ng do), multiplied into the lower half
of the Gram and dropped. K is the mean over features of their products, plus one: the one is a
constant feature, since standardised features cannot express an intercept. So diagonals are near 2
and a ridge means the same for any number of filters.
"""

import dataclasses
import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.linalg import blas

from rethink_tf.narrowing import present
from rethink_tf.storage import array_cache
from rethink_tf.theory.kernels import cholesky, gram, random_conv
from rethink_tf.theory.kernels.gram import Gram, Kernel
from rethink_tf.theory.kernels.random_conv import Layout

FILTERS_AT_ONCE = 1024
ENTRY = re.compile(r"filters_(\d+)")
SMALLEST_DEVIATION = 1e-2  # added to the standard deviation of a feature (Coates & Ng)


@dataclasses.dataclass(eq=False)
class Sums:
    """Sums of products over all features so far.

    Attributes:
        rows: of `cholesky.block_rows`, over the training points.
        train: block rows float32 [b, stop], of training points.
        test: float32 [b, n] each, of test rows gram.TEST_ROWS at a time.
        test_squares: float64 [m], of each test point with itself.
        filters: how many are in it.
        features: how many are in it.
    """

    rows: list[tuple[int, int]]
    train: list[np.ndarray]
    test: list[np.ndarray]
    test_squares: np.ndarray
    filters: int = 0
    features: int = 0


def memory_of(
    n: int, m: int, layout: Layout, filters: int, dtype: str, block: int | None = None
) -> dict[str, int]:
    """Bytes that `accumulate` and a solve take at their peak, by what takes them."""
    rows = cholesky.block_rows(n, block)
    half = sum((stop - start) * stop for start, stop in rows)
    at_once, height = min(filters, FILTERS_AT_ONCE), rows[0][1]
    tiles = 8 * height * height * 8 + gram.held_bytes(n)
    return {
        "kernel matrix": half * 4,
        "factor": half * np.dtype(dtype).itemsize,
        "test kernel matrix": m * n * 4,
        # Standardising copies nothing, and the tiles are made after the features are freed.
        "features": max((n + m) * layout.features(at_once) * 4, tiles),
    }


def empty(n: int, m: int, block: int | None = None) -> Sums:
    """Sums of nothing, for n training and m test points."""
    rows = cholesky.block_rows(n, block)
    train = [np.zeros((stop - start, stop), np.float32) for start, stop in rows]
    starts = range(0, m, gram.TEST_ROWS)
    test = [np.zeros((min(gram.TEST_ROWS, m - start), n), np.float32) for start in starts]
    return Sums(rows, train, test, np.zeros(m))


def standardise(train: np.ndarray, test: np.ndarray) -> None:
    """Takes the training mean off each feature and divides by its deviation, in place."""
    mean = train.mean(axis=0, dtype=np.float64)
    squares = np.einsum("nd,nd->d", train, train, dtype=np.float64) / len(train)
    std = np.sqrt(np.maximum(squares - mean**2, 0)) + SMALLEST_DEVIATION
    for part in (train, test):
        part -= mean.astype(np.float32)
        part /= std.astype(np.float32)


def add_on_host(out: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
    """out += left right^T in place; all float32 and C-contiguous: [a, b], [a, d], [b, d]."""
    # In Fortran order each array is its transpose: out^T += right left^T.
    blas.sgemm(1.0, right.T, left.T, beta=1.0, c=out.T, trans_a=1, overwrite_c=1)


def add(
    sums: Sums,
    train: np.ndarray,
    test: np.ndarray,
    filters: int,
    add_products=add_on_host,
    progress: Callable[[float], object] = lambda share: None,
) -> None:
    """Adds the products of a block of features, float32 [n, d] and [m, d], to the sums."""
    parts = [
        (row, train[start:stop], train[:stop])
        for (start, stop), row in zip(sums.rows, sums.train, strict=True)
    ]
    parts += [
        (row, test[i * gram.TEST_ROWS : i * gram.TEST_ROWS + len(row)], train)
        for i, row in enumerate(sums.test)
    ]
    done, whole = 0, sum(row.size for row, *_ in parts)
    for row, left, right in parts:
        add_products(row, left, right)
        done += row.size
        progress(done / whole)
    sums.test_squares += gram.squared_norms(test)
    sums.filters += filters
    sums.features += train.shape[1]


def as_gram(sums: Sums, kernel: Kernel) -> Gram:
    """The sums as the Gram of K, their mean over features plus one, under a kernel."""
    n, m = sums.rows[-1][1], sum(map(len, sums.test))
    first = {start: i for i, (start, _) in enumerate(sums.rows)}
    diagonals = [
        np.diag(row[:, start:]) for (start, _), row in zip(sums.rows, sums.train, strict=True)
    ]
    squares = np.concatenate(diagonals).astype(np.float64) / sums.features + 1

    test_squares = sums.test_squares / sums.features + 1

    def scaled(part, left, right, dtype):
        part = part.astype(dtype)
        part /= dtype(sums.features)
        part += dtype(1)
        return kernel.apply(part, left, right)

    def tile(rows, columns, dtype):
        part = sums.train[first[rows[0]]][:, slice(*columns)]
        return scaled(part, squares[slice(*rows)], squares[slice(*columns)], dtype)

    def test_tile(rows, columns, dtype):
        part = sums.test[rows[0] // gram.TEST_ROWS][:, slice(*columns)]
        return scaled(part, test_squares[slice(*rows)], squares[slice(*columns)], dtype)

    rank = min(n, sums.features + 1) if kernel.name == "linear" else n
    return Gram(n, m, rank, tile, test_tile)


def accumulate(
    train: np.ndarray,
    test: np.ndarray,
    layout: Layout,
    targets: list[int],
    *,
    seed: int,
    block: int | None = None,
    responses: Callable[..., np.ndarray] = random_conv.on_host,
    add_products=add_on_host,
    kept: "Kept | None" = None,
    progress: Callable[[str, float], object] = lambda stage, share: None,
):
    """Yields the Sums at each number of filters in `targets`, ascending.

    Args:
        train, test: images [n, h, w, c] and [m, h, w, c].
        layout: of the features.
        targets: numbers of filters.
        seed: of the filters.
        block: rows of a block.
        responses: `random_conv.on_host` or `on_device`.
        add_products: `add_on_host` or a device's.
        kept: keeps the sums on disk now and then, and gives those of an earlier process.
        progress: gets ("features", the share of all work that is done).
    """
    white = random_conv.whitening(train, layout, seed)
    sums = kept.newest(targets[0]) if kept else None
    sums = sums or empty(len(train), len(test), block)
    count, made = len(train) + len(test), _making(train, test, layout)
    for target in targets:
        while sums.filters < target:
            stop = min(sums.filters + FILTERS_AT_ONCE, target)
            weights = random_conv.filters(train, layout, white, sums.filters, stop, seed)
            first, more = sums.filters, stop - sums.filters

            def share(part, first=first, more=more):
                progress("features", (first + more * part) / targets[-1])

            blocks = [
                responses(
                    images,
                    weights,
                    layout,
                    progress=lambda i, past=past: share(made * (past + i) / count),
                )
                for past, images in ((0, train), (len(train), test))
            ]
            standardise(*blocks)
            left = lambda part: share(made + (1 - made) * part)  # noqa: E731
            add(sums, blocks[0], blocks[1], more, add_products, left)
            del blocks
            if kept:
                kept.keep(sums, at_once=sums.filters == target)
        yield sums


def _making(train: np.ndarray, test: np.ndarray, layout: Layout) -> float:
    """The part that making a block of features has in the arithmetic; their products the rest."""
    n, m = len(train), len(test)
    rows, columns = layout.positions(train.shape[1:])
    making = (n + m) * rows * columns * layout.patch**2 * train.shape[3]
    adding = layout.features(1) * (n * n / 2 + m * n)
    return making / (making + adding)


class Kept:
    """The newest Sums on disk: written whole or not at all, checked when read.

    The folder is named by all that the sums depend on but the number of filters, which names the
    entries.
    """

    def __init__(self, folder, facts, images, report, clock, interval=600.0):
        digest = hashlib.sha256(repr(facts).encode())
        for part in images:
            digest.update(np.ascontiguousarray(part).data)
        self.folder = Path(folder) / f"gram-{digest.hexdigest()[:16]}"
        self.report, self.clock, self.interval = report, clock, interval
        self.last = clock()

    def _entries(self) -> list[tuple[int, Path]]:
        try:
            found = [(ENTRY.fullmatch(path.name), path) for path in self.folder.iterdir()]
        except OSError:  # there is no folder, or it cannot be read, which `keep` then reports
            return []
        return sorted((int(name[1]), path) for name, path in found if name)

    def newest(self, most: int) -> Sums | None:
        """The sums of the largest number of filters up to `most`; None where there are none."""
        for filters, path in reversed(self._entries()):
            if filters > most:
                continue
            try:
                arrays = present(array_cache.load(path), "a kept kernel matrix")
            except (array_cache.DamagedCache, OSError) as error:
                self.report(f"a kept kernel matrix is damaged and is computed again ({error})")
                shutil.rmtree(path, ignore_errors=True)
                continue
            train = [arrays[name] for name in sorted(arrays) if name.startswith("train")]
            test = [arrays[name] for name in sorted(arrays) if name.startswith("test_0")]
            bounds = [(row.shape[1] - len(row), row.shape[1]) for row in train]
            self.report(f"resumes from the kept kernel matrix of {filters:,} filters")
            features = int(arrays["features"])
            return Sums(bounds, train, test, arrays["squares"], filters, features)
        return None

    def factor(self, filters: int, facts: tuple) -> Path:
        """The folder for the factor of these sums under `facts`; those of others are taken away."""
        digest = hashlib.sha256(repr((filters, *facts)).encode()).hexdigest()[:16]
        own = self.folder / f"factor-{digest}"
        for path in self.folder.glob("factor-*"):  # each is as large as the sums
            if path != own:
                shutil.rmtree(path, ignore_errors=True)
        return own

    def keep(self, sums: Sums, at_once: bool) -> None:
        """Writes the sums if it is time, and takes older ones away."""
        if not at_once and self.clock() - self.last < self.interval:
            return
        arrays = {f"train_{i:04d}": row for i, row in enumerate(sums.train)}
        arrays |= {f"test_{i:04d}": row for i, row in enumerate(sums.test)}
        arrays |= {"features": np.array(sums.features), "squares": sums.test_squares}
        path = self.folder / f"filters_{sums.filters:06d}"
        before = self._entries()
        try:
            array_cache.store(path, arrays)
        except OSError as error:
            self.report(f"cannot keep the kernel matrix in {self.folder} ({error})")
        else:
            for filters, old in before:
                if filters < sums.filters:
                    shutil.rmtree(old, ignore_errors=True)
        self.last = self.clock()

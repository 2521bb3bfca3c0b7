"""Table 3: the minimum-norm solution of a kernel problem on real labels or on random ones.

    rethink-tf kernels --dataset=mnist
    rethink-tf kernels --dataset=mnist --features=gabor --corrupt=1

`interpolate` is the whole computation with features in memory; `streamed.py` has the same for
random convolutional features.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rethink_tf.theory.kernels import cholesky, gram, minimum_norm
from rethink_tf.theory.kernels.gram import Kernel
from rethink_tf.theory.kernels.minimum_norm import Solution


def memory_of(n: int, m: int, d: int, dtype: str, block: int | None = None) -> dict[str, int]:
    """Bytes that `interpolate` takes at its peak, by what takes them.

    Args:
        n, m: training and test points.
        d: features.
        dtype: of the factor.
        block: rows of a block; None as chosen by n.
    """
    rows = cholesky.block_rows(n, block)
    size = np.dtype(dtype).itemsize
    height = rows[0][1]
    # Besides the matrix: buffers of the elimination, float64 tiles and their float64 features.
    working = 6 * height * height * 8 + 2 * max(height, gram.TEST_ROWS) * d * 8
    return {
        "factor": sum((stop - start) * stop for start, stop in rows) * size,
        "features": (n + m) * d * 4,
        "tiles": working + gram.held_bytes(n),
    }


def factor_folder(
    cache: Path,
    train: np.ndarray,
    kernel: Kernel,
    ridge: float = 0.0,
    dtype: str = "float32",
    block: int | None = None,
    eliminate: Callable = cholesky.eliminate_on_host,
) -> Path:
    """The folder of a kept factor, named by a hash of all that it depends on; labels are no part.

    Args:
        cache: folder of kept factors.
        train: float32 [n, d].
        kernel, ridge, dtype, block, eliminate: see `minimum_norm.factorise`.
    """
    # "float64 tiles": earlier factors of less exact tiles must not be reused.
    facts = (kernel.name, kernel.gamma, ridge, dtype, block, eliminate.__name__, "float64 tiles")
    digest = hashlib.sha256(repr((train.shape, *facts)).encode())
    digest.update(np.ascontiguousarray(train).data)
    return Path(cache) / f"factor-{digest.hexdigest()[:16]}"


def interpolate(
    train: np.ndarray,
    test: np.ndarray,
    targets: np.ndarray,
    kernel: Kernel,
    *,
    ridge: float = 0.0,
    dtype: str = "float32",
    cache: Path | None = None,
    eliminate: Callable = cholesky.eliminate_on_host,
    product: Callable = gram.product_on_host,
    **options: Any,
) -> Solution:
    """Solves (K + ridge I) alpha = y for features in memory.

    Args:
        train: float32 [n, d].
        test: float32 [m, d].
        targets: float64 [n, k], such as `minimum_norm.one_hot`'s.
        kernel: of the features.
        ridge, dtype, eliminate: see `minimum_norm.solve`.
        product: see `gram.of_features`.
        cache: folder of kept factors, see `factor_folder`: other labels find the same factor.
        options: further arguments of `minimum_norm.solve`.

    Returns:
        The Solution.
    """
    if cache is not None:
        cache = factor_folder(cache, train, kernel, ridge, dtype, options.get("block"), eliminate)
    matrix = gram.of_features(train, test, kernel, product)
    return minimum_norm.solve(
        matrix, targets, ridge=ridge, dtype=dtype, eliminate=eliminate, cache=cache, **options
    )

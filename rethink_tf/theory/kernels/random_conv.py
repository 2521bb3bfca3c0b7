"""Convolutional features with filters that are random image patches (Coates & Ng, 2012).

Patches of the image are normalised for contrast and whitened (ZCA); a filter is such a patch of a
random training image, of length one. Responses z are rectified on both sides, max(0, z - bias) and
max(0, -z - bias), and averaged over cells of the image. The paper: 32,000 filters "chosen at random
instead of by k-means". Filter j is the same whatever the number of filters.
"""

import dataclasses
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from threadpoolctl import threadpool_limits

from rethink_tf.corruptions import threefry
from rethink_tf.corruptions.threefry import SplitId, Stream
from rethink_tf.errors import RequestError
from rethink_tf.theory.kernels import rectify
from rethink_tf.theory.kernels.gram import blas_threads

CONTRAST = 10.0  # added to the variance of a patch with values 0 to 255 (Coates & Ng)
WHITENING_PATCHES = 200_000
DEVICE_BATCH = 16
LOOK_SECONDS = 0.5  # seconds between two looks at the progress of the threads
CHUNK = 256  # filters whose responses to an image stay in a core's cache


@dataclasses.dataclass(frozen=True)
class Layout:
    """Side of a patch, cells per side, bias of the rectifiers (0 or more), addend of whitening."""

    patch: int = 6
    cells: int = 2
    bias: float = 1.0
    zca: float = 0.1

    def positions(self, image_shape: tuple[int, int, int]) -> tuple[int, int]:
        """Rows and columns at which a patch fits; RequestError where too few for the cells."""
        rows, columns = (size - self.patch + 1 for size in image_shape[:2])
        if min(rows, columns) < self.cells:
            raise RequestError(
                f"--patch: expected at most {min(image_shape[:2]) - self.cells + 1} for "
                f"{self.cells}x{self.cells} cells of these images, received {self.patch}"
            )
        return rows, columns

    def features(self, filters: int) -> int:
        """The number of features of an image."""
        return 2 * self.cells**2 * filters


@dataclasses.dataclass(frozen=True, eq=False)
class Whitening:
    """Of normalised patches as row vectors [p]: (x - mean) @ matrix. float64."""

    mean: np.ndarray
    matrix: np.ndarray


def _patches(images: np.ndarray, size: int) -> np.ndarray:
    """All patches of images [n, h, w, c]: a view [n, rows, columns, size, size, c]."""
    return np.moveaxis(sliding_window_view(images, (size, size), axis=(1, 2)), 3, 5)


def normalised(patches: np.ndarray) -> np.ndarray:
    """Patches [k, p] less their mean, over sqrt(variance + CONTRAST), in place."""
    patches -= patches.mean(axis=1, keepdims=True)
    variance = np.einsum("kp,kp->k", patches, patches) / patches.shape[1]
    patches /= np.sqrt(variance + patches.dtype.type(CONTRAST))[:, None]
    return patches


def _drawn(images: np.ndarray, layout: Layout, numbers: np.ndarray, counter: int, seed: int):
    """Normalised random patches, one per number: float64 [len(numbers), p]."""
    rows, columns = layout.positions(images.shape[1:])
    which, where = (
        word.astype(np.int64)
        for word in threefry.bits(seed, Stream.FILTERS, SplitId.TRAIN, numbers, counter)
    )
    which = which * len(images) >> 32
    where = where * (rows * columns) >> 32
    found = _patches(images, layout.patch)[which, where // columns, where % columns]
    return normalised(found.reshape(len(numbers), -1).astype(np.float64))


def whitening(images: np.ndarray, layout: Layout, seed: int) -> Whitening:
    """ZCA of random patches of the training images."""
    sample = _drawn(images, layout, np.arange(WHITENING_PATCHES), 1, seed)
    mean = sample.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(sample, rowvar=False))
    scale = 1 / np.sqrt(np.maximum(values, 0) + layout.zca)
    return Whitening(mean, (vectors * scale) @ vectors.T)


def filters(
    images: np.ndarray, layout: Layout, white: Whitening, first: int, stop: int, seed: int
) -> np.ndarray:
    """Filters `first` to `stop` as they act on normalised patches: float32 [p + 1, filters].

    The last row is the addend, the bias included: [x, 1] @ filters is z - bias.
    """
    whitened = (_drawn(images, layout, np.arange(first, stop), 0, seed) - white.mean) @ white.matrix
    whitened /= np.linalg.norm(whitened, axis=1, keepdims=True)
    weights = white.matrix @ whitened.T
    addend = -(white.mean @ weights) - layout.bias
    return np.concatenate([weights, addend[None]]).astype(np.float32)


def pooling(image_shape: tuple[int, int, int], layout: Layout) -> np.ndarray:
    """Averages over cells: float32 [cells**2, positions].

    Cells have the least size that covers all positions, and overlap where it does not divide.
    """
    sides = []
    for count in layout.positions(image_shape):
        size = -(-count // layout.cells)
        starts = np.linspace(0, count - size, layout.cells).round().astype(int)
        inside = np.arange(count)
        sides.append([(start <= inside) & (inside < start + size) for start in starts])
    cells = np.array([np.outer(row, column).ravel() for row in sides[0] for column in sides[1]])
    return (cells / cells.sum(axis=1, keepdims=True)).astype(np.float32)


class _HostWorker:
    """What one thread needs to compute features image by image: buffers, and views of them.

    Args:
        layout: the Layout.
        image_shape: (height, width, channels).
        chunks: (first filter, filters [p + 1, up to CHUNK]).
        pool: of `pooling`.
        rectified: `rectify.compiled`'s, or None for NumPy.
    """

    def __init__(
        self,
        layout: Layout,
        image_shape,
        chunks,
        pool: np.ndarray,
        rectified: "rectify.Pass | None" = None,
    ) -> None:
        # Positions are the last axis, so that operations on all patches read memory in order.
        rows, columns = layout.positions(image_shape)
        self.shape, self.pool, self.rectified = (rows, columns), pool, rectified
        self.patches = np.ones((len(chunks[0][1]), rows * columns), np.float32)
        self.inside = self.patches[:-1]
        self.windows = self.inside.reshape(layout.patch, layout.patch, -1, rows, columns)
        buffer = np.empty(rows * columns * CHUNK, np.float32)
        # NumPy's maximum with an array is twice as fast as with a scalar.
        low = np.full(columns * CHUNK, -2 * np.float32(layout.bias))
        zero = np.zeros(columns * CHUNK, np.float32)
        self.plan = []  # views are created once, since creating them holds the interpreter's lock
        for start, chunk in chunks:
            wide = chunk.shape[1]
            z = buffer[: rows * columns * wide].reshape(rows, -1)
            ends = zero[: columns * wide], low[: columns * wide]
            self.plan.append((chunk, slice(start, start + wide), z, z.reshape(-1, wide), *ends))

    def write_features(self, image: np.ndarray, out: np.ndarray) -> None:
        """Writes the features of an image [h, w, c] to float32 [2, cells, filters]."""
        pool, patches = self.pool, self.patches
        self.windows[:] = sliding_window_view(image.astype(np.float32), self.shape, axis=(0, 1))
        normalised(self.inside.T)
        if self.rectified is not None:
            for chunk, here, _, by_position, *_ in self.plan:
                np.matmul(patches.T, chunk, out=by_position)
                self.rectified(by_position, out, here.start)
            return
        pooled = pool @ patches.T
        for chunk, here, z, by_position, zeros, lows in self.plan:
            np.matmul(patches.T, chunk, out=by_position)
            # z is already less the bias, so max(0, -z - 2 bias) = max(z, -2 bias) - z.
            np.maximum(z, lows, out=z)
            np.subtract(pool @ by_position, pooled @ chunk, out=out[1, :, here])
            np.maximum(z, zeros, out=z)
            np.matmul(pool, by_position, out=out[0, :, here])


def host_library() -> str:
    """The library by which `on_host` rectifies and averages: numba where it is, else numpy.

    The two sum in another order: features differ by float32 rounding.
    """
    return "numba" if rectify.available() else "numpy"


def on_host(
    images: np.ndarray,
    weights: np.ndarray,
    layout: Layout,
    threads: int = 0,
    progress: Callable[[int], object] = lambda images: None,
) -> np.ndarray:
    """The features of a block of filters, image by image so that responses stay in the cache.

    Args:
        images: uint8 or float32 [n, h, w, c].
        weights: of `filters`.
        layout: the Layout.
        threads: 0 for as many as BLAS has.
        progress: gets the number of images that are done, now and then and at the end.

    Returns:
        float32 [n, 2 * cells**2 * filters]: all positive parts, then all negative parts.
    """
    pool = pooling(images.shape[1:], layout)
    count, cells = weights.shape[1], len(pool)
    out = np.empty((len(images), 2, cells, count), np.float32)
    threads = threads or blas_threads()
    starts = range(0, count, CHUNK)
    chunks = [(s, np.ascontiguousarray(weights[:, s : s + CHUNK])) for s in starts]
    low = -2 * layout.bias
    rectified = rectify.compiled(pool, low) if host_library() == "numba" else None
    ended, done = threading.Event(), [0] * threads

    def work(number, part):
        worker = _HostWorker(layout, images.shape[1:], chunks, pool, rectified)
        for i in part:
            if ended.is_set():
                return
            worker.write_features(images[i], out[i])
            done[number] += 1

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as workers:
        parts = enumerate(np.array_split(np.arange(len(images)), threads))
        running = [workers.submit(work, *part) for part in parts]
        try:
            while wait(running, LOOK_SECONDS, FIRST_EXCEPTION).not_done:
                if any(part.done() and part.exception() for part in running):
                    break
                progress(sum(done))
        finally:
            ended.set()  # otherwise Ctrl-C would wait for all images
        for part in running:
            part.result()
    progress(len(images))
    return out.reshape(len(images), 2 * cells * count)


def on_device(
    images: np.ndarray,
    weights: np.ndarray,
    layout: Layout,
    device: str = "/GPU:0",
    progress: Callable[[int], object] = lambda images: None,
) -> np.ndarray:
    """As `on_host`, by TensorFlow on a device."""
    import tensorflow as tf

    pool, size = pooling(images.shape[1:], layout), layout.patch
    width, count = weights.shape[0] - 1, weights.shape[1]

    @tf.function
    def batch_features(batch):
        x = tf.image.extract_patches(
            tf.cast(batch, tf.float32), [1, size, size, 1], [1] * 4, [1] * 4, "VALID"
        )
        x = tf.reshape(x, [-1, width])
        x -= tf.reduce_mean(x, axis=1, keepdims=True)
        x /= tf.sqrt(tf.reduce_mean(x**2, axis=1, keepdims=True) + CONTRAST)
        z = tf.reshape(tf.matmul(x, weights[:-1]) + weights[-1], [-1, pool.shape[1], count])
        sides = tf.stack([tf.nn.relu(z), tf.nn.relu(-z - 2 * layout.bias)], axis=1)
        return tf.einsum("cp,bspf->bscf", pool, sides)

    out = np.empty((len(images), layout.features(count)), np.float32)
    with tf.device(device):
        for start in range(0, len(images), DEVICE_BATCH):
            part = slice(start, start + DEVICE_BATCH)
            out[part] = batch_features(images[part]).numpy().reshape(-1, out.shape[1])
            progress(min(part.stop, len(images)))
    return out

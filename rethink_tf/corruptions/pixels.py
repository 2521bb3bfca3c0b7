"""Pixel corruptions (paper, section 2.1), batched functions of (image, split, index, seed).

`shuffled`  one permutation of positions for all images, of training and of test;
`random`    one permutation per image;
`gaussian`  every entry drawn anew, with the original training set's mean and variance per channel.

A position's channels move together. Degrees between: `shuffle_fraction` permutes only a share
of the positions (nested: a larger share contains the smaller); `pixel_mix` t gives (1 - t) image +
t noise.
As in `corruptions`, a TensorFlow body for the accelerator and a NumPy reference for the audit.
"""

from typing import Any

import numpy as np

from rethink_tf.corruptions import threefry
from rethink_tf.corruptions.corruption import Corruption, Moments
from rethink_tf.corruptions.threefry import SplitId, Stream
from rethink_tf.narrowing import present

_NOT_CHOSEN = 2**62  # a sort key greater than those of all chosen positions


def _keys(stream: Stream, seed: int, split: SplitId, index: np.ndarray, count: int) -> np.ndarray:
    """int64 [N, count] sort keys below 2**62, one for each (example, position)."""
    high, low = threefry.bits(seed, stream, split, index[:, None], np.arange(count)[None])
    return (high.astype(np.int64) << 30) ^ low.astype(np.int64)


def permutations(
    index: np.ndarray, count: int, *, split: SplitId, seed: int, shuffle_fraction: float = 1.0
) -> np.ndarray:
    """One permutation of range(count) per example (NumPy reference).

    Args:
        index: integer [N], identities.
        count: number of positions, height x width.
        split: training and test draws differ.
        seed: of the corruption.
        shuffle_fraction: share of the positions that is permuted, among themselves.

    Returns:
        int64 [N, count]: the new image has at position q what the old one had at result[q].
    """
    keys = _keys(Stream.PIXELS, seed, split, index, count)
    if shuffle_fraction == 1:
        return np.argsort(keys, axis=1, kind="stable")
    ranks = np.argsort(
        np.argsort(_keys(Stream.PIXEL_CHOICE, seed, split, index, count), axis=1, kind="stable"),
        axis=1,
    )
    chosen = ranks < round(shuffle_fraction * count)
    position = np.arange(count)[None]
    slots = np.argsort(np.where(chosen, position, count + position), axis=1, kind="stable")
    moved = np.argsort(np.where(chosen, keys, _NOT_CHOSEN + position), axis=1, kind="stable")
    return np.take_along_axis(moved, np.argsort(slots, axis=1), axis=1)


def permutations_tf(
    index: Any, count: int, *, split: SplitId, seed: int, shuffle_fraction: float = 1.0
) -> Any:
    """`permutations` in TensorFlow: int [N] in, int32 [N, count] out."""
    import tensorflow as tf

    def keys(stream: Stream) -> Any:
        high, low = threefry.bits_tf(seed, stream, split, index[:, None], tf.range(count)[None])
        high = tf.bitwise.left_shift(tf.cast(high, tf.int64), tf.constant(30, tf.int64))
        return tf.bitwise.bitwise_xor(high, tf.cast(low, tf.int64))

    def order(values: Any) -> Any:
        return tf.argsort(values, axis=1, stable=True)

    if shuffle_fraction == 1:
        return order(keys(Stream.PIXELS))
    chosen = order(order(keys(Stream.PIXEL_CHOICE))) < round(shuffle_fraction * count)
    position = tf.range(count, dtype=tf.int64)[None]
    slots = order(tf.where(chosen, position, count + position))
    moved = order(tf.where(chosen, keys(Stream.PIXELS), _NOT_CHOSEN + position))
    return tf.gather(moved, order(slots), axis=1, batch_dims=1)


def _one_for_all(index: Any, pixels: str) -> Any:
    """Whose permutation is drawn: example 0 of the training set for `shuffled`."""
    return np.zeros(1, np.int64) if pixels == "shuffled" else index


def _split_of_draw(split: SplitId, pixels: str) -> SplitId:
    return SplitId.TRAIN if pixels == "shuffled" else split


def normals(index: np.ndarray, count: int, *, split: SplitId, seed: int) -> np.ndarray:
    """Standard normal values by Box and Muller, float32 [N, count] (NumPy reference)."""
    blocks = np.arange(-(-count // 2))[None]
    radius, angle = threefry.bits(seed, Stream.GAUSS, split, np.asarray(index)[:, None], blocks)
    # 24 bits each, which float32 holds exactly. Adding 0.5 keeps the logarithm finite.
    radius = ((radius >> np.uint32(8)).astype(np.float32) + np.float32(0.5)) * np.float32(2**-24)
    angle = (angle >> np.uint32(8)).astype(np.float32) * np.float32(2 * np.pi * 2**-24)
    radius = np.sqrt(np.float32(-2) * np.log(radius))
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return pairs.reshape(len(pairs), -1)[:, :count]


def normals_tf(index: Any, count: int, *, split: SplitId, seed: int) -> Any:
    """`normals` in TensorFlow, equal to 1e-5."""
    import tensorflow as tf

    blocks = tf.range(-(-count // 2))[None]
    radius, angle = (
        tf.cast(tf.bitwise.right_shift(words, tf.constant(8, tf.uint32)), tf.float32)
        for words in threefry.bits_tf(seed, Stream.GAUSS, split, index[:, None], blocks)
    )
    radius = tf.sqrt(-2.0 * tf.math.log((radius + 0.5) * 2**-24))
    angle *= np.float32(2 * np.pi * 2**-24)
    pairs = tf.stack([radius * tf.cos(angle), radius * tf.sin(angle)], axis=-1)
    return tf.reshape(pairs, [tf.shape(index)[0], -1])[:, :count]


def corrupt_pixels(
    images: np.ndarray,
    index: np.ndarray,
    corruption: Corruption,
    *,
    split: SplitId,
    moments: Moments | None = None,
) -> np.ndarray:
    """Images as the model is to get them, before standardisation (NumPy reference).

    Args:
        images: uint8 [N, H, W, C], cropped.
        index: integer [N], identities.
        corruption: its `pixels`, `pixel_mix`, `shuffle_fraction` and `seed`.
        split: of the examples.
        moments: of the original training set, for `gaussian`.

    Returns:
        uint8 [N, H, W, C]; float32 and never clipped for `gaussian`.
    """
    n, height, width, channels = images.shape
    pixels, seed = corruption.pixels, corruption.seed
    if pixels == "original":
        return images
    if pixels == "gaussian":
        mean, std = present(moments, "the moments of Gaussian pixels")
        mix = corruption.pixel_mix
        noise = normals(index, height * width * channels, split=split, seed=seed)
        noise = np.float32(mean) + np.float32(std) * noise.reshape(images.shape)
        return np.float32(1 - mix) * images.astype(np.float32) + np.float32(mix) * noise
    chosen = permutations(
        _one_for_all(index, pixels),
        height * width,
        split=_split_of_draw(split, pixels),
        seed=seed,
        shuffle_fraction=corruption.shuffle_fraction,
    )
    flat = images.reshape(n, height * width, channels)
    return np.take_along_axis(flat, chosen[:, :, None], axis=1).reshape(images.shape)


def corrupt_pixels_tf(
    images: Any,
    index: Any,
    corruption: Corruption,
    *,
    split: SplitId,
    moments: Moments | None = None,
) -> Any:
    """`corrupt_pixels` in TensorFlow; the static shape of `images` but N is known."""
    import tensorflow as tf

    height, width, channels = images.shape[1:]
    pixels, seed = corruption.pixels, corruption.seed
    if pixels == "original":
        return images
    if pixels == "gaussian":
        mean, std = present(moments, "the moments of Gaussian pixels")
        mix = corruption.pixel_mix
        noise = normals_tf(index, height * width * channels, split=split, seed=seed)
        noise = tf.reshape(noise, tf.shape(images)) * np.float32(std) + np.float32(mean)
        return np.float32(1 - mix) * tf.cast(images, tf.float32) + np.float32(mix) * noise
    chosen = permutations_tf(
        tf.constant(_one_for_all(None, pixels)) if pixels == "shuffled" else index,
        height * width,
        split=_split_of_draw(split, pixels),
        seed=seed,
        shuffle_fraction=corruption.shuffle_fraction,
    )
    flat = tf.reshape(images, [-1, height * width, channels])
    if pixels == "shuffled":
        moved = tf.gather(flat, chosen[0], axis=1)
    else:
        moved = tf.gather(flat, chosen, axis=1, batch_dims=1)
    return tf.reshape(moved, tf.shape(images))


def accelerator() -> str:
    """The device that corruption runs on: the first GPU, else the CPU."""
    import tensorflow as tf

    return "/GPU:0" if tf.config.list_logical_devices("GPU") else "/CPU:0"

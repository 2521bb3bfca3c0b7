"""The expected model input, recomputed in NumPy: corrupted, augmented, preprocessed.

It is written independently of the pipeline, so that an error there is found: of the pipeline it
calls only the decoder of streamed images. Imports no TensorFlow.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from rethink_tf.corruptions import pixels as pixel_corruptions
from rethink_tf.corruptions import threefry
from rethink_tf.corruptions.corruption import Corruption, Moments
from rethink_tf.corruptions.threefry import SplitId, Stream
from rethink_tf.narrowing import present

DEGREES = 25  # largest rotation of `flip_rotate`
# Allowed errors: TOLERANCE for float32 computed differently from NumPy, in an image whose standard
# deviation is ORDINARY grey levels; ROUNDING relative to the largest value.
TOLERANCE, ROUNDING, ORDINARY = 1e-4, 2e-6, 64.0


def centre(images: np.ndarray, size: int) -> np.ndarray:
    """The central size x size window of images [N, H, W, C]."""
    top, left = (images.shape[1] - size) // 2, (images.shape[2] - size) // 2
    return images[:, top : top + size, left : left + size]


def crop(images: np.ndarray, index: np.ndarray, *, size: int, seed: int, epoch: int) -> np.ndarray:
    """The window of each image that (seed, epoch, index) draws: [N, size, size, C]."""
    words = threefry.bits(seed, Stream.AUGMENT, SplitId.TRAIN, index, epoch)
    windows = []
    for image, row, column in zip(images, *words, strict=True):
        top = int(row) * (image.shape[0] - size + 1) >> 32
        left = int(column) * (image.shape[1] - size + 1) >> 32
        windows.append(image[top : top + size, left : left + size])
    return np.stack(windows)


def flip_rotate(
    images: np.ndarray, index: np.ndarray, *, size: int, seed: int, epoch: int
) -> np.ndarray:
    """Mirrored with chance 1/2, turned by up to DEGREES, then the centre: float64.

    Bilinear, about the image's centre; pixels outside are mirrored at the edge.
    """
    words = threefry.bits(seed, Stream.AUGMENT, SplitId.TRAIN, index, epoch)
    turned = []
    for image, flip, turn in zip(images.astype(np.float64), *words, strict=True):
        image = image[:, ::-1] if int(flip) & 1 else image
        angle = (2 * (int(turn) >> 8) / 2**24 - 1) * np.deg2rad(DEGREES)
        height, width = image.shape[:2]
        middle = (height - 1) / 2, (width - 1) / 2
        y, x = np.mgrid[:height, :width].astype(np.float64)
        y, x = y - middle[0], x - middle[1]
        down = np.sin(angle) * x + np.cos(angle) * y + middle[0]
        right = np.cos(angle) * x - np.sin(angle) * y + middle[1]
        turned.append(_bilinear(image, _mirrored(down, height), _mirrored(right, width)))
    return centre(np.stack(turned), size)


def _mirrored(position: np.ndarray, length: int) -> np.ndarray:
    """Positions brought into 0 to length - 1 by reflection at the outer edges of the pixels."""
    period = 2 * length
    position = np.mod(position + 0.5, period)
    position = np.minimum(position, period - position) - 0.5
    return np.clip(position, 0, length - 1)


def _bilinear(image: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    below, beside = np.minimum(top + 1, len(image) - 1), np.minimum(left + 1, image.shape[1] - 1)
    down, right = (y - top)[..., None], (x - left)[..., None]
    upper = image[top, left] * (1 - right) + image[top, beside] * right
    lower = image[below, left] * (1 - right) + image[below, beside] * right
    return upper * (1 - down) + lower * down


def standardise(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each image to mean 0 and std 1, and its divisor max(std, 1 / sqrt(entries))."""
    images = images.astype(np.float64)
    axes = (1, 2, 3)
    mean = images.mean(axis=axes, keepdims=True)
    least = 1 / np.sqrt(images[0].size)
    std = np.maximum(images.std(axis=axes, keepdims=True), least)
    return (images - mean) / std, std


@dataclasses.dataclass(frozen=True, eq=False)
class ReferenceInput:
    """The expected input of the model for a split.

    Attributes:
        split: the Split that the pipeline read, cropped, or streamed.
        corruption: of the pixels.
        moments: of Gaussian pixels.
        size: height and width that the model sees.
        seed: of the augmentation.
        norm: moments of the preprocessing; None where each image is standardised.
    """

    split: Any
    corruption: Corruption
    moments: Moments | None
    size: int
    seed: int
    norm: Moments | None

    def inputs(
        self, rows: np.ndarray, augment: str = "none", epoch: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """The expected input for these rows, and the largest difference that is allowed.

        Args:
            rows: integer [n].
            augment: `none` in evaluation, as in a run's configuration in training.
            epoch: of the augmentation.

        Returns:
            float64 [n, size, size, C], and an array of the same number of dimensions.
        """
        index = self.split.index[rows]
        if augment == "inception":  # only for streamed images, of which a part is decoded
            images = self.split.images.augmented(rows, augment=augment, seed=self.seed, epoch=epoch)
        else:
            images = self.split.images[rows]
        part = SplitId.TRAIN if self.split.name == "train" else SplitId.TEST
        images = pixel_corruptions.corrupt_pixels(
            images, index, self.corruption, split=part, moments=self.moments
        )
        moved: dict[str, Callable] = {"crop": crop, "flip_rotate": flip_rotate}
        if augment in moved:
            images = moved[augment](images, index, size=self.size, seed=self.seed, epoch=epoch)
        elif images.shape[1:3] != (self.size, self.size):
            images = centre(images, self.size)
        if self.norm is None:
            expected, std = standardise(images)
        else:
            mean, std = (np.asarray(value, np.float64) for value in self.norm)
            expected = (images.astype(np.float64) - mean) / std
        largest = np.abs(images.astype(np.float64)).max(axis=(1, 2, 3), keepdims=True)
        # Standardising scales up an image without contrast, and its float32 rounding errors too.
        spread, noise = ORDINARY, self.corruption.pixels == "gaussian"
        if noise:
            spread = max(spread, float(np.max(present(self.moments, "moments of the noise").std)))
        exact = not noise and augment != "flip_rotate"
        allowed = TOLERANCE * (1.0 if exact else np.maximum(1.0, spread / std))
        return expected, allowed + ROUNDING * largest / std


@dataclasses.dataclass(frozen=True, eq=False)
class ReferenceFeatures:
    """The same for features that were computed once and sealed; they reach the model unchanged.

    Attributes:
        features: float32 [N, 1, 1, D].
    """

    features: np.ndarray

    def inputs(
        self, rows: np.ndarray, augment: str = "none", epoch: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `ReferenceInput.inputs`."""
        expected = self.features[rows].astype(np.float64)
        return expected, np.full([1, 1, 1, 1], 1e-12)


def differing(got: np.ndarray, expected: np.ndarray, allowed: np.ndarray) -> list[int]:
    """Rows of `got` that differ from `expected` by more than is allowed, or are NaN."""
    if got.shape != expected.shape:
        return list(range(max(1, len(expected))))
    near = np.abs(got.astype(np.float64) - expected) <= allowed
    return np.flatnonzero(~near.reshape(len(got), -1).all(axis=1)).tolist()

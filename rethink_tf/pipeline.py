"""From a Split to what the model sees: corrupt on the accelerator, order, crop, standardise.

`corrupted` is the tf.data pipeline whose batched map runs on the accelerator; `collect` reads it
into a Table, which stays resident on the device. What happens per step (`order`, `random_crop`,
`standardise`) is a pure function of (seed, epoch, example index).
"""

import dataclasses
import hashlib

import numpy as np
import tensorflow as tf

from rethink_tf import corruptions, rng
from rethink_tf.datasets import Split
from rethink_tf.rng import SplitId, Stream

CORRUPTION_BATCH = 1000


@dataclasses.dataclass(frozen=True)
class Table:
    """An in-memory set as the model gets it: read-only arrays over the same N examples.

    Attributes:
        index: int64 [N], identities.
        images: uint8 or float32 [N, H, W, C], corrupted, not yet standardised.
        true: int32 [N], the data set's own labels.
        given: int32 [N], the labels to learn.
        num_classes: K.
    """

    index: np.ndarray
    images: np.ndarray
    true: np.ndarray
    given: np.ndarray
    num_classes: int

    def __post_init__(self):
        for array in (self.index, self.images, self.true, self.given):
            array.flags.writeable = False

    @property
    def num_examples(self) -> int:
        return len(self.index)


def accelerator() -> str:
    """The device that corruption runs on: the first GPU, else the CPU."""
    return "/GPU:0" if tf.config.list_logical_devices("GPU") else "/CPU:0"


def corrupted(
    split: Split, *, probability: float = 0.0, noise: str = "uniform", seed: int = 0
) -> tf.data.Dataset:
    """The corrupting pipeline: batches {index, images, true, given}, each example once, in order.

    Only a training split's labels are corrupted. The map's body is placed on the accelerator by a
    device scope *inside* it; a scope round the map would silently stay on the CPU.

    Args:
        split: the examples.
        probability: of replacing a training label, 0 to 1.
        noise: see `corruptions.corrupt_labels`.
        seed: of the corruption.
    """

    def corrupt(index, images, labels):
        with tf.device(accelerator()):
            given = tf.identity(labels)
            if split.name == "train" and probability > 0:
                given = corruptions.corrupt_labels_tf(
                    labels,
                    index,
                    probability=probability,
                    num_classes=split.num_classes,
                    seed=seed,
                    noise=noise,
                )
        return {"index": index, "images": images, "true": labels, "given": given}

    source = tf.data.Dataset.from_tensor_slices((split.index, split.images, split.labels))
    options = tf.data.Options()
    # The autotune thread makes short passes last 2.55, 5.11 or 10.23 s.
    options.autotune.enabled = False
    return source.batch(CORRUPTION_BATCH).map(corrupt).with_options(options)


def collect(dataset: tf.data.Dataset, num_classes: int) -> Table:
    """Reads one pass of a corrupting pipeline into a Table."""
    batches = [{k: v.numpy() for k, v in batch.items()} for batch in dataset]
    columns = {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}
    return Table(**columns, num_classes=num_classes)


def labels_hash(index: np.ndarray, given: np.ndarray) -> str:
    """sha256 over (index, given), 16 hex digits: what the model was asked to learn."""
    digest = hashlib.sha256(np.ascontiguousarray(index, np.int64).tobytes())
    digest.update(np.ascontiguousarray(given, np.int32).tobytes())
    return digest.hexdigest()[:16]


def order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order of the training examples in an epoch: int32 [count], a function of its arguments.

    It permutes positions in the Table, not identities; a Table is sorted by identity.
    """
    return rng.permutation(seed, Stream.ORDER, SplitId.TRAIN, count, epoch)


def random_crop(images, index, *, size: int, seed: int, epoch):
    """A random size x size window of each image (Table 1's "random crop"), on the device.

    Args:
        images: [B, H, W, C] with H, W >= size.
        index: integer [B]: identities; the window is drawn from (seed, epoch, index).
        size: height and width of the window, pixels.
        seed: of the run.
        epoch: int tensor or number.

    Returns:
        [B, size, size, C], same dtype.
    """
    rows, columns = rng.bits_tf(seed, Stream.AUGMENT, SplitId.TRAIN, index, epoch)

    def below(words, count):
        return tf.cast(
            tf.bitwise.right_shift(tf.cast(words, tf.int64) * count, tf.constant(32, tf.int64)),
            tf.int32,
        )

    top = below(rows, images.shape[1] - size + 1)[:, None] + tf.range(size)
    left = below(columns, images.shape[2] - size + 1)[:, None] + tf.range(size)
    images = tf.gather(images, top, axis=1, batch_dims=1)
    return tf.gather(images, left, axis=2, batch_dims=1)


def standardise(images):
    """Each image to mean 0 and deviation 1 over all its entries (Appendix A), float32.

    The deviation is adjusted, max(std, 1/sqrt(number of entries)), so a flat image gives zeros:
    `tf.image.per_image_standardization` in one pass over the batch.
    """
    images = tf.cast(images, tf.float32)
    entries = float(np.prod(images.shape[1:]))
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    centred = images - mean
    deviation = tf.sqrt(tf.reduce_mean(tf.square(centred), axis=[1, 2, 3], keepdims=True))
    return centred / tf.maximum(deviation, 1 / np.sqrt(entries))


def window(images: np.ndarray, size: int, augment: str) -> np.ndarray:
    """The part of each image that must be resident: all of it for random crops, else the centre."""
    return images if augment == "crop" else corruptions.centre_crop(images, size)

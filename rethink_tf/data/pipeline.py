"""From a Split to what the model sees: corrupt on the accelerator, order, crop, standardise.

`corrupted` is the tf.data pipeline whose batched map runs on the accelerator; `collect` reads it
into a Table, which stays resident on the device. All work per step (`order`, `random_crop`,
`standardise`) is a pure function of (seed, epoch, example index).
"""

import functools

import numpy as np
import tensorflow as tf

from rethink_tf.corruptions import labels as corruptions
from rethink_tf.corruptions import pixels as pixel_corruptions
from rethink_tf.corruptions import threefry
from rethink_tf.corruptions.corruption import Corruption, Moments
from rethink_tf.corruptions.pixels import accelerator
from rethink_tf.corruptions.threefry import SplitId, Stream
from rethink_tf.data.types import Split, Table
from rethink_tf.narrowing import present

CORRUPTION_BATCH = 1000
MAX_ROTATION_DEGREES = 25


def corrupted(
    split: Split,
    corruption: Corruption,
    *,
    moments: Moments | None = None,
    file_labels: np.ndarray | None = None,
) -> tf.data.Dataset:
    """The corrupting pipeline: batches {index, images, true, given}, each example once, in order.

    Only labels of a training split are corrupted. A device scope *inside* the map's function places
    it on the accelerator. A scope around the map would silently leave it on the CPU.

    Args:
        split: the examples, cropped.
        corruption: of labels and pixels.
        moments: of Gaussian pixels.
        file_labels: int32 [N], training labels from `corruption.labels_from`, in place of a draw.
    """
    training = split.name == "train"
    part = SplitId.TRAIN if training else SplitId.TEST

    # No control flow depends on a tensor: AutoGraph would only take a second to read the sources.
    @tf.autograph.experimental.do_not_convert
    def corrupt(index, images, labels, learnt):
        with tf.device(accelerator()):
            if training and corruption.corrupt > 0:
                learnt = corruptions.corrupt_labels_tf(
                    labels,
                    index,
                    corrupt=corruption.corrupt,
                    num_classes=split.num_classes,
                    seed=corruption.seed,
                    label_noise=corruption.label_noise,
                    matrix=corruption.matrix,
                )
            seen = pixel_corruptions.corrupt_pixels_tf(
                images, index, corruption, split=part, moments=moments
            )
        return {"index": index, "images": seen, "true": labels, "given": learnt}

    learnt = file_labels if training and file_labels is not None else split.labels
    source = tf.data.Dataset.from_tensor_slices((split.index, split.images, split.labels, learnt))
    options = tf.data.Options()
    # The autotune thread delays the end of short passes: they last 2.55, 5.11 or 10.23 s.
    options.autotune.enabled = False
    return source.batch(CORRUPTION_BATCH).map(corrupt).with_options(options)


def collect(dataset: tf.data.Dataset, num_classes: int) -> Table:
    """Reads one pass of a corrupting pipeline into a Table."""
    batches = [{k: v.numpy() for k, v in batch.items()} for batch in dataset]
    columns = {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}
    return Table(**columns, num_classes=num_classes)


def order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order of the training examples in an epoch: int32 [count], a function of its arguments.

    It permutes positions in the Table, not identities; a Table is sorted by identity.
    """
    return threefry.permutation(seed, Stream.ORDER, SplitId.TRAIN, count, epoch)


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
    rows, columns = threefry.bits_tf(seed, Stream.AUGMENT, SplitId.TRAIN, index, epoch)

    def below(words, count):
        shift = tf.constant(32, tf.int64)
        return tf.bitwise.right_shift(tf.cast(words, tf.int64) * count, shift)

    top = below(rows, images.shape[1] - size + 1)[:, None] + tf.range(size, dtype=tf.int64)
    left = below(columns, images.shape[2] - size + 1)[:, None] + tf.range(size, dtype=tf.int64)
    images = tf.gather(images, top, axis=1, batch_dims=1)
    return tf.gather(images, left, axis=2, batch_dims=1)


def flip_rotate(images, index, *, size: int, seed: int, epoch):
    """Left-right flip with chance 1/2, rotation by up to 25 degrees (Table 4), then centre crop.

    The image is rotated about its centre by bilinear interpolation before the crop, so corners come
    from the image if it is larger than the window. Pixels outside the image are reflected.

    Args:
        images: [B, H, W, C] with H, W >= size.
        index, size, seed, epoch: as for `random_crop`.

    Returns:
        float32 [B, size, size, C].
    """
    flip, turn = threefry.bits_tf(seed, Stream.AUGMENT, SplitId.TRAIN, index, epoch)
    images = tf.cast(images, tf.float32)
    mirrored = tf.bitwise.bitwise_and(flip, tf.constant(1, tf.uint32)) > 0
    images = tf.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
    unit = tf.cast(tf.bitwise.right_shift(turn, tf.constant(8, tf.uint32)), tf.float32) * 2**-24
    angle = (2 * unit - 1) * np.float32(np.deg2rad(MAX_ROTATION_DEGREES))
    height, width = images.shape[1:3]
    y, x = (height - 1) / 2, (width - 1) / 2
    (cos, sin), zero = cosine_sine(angle), tf.zeros_like(angle)
    transforms = tf.stack(
        [cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y, zero, zero], axis=1
    )
    rotated = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
    return centre(rotated, size)


def cosine_sine(angle):
    """Cosine and sine of float32 angles of at most 25 degrees, to 4e-8.

    TensorFlow's functions round differently by the position of the angle in the batch, so replicas
    would see different images. Sums and products do not.
    """
    square = angle * angle

    def series(first):
        """Taylor's, by Horner: 1 - x^2 / (first * (first + 1)) * (1 - ...)."""
        total = tf.ones_like(angle)
        for n in range(first + 6, first - 1, -2):
            total = 1 - square * np.float32(1 / (n * (n + 1))) * total
        return total

    return series(1), angle * series(2)


def augmented(images, index, *, augment: str, size: int, seed: int, epoch):
    """A training batch, augmented and cropped to the size that the model sees."""
    if augment == "none":
        return centre(images, size)
    function = {"crop": random_crop, "flip_rotate": flip_rotate}[augment]
    return function(images, index, size=size, seed=seed, epoch=epoch)


def augmented_rows(table: Table, rows: np.ndarray, **drawn):
    """These rows of a Table as training sees them; `drawn` as for `augmented`."""
    if table.streamed:
        return table.images.augmented(rows, **{n: v for n, v in drawn.items() if n != "size"})
    return augmented(table.images[rows], table.index[rows], **drawn)


def centre(images, size: int):
    """The central size x size window of a batch of images or tensors [B, H, W, C]."""
    top, left = (images.shape[1] - size) // 2, (images.shape[2] - size) // 2
    return images[:, top : top + size, left : left + size]


def standardise(images):
    """Each image to mean 0 and standard deviation 1 over all its entries (Appendix A), float32.

    The divisor is max(std, 1/sqrt(number of entries)), so a constant image gives zeros. This is
    `tf.image.per_image_standardization` in one pass over the batch.
    """
    images = tf.cast(images, tf.float32)
    entries = float(np.prod(images.shape[1:]))
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    centred = images - mean
    std = tf.sqrt(tf.reduce_mean(tf.square(centred), axis=[1, 2, 3], keepdims=True))
    return centred / tf.maximum(std, 1 / np.sqrt(entries))


def channel_norm(images, mean, std):
    """Each channel minus the training set's mean, divided by its std: float32 [B, H, W, C].

    Args:
        images: [B, H, W, C].
        mean, std: float [C], on the scale of `images` (of CIFAR-10: 125.3, 123.0, 113.9 and
            63.0, 62.1, 66.7).
    """
    return (tf.cast(images, tf.float32) - np.float32(mean)) / np.float32(std)


# Kinds of preprocessing whose moments are the same for all data sets.
FIXED_NORMS = {"inception": Moments(127.5, 127.5), "none": Moments(0.0, 1.0)}


def preprocessing(kind: str, norm: Moments | None = None):
    """The function from images to what the model sees: `standardise`, or `channel_norm` with the
    given moments; `inception`, the Inception package's, brings 0..255 to -1..1, `none`
    leaves it."""
    if kind == "standardise":
        return standardise
    mean, std = FIXED_NORMS.get(kind) or present(norm, f"the moments of {kind}")
    return functools.partial(channel_norm, mean=mean, std=std)


def window(images: np.ndarray, size: int, augment: str) -> np.ndarray:
    """The part of each image that is kept: all of it for augmentation, else the centre.

    Streamed images are resized.
    """
    if not isinstance(images, np.ndarray):
        return images.resized(size)
    return images if augment != "none" else centre(images, size)

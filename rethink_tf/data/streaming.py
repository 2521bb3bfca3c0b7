"""Images that stay on disk: read by index, decoded, corrupted and prefetched on demand.

A `StreamedImages` replaces the array of images of a set in memory. It has random access, so the
order of an epoch, a resume within it and the equality over replicas are as for sets in memory.
`feed` asks for the images in the order of training.
"""

import contextlib
import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from rethink_tf.corruptions import image_checksum, pixels, threefry
from rethink_tf.corruptions import pixels as pixel_corruptions
from rethink_tf.corruptions.corruption import Corruption, Moments
from rethink_tf.corruptions.threefry import SplitId, Stream
from rethink_tf.data.sources import jpeg, tfrecord_index
from rethink_tf.data.sources.tfrecord_index import SPLITS
from rethink_tf.environment import cores
from rethink_tf.errors import StorageError
from rethink_tf.storage import array_cache

READ = 64  # records read per call of Python
BATCH = 100  # images decoded, corrupted and evaluated together
PREFETCH = 3  # batches
AS_THEY_ARE = Corruption()
MOST_UNREADABLE = tfrecord_index.MOST_UNREADABLE


@dataclasses.dataclass(frozen=True, eq=False)
class StreamedImages:
    """Images [N, size, size, 3] of JPEG files within TFRecord files.

    Indexing with rows reads and decodes images; `take` only selects rows.

    Attributes:
        shards: the files.
        shard, offset, length: integer [N], where each JPEG lies.
        index: int64 [N], identities.
        split: of the random draws.
        size: height and width, pixels.
        corruption: of the pixels; moments: of Gaussian ones.
        left_out: names of the images of the set that cannot be read.
        words: int64 [N], over each identity and the bytes of its file
            (`image_checksum.bytes_word`), as they were when every image was decoded once.
    """

    shards: tuple[Path, ...]
    shard: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    index: np.ndarray
    split: SplitId
    size: int
    corruption: Corruption = AS_THEY_ARE
    moments: Moments | None = None
    left_out: tuple[str, ...] = ()
    words: np.ndarray | None = None

    dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, height, width, channels)."""
        return len(self), self.size, self.size, 3

    def view(self):
        """Itself, since it is read-only."""
        return self

    def take(self, rows: np.ndarray, axis: int = 0) -> "StreamedImages":
        """These rows, in this order; nothing is read."""
        columns = ("shard", "offset", "length", "index", "words")
        chosen = {c: getattr(self, c) for c in columns}
        chosen = {c: column[rows] for c, column in chosen.items() if column is not None}
        return dataclasses.replace(self, **chosen)

    def resized(self, size: int) -> "StreamedImages":
        """The same images at another size."""
        return dataclasses.replace(self, size=size)

    def corrupted(self, corruption: Corruption, moments: Moments | None) -> "StreamedImages":
        """The same images, corrupted (`pixels.corrupt_pixels`)."""
        return dataclasses.replace(self, corruption=corruption, moments=moments)

    def spread(self, count: int) -> np.ndarray:
        """Up to `count` rows, evenly spread: int64 [n], ascending."""
        return np.unique(np.linspace(0, len(self) - 1, min(count, len(self))).astype(np.int64))

    def __getitem__(self, rows) -> np.ndarray:
        """These rows, read and decoded as in an evaluation: [n, size, size, 3]."""
        rows = np.arange(len(self))[rows]
        return np.concatenate([batch.numpy() for batch in read(self.batches(rows, BATCH))])

    def augmented(self, rows, *, augment: str, seed: int, epoch: int) -> np.ndarray:
        """These rows as training sees them in an epoch."""
        batches = self.batches(rows, BATCH, augment=augment, seed=seed, epoch=epoch)
        return np.concatenate([batch.numpy() for batch in read(batches)])

    def jpegs(self, rows: np.ndarray) -> tf.data.Dataset:
        """(row, bytes, word of these bytes) of each row, in order."""
        source = tf.data.Dataset.from_tensor_slices(np.asarray(rows, np.int64)).batch(READ)
        return source.map(
            lambda part: (part, *(tf.ensure_shape(x, [None]) for x in self._bytes(part)))
        ).unbatch()

    def _bytes(self, rows):
        @tf.autograph.experimental.do_not_convert
        def load(wanted):
            places = zip(*(x[wanted] for x in (self.shard, self.offset, self.length)), strict=True)
            files = [tfrecord_index.read(self.shards[s], o, n) for s, o, n in places]
            pairs = zip(files, self.index[wanted], strict=True)
            words = [image_checksum.bytes_word(data, index) for data, index in pairs]
            return np.array(files, object), np.array(words, np.int64)

        return tf.numpy_function(load, [rows], [tf.string, tf.int64])

    def batches(
        self, rows, size: int, *, augment: str = "none", seed: int = 0, epoch: int = 0
    ) -> tf.data.Dataset:
        """Batches of images, corrupted, in the order of `rows`; the last may be smaller.

        Args:
            rows: integer [n].
            size: images a batch.
            augment: `none` for the centre, `inception` for a part drawn from (seed, epoch, index).
            seed, epoch: of the augmentation.

        Returns:
            Batches [size, H, W, 3], uint8, or float32 where pixels are Gaussian.
        """
        sealed = self.sealed_batches(rows, size, augment=augment, seed=seed, epoch=epoch)
        return sealed.map(lambda images, *_: images)

    def sealed_batches(
        self, rows, size: int, *, augment: str = "none", seed: int = 0, epoch: int = 0
    ) -> tf.data.Dataset:
        """The same with words to check them: batches (images, files, sent).

        `files` int64 [size] are the words of the bytes that were read (`words`), `sent` int64
        [size] those of the images as they leave the map (`image_checksum.image_words`).
        """
        index = tf.constant(self.index)

        def decode(row, data, word):
            own = tf.gather(index, row)
            if augment == "none":
                return own, jpeg.central(data, self.size), word
            words = threefry.bits_tf(seed, Stream.AUGMENT, SplitId.TRAIN, own, epoch)
            return own, jpeg.distorted(data, tf.stack(words), self.size), word

        corrupted = self.corruption.pixels != "original"

        def corrupt(own, images, files):
            # Inside the mapped function: outside of it, the work would silently stay on the CPU.
            with tf.device(pixels.accelerator() if corrupted else "/CPU:0"):
                if corrupted:
                    images = pixel_corruptions.corrupt_pixels_tf(
                        images, own, self.corruption, split=self.split, moments=self.moments
                    )
                return images, files, image_checksum.image_words_tf(images, own)

        decoded = self.jpegs(rows).map(decode, num_parallel_calls=cores()).batch(size)
        return decoded.map(corrupt)

    def decodable(self) -> tuple[np.ndarray, np.ndarray]:
        """Whether each image can be decoded, bool [N], and the words of the files, int64 [N].

        Raises:
            StorageError: a file cannot be read.
        """

        def decode(row, data, word):
            # Decoding at an eighth of the size still reads all of the file's data. The shape is
            # returned because TensorFlow drops results that are not used.
            image = tf.io.decode_jpeg(data, channels=3, ratio=8)
            return row, word, tf.shape(image), tf.io.extract_jpeg_shape(data)

        rows = self.jpegs(np.arange(len(self))).map(decode, num_parallel_calls=cores())
        good, words = np.zeros(len(self), bool), np.zeros(len(self), np.int64)
        for some, own_words, *_ in read(rows.ignore_errors().batch(1000)):
            good[some.numpy()], words[some.numpy()] = True, own_words
        try:  # of images that cannot be decoded, the bytes must still be readable
            for row in np.flatnonzero(~good):
                path = self.shards[self.shard[row]]
                tfrecord_index.read(path, int(self.offset[row]), int(self.length[row]))
        except OSError as error:
            raise StorageError(f"{error}; type the same command again") from None
        return good, words


def read(dataset: tf.data.Dataset):
    """The batches of a dataset, prefetched.

    Raises:
        StorageError: a file cannot be read, or an image no longer be decoded.
    """
    options = tf.data.Options()
    # Fixed parallelism: the autotune thread makes short passes last 2.55, 5.11 or 10.23 s.
    options.autotune.enabled = False
    options.threading.private_threadpool_size = cores()
    iterator = iter(dataset.prefetch(PREFETCH).with_options(options))
    while True:
        with told():
            batch = next(iterator, None)
        if batch is None:
            return
        yield batch


@contextlib.contextmanager
def told():
    """Turns tf.data's errors about files and images into one line."""
    try:
        yield
    except tf.errors.OpError as error:
        # TensorFlow puts the names of operations around the message, and may add a traceback.
        text = re.sub(r"\{\{.*?\}\} ?", "", str(error)).strip()
        match = re.search(r"^\w*Error: (?!\w*Error: )(.*)", text, re.MULTILINE)
        reason = match[1] if match else (text.splitlines() or [type(error).__name__])[0]
        raise StorageError(
            f"an image cannot be read any more ({reason[:300]}); the files have changed since they "
            "were checked: type the same command again"
        ) from None


def scan(folder: Path, name: str, num_classes: int) -> dict[str, np.ndarray]:
    """The table of a prepared set: places, labels, identities; every image is decoded once.

    Args:
        folder, name, num_classes: see `tfrecord_index.scan`.

    Returns:
        `{split}_{column}` for the `tfrecord_index.COLUMNS` and `{split}_words`, those of
        `StreamedImages`, without the images that cannot be read; and `left_out`, their names, as
        bytes.

    Raises:
        RequestError: the folder is damaged, or more than MOST_UNREADABLE cannot be read.
    """
    arrays, lost = tfrecord_index.scan(folder, name, num_classes)
    total = len(lost)
    for split in SPLITS:
        names = arrays.pop(f"{split}_names")
        images = _images(folder, name, arrays, split, 32)
        good, words = images.decodable()
        lost += [name.decode() for name in names[~good]]
        total += len(names)
        for column in tfrecord_index.COLUMNS:
            arrays[f"{split}_{column}"] = arrays[f"{split}_{column}"][good]
        arrays[f"{split}_words"] = words[good]
    if len(lost) > MOST_UNREADABLE * total:
        raise tfrecord_index.damaged(
            folder,
            f"{len(lost)} of {total} images cannot be read, more than {100 * MOST_UNREADABLE:g}%: "
            f"{_some(lost)}",
        )
    return arrays | {"left_out": np.array(lost, "S")}


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + rest


def _images(folder: Path, name: str, arrays, split: str, size: int) -> StreamedImages:
    return StreamedImages(
        tuple(tfrecord_index.shards(folder, name, split)),
        shard=arrays[f"{split}_shard"],
        offset=arrays[f"{split}_offset"],
        length=arrays[f"{split}_length"],
        index=arrays[f"{split}_index"],
        split=SplitId.TRAIN if split == "train" else SplitId.TEST,
        size=size,
        left_out=tuple(name.decode() for name in arrays.get("left_out", ())),
        words=arrays.get(f"{split}_words"),
    )


def load(
    name: str,
    folder: Path,
    entry: Path,
    size: int,
    num_classes: int,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """The table of `scan` with `{split}_images` in it, which read `folder`.

    Args:
        name, folder, num_classes: see `scan`.
        entry: of the cache; "-places" is added to its name.
        size: height and width of the images, until they are resized.
        report: gets a line before every image is decoded, which takes long; one if images are left
            out; and those of `array_cache.load_or_build`.
    """
    entry = entry.with_name(f"{entry.name}-places")

    def build():
        report(f"decoding every image of {folder} once, to find unreadable ones; kept in {entry}")
        return scan(folder, name, num_classes) | {"entry": np.array(entry.name)}

    def check(arrays):
        if str(arrays["entry"]) != entry.name:
            raise ValueError(f"expected {entry.name}, found {arrays['entry']!s:.100}")
        if not {f"{s}_words" for s in SPLITS} <= set(arrays):
            raise ValueError("it is older than the words of the images' files")
        return {f"{s}_images": _images(folder, name, arrays, s, size) for s in SPLITS}

    arrays = array_cache.load_or_build(entry, build, report=report, check=check)
    images = check(arrays)
    if lost := images["train_images"].left_out:
        report(f"{len(lost)} images of {folder} cannot be read and are left out: {_some(lost)}")
    return arrays | images

"""The seal of a split: counts and checksums that every pass over the split must have.

It is computed from the source and from the NumPy reference of the corruption, never from the tables
that are trained on. `docs/explanation/seals.md` states where it is checked. Imports no TensorFlow.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from rethink_tf.audit import label_checks
from rethink_tf.audit.check import Check
from rethink_tf.corruptions import checksum as label_checksums
from rethink_tf.corruptions import pixels as pixel_corruptions
from rethink_tf.corruptions.corruption import Corruption, Moments
from rethink_tf.corruptions.image_checksum import checksum, image_words
from rethink_tf.corruptions.threefry import SplitId
from rethink_tf.narrowing import present

SAMPLED_ROWS = 8  # images per replica and step whose words are summed in training
_TURN = 37  # rows by which the sample moves from one step to the next
_BLOCK = 1000  # images corrupted by the reference at a time
TOLERANCE = 1e-4  # in standard deviations of the noise, where images are not whole numbers


@dataclasses.dataclass(frozen=True, eq=False)
class Seal:
    """Identifies a split: its examples in order, their labels, and a word for each image.

    Attributes:
        split: `train` or `test`.
        index: int64 [N], identities.
        true, given: integer [N], the data set's own labels and the labels to learn.
        words: int64 [N], over (index, image) as it is before augmentation
            (`image_checksum.image_words`); of streamed images over (index, the file's bytes).
        streamed: whether the images stay on disk.
        decoded: of streamed images: rows int64 [n] and words int64 [n] over (index, image) of
            those that the audit decoded; of the others they are recorded at the first pass.
    """

    split: str
    index: np.ndarray
    true: np.ndarray
    given: np.ndarray
    words: np.ndarray
    streamed: bool = False
    decoded: tuple[np.ndarray, np.ndarray] | None = None

    def __post_init__(self) -> None:
        for name in ("index", "true", "given", "words"):
            array = np.array(getattr(self, name))  # a copy, so that no one else can write into it
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def num_examples(self) -> int:
        """N."""
        return len(self.index)

    @property
    def label_words(self) -> np.ndarray:
        """int64 [N], one for each (index, given label)."""
        return label_checksums.label_words(self.index, self.given)

    @property
    def label_checksum(self) -> int:
        """Over the given labels of all examples, whatever their order."""
        return label_checksums.label_checksum(self.index, self.given)

    @property
    def image_checksum(self) -> int:
        """Over the words of all images, whatever their order."""
        return checksum(self.words)

    def with_labels(self, labels: np.ndarray) -> "Seal":
        """The same examples with other labels, both true and to learn: integer [N]."""
        return dataclasses.replace(self, true=labels, given=labels)

    def with_words(self, words: np.ndarray) -> "Seal":
        """The same examples in another form, features of a network: words int64 [N]."""
        return dataclasses.replace(self, words=words, streamed=False, decoded=None)

    def first(self, count: int) -> "Seal":
        """The first `count` examples."""
        columns = {n: getattr(self, n)[:count] for n in ("index", "true", "given", "words")}
        return dataclasses.replace(self, **columns, decoded=None)

    def columns(self, table: Any) -> str | None:
        """The error in the columns of a Table, from which accuracies are computed; or None."""
        if table.num_examples != self.num_examples:
            return (
                f"the {self.split} table has {table.num_examples} examples, its seal says "
                f"{self.num_examples} (seal: {self.split} examples)"
            )
        for name in ("index", "true", "given"):
            got, sealed = np.asarray(getattr(table, name)), getattr(self, name)
            if differing := unequal(got, sealed):
                row = differing[0]
                return (
                    f"{name} of the {self.split} table: {len(differing)} of {len(sealed)} differ, "
                    f"first at position {row}: {got[row]}, its seal says {sealed[row]} "
                    f"(seal: {self.split} labels)"
                )
        return None


def unequal(got: np.ndarray, expected: np.ndarray) -> list[int]:
    """Positions at which two arrays of one length differ."""
    return np.flatnonzero(np.asarray(got) != np.asarray(expected)).tolist()


def sampled_rows(step: int | np.ndarray, rows: int) -> np.ndarray:
    """The rows of a replica's part of a batch that are sampled at a step: consecutive ones.

    The examples are in random order, so consecutive rows are a random sample.

    Args:
        step: integer array [...], from 0.
        rows: of the replica's part.

    Returns:
        int64 [..., n], n at most SAMPLED_ROWS.
    """
    count = min(SAMPLED_ROWS, rows)
    first = np.asarray(step, np.int64) * _TURN % (rows - count + 1)
    return first[..., None] + np.arange(count)


def sampled_tf(step: Any, columns: Sequence) -> list:
    """The rows `sampled_rows` of tensors [rows, ...]; step is an int32 tensor."""
    import tensorflow as tf

    rows = columns[0].shape[0]
    count = min(SAMPLED_ROWS, rows)
    first = tf.math.floormod(tf.cast(step, tf.int32) * _TURN, rows - count + 1)
    # A gather, not a slice: XLA would compile the step again for each start of a slice.
    chosen = first + tf.range(count)
    return [tf.gather(column, chosen) for column in columns]


def sample_offsets(rows: int) -> np.ndarray:
    """Evenly spaced positions, at most SAMPLED_ROWS: int64 [n]."""
    count = min(SAMPLED_ROWS, rows)
    return np.arange(count) * rows // max(count, 1)


def parts(rows: int, replicas: int) -> list[tuple[int, int]]:
    """The first row of each replica's part of a batch, and the row after its last."""
    return [(r * rows // replicas, (r + 1) * rows // replicas) for r in range(replicas)]


def seal(
    split: Any,
    given: np.ndarray,
    got: Any,
    corruption: Corruption,
    moments: Moments | None = None,
    audited: np.ndarray | None = None,
) -> Seal:
    """The seal of a split.

    Args:
        split: the Split that the pipeline read, cropped, or streamed.
        given: integer [N], labels to learn by the NumPy reference.
        got: images that the pipeline yielded, of all examples; of the rows `audited` where they
            are streamed. Whole-number images are compared with the reference word by word. Those
            of Gaussian noise are not bit-equal between NumPy and TensorFlow: every image is
            compared within 1e-4 deviations, and the seal is that of the very array compared.
        corruption: of the pixels.
        moments: of Gaussian pixels.
        audited: int64 [n], rows that were decoded, of streamed images.

    Raises:
        AuditError: an image is not what the reference says.
    """
    columns = split.name, split.index, split.labels, given
    if not split.streamed:
        words, check = _sealed_words(
            split.name, split.images, split.index, got, corruption, moments
        )
        label_checks.refuse_failures([check])
        return Seal(*columns, words)
    audited = present(audited, "the rows of streamed images that were decoded")
    source = split.images[audited]
    words, check = _sealed_words(split.name, source, split.index[audited], got, corruption, moments)
    label_checks.refuse_failures([check])
    # The last bits of noise depend on the place of an image in its batch, so no words are kept.
    decoded = None if corruption.pixels == "gaussian" else (audited, words)
    return Seal(*columns, split.images.words, streamed=True, decoded=decoded)


def _sealed_words(
    name: str,
    source: Any,
    index: np.ndarray,
    got: Any,
    corruption: Corruption,
    moments: Moments | None,
) -> tuple[np.ndarray, Check]:
    """Words of images, and whether the pipeline yielded what the reference says."""
    part = SplitId.TRAIN if name == "train" else SplitId.TEST
    exact = corruption.pixels != "gaussian"
    words, wrong, worst = [], 0, 0.0
    for start in range(0, len(index), _BLOCK):
        block = slice(start, start + _BLOCK)
        reference = pixel_corruptions.corrupt_pixels(
            source[block], index[block], corruption, split=part, moments=moments
        )
        yielded = np.asarray(got[block])
        if yielded.shape != reference.shape or yielded.dtype != reference.dtype:
            detail = f"expected {reference.dtype} {reference.shape}, received {yielded.dtype} "
            return np.zeros(0), Check(f"images_sealed_{name}", False, detail + f"{yielded.shape}")
        if exact:
            words.append(image_words(reference, index[block]))
            wrong += len(unequal(image_words(yielded, index[block]), words[-1]))
        else:
            std = present(moments, "the moments of Gaussian pixels").std
            apart = np.abs((yielded - reference) / np.float32(std))
            apart = apart.reshape(len(apart), -1).max(axis=1, initial=0)
            worst = max(worst, float(apart.max(initial=0)))
            wrong += int(np.sum(~(apart < TOLERANCE)))
            words.append(image_words(yielded, index[block]))
    detail = f"{wrong} of {len(index)} images differ from the reference"
    if not exact:
        detail += f", by at most {worst:.1e} standard deviations"
    return np.concatenate(words), Check(f"images_sealed_{name}", wrong == 0, detail)

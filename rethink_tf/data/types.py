"""The values that data give to training: facts about a set, and its examples."""

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set without loading it; sizes in examples and in 10**6 bytes."""

    name: str
    num_classes: int
    image_shape: tuple[int, int, int]
    num_train: int
    num_test: int
    # URL of the file that TFDS downloads; None: nothing is downloaded.
    download_host_url: str | None
    download_megabytes: int
    has_ids: bool = False  # Whether the id that TFDS gives an example is its original position.
    streamed: bool = False  # Images stay on disk, are read when needed and resized.
    # For custom data sets only (`sources.custom`):
    content: str = ""  # hash of its content
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()  # messages on how it was converted


_FIELDS = {"index": np.int64, "images": np.uint8, "labels": np.int32}  # The arrays of a split.


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Examples in ascending order of their identity. The arrays are read-only views.

    Attributes:
        name: "train" or "test".
        index: int64 [N], the permanent identity of each example, unique and ascending.
        images: uint8 [N, height, width, channels]; or `streaming.StreamedImages`.
        labels: int32 [N], the true labels, 0 to num_classes - 1.
        num_classes: the number of classes.
    """

    name: str
    index: np.ndarray
    images: Any
    labels: np.ndarray
    num_classes: int

    def __post_init__(self):
        for field, dtype in _FIELDS.items():
            array = getattr(self, field)
            if array.dtype != dtype or len(array) != len(self.index):
                raise ValueError(
                    f"{field}: expected {dtype.__name__} of length {len(self.index)}, "
                    f"got {array.dtype} of length {len(array)}"
                )
            view = array.view()
            if isinstance(view, np.ndarray):
                view.flags.writeable = False
            object.__setattr__(self, field, view)

    @property
    def num_examples(self) -> int:
        """N."""
        return len(self.index)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return tuple(self.images.shape[1:])

    @property
    def streamed(self) -> bool:
        """Whether the images stay on disk."""
        return not isinstance(self.images, np.ndarray)


@dataclasses.dataclass(frozen=True)
class Table:
    """An in-memory set as the model gets it: read-only arrays over the same N examples.

    Attributes:
        index: int64 [N], identities.
        images: uint8 or float32 [N, H, W, C], corrupted, not yet standardised;
            `streaming.StreamedImages` where they stay on disk.
        true: int32 [N], the data set's own labels.
        given: int32 [N], the labels to learn.
        num_classes: K.
    """

    index: np.ndarray
    images: Any
    true: np.ndarray
    given: np.ndarray
    num_classes: int

    def __post_init__(self):
        for array in (self.index, self.images, self.true, self.given):
            if isinstance(array, np.ndarray):
                array.flags.writeable = False

    @property
    def num_examples(self) -> int:
        """N."""
        return len(self.index)

    @property
    def streamed(self) -> bool:
        """Whether the images stay on disk."""
        return not isinstance(self.images, np.ndarray)

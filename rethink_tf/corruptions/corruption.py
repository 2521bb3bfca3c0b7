"""What a corruption is: the values of the flags of the same names, and what is measured for it."""

import dataclasses
from typing import Any, NamedTuple


@dataclasses.dataclass(frozen=True)
class Corruption:
    """How the labels and pixels of a data set are corrupted (paper, section 2.1).

    The names are those of the flags, of `RunConfig` and of every function that takes one of them.

    Attributes:
        corrupt: probability with which each training label is replaced, 0 to 1.
        label_noise: what replaces a label, one of `labels.LABEL_NOISE`; or the file of
            `matrix`.
        labels_from: file that gives the training labels in place of a draw, or None.
        pixels: one of `labels.PIXELS`.
        pixel_mix: share t of noise, `gaussian` only: (1 - t) image + t noise.
        shuffle_fraction: fraction of the positions that are permuted, `shuffled` and `random` only.
        seed: of all random draws, 0 to 2**32 - 1.
        test_pixels: `as_trained`: the test images are corrupted as the training images are;
            `original`: they are left as they are.
        matrix: float64 [K, K], row i the probabilities of the labels that replace class i; None
            where `label_noise` is not a file.
    """

    corrupt: float = 0.0
    label_noise: str = "uniform"
    labels_from: str | None = None
    pixels: str = "original"
    pixel_mix: float = 1.0
    shuffle_fraction: float = 1.0
    seed: int = 0
    test_pixels: str = "as_trained"
    matrix: Any = dataclasses.field(default=None, compare=False, repr=False)

    def of_split(self, name: str) -> "Corruption":
        """The corruption of `train` or `test`; see `test_pixels`."""
        if name == "train" or self.test_pixels == "as_trained":
            return self
        bare = Corruption(self.corrupt, self.label_noise, self.labels_from, seed=self.seed)
        return dataclasses.replace(bare, matrix=self.matrix)


class Moments(NamedTuple):
    """Mean and standard deviation of an image's channels: float [C] each, on the images' scale.

    They are measured on the training set. Gaussian pixels are drawn with them; `channel_norm`
    subtracts the mean and divides by the standard deviation.
    """

    mean: Any
    std: Any

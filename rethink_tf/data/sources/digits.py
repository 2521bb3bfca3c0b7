"""The embedded set: scikit-learn's 1,797 scanned digits, which need no download."""

import hashlib

import numpy as np

NUM_TRAIN, NUM_TEST = 1_500, 297


def load() -> dict[str, np.ndarray]:
    """Images (8x8, 0..16, each pixel doubled, as uint8), labels and identities of both splits."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = np.round(images.reshape(-1, 8, 8, 1) * 255 / 16).astype(np.uint8)
    images = images.repeat(2, axis=1).repeat(2, axis=2)
    # A permutation that does not depend on the version of a random generator.
    order = sorted(range(len(labels)), key=lambda i: hashlib.sha256(str(i).encode()).digest())
    arrays: dict[str, np.ndarray] = {}
    for name, part in (("train", order[:NUM_TRAIN]), ("test", order[NUM_TRAIN:])):
        index = np.array(sorted(part), np.int64)
        arrays |= {f"{name}_index": index, f"{name}_images": images[index]}
        arrays[f"{name}_labels"] = labels[index].astype(np.int32)
    return arrays

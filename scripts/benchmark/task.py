"""What all candidates train, ours and PyTorch's. Imports neither TensorFlow nor PyTorch."""

import numpy as np

MOMENTUM = 0.9
LEARNING_RATE = 0.01  # low enough for every model: a NaN would falsify the time
CLASSES = 10
EXAMPLES = 50_000  # as in CIFAR-10


def noise(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Uint8 images [count, size, size, 3] and int32 labels, the same in every process."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (count, size, size, 3), np.uint8)
    return images, draw.integers(0, CLASSES, count, np.int32)

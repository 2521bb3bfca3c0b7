"""What all candidates train, ours and PyTorch's. Imports neither TensorFlow nor PyTorch."""

import numpy as np

MOMENTUM = 0.9
LEARNING_RATE = 0.01  # low enough for every model: a NaN would falsify the time
CLASSES, CHANNELS = 10, 3
TABLE1 = ("inception", "inception_no_bn", "alexnet", "mlp_3x512", "mlp_1x512")
MODELS = (*TABLE1, "wrn_28_1", "resnet_18")  # those that torch_steps.py has


def noise(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Uint8 images [count, size, size, 3] and int32 labels, the same in every process."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (count, size, size, CHANNELS), np.uint8)
    return images, draw.integers(0, CLASSES, count, np.int32)

"""The images of benchmark.py: noise, the same in every process. Imports no framework."""

from types import SimpleNamespace

import numpy as np

CLASSES, CHANNELS = 10, 3


def arrays(options) -> SimpleNamespace:
    """A resident set: uint8 images [examples, size, size, 3] and int32 labels, as a Table has them.

    Args:
        options: of the command line.
    """
    size = 32 if options.augment == "crop" else options.input_size
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (options.examples, size, size, CHANNELS), np.uint8)
    given = draw.integers(0, CLASSES, options.examples, np.int32)
    return SimpleNamespace(
        images=images, given=given, num_examples=options.examples, num_classes=CLASSES
    )

"""What all candidates train, ours and PyTorch's. Imports neither TensorFlow nor PyTorch."""

import importlib.metadata
from types import SimpleNamespace

import numpy as np

from rethink_tf.config import fields

MOMENTUM = 0.9
LEARNING_RATE = 0.01  # low enough for every model: a NaN would falsify the time
CLASSES, CHANNELS = 10, 3
# The networks that torch_steps.py has.
TABLE1 = ("inception", "inception_no_bn", "alexnet", "mlp_3x512", "mlp_1x512")
TWINS = (*TABLE1, "wrn_28_1", "resnet_18")


def flag(default, help: str, *, group: str = "What is measured, and how", **bounds):
    """A flag of the kind of its default; text where that is None."""
    kind = str if default is None else type(default)
    return fields.field(default, kind, help, group=group, **bounds)


def noise(options) -> tuple[np.ndarray, np.ndarray]:
    """Uint8 images [examples, size, size, 3] and int32 labels, the same in every process."""
    size = 32 if options.augment == "crop" else options.input_size
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (options.examples, size, size, CHANNELS), np.uint8)
    return images, draw.integers(0, CLASSES, options.examples, np.int32)


def read_options(values: dict) -> SimpleNamespace:
    """The command line's options, of which a candidate's process gets the values."""
    return SimpleNamespace(**values)


def torch_version() -> str | None:
    """PyTorch's version, None where it is not installed."""
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None


def torch_settings(name: str) -> dict[str, dict]:
    """The settings worth trying for a model: keyword arguments of `torch_steps.candidate`."""
    if name.startswith("mlp"):
        return {"plain": {}}
    return {"channels_last": {"channels_last": True}, "contiguous": {}}

"""The learning rate of an epoch. Only that of the cosine depends on the length of a run."""

import math
from typing import Any

from rethink_tf.errors import RequestError


def milestones(text: str) -> tuple[int, ...]:
    """Epochs such as 150,225, ascending.

    Raises:
        RequestError: not whole numbers from 1 on, or one of them twice.
    """
    items = [item.strip() for item in text.split(",")]
    if not all(item.isascii() and item.isdigit() and 0 < len(item) < 8 for item in items):
        raise RequestError(f"--lr_milestones: expected epochs such as 150,225, received {text!r}")
    epochs = tuple(sorted(int(item) for item in items))
    if epochs[0] < 1 or len(set(epochs)) < len(epochs):
        raise RequestError(f"--lr_milestones: expected different epochs from 1, received {text!r}")
    return epochs


def learning_rate(config: Any, epoch: int) -> float:
    """The rate of an epoch, counted from 1, of a resolved RunConfig.

    With --lr_schedule=cosine (Loshchilov and Hutter, 2017): it rises in equal parts during
    --warmup_epochs, is the whole rate in the epoch after, and falls along half a cosine that would
    reach 0 in the epoch after the last.
    """
    if config.lr_schedule == "cosine":
        return config.learning_rate * _cosine(epoch, config.warmup_epochs, config.epochs)
    lowered = epoch - 1
    if config.lr_schedule == "step":
        lowered = sum(milestone < epoch for milestone in milestones(config.lr_milestones))
    return config.learning_rate * config.lr_decay**lowered


def _cosine(epoch: int, warmup: int, epochs: int) -> float:
    """The share of the whole rate in an epoch, counted from 1, of so many."""
    if epoch <= warmup:
        return epoch / (warmup + 1)
    return (1 + math.cos(math.pi * (epoch - 1 - warmup) / (epochs - warmup))) / 2

"""The layers of a model at every depth, found by what Keras makes public."""

from collections.abc import Iterator
from typing import Any

# Attributes that Keras adds to a layer, and that repeat its inner layers.
_NOTES = ("_layers", "_self_")


def layers_of(model: Any) -> list[Any]:
    """All layers of a model, also those within its layers and within models that it holds.

    A layer stands before those within it, of which the last stands first, as in Keras. A layer that
    is used several times stands once.
    """
    layers: list[Any] = []
    seen: set[int] = set()
    waiting = list(reversed(model.layers))  # a stack: the next layer is last
    while waiting:
        layer = waiting.pop()
        if id(layer) not in seen:
            seen.add(id(layer))
            layers.append(layer)
            waiting += _directly_within(layer)
    return layers


def _directly_within(layer: Any) -> list[Any]:
    """The layers that a layer holds: of a model its layers, else those in its attributes."""
    import keras

    if isinstance(layer, keras.Model):
        return list(layer.layers)
    attributes = {name: value for name, value in vars(layer).items() if not name.startswith(_NOTES)}
    return list({id(held): held for held in _held(attributes)}.values())


def _held(value: Any) -> Iterator[Any]:
    """The layers in a value, or in lists, tuples, sets and dicts of it, in order."""
    import keras

    if isinstance(value, keras.Layer):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _held(each)
    elif isinstance(value, list | tuple | set):
        for each in value:
            yield from _held(each)

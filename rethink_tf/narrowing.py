"""Values that a type leaves open and the place of use does not. Imports nothing of ours."""

from typing import TypeVar

_Value = TypeVar("_Value")


def present(value: _Value | None, what: str) -> _Value:
    """A value that is not None here.

    Args:
        value: of a type that allows None.
        what: it is, for the message.

    Raises:
        ValueError: it is None: an error of this project, not of a request.
    """
    if value is None:
        raise ValueError(f"expected {what}, found None")
    return value

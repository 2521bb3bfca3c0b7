"""Fields that carry their own default, help and bounds, and the check of a value against them."""

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from rethink_tf.errors import RequestError

_Kind = TypeVar("_Kind")


def field(
    default: Any,
    kind: Any,
    help: str,
    *,
    group: str,
    low: float | None = None,
    high: float | None = None,
    open_ends: str = "",
    choices: Any = None,
    accepts: Any = None,
    forms: str = "",
    meant: Any = None,
    by: Any = "",
) -> Any:
    """A field with its bounds.

    `kind` is str, int, float, bool, "optional" (text that may be left out: --name), "ints"
    (whole numbers such as 5,1) or "epochs" (the same, ascending, each once). `open_ends` names the
    ends that are not included, `by` what the field resolves by; `accepts` says which values count
    as well that are not among the choices, `forms` says it in words; `meant` gives the value that
    was probably meant by one that is refused, or None.
    """
    return dataclasses.field(
        default=default,
        metadata={
            "kind": kind,
            "help": help,
            "group": group,
            "low": low,
            "high": high,
            "open_ends": open_ends,
            "choices": choices,
            "accepts": accepts,
            "forms": forms,
            "meant": meant,
            "by": by,
        },
    )


def described(help: str, choices: Any, default: Any) -> str:
    """A flag's help in one line: what it is, its choices, and its default in brackets."""
    named = f"; one of {', '.join(choices)}" if choices else ""
    shown = str(default).lower() if isinstance(default, bool) else default
    return f"{help}{named}" + (f" [{shown}]" if shown not in (None, "") else "")


def from_stored(kind: type[_Kind], values: dict[str, Any]) -> _Kind:
    """A dataclass of such fields out of a file: checked, defaults for what it lacks.

    Fields unknown to this version are left out. RequestError for a value out of its bounds.
    """
    known: Any = dataclasses.fields(kind)  # type: ignore[arg-type]  # of a dataclass
    return kind(**{f.name: check(f.name, f, values.get(f.name, f.default)) for f in known})


def bounds(meta: Mapping[str, Any]) -> str:
    """The bounds of a field in words."""
    kind = "a whole number" if meta["kind"] is int else "a number"
    low, high, open_ends = meta["low"], meta["high"], meta["open_ends"]
    if high is None:
        return f"{kind} of at least {low}"
    above = f"above {low}" if "low" in open_ends else f"from {low}"
    below = f"below {high}" if "high" in open_ends else f"to {high}"
    return f"{kind} {above} {below}"


def check_choice(
    name: str, value: str, known: Iterable[str], forms: str = "", meant: str | None = None
) -> None:
    """Refuses a value that is not among the known ones, naming the nearest.

    Args:
        name: of the flag.
        value: that was given.
        known: the values that there are.
        forms: other values that are possible, in words.
        meant: the value that was probably meant; None: the nearest of the known ones.
    """
    if value in known:
        return
    near = [meant] if meant else difflib.get_close_matches(str(value), known, n=1, cutoff=0.5)
    hint = f"; did you mean --{name}={near[0]}?" if near else ""
    listed = ", ".join(known) + (f", or {forms}" if forms else "")
    received = value if value != "" else "''"
    raise RequestError(f"--{name}: expected one of {listed}; received {received}{hint}")


def check(name: str, field: dataclasses.Field, value: Any) -> Any:
    """One field's value in its own type, or RequestError with what was expected and what came."""
    meta = field.metadata
    if value is None:
        if field.default is None:
            return None
        raise RequestError(f"--{name}: expected a value, received none")
    if meta["choices"]:
        if not (meta["accepts"] and meta["accepts"](value)):
            meant = meta["meant"](value) if meta["meant"] else None
            check_choice(name, value, meta["choices"], meta["forms"], meant)
        return value
    kind, low, high, open_ends = meta["kind"], meta["low"], meta["high"], meta["open_ends"]
    if kind == "epochs":
        return tuple(sorted(set(_whole_numbers(name, meta, value, "epochs such as 1,5,20"))))
    if kind == "ints":
        wanted = f"numbers from {low} to {high}, such as {low},{high}"
        return _whole_numbers(name, meta, value, wanted)
    if kind in (str, "optional"):
        if not isinstance(value, str):
            raise RequestError(f"--{name}: expected text, received {value}")
        return value
    if kind is bool:
        if not isinstance(value, bool):
            raise RequestError(f"--{name}: expected true or false, received {value}")
        return value
    whole = isinstance(value, int) and not isinstance(value, bool)
    good = whole or (isinstance(value, float) and math.isfinite(value))
    good = good and (kind is float or value == int(value))
    good = good and (value > low if "low" in open_ends else value >= low)
    good = good and (high is None or (value < high if "high" in open_ends else value <= high))
    if not good:
        raise RequestError(f"--{name}: expected {bounds(meta)}, received {value}")
    return kind(value) + 0  # -0.0 becomes 0.0


def _whole_numbers(name: str, meta: Mapping[str, Any], value: Any, wanted: str) -> tuple[int, ...]:
    """Whole numbers within the bounds, separated by commas, in their order."""
    if isinstance(value, tuple):
        return value
    listed = [item.strip() for item in value.split(",")]
    if meta["kind"] == "epochs":  # an empty list is allowed
        listed = [item for item in listed if item]
    good = all(item.isascii() and item.isdigit() and len(item) < 12 for item in listed)
    numbers = tuple(int(item) for item in listed) if good else ()
    low, high = meta["low"] or 0, meta["high"] or 10**9
    if not good or not all(low <= number <= high for number in numbers):
        raise RequestError(f"--{name}: expected {wanted}, received {value}")
    return numbers

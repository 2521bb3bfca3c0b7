"""The history of a run kept by column: a tenth of the memory of one object an epoch."""

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

EPOCH, TIMING = "epoch", "timing"
Line = dict[str, Any]


class History(Sequence[Line]):
    """The lines of a history.jsonl in order; a line is a dict, made when it is asked for.

    Wall-clock times are kept as sums alone.

    Attributes:
        train_seconds, eval_seconds: sums over the epochs, as far as they are recorded.
    """

    def __init__(self, lines: Sequence[Line]):
        keys = dict.fromkeys(key for line in lines for key in line if key != TIMING)
        self._count = len(lines)
        self._columns = {key: _packed([line.get(key) for line in lines]) for key in keys}
        timings = [line.get(TIMING) or {} for line in lines]
        self.train_seconds = sum(timing.get("train_seconds") or 0 for timing in timings)
        self.eval_seconds = sum(timing.get("eval_seconds") or 0 for timing in timings)

    def column(self, key: str) -> Sequence[Any]:
        """A quantity of every epoch, None where it was not measured."""
        packed = self._columns.get(key)
        if isinstance(packed, array):
            return [None if math.isnan(value) else value for value in packed]
        if isinstance(packed, _Constant):
            return [packed.value] * self._count
        return [None] * self._count if packed is None else packed

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> Line: ...
    @overload
    def __getitem__(self, place: slice) -> list[Line]: ...
    def __getitem__(self, place: int | slice) -> Line | list[Line]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(self._count))]
        if not -self._count <= place < self._count:
            raise IndexError(place)
        return {key: self.column(key)[place] for key in self._columns}

    def __iter__(self) -> Iterator[Line]:
        columns = {key: self.column(key) for key in self._columns}
        for row in zip(*columns.values(), strict=True):
            yield dict(zip(columns, row, strict=True))


class _Constant:
    """A column that is the same in every epoch, such as the checksum of the labels."""

    def __init__(self, value: Any):
        self.value = value


def _packed(values: list[Any]) -> array | _Constant | Sequence[Any]:
    """A column in its smallest form that gives back the same values."""
    types = set(map(type, values))
    if len(types) == 1 and values.count(values[0]) == len(values):
        return _Constant(values[0])
    counted = range(1, len(values) + 1)
    if types == {int} and values == list(counted):
        return counted
    # JSON has no NaN, so NaN can stand for null.
    if types <= {float, type(None)}:
        return array("d", [math.nan if value is None else value for value in values])
    return values


def column(history: Iterable[Line], key: str) -> Sequence[Any]:
    """A quantity of every line of a history, None where there is none."""
    if isinstance(history, History):
        return history.column(key)
    return [line.get(key) for line in history]

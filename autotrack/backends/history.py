"""The points of one metric, as arrays of numbers that are points where one looks at one."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, overload

from autotrack.records import Metrics, Points, Record, number_from_json

__all__ = ["NONE", "History", "HistoryBuilder", "Point", "points_of"]

NONE = -(2**63)
"""Stands in the arrays of steps and epochs for a point that has none."""


_LARGE = 2**62


class Point(NamedTuple):
    """One value of a metric. ``time`` is Unix time in seconds."""

    step: int | None
    epoch: int | None
    time: float
    value: float


class History(Sequence[Point]):
    """All points of a metric, in the order in which they were logged.

    Attributes:
        step: Steps, an array of 64-bit integers; ``NONE`` (the lowest one) where a point has none.
        epoch: Epochs, likewise.
        time: Unix times in seconds, an array of doubles.
        value: The values, an array of doubles.

    ``numpy.asarray(history.value)`` copies nothing.
    """

    __slots__ = ("epoch", "step", "time", "value")

    def __init__(self, step: array[int], epoch: array[int], time: array[float], value: array[float]) -> None:
        self.step = step
        self.epoch = epoch
        self.time = time
        self.value = value

    def __len__(self) -> int:
        return len(self.value)

    @overload
    def __getitem__(self, index: int) -> Point: ...
    @overload
    def __getitem__(self, index: slice) -> History: ...
    def __getitem__(self, index: int | slice) -> Point | History:
        if isinstance(index, slice):
            return History(self.step[index], self.epoch[index], self.time[index], self.value[index])
        return _point(self.step[index], self.epoch[index], self.time[index], self.value[index])

    def __iter__(self) -> Iterator[Point]:
        return map(_point, self.step, self.epoch, self.time, self.value)

    def __repr__(self) -> str:
        last = f", the last {self[-1]}" if len(self) else ""
        return f"<History: {len(self)} points{last}>"

    def decimated(self, buckets: int) -> History:
        """At most twice as many points as ``buckets``: of each stretch of points the lowest and the highest one.

        The first point of a stretch that is all NaN stands for it. Points are picked, not made.

        Raises:
            ValueError: ``buckets`` is no positive number.
        """
        if buckets < 1:
            raise ValueError(f"a history is cut into 1 bucket or more, not {buckets}")
        size = len(self)
        if size <= 2 * buckets:
            return self
        picked: list[int] = []
        for bucket in range(buckets):
            first = bucket * size // buckets
            picked += _extremes(self.value[first : (bucket + 1) * size // buckets], first)
        return History(
            array("q", [self.step[index] for index in picked]),
            array("q", [self.epoch[index] for index in picked]),
            array("d", [self.time[index] for index in picked]),
            array("d", [self.value[index] for index in picked]),
        )


def _point(step: int, epoch: int, time: float, value: float) -> Point:
    return Point(None if step == NONE else step, None if epoch == NONE else epoch, time, value)


def _extremes(values: array[float], first: int) -> list[int]:
    """Where in the history the lowest and the highest of these values stand, in their order."""
    total = sum(values)
    known: Sequence[float] = values
    if total != total:  # NaN among them, or both infinities
        known = [value for value in values if value == value]
        if not known:
            return [first]
    return [first + at for at in sorted({values.index(min(known)), values.index(max(known))})]


def points_of(record: Metrics | Points, key: str) -> tuple[list[int | None], list[int | None], list[int], list[float]]:
    """(steps, epochs, microseconds after the record's time, values) of a metric in a record, of equal length.

    Raises:
        ValueError: The record makes no sense: lists of different lengths, no numbers, steps of more than 64 bits.
    """
    if isinstance(record, Metrics):
        steps, epochs, later = [record.s], [record.e], [0]
        values = [number_from_json(record.m[key])]
    else:
        size = len(record.v)
        values = [value if type(value) is float else number_from_json(value) for value in record.v]
        steps = [*record.s]
        epochs = [*record.e] or [None] * size
        later = record.dt or [0] * size
    if not len(steps) == len(epochs) == len(later) == len(values):
        raise ValueError("its lists have different lengths")
    for numbers in (steps, epochs):
        known = numbers if None not in numbers else [number for number in numbers if number is not None]
        if known and not (min(known) > NONE and max(known) < -NONE):  # type: ignore[type-var, operator]
            raise ValueError("a step or epoch has more than 64 bits")
    return steps, epochs, later, values


class HistoryBuilder:
    """Takes the records of one run (or child run), and makes the history of one metric of them.

    Attributes:
        history: All points so far.
        at: For each of them that was taken here the time of its record, in seconds: they are sorted by that.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.history = History(array("q"), array("q"), array("d"), array("d"))
        self.at = array("d")

    def take_all(self, start: float, records: Sequence[Record]) -> None:
        """The points in records whose times count from ``start``, in seconds."""
        history, key, at = self.history, self.key, self.at
        for record in records:
            time = start + record.t / 1e6
            if type(record) is Metrics:
                value, step, epoch = record.m.get(key), record.s, record.e
                # Nearly all of them, and there are many.
                if type(value) is float and type(step) is int and -_LARGE < step < _LARGE and epoch is None:
                    history.step.append(step)
                    history.epoch.append(NONE)
                    history.time.append(time)
                    history.value.append(value)
                    at.append(time)
                elif value is not None:
                    self.take(time, record)
            else:
                self.take(time, record)

    def take(self, time: float, record: Record) -> None:
        """The points in one record of this time; one that makes no sense has none."""
        of_it = self.key in record.m if isinstance(record, Metrics) else getattr(record, "key", None) == self.key
        if not of_it:
            return
        assert isinstance(record, (Metrics, Points))
        try:
            steps, epochs, later, values = points_of(record, self.key)
        except ValueError:
            return
        history = self.history
        history.step.extend(_whole(steps))
        history.epoch.extend(_whole(epochs))
        history.time.extend([time + after / 1e6 for after in later])
        history.value.extend(values)
        self.at.extend([time] * len(values))

    def sort(self) -> None:
        """Bring the points that were taken here into the order of their records."""
        at, history = self.at, self.history
        if all(map(operator.le, at, at[1:])):
            return
        order = sorted(range(len(at)), key=at.__getitem__)
        first = len(history) - len(at)
        columns: tuple[array[Any], ...] = (history.step, history.epoch, history.time, history.value)
        for column in columns:
            taken = column[first:]
            column[first:] = array(column.typecode, [taken[index] for index in order])
        self.at = array("d", [at[index] for index in order])


def _whole(numbers: list[int | None]) -> list[int]:
    return [NONE if number is None else number for number in numbers]

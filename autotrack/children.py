"""Child runs that are recorded many at a time, as records in the journal of their parent: candidates of a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autotrack.records import Begin, End, Failure, Metrics, Params, Points, Record, number_to_json

__all__ = ["ChildRun"]


@dataclass(slots=True)
class ChildRun:
    """What is new about one child run; see ``Run.capture_children``.

    Attributes:
        number: Its number, of those that ``Run.reserve_children`` gave.
        name: Its name, where it begins with this; empty for one that has begun.
        params: Its parameters; what a child has of its own is what it differs in, so all are marked as changed.
        metrics: Metrics by name.
        points: Whole histories of metrics by name, one value per step from 0 on.
        status: ``finished``, ``failed`` or ``interrupted``, where it ends with this; empty for one that goes on.
        error: (type, message, traceback) of what ended it, in words.
        age: Seconds since it began.
        duration: Seconds that it took.
    """

    number: int
    name: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    points: Mapping[str, Sequence[float]] = field(default_factory=dict)
    status: str = ""
    error: tuple[str, str, str] | None = None
    age: float = 0.0
    duration: float = 0.0

    def records(
        self, key: str, now: int, param: Callable[[str, Any], Any], clean: Callable[[str], str]
    ) -> list[Record]:
        """Its lines in the journal.

        Args:
            key: The child's key, the ``c`` of its records.
            now: Microseconds since the start of the writer.
            param: Makes a parameter a JSON value.
            clean: Takes secrets out of text.
        """
        lines: list[Record] = []
        begun = max(0, now - int(self.age * 1e6))
        if self.name:
            lines.append(Begin(t=begun, c=key, name=self.name))
        if self.params:
            fields = {name: param(name, value) for name, value in self.params.items()}
            lines.append(Params(t=begun, c=key, p=fields, changed=list(fields)))
        for name, values in self.points.items():
            numbers = [number_to_json(value) for value in values]
            lines.append(Points(t=now, c=key, key=name, s=list(range(len(numbers))), v=numbers))
        if self.metrics:
            metrics = {name: number_to_json(value) for name, value in self.metrics.items()}
            lines.append(Metrics(now, key, metrics, 0))
        if self.status:
            failure = None
            if self.error is not None:
                kind, message, trace = self.error
                failure = Failure(kind, clean(message), clean(trace))
            lines.append(End(t=now, c=key, status=self.status, duration=round(self.duration, 6), error=failure))
        return lines

"""Values of metrics at every step, noted in order; those of a device come later than they are taken."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import Any

import autotrack

__all__ = ["Points"]


class Points:
    """Takes the points of one run's metrics. Those that come later than they are taken are recorded by ``emit``.

    Attributes:
        waiting: They, and all that were taken since.
    """

    def __init__(self, run: autotrack.Run) -> None:
        self._run = run
        self._readings = autotrack.Readings()
        self.waiting: deque[tuple[str, float | autotrack.Reading, int, int, int]] = deque()

    def take(self, values: Iterable[tuple[str, Any]], step: int, epoch: int) -> None:
        """One point of each metric; values are numbers, or tensors of one element."""
        waiting = self.waiting
        ready: dict[str, float] = {}
        for key, value in values:
            taken = value if type(value) is float else self._readings.take(value)
            if type(taken) is float and not waiting:
                if key in ready:  # logged twice: by the module and by us, or in two hooks
                    self._run.put(ready, step, epoch)
                    ready = {}
                ready[key] = taken
            elif taken is not None:
                waiting.append((key, taken, step, epoch, time.monotonic_ns()))
        if ready:
            self._run.put(ready, step, epoch)

    def emit(self) -> None:
        """Record the points whose values have come since they were taken."""
        waiting = self.waiting
        if not waiting:
            return
        found: dict[tuple[str, int], tuple[list[float], list[int], list[int]]] = {}
        offset = self._run.elapsed() - time.monotonic_ns() // 1000
        while waiting:
            key, taken, step, epoch, now = waiting[0]
            value = taken if isinstance(taken, float) else taken.value
            if value is None:
                break
            waiting.popleft()
            values, steps, times = found.setdefault((key, epoch), ([], [], []))
            values.append(value)
            steps.append(step)
            times.append(max(0, offset + now // 1000))
        for (key, epoch), (values, steps, times) in found.items():
            self._run.gather_points(key, values, steps, times, epoch)

    def settle(self) -> None:
        """Wait until every value is there, and record it."""
        self._readings.settle()
        self.emit()

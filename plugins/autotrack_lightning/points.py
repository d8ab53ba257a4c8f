"""Values of metrics at every step, recorded in order; those of a device come later than they are taken."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import autotrack

__all__ = ["Points"]


class Points:
    """Takes the points of one run's metrics."""

    def __init__(self, run: autotrack.Run) -> None:
        self._run = run
        self._readings = autotrack.Readings()
        self._under_way: deque[tuple[str, autotrack.Reading, int, int]] = deque()

    def take(self, key: str, tensor: Any, step: int, epoch: int) -> None:
        """One point of a metric; ``tensor`` has one element."""
        taken = self._readings.take(tensor)
        if isinstance(taken, float):
            self._run.gather(key, taken, step, epoch)
        elif taken is not None:
            self._under_way.append((key, taken, step, epoch))
            self._emit()

    def _emit(self) -> None:
        waiting = self._under_way
        while waiting and (value := waiting[0][1].value) is not None:
            key, taken, step, epoch = waiting.popleft()
            at = self._run.elapsed() - (time.monotonic_ns() - taken.taken) // 1000
            self._run.gather(key, value, step, epoch, max(0, at))

    def settle(self) -> None:
        """Wait until every value is there, and record it."""
        self._readings.settle()
        self._emit()

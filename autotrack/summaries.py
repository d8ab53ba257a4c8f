"""What a run's metrics come to: how many values of each, the last, the lowest, the highest."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autotrack.records import number_to_json

__all__ = ["MAX_STEP", "Summaries"]

MAX_STEP = 2**63 - 1  # other languages read these files


class Summaries:
    """The summary of each metric. NaN is neither lowest nor highest where there is anything else."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[int, float, float, float, int]] = {}  # count, last, min, max, last step

    def add(self, key: str, value: float, step: int | None) -> int:
        """One value; its step, which is the next one where none is given."""
        at = self.next_step(key) if step is None else step
        seen = self._of.get(key)
        if seen is None:
            self._of[key] = 1, value, value, value, at
            return at
        count, _, low, high, _ = seen
        if value < low or low != low:
            low = value
        if value > high or high != high:
            high = value
        self._of[key] = count + 1, value, low, high, at
        return at

    def count(self, key: str) -> int:
        """How many values there were."""
        seen = self._of.get(key)
        return 0 if seen is None else seen[0]

    def next_step(self, key: str) -> int:
        """The step that ``add`` takes where none is given."""
        seen = self._of.get(key)
        return 0 if seen is None else min(seen[4] + 1, MAX_STEP)

    def extend(self, key: str, values: Sequence[float], steps: Sequence[int]) -> bool:
        """One value or more; whether all of them are finite."""
        if not math.isfinite(sum(values)):
            for value, step in zip(values, steps, strict=True):
                self.add(key, value, step)
            return False
        low, high = min(values), max(values)
        seen = self._of.get(key)
        count = len(values)
        if seen is not None:
            count += seen[0]
            low = seen[2] if seen[2] < low else low  # a NaN is less than nothing
            high = seen[3] if seen[3] > high else high
        self._of[key] = count, values[-1], low, high, steps[-1]
        return True

    def to_json(self) -> dict[str, list[float | str | None]]:
        """By key [count, last, min, max, last step]."""
        return {
            key: [count, number_to_json(last), number_to_json(low), number_to_json(high), step]
            for key, (count, last, low, high, step) in self._of.items()
        }

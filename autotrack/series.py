"""Long loops: after a hundred trainings from one line further ones are children of one run, without files.

Ten thousand bootstrap fits are then a hundred folders and one, not ten thousand. Children of a run that was opened
by hand have no folders anyway and are not counted.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable

from autotrack import context
from autotrack.callsite import CallSite
from autotrack.run import Run

__all__ = ["LIMIT", "SeriesRuns"]

LIMIT = 100
"""Trainings from one line that are runs of their own."""

Place = tuple[str, int, int]


class SeriesRuns:
    """The open series of a process, by line; threads that train at the same line share one."""

    def __init__(self, open_run: Callable[[str, str, CallSite], Run]) -> None:
        """``open_run(model, integration, site)`` opens the run of a series."""
        self._open_run = open_run
        self._counts: Counter[Place] = Counter()
        self._open: dict[Place, Run] = {}
        self._forget_lock()
        _all.add(self)

    def _forget_lock(self) -> None:
        self._lock = threading.RLock()

    def child(self, model: str, integration: str, site: CallSite) -> Run | None:
        """The run of one more training at ``site``: a child of its series, or None where it has a run of its own."""
        place = site[:3]
        with self._lock:
            self._counts[place] += 1
            if site.cell:
                self._end_earlier_cells(site.cell)
            if self._counts[place] <= LIMIT:
                return None
            series = self._open.get(place)
            if series is None:
                series = self._open[place] = self._open_run(model, integration, site)
        return series.child(model)

    def _end_earlier_cells(self, cell: int) -> None:
        for place in [place for place in self._open if place[2] < cell]:
            _end(self._open.pop(place))

    def end(self, status: str | None = None, error: BaseException | None = None) -> None:
        """End all series, and count from the beginning."""
        with self._lock:
            self._counts.clear()
            while self._open:
                _end(self._open.popitem()[1], status, error)


def _end(series: Run, status: str | None = None, error: BaseException | None = None) -> None:
    """End a series; the run that ended last is still its last child."""
    last = context.last_run()
    series.end(status, error)
    if last is not None:
        context.finished_run(last)


_all: weakref.WeakSet[SeriesRuns] = weakref.WeakSet()


def _after_fork() -> None:
    for series in list(_all):
        series._forget_lock()


os.register_at_fork(after_in_child=_after_fork)

"""Metrics that integrations record at every step: gathered into few lines, and thinned when they become many."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from autotrack.records import Metrics, Points, Record, number_to_json
from autotrack.summaries import Summaries

__all__ = ["ALL", "INTERVAL", "PERIOD", "StepMetrics"]

PERIOD = 100_000
"""Microseconds for which points may wait in memory."""

ALL = 100_000
"""So many points of a metric are recorded one by one."""

INTERVAL = 50_000
"""Microseconds for which one point stands from then on, with mean, lowest and highest value."""

TOGETHER = 1_000_000
"""Microseconds for which such points may wait: what a line has besides its points is longer than a point."""

_DIGITS = 9  # of a mean


class _Series:
    """Points of one metric that are not written yet."""

    __slots__ = (
        "closed", "epochs", "hi", "key", "last", "lo", "n", "since", "steps", "times", "total", "values",
    )  # fmt: skip

    def __init__(self, key: str) -> None:
        self.key = key
        self.steps: list[int] = []
        self.values: list[float] = []
        self.times: list[int] = []
        self.epochs: list[int] = []
        # the interval of a thinned history, and the newest value in it
        self.n = 0
        self.total = self.lo = self.hi = 0.0
        self.since = 0
        self.last: tuple[float, int, int, int | None] = (0.0, 0, 0, None)
        self.closed: list[tuple[int, int, int | None, float, float, float, int]] = []


class StepMetrics:
    """Gathers points, one line per metric and at most ``PERIOD``.

    A point that comes ``PERIOD`` or more after the last line is written at once, so what is in memory is
    never more than the points of ``PERIOD``. ``add`` is cheap: it runs at every step of a training.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Record]], None],
        elapsed: Callable[[], int],
        summaries: Summaries,
        child: str,
        lock: threading.RLock,
    ) -> None:
        self._write = write
        self._elapsed = elapsed
        self._summaries = summaries
        self._child = child
        self._series: dict[str, _Series] = {}
        self._written = -PERIOD
        self._lock = lock

    def after_fork(self, lock: threading.RLock) -> None:
        """In the child: what waits is the parent's to write."""
        self._lock = lock
        self._series.clear()

    def add(self, key: str, value: float, step: int, epoch: int | None = None, at: int | None = None) -> None:
        """One point. ``at`` is its time in microseconds since the run's start; default: now."""
        now = self._elapsed() if at is None else at
        with self._lock:
            series = self._series.get(key) or self._begin(key)
            if self._summaries.count(key) + len(series.values) < ALL:
                series.values.append(value)
                series.steps.append(step)
                series.times.append(now)
                if epoch is not None:
                    series.epochs.append(epoch)
            else:
                if series.values:  # the summary takes them in order
                    self.flush()
                self._thin(series, value, step, epoch, now)
            if now - self._written >= PERIOD:
                self.flush()

    def extend(
        self, key: str, values: Sequence[float], steps: Sequence[int], times: Sequence[int], epoch: int | None
    ) -> None:
        """As ``add``, for points that waited elsewhere."""
        with self._lock:
            series = self._series.get(key) or self._begin(key)
            if self._summaries.count(key) + len(series.values) + len(values) <= ALL:
                series.values += values
                series.steps += steps
                series.times += times
                if epoch is not None:
                    series.epochs += [epoch] * len(values)
                if times[-1] - self._written >= PERIOD:
                    self.flush()
            else:
                for value, step, at in zip(values, steps, times, strict=True):
                    self.add(key, value, step, epoch, at)

    def _begin(self, key: str) -> _Series:
        series = self._series[key] = _Series(key)
        return series

    def holds(self, keys: Iterable[str]) -> bool:
        """Whether points of one of these metrics wait to be written one by one."""
        return any(key in self._series and self._series[key].values for key in keys)

    def _thin(self, series: _Series, value: float, step: int, epoch: int | None, now: int) -> None:
        """Take a value into the open interval."""
        self._summaries.add(series.key, value, step)
        if series.n == 0:
            series.lo = series.hi = value
            series.total, series.since = 0.0, now
        elif value < series.lo:
            series.lo = value
        elif value > series.hi:
            series.hi = value
        series.n += 1
        series.total += value
        series.last = value, step, now, epoch
        if now - series.since >= INTERVAL:
            self._close(series)

    def _close(self, series: _Series) -> None:
        _, step, now, epoch = series.last
        mean = series.total / series.n
        if series.lo != series.hi:
            mean = float(f"{mean:.{_DIGITS}g}")
        series.closed.append((now, step, epoch, mean, series.lo, series.hi, series.n))
        series.n = 0

    def flush(self, final: bool = False) -> None:
        """Write what waits; ``final``: also intervals that wait for others or are open, and the last value as it is."""
        with self._lock:
            now = self._written = self._elapsed()
            records: list[Record] = []
            for series in self._series.values():
                if series.values:
                    records.append(self._points(series))
                if final and series.n:
                    value, step, now, epoch = series.last
                    many = series.n > 1
                    self._close(series)
                    if many:
                        series.closed.append((now, step, epoch, value, value, value, 1))
                if series.closed and (final or now - series.closed[0][0] >= TOGETHER):
                    records.append(self._intervals(series))
            if records:
                self._write(records)

    def _points(self, series: _Series) -> Record:
        values, steps, times, epochs = series.values, series.steps, series.times, series.epochs
        series.values, series.steps, series.times, series.epochs = [], [], [], []
        finite = self._summaries.extend(series.key, values, steps)
        if len(epochs) != len(values):
            epochs = []
        numbers: list[float | str] = [*values] if finite else [number_to_json(value) for value in values]
        if len(values) == 1:
            return Metrics(times[0], self._child, {series.key: numbers[0]}, steps[0], epochs[0] if epochs else None)
        return Points(t=times[0], c=self._child, key=series.key, s=steps, v=numbers, e=epochs, dt=_later(times))

    def _intervals(self, series: _Series) -> Record:
        closed, series.closed = series.closed, []
        times, steps, epochs, means, lowest, highest, counts = zip(*closed, strict=True)
        return Points(
            t=times[0],
            c=self._child,
            key=series.key,
            s=list(steps),
            v=[number_to_json(mean) for mean in means],
            e=[] if None in epochs else list(epochs),
            dt=_later(times),
            lo=[number_to_json(value) for value in lowest],
            hi=[number_to_json(value) for value in highest],
            n=list(counts),
        )


def _later(times: Sequence[int]) -> list[int]:
    """Microseconds after the first, for each; none where all are the same."""
    later = [time - times[0] for time in times]
    return later if any(later) else []

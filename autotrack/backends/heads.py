"""What a list of runs shows of each: its head, made of its records."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from autotrack import values
from autotrack.backends.history import points_of
from autotrack.records import (
    Begin,
    Change,
    End,
    Facts,
    Failure,
    Metrics,
    Params,
    Points,
    Record,
    Removed,
    Restored,
    Resumed,
    Tags,
    number_from_json,
)

if TYPE_CHECKING:
    from autotrack.backends.base import RunLog
    from autotrack.matching import Comparison, Order

__all__ = ["HeadFold", "HeadState", "MetricSummary", "Query", "RunHead", "derived_status", "head_in", "head_of"]


class MetricSummary(NamedTuple):
    """A metric in short: number of values, the last one, the lowest and the highest but NaN, the last step."""

    count: int  # type: ignore[assignment]  # not tuple's method, which nobody needs here
    last: float
    min: float
    max: float
    step: int | None


@dataclass(repr=False)
class RunHead:
    """What a list shows of a run.

    Attributes:
        id: Its id.
        name: Its name.
        experiment: Name of its experiment.
        status: running, finished, failed, interrupted, idle, killed (its process is gone) or lost (nothing was
            heard from its host for a minute; it may come back).
        start: Unix time in seconds.
        duration: Seconds from start to end; None while it runs.
        params: Parameters with their JSON types.
        changed: Names of the parameters that differ from their default.
        metrics: Last value of each metric.
        summaries: Count, last, lowest and highest value and last step of each metric.
        tags: Tags.
        parent: Id of the parent run, or empty.
        session: Id shared by all runs of one process.
        by: What began it: an integration's name, or empty for a person.
        user: Who ran it, where that is known.
        host: Where it ran, where that is known.
        error: The exception that ended it, if one did.
        incomplete: Whether something of autotrack's own failed while it was recorded.
        removed: Whether it was removed.
        child_count: Number of child runs that live in its journal.
    """

    id: str
    name: str = ""
    experiment: str = ""
    status: str = "running"
    start: float = math.nan
    duration: float | None = None
    params: dict[str, Any] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    summaries: dict[str, MetricSummary] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    parent: str = ""
    session: str = ""
    by: str = ""
    user: str | None = None
    host: str | None = None
    error: Failure | None = None
    incomplete: bool = False
    removed: bool = False
    child_count: int = 0


class Query(NamedTuple):
    """What is asked of a list of runs.

    Attributes:
        experiment: Only runs of this experiment; None: of all.
        conditions: All of them must hold.
        orders: Sort by these, newest first where they are equal; empty: newest first.
        limit: At most so many; None: all.
    """

    experiment: str | None = None
    conditions: tuple[Comparison, ...] = ()
    orders: tuple[Order, ...] = ()
    limit: int | None = None

    def keys(self, entity: str) -> frozenset[str]:
        """What it looks at of a run's params, metrics or tags."""
        columns: tuple[Comparison | Order, ...] = (*self.conditions, *self.orders)
        return frozenset(column.key for column in columns if column.entity == entity)


class HeadState(msgspec.Struct, omit_defaults=True):
    """A head in JSON types, and what is needed to go on with it when more records come.

    ``metrics`` maps a key to [count, last, min, max, last step, time of the last]. ``time`` is that of the newest
    record whose order matters, from ``file``; ``skipped`` one up to which there are points that nobody read, as an
    ``end`` says what they come to.
    """

    name: str = ""
    experiment: str = ""
    status: str = ""
    start: float | None = None
    duration: float | None = None
    changed: list[str] = []
    parent: str = ""
    session: str = ""
    by: str = ""
    user: str | None = None
    host: str | None = None
    error: Failure | None = None
    incomplete: bool = False
    removed: bool = False
    children: int = 0
    begun: bool = False
    time: float = -1e18
    file: str = ""
    skipped: float = -1e18
    params: dict[str, Any] = {}
    metrics: dict[str, list[Any]] = {}
    tags: dict[str, str] = {}


def head_of(
    run_id: str,
    state: HeadState,
    status: str,
    param_keys: Collection[str] | None = None,
    metric_keys: Collection[str] | None = None,
) -> RunHead:
    """The head that a state stands for, with these of its params and metrics; None: with all."""
    params, metrics = state.params, state.metrics
    if param_keys is not None:
        params = {key: params[key] for key in param_keys if key in params}
    if metric_keys is not None:
        metrics = {key: metrics[key] for key in metric_keys if key in metrics}
    return RunHead(
        run_id,
        state.name,
        state.experiment,
        status,
        math.nan if state.start is None else state.start,
        state.duration,
        {key: values.from_json(value) for key, value in params.items()},
        state.changed,
        {key: seen[1] for key, seen in metrics.items()},
        {key: MetricSummary(*seen[:5]) for key, seen in metrics.items()},
        state.tags,
        state.parent,
        state.session,
        state.by,
        state.user,
        state.host,
        state.error,
        state.incomplete,
        state.removed,
        state.children,
    )


def head_in(log: RunLog) -> RunHead:
    """The head that all records of a run make."""
    fold = HeadFold()
    for entry in log.entries:
        fold.take_any(entry.time, entry.record)
    return head_of(log.run_id, fold.state, derived_status(fold.state.status, log.alive, log.here))


def derived_status(status: str, alive: bool | None, here: bool) -> str:
    """The status to show of a run whose records say ``status`` (empty: it has not ended).

    Args:
        status: As in its last ``end``.
        alive: Whether the process that began it still works; None where that cannot be told.
        here: Whether it ran on this host since its last boot.
    """
    if not status:
        return "running" if alive else "killed" if alive is False and here else "lost"
    if status == "idle" and alive is False:
        return "finished"  # nobody is left who could go on
    return status


class HeadFold:
    """Records of one run, one by one, into its head. They may come in pieces: the state is all that it keeps.

    ``scope`` names the child run whose head it is, empty for the run itself.
    """

    def __init__(self, state: HeadState | None = None, scope: str = "") -> None:
        self.state = state or HeadState()
        self.file = ""  # that the records come from; records that are sorted come as from one
        self._scope = scope

    def take(self, time: float, record: Record) -> bool:
        """One record; False where it belongs before others that were taken, so that all must be taken anew.

        Raises:
            ValueError, TypeError, LookupError, ArithmeticError, RecursionError: It makes no sense, and was left out.
        """
        if record.c != self._scope:
            self._child(record)
            return True
        state = self.state
        if not state.begun and (state.start is None or time < state.start):
            state.start = time
        if isinstance(record, (Metrics, Points)):
            if time < state.skipped:
                return False
            self._points(time, record)
            return True
        handler = self._handlers.get(type(record))
        if handler is None:
            return True
        if time < state.time or (time == state.time and self.file != state.file):  # then the files' order counts
            return False
        state.time, state.file = time, self.file
        handler(self, time, record)
        return True

    def take_any(self, time: float, record: Record) -> bool:
        """As ``take``; a record that makes no sense is passed over."""
        try:
            return self.take(time, record)
        except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
            return True

    def take_summary(self, time: float, end: End) -> None:
        """The end of a run in place of all records before it but ``begin`` and the environment.

        Raises:
            ValueError, TypeError: Its summary makes no sense.
        """
        metrics: dict[str, list[Any]] = {}
        for key, numbers in end.metrics.items():
            count, last, low, high, step = numbers
            metrics[key] = [_whole(count), *map(number_from_json, (last, low, high)), _whole(step), time]
        for value in end.params.values():
            values.from_json(value)
        state = self.state
        state.params, state.metrics, state.tags = dict(end.params), metrics, dict(end.tags)
        state.changed, state.children = list(end.changed), end.children or 0
        state.time = state.skipped = time
        state.file = self.file
        self._end(time, end)

    def _child(self, record: Record) -> None:
        if "." not in record.c:
            self.state.children += isinstance(record, (Begin, Restored)) - isinstance(record, Removed)

    def _points(self, time: float, record: Metrics | Points) -> None:
        for key in record.m if isinstance(record, Metrics) else (record.key,):
            steps, _, _, numbers = points_of(record, key)
            if not numbers:
                continue
            low, high, count = _range(record, numbers)
            seen = self.state.metrics.get(key)
            if seen is None:
                self.state.metrics[key] = [count, numbers[-1], low, high, steps[-1], time]
                continue
            seen[0] += count
            if low < seen[2] or seen[2] != seen[2]:
                seen[2] = low
            if high > seen[3] or seen[3] != seen[3]:
                seen[3] = high
            if time >= seen[5]:
                seen[1], seen[4], seen[5] = numbers[-1], steps[-1], time

    def _begin(self, time: float, record: Begin) -> None:
        state = self.state
        state.begun, state.start = True, time
        state.name, state.experiment, state.session = record.name, record.experiment, record.session
        state.parent, state.by = record.parent, record.by

    def _change(self, time: float, record: Change) -> None:
        if record.name is not None:
            self.state.name = record.name
        if record.experiment is not None:
            self.state.experiment = record.experiment

    def _params(self, time: float, record: Params) -> None:
        for value in record.p.values():
            values.from_json(value)
        self.state.params.update(record.p)
        self.state.changed = [key for key in self.state.changed if key not in record.p] + record.changed

    def _tags(self, time: float, record: Tags) -> None:
        for key, value in record.g.items():
            if value is None:
                self.state.tags.pop(key, None)
            else:
                self.state.tags[key] = value

    def _facts(self, time: float, record: Facts) -> None:
        environment = record.f.get("environment")
        if isinstance(environment, dict):
            for name in ("user", "host"):
                if isinstance(environment.get(name), str):
                    setattr(self.state, name, environment[name])

    def _end(self, time: float, record: End) -> None:
        state = self.state
        state.status, state.duration, state.error = record.status, record.duration, record.error
        state.incomplete = record.incomplete

    def _resumed(self, time: float, record: Resumed) -> None:
        self.state.status, self.state.duration, self.state.error = "", None, None

    def _removed(self, time: float, record: Removed) -> None:
        self.state.removed = True

    def _restored(self, time: float, record: Restored) -> None:
        self.state.removed = False

    _handlers: dict[type[Record], Callable[..., None]] = {  # noqa: RUF012  a constant table
        Begin: _begin, Change: _change, Params: _params, Tags: _tags, Facts: _facts, End: _end,
        Resumed: _resumed, Removed: _removed, Restored: _restored,
    }  # fmt: skip


def _whole(number: float | str | None) -> int | None:
    """A count or step of a summary, whose numbers are all read as doubles.

    Raises:
        ValueError: It is none, or too large to be exact.
    """
    if number is None:
        return None
    if not isinstance(number, float) or not number.is_integer() or abs(number) >= 2**53:
        raise ValueError(f"{number!r} is no exact whole number")
    return int(number)


def _range(record: Metrics | Points, numbers: list[float]) -> tuple[float, float, int]:
    """(lowest, highest, number) of the values that a record stands for, more than it holds where it is thinned."""
    lows, highs, count = numbers, numbers, len(numbers)
    if isinstance(record, Points) and len(record.n) == len(record.lo) == len(record.hi) == len(numbers):
        lows = [number_from_json(number) for number in record.lo]
        highs = [number_from_json(number) for number in record.hi]
        count = sum(record.n)
    if len(numbers) > 1 and (sum(lows) != sum(lows) or sum(highs) != sum(highs)):  # NaN is passed over
        lows = [number for number in lows if number == number] or [math.nan]
        highs = [number for number in highs if number == number] or [math.nan]
    return min(lows), max(highs), count

"""Lists of runs: found by a query, sorted, and read as they are looked at."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from autotrack.backends.base import RunSource
from autotrack.backends.heads import Query, RunHead
from autotrack.errors import RunNotFound
from autotrack.experiment import ExperimentNames, experiment_names, names_experiments
from autotrack.matching import Comparison, Order, matches, sort_key
from autotrack.reader import RunRecord

if TYPE_CHECKING:
    import pandas

__all__ = ["RunList", "heads_in", "list_children", "list_runs"]


class RunList(Sequence[RunRecord]):
    """Runs, newest first unless sorted; each is read when it is looked at. Shows itself as a table."""

    def __init__(self, source: RunSource, ids: Sequence[str], names: ExperimentNames | None = None) -> None:
        self._source = source
        self._ids = ids
        self._names = experiment_names(source) if names is None else names
        self._read: dict[str, RunRecord] = {}

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> RunRecord: ...
    @overload
    def __getitem__(self, index: slice) -> RunList: ...
    def __getitem__(self, index: int | slice) -> RunRecord | RunList:
        if isinstance(index, slice):
            part = RunList(self._source, self._ids[index], self._names)
            part._read = self._read
            return part
        at = range(len(self._ids))[index]
        run_id = self._ids[at]
        if run_id not in self._read:
            page = self._ids[at - at % _PAGE : at - at % _PAGE + _PAGE]
            for found, head in self._source.heads_of(page).items():
                head.experiment = self._names.of(head.experiment, head.start)
                self._read.setdefault(found, RunRecord.of_head(head, self._source))
        try:
            return self._read[run_id]
        except KeyError:
            raise RunNotFound(f"run {run_id} is gone; it was removed since it was listed") from None

    def __iter__(self) -> Iterator[RunRecord]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        from autotrack.display import runs_text  # noqa: PLC0415  rich is for people, not for trainings

        return runs_text(self)

    def _repr_html_(self) -> str:
        from autotrack.display import runs_html  # noqa: PLC0415

        return runs_html(self)

    def to_pandas(self) -> pandas.DataFrame:
        """One row a run: id, name, experiment, status, start, duration, ``params.x``, ``metrics.x``, ``tags.x``.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas  # noqa: PLC0415
        except ImportError:
            raise ImportError("to_pandas() needs pandas, which is not installed: pip install pandas") from None
        rows = []
        always = ["id", "name", "experiment", "status", "start", "duration"]
        for run in self:
            row: dict[str, Any] = {"id": run.id, "name": run.name, "experiment": run.experiment, "status": run.status}
            row["start"] = run.start
            row["duration"] = run.duration
            for kind, items in (("params", run.params), ("metrics", run.metrics), ("tags", run.tags)):
                row.update({f"{kind}.{key}": value for key, value in items.items()})
            rows.append(row)
        frame = pandas.DataFrame(rows, columns=None if rows else always)
        frame["start"] = pandas.to_datetime(frame["start"], unit="s", utc=True)
        return frame


_PAGE = 256
"""So many heads are read at once."""


def list_runs(
    source: RunSource,
    experiment: str | None = None,
    limit: int | None = None,
    conditions: Sequence[Comparison] = (),
    orders: Sequence[Order] = (),
    archived: bool = False,
) -> RunList:
    """Top-level runs that are not removed and meet all conditions; sorted as asked, else newest first.

    Runs of archived experiments are among them where ``experiment`` or a condition names experiments, or ``archived``
    says so.
    """
    names = experiment_names(source)
    query = Query(experiment, tuple(conditions), tuple(orders), limit)
    named = experiment is not None or any(map(names_experiments, conditions))
    chosen = heads_in(source, query, names, archived or named)
    if not orders:
        return RunList(source, [head.id for head in itertools.islice(chosen, limit)], names)
    rows = [([sort_key(order)(head) for order in orders], head.id) for head in chosen]
    rows.sort(key=operator.itemgetter(0))
    return RunList(source, [run_id for _, run_id in rows[:limit]], names)


def list_children(
    parent: RunRecord, limit: int | None = None, conditions: Sequence[Comparison] = (), orders: Sequence[Order] = ()
) -> RunList:
    """Child runs of a run that meet all conditions; sorted as asked, else in the order of their start."""
    found = [child for child in parent.children if all(matches(condition, child) for condition in conditions)]
    found.sort(key=lambda child: [sort_key(order)(child) for order in orders])
    runs = RunList(parent._whence(), [child.id for child in found[:limit]])
    runs._read = {child.id: child for child in found}
    return runs


def heads_in(source: RunSource, query: Query, names: ExperimentNames, archived: bool) -> Iterator[RunHead]:
    """Heads that meet a query, with the names that experiments have today, which the source does not know."""
    wanted = None if query.experiment is None else names.of(query.experiment)
    asked = query = query._replace(conditions=tuple(map(names.today, query.conditions)))
    if names.holders:
        others = tuple(condition for condition in query.conditions if condition[:2] != ("attributes", "experiment"))
        asked = query._replace(experiment=None, conditions=others)
    for head in source.heads(asked):
        head.experiment = names.of(head.experiment, head.start)
        if head.removed or head.parent or wanted not in (None, head.experiment):
            continue
        if not archived and names.hides(head.experiment, head.start):
            continue
        if all(matches(condition, head) for condition in query.conditions):
            yield head

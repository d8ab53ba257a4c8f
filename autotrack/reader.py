"""The only read path: records of a store folded into runs. Everything read is untrusted input."""

from __future__ import annotations

import itertools
import math
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, BinaryIO, overload

from autotrack import values
from autotrack.backends.base import RunLog, RunSource
from autotrack.backends.heads import HeadFold, Query, RunHead, derived_status, head_of
from autotrack.backends.history import History, Point
from autotrack.edits import Editable
from autotrack.errors import AmbiguousReference, RunNotFound
from autotrack.experiment import ExperimentNames, experiment_names, names_experiments
from autotrack.matching import Comparison, Order, matches, sort_key
from autotrack.records import Artifact, End, Facts, Model, Note, Record, model_number

if TYPE_CHECKING:
    import pandas

__all__ = ["History", "Point", "RunHead", "RunList", "RunRecord", "find_run", "list_runs", "read_run"]


@dataclass(repr=False, eq=False)
class RunRecord(RunHead, Editable):
    """A run as read from a store: its head, and all else there is to know of it.

    In a list the rest is read when it is first looked at. What was read stays as it is; ``history`` and ``open`` read
    what is there now.

    Attributes:
        facts: What the run knows about its world, by section.
        artifacts: Stored files by path below the run's artifacts.
        models: Saved models by name.
        children: Child runs, in order of their start.
        notes: What a person should know, in words: (level, text).
        problems: What of its files could not be read, in words.

    And those of ``RunHead``.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    children: list[RunRecord] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _source: RunSource | None = field(default=None, compare=False)

    @classmethod
    def of_head(cls, head: RunHead, source: RunSource) -> RunRecord:
        """A record of which the head is known."""
        record = cls.__new__(cls)
        record.__dict__.update(vars(head), _source=source)
        return record

    def __getattr__(self, name: str) -> Any:
        """What ``of_head`` has left out is read on the first look."""
        if name not in _REST:
            raise AttributeError(f"a run has no attribute {name!r}")
        whole = read_run(self._whence(), self.id)
        for missing in _REST:
            self.__dict__.setdefault(missing, whole.__dict__[missing])
        return self.__dict__[name]

    def __repr__(self) -> str:
        from autotrack.display import printable  # noqa: PLC0415  rich is for people, not for trainings

        return printable(f"<RunRecord {self.name} ({self.id}): {self.status}>")

    def history(self, key: str, buckets: int | None = None) -> History:
        """All points of a metric, in the order in which they were logged.

        Args:
            key: Name of the metric.
            buckets: For a plot: of so many stretches of points the lowest and the highest one each.

        Raises:
            KeyError: The run has no such metric.
        """
        points = self._whence().history(self.id, key)
        if not points:
            known = ", ".join(sorted(self.metrics)) or "none"
            raise KeyError(f"run {self.name} has no metric {key!r}; it has: {known}")
        return points if buckets is None else points.decimated(buckets)

    def open(self, artifact: str) -> BinaryIO:
        """One of ``artifacts``, for reading.

        Raises:
            KeyError: There is no such artifact.
        """
        return self._open(self.artifacts[artifact].path)

    def _open(self, path: str) -> BinaryIO:
        return self._whence().open(self.id.partition(".")[0], path)

    def _whence(self) -> RunSource:
        source: RunSource | None = self.__dict__.get("_source")
        assert source is not None  # who reads a run sets it
        return source

    def _repr_html_(self) -> str:
        from autotrack.display import run_html  # noqa: PLC0415  only notebooks pay for it

        return run_html(self)


_REST = tuple(part.name for part in fields(RunRecord) if part.name not in RunHead.__dataclass_fields__)


class _Fold:
    """Records of one run, one by one, into its RunRecord."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.head = HeadFold(scope=run_id.partition(".")[2])
        self.facts: dict[str, Any] = {}
        self.artifacts: dict[str, Artifact] = {}
        self.models: dict[str, Model] = {}
        self.children: list[RunRecord] = []
        self.notes: list[tuple[str, str]] = []
        self.problems: list[str] = []

    def take(self, time: float, record: Record) -> None:
        """One record; a value in it that makes no sense is named and costs no other."""
        handler = self._handlers.get(type(record))
        try:
            self.head.take(time, record)
            if handler is not None:
                handler(self, record)
        except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
            self.problems.append(f"a {type(record).__name__} record makes no sense: {error}")

    def _facts(self, record: Facts) -> None:
        for section, content in record.f.items():
            old = self.facts.get(section)
            new = values.from_json(content)
            self.facts[section] = {**old, **new} if isinstance(old, dict) and isinstance(new, dict) else new

    def _artifact(self, record: Artifact) -> None:
        folder = f"children/{record.c}/artifacts/" if record.c else "artifacts/"
        self.artifacts[record.path.removeprefix(folder)] = record

    def _model(self, record: Model) -> None:
        old = self.models.get(record.name)
        # The helper may say late what became of a model that was saved anew meanwhile.
        if old is None or model_number(record) >= model_number(old):
            self.models[record.name] = record

    def _note(self, record: Note) -> None:
        self.notes.append((record.level, record.text))

    def _end(self, record: End) -> None:
        if record.dropped:
            self.problems.append(f"{record.dropped} records could not be written")

    _handlers: dict[type[Record], Callable[..., None]] = {  # noqa: RUF012  a constant table
        Facts: _facts, Artifact: _artifact, Model: _model, Note: _note, End: _end,
    }  # fmt: skip

    def record(self, status: str, source: RunSource) -> RunRecord:
        """What has come together."""
        result = RunRecord.of_head(head_of(self.run_id, self.head.state, status), source)
        for part in _REST:
            if part != "_source":
                result.__dict__[part] = getattr(self, part)
        return result


def read_run(source: RunSource, run_id: str) -> RunRecord:
    """A run with its children.

    Raises:
        RunNotFound: There is no such run in the source.
    """
    return _fold(source, source.read(run_id), experiment_names(source))


def _fold(source: RunSource, log: RunLog, names: ExperimentNames) -> RunRecord:
    folds: dict[str, _Fold] = {"": _Fold(log.run_id)}
    for entry in log.entries:
        child = entry.record.c
        if child not in folds:
            folds[child] = _Fold(f"{log.run_id}.{child}")
        folds[child].take(entry.time, entry.record)
    top = folds.pop("")
    top.head.state.children = 0
    status = derived_status(top.head.state.status, log.alive, log.here)
    top.problems += [problem for problem in log.damage if not (status == "running" and "torn last line" in problem)]
    if log.unknown:
        top.problems.append(f"{log.unknown} records are of kinds that this version does not know")
    run = top.record(status, source)
    run.experiment = names.of(run.experiment)
    records = {child: fold.record(fold.head.state.status or status, source) for child, fold in folds.items()}
    for child, record in records.items():
        parent = records.get(child.rpartition(".")[0], run)
        record.parent, record.session = parent.id, run.session
        record.experiment = names.of(record.experiment) or run.experiment
        if not record.removed:
            parent.children.append(record)
            parent.child_count += 1
    return run


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
                head.experiment = self._names.of(head.experiment)
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
    chosen = _listed(source, query, names, archived or named)
    if not orders:
        return RunList(source, [head.id for head in itertools.islice(chosen, limit)], names)
    rows = [([sort_key(order)(head) for order in orders], head.id) for head in chosen]
    rows.sort(key=operator.itemgetter(0))
    return RunList(source, [run_id for _, run_id in rows[:limit]], names)


def _listed(source: RunSource, query: Query, names: ExperimentNames, archived: bool) -> Iterator[RunHead]:
    """Heads that meet a query, with the names that experiments have today, which the source does not know."""
    wanted = None if query.experiment is None else names.of(query.experiment)
    asked = query = query._replace(conditions=tuple(map(names.today, query.conditions)))
    if names.present:
        others = tuple(condition for condition in query.conditions if condition[:2] != ("attributes", "experiment"))
        asked = query._replace(experiment=None, conditions=others)
    for head in source.heads(asked):
        head.experiment = names.of(head.experiment)
        if head.removed or head.parent or wanted not in (None, head.experiment):
            continue
        if not archived and head.experiment in names.archived:
            continue
        if all(matches(condition, head) for condition in query.conditions):
            yield head


_RUN_ID = re.compile(r"[0-9]{8}T[0-9]{9}-[0-9a-f]{10}")
_EXTREME = re.compile(r"@(max|min):(.+)", re.DOTALL)


def find_run(source: RunSource, ref: str) -> RunRecord:
    """The run that a reference means.

    Args:
        source: Where to look.
        ref: An id, ``@last``, ``@max:accuracy``, ``@min:loss``, a name, or else a unique beginning of an id or of
            its random part (random: a name must win). A child is ``<id of its parent>.<number>``.

    Raises:
        RunNotFound: It means none.
        AmbiguousReference: It means several; the message lists them.
    """
    base, _, child = ref.partition(".")
    if _RUN_ID.fullmatch(base) and (child or base == ref):
        try:
            run = read_run(source, base)
        except RunNotFound:  # a name may look like an id
            pass
        else:
            return _descendant(run, ref, child)
    if ref == "@last":
        candidates = [head.id for head in itertools.islice(_all(source), 1)]
    elif match := _EXTREME.fullmatch(ref):
        candidates = _extreme(source, match[1], match[2])
    else:
        candidates = [head.id for head in _all(source, archived=True) if head.name == ref]
        if len(candidates) > 1:
            _only(candidates, ref)
        if not candidates and base and (child or base == ref):
            begun = [
                run_id
                for run_id in source.run_ids()
                if base in (run_id[: len(base)], run_id.partition("-")[2][: len(base)])
            ]
            if begun:
                return _descendant(read_run(source, _only(begun, ref)), ref, child)
    if not candidates:
        raise RunNotFound(f"no run matches {ref!r} among {len(source.run_ids())} runs; `autotrack ls` lists them")
    return read_run(source, candidates[0])


def _all(source: RunSource, *orders: Order, archived: bool = False) -> Iterator[RunHead]:
    return _listed(source, Query(orders=orders), experiment_names(source), archived)


def _only(ids: list[str], ref: str) -> str:
    if len(ids) > 1:
        raise AmbiguousReference(f"{ref!r} means {len(ids)} runs: {', '.join(ids[:10])}; write more of the id")
    return ids[0]


def _extreme(source: RunSource, which: str, key: str) -> list[str]:
    found = [(head.metrics, head.id) for head in _all(source, Order("metrics", key))]
    if found and not any(key in metrics for metrics, _ in found):
        known = {name for run in RunList(source, [run_id for _, run_id in found]) for name in run.metrics}
        # Without the data it is of, where that is clear: accuracy for accuracy_on_X_test.
        of_data = [name for name in known if name.startswith(f"{key}_on_")]
        if len(of_data) == 1:
            return _extreme(source, which, of_data[0])
        names = sorted(known, key=lambda name: (not name.startswith(key), name))
        raise RunNotFound(f"no run has a metric {key!r}; there are: {', '.join(names[:20]) or 'none'}")
    scored = [(metrics[key], run_id) for metrics, run_id in found if key in metrics and not math.isnan(metrics[key])]
    if found and not scored:
        raise RunNotFound(f"metric {key!r} is NaN in all runs that have it")
    pick = max if which == "max" else min
    return [pick(scored, key=operator.itemgetter(0))[1]] if scored else []


def _descendant(run: RunRecord, ref: str, child: str) -> RunRecord:
    if not child:
        return run
    waiting = list(run.children)
    while waiting:
        candidate = waiting.pop()
        if candidate.id == f"{run.id}.{child}":
            return candidate
        waiting += candidate.children
    raise RunNotFound(f"run {run.id} has no child {child!r} (of {ref!r}); it has {len(run.children)} children")

"""The only read path: records of a store folded into runs. Everything read is untrusted input."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, overload

from autotrack import values
from autotrack.backends.base import RunLog, RunSource
from autotrack.errors import AmbiguousReference, RunNotFound
from autotrack.matching import Comparison, Order, matches, sort_key
from autotrack.records import (
    Artifact,
    Begin,
    Change,
    End,
    Facts,
    Failure,
    Metrics,
    Model,
    Note,
    Params,
    Points,
    Record,
    Removed,
    Resumed,
    Tags,
    number_from_json,
)

if TYPE_CHECKING:
    import pandas

__all__ = ["Point", "RunList", "RunRecord", "find_run", "list_runs", "read_run"]


class Point(NamedTuple):
    """One value of a metric. ``time`` is Unix time in seconds."""

    step: int | None
    epoch: int | None
    time: float
    value: float


@dataclass(repr=False)
class RunRecord:
    """A run as read from a store.

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
        tags: Tags.
        facts: What the run knows about its world, by section.
        artifacts: Stored files by path below the run's artifacts.
        models: Saved models by name.
        children: Child runs, in order of their start.
        parent: Id of the parent run, or empty.
        session: Id shared by all runs of one process.
        by: What began it: an integration's name, or empty for a person.
        error: The exception that ended it, if one did.
        notes: What a person should know, in words: (level, text).
        incomplete: Whether something of autotrack's own failed while it was recorded.
        problems: What of its files could not be read, in words.
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
    tags: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    children: list[RunRecord] = field(default_factory=list)
    parent: str = ""
    session: str = ""
    by: str = ""
    error: Failure | None = None
    notes: list[tuple[str, str]] = field(default_factory=list)
    incomplete: bool = False
    removed: bool = False
    problems: list[str] = field(default_factory=list)
    _histories: dict[str, list[Point]] = field(default_factory=dict)
    _source: RunSource | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        from autotrack.display import printable  # noqa: PLC0415  rich is for people, not for trainings

        return printable(f"<RunRecord {self.name} ({self.id}): {self.status}>")

    def history(self, key: str) -> list[Point]:
        """All points of a metric, in the order in which they were logged.

        Raises:
            KeyError: The run has no such metric.
        """
        try:
            return self._histories[key]
        except KeyError:
            known = ", ".join(sorted(self._histories)) or "none"
            raise KeyError(f"run {self.name} has no metric {key!r}; it has: {known}") from None

    def open(self, artifact: str) -> BinaryIO:
        """One of ``artifacts``, for reading.

        Raises:
            KeyError: There is no such artifact.
        """
        return self._open(self.artifacts[artifact].path)

    def _open(self, path: str) -> BinaryIO:
        assert self._source is not None  # read_run sets it
        return self._source.open(self.id.partition(".")[0], path)

    def _repr_html_(self) -> str:
        from autotrack.display import run_html  # noqa: PLC0415  only notebooks pay for it

        return run_html(self)


class _Fold:
    """Records of one run, one by one, into its RunRecord."""

    def __init__(self, run_id: str) -> None:
        self.run = RunRecord(run_id)
        self.ended = False

    def take(self, time: float, record: Record) -> None:
        """One record; a value in it that makes no sense is named and costs no other."""
        if math.isnan(self.run.start) or time < self.run.start:
            self.run.start = time
        handler = self._handlers.get(type(record))
        if handler is not None:
            try:
                handler(self, time, record)
            except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
                self.run.problems.append(f"a {type(record).__name__} record makes no sense: {error}")

    def _begin(self, time: float, record: Begin) -> None:
        run = self.run
        run.start = time
        run.name, run.experiment, run.session = record.name, record.experiment, record.session
        run.parent, run.by = record.parent, record.by

    def _change(self, time: float, record: Change) -> None:
        if record.name is not None:
            self.run.name = record.name
        if record.experiment is not None:
            self.run.experiment = record.experiment

    def _params(self, time: float, record: Params) -> None:
        self.run.params.update({key: values.from_json(value) for key, value in record.p.items()})
        self.run.changed = [key for key in self.run.changed if key not in record.p] + record.changed

    def _metrics(self, time: float, record: Metrics) -> None:
        for key, value in record.m.items():
            self._point(key, Point(record.s, record.e, time, number_from_json(value)))

    def _points(self, time: float, record: Points) -> None:
        for index, (step, value) in enumerate(zip(record.s, record.v, strict=True)):
            epoch = record.e[index] if record.e else None
            later = record.dt[index] / 1e6 if record.dt else 0.0
            self._point(record.key, Point(step, epoch, time + later, number_from_json(value)))

    def _point(self, key: str, point: Point) -> None:
        self.run._histories.setdefault(key, []).append(point)
        self.run.metrics[key] = point.value

    def _tags(self, time: float, record: Tags) -> None:
        for key, value in record.g.items():
            if value is None:
                self.run.tags.pop(key, None)
            else:
                self.run.tags[key] = value

    def _facts(self, time: float, record: Facts) -> None:
        for section, content in record.f.items():
            old = self.run.facts.get(section)
            new = values.from_json(content)
            self.run.facts[section] = {**old, **new} if isinstance(old, dict) and isinstance(new, dict) else new

    def _artifact(self, time: float, record: Artifact) -> None:
        folder = f"children/{record.c}/artifacts/" if record.c else "artifacts/"
        self.run.artifacts[record.path.removeprefix(folder)] = record

    def _model(self, time: float, record: Model) -> None:
        old = self.run.models.get(record.name)
        # The helper may say late what became of a model that was saved anew meanwhile.
        if old is None or _number_of(record) >= _number_of(old):
            self.run.models[record.name] = record

    def _note(self, time: float, record: Note) -> None:
        self.run.notes.append((record.level, record.text))

    def _end(self, time: float, record: End) -> None:
        self.ended = True
        self.run.status, self.run.duration, self.run.error = record.status, record.duration, record.error
        self.run.incomplete = record.incomplete
        if record.dropped:
            self.run.problems.append(f"{record.dropped} records could not be written")

    def _resumed(self, time: float, record: Resumed) -> None:
        self.ended = False
        self.run.status, self.run.duration, self.run.error = "running", None, None

    def _removed(self, time: float, record: Removed) -> None:
        self.run.removed = True

    _handlers: dict[type[Record], Callable[..., None]] = {  # noqa: RUF012  a constant table
        Begin: _begin, Change: _change, Params: _params, Metrics: _metrics, Points: _points, Tags: _tags,
        Facts: _facts, Artifact: _artifact, Model: _model, Note: _note, End: _end,
        Resumed: _resumed, Removed: _removed,
    }  # fmt: skip


def _number_of(model: Model) -> int:
    """How many times a model of this name had been saved, by the name of its file: ``model-2.skops``."""
    number = PurePosixPath(model.path).stem.removeprefix(f"{model.name}-")
    return int(number) if number.isdigit() else 1


def read_run(source: RunSource, run_id: str) -> RunRecord:
    """A run with its children.

    Raises:
        RunNotFound: There is no such run in the source.
    """
    return _fold(source, source.read(run_id))


def _fold(source: RunSource, log: RunLog) -> RunRecord:
    folds: dict[str, _Fold] = {"": _Fold(log.run_id)}
    for entry in log.entries:
        child = entry.record.c
        if child not in folds:
            folds[child] = _Fold(f"{log.run_id}.{child}")
        folds[child].take(entry.time, entry.record)
    top = folds[""]
    if not top.ended:
        top.run.status = "running" if log.alive else "killed" if log.alive is False and log.here else "lost"
    elif top.run.status == "idle" and log.alive is False:
        top.run.status = "finished"  # nobody is left who could go on
    top.run.problems += [
        problem for problem in log.damage if not (top.run.status == "running" and "torn last line" in problem)
    ]
    if log.unknown:
        top.run.problems.append(f"{log.unknown} records are of kinds that this version does not know")
    for child, fold in folds.items():
        fold.run._source = source
        if child:
            parent = folds.get(child.rpartition(".")[0], top)
            fold.run.parent = parent.run.id
            fold.run.experiment = fold.run.experiment or top.run.experiment
            fold.run.session = top.run.session
            if not fold.ended and top.run.status != "running":
                fold.run.status = top.run.status
            if not fold.run.removed:
                parent.run.children.append(fold.run)
    return top.run


class RunList(Sequence[RunRecord]):
    """Runs, newest first; each is read when it is looked at. Shows itself as a table."""

    def __init__(self, source: RunSource, ids: list[str]) -> None:
        self._source = source
        self._ids = ids
        self._read: dict[str, RunRecord] = {}

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> RunRecord: ...
    @overload
    def __getitem__(self, index: slice) -> RunList: ...
    def __getitem__(self, index: int | slice) -> RunRecord | RunList:
        if isinstance(index, slice):
            return RunList(self._source, self._ids[index])
        run_id = self._ids[operator.index(index)]
        if run_id not in self._read:
            self._read[run_id] = read_run(self._source, run_id)
        return self._read[run_id]

    def __iter__(self) -> Iterator[RunRecord]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        from autotrack.display import runs_text  # noqa: PLC0415  rich is for people, not for trainings

        return runs_text(self)

    def _repr_html_(self) -> str:
        from autotrack.display import runs_html  # noqa: PLC0415

        return runs_html(self)

    def to_pandas(self) -> pandas.DataFrame:
        """One row a run: id, name, experiment, status, start, duration, ``params.x``, ``metrics.x``, ``tags.x``."""
        import pandas  # noqa: PLC0415

        rows = []
        always = ["id", "name", "experiment", "status", "start", "duration"]
        for run in self:
            row: dict[str, Any] = {"id": run.id, "name": run.name, "experiment": run.experiment, "status": run.status}
            row["start"] = pandas.Timestamp(run.start, unit="s", tz="UTC")
            row["duration"] = run.duration
            for kind, items in (("params", run.params), ("metrics", run.metrics), ("tags", run.tags)):
                row.update({f"{kind}.{key}": value for key, value in items.items()})
            rows.append(row)
        return pandas.DataFrame(rows, columns=None if rows else always)


def list_runs(
    source: RunSource,
    experiment: str | None = None,
    limit: int | None = None,
    conditions: Sequence[Comparison] = (),
    orders: Sequence[Order] = (),
) -> RunList:
    """Top-level runs that are not removed and meet all conditions; sorted as asked, else newest first."""
    everything = RunList(source, source.run_ids()[::-1])
    chosen: list[tuple[str, RunRecord]] = []
    for run_id, run in zip(everything._ids, everything, strict=True):
        if limit is not None and len(chosen) >= limit and not orders:
            break
        wanted = not run.removed and not run.parent and experiment in (None, run.experiment)
        if wanted and all(matches(condition, run) for condition in conditions):
            chosen.append((run_id, run))
    for order in reversed(orders):
        key = sort_key(order)
        chosen.sort(key=lambda pair: key(pair[1]))
    result = RunList(source, [run_id for run_id, _ in chosen[:limit]])
    result._read = everything._read
    return result


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
    ids = source.run_ids()
    base, _, child = ref.partition(".")
    if base in ids and (child or base == ref):
        return _descendant(read_run(source, base), ref, child)
    runs = list_runs(source)
    if ref == "@last":
        candidates = list(runs[:1])
    elif match := _EXTREME.fullmatch(ref):
        candidates = _extreme(list(runs), match[1], match[2])
    else:
        candidates = [run for run in runs if run.name == ref]
        if len(candidates) > 1:
            _only([run.id for run in candidates], ref)
        begun = [
            run_id for run_id in ids if base and base in (run_id[: len(base)], run_id.partition("-")[2][: len(base)])
        ]
        if not candidates and begun and (child or base == ref):
            return _descendant(read_run(source, _only(begun, ref)), ref, child)
    if not candidates:
        raise RunNotFound(f"no run matches {ref!r} among {len(ids)} runs; `autotrack ls` lists them")
    return candidates[0]


def _only(ids: list[str], ref: str) -> str:
    if len(ids) > 1:
        raise AmbiguousReference(f"{ref!r} means {len(ids)} runs: {', '.join(ids[:10])}; write more of the id")
    return ids[0]


def _extreme(runs: list[RunRecord], which: str, key: str) -> list[RunRecord]:
    key = _meant(runs, key)
    scored = [(run.metrics[key], run) for run in runs if key in run.metrics and not math.isnan(run.metrics[key])]
    if not scored and any(key in run.metrics for run in runs):
        raise RunNotFound(f"metric {key!r} is NaN in all runs that have it")
    if not scored and runs:
        known = sorted(
            {name for run in runs for name in run.metrics}, key=lambda name: (not name.startswith(key), name)
        )
        raise RunNotFound(f"no run has a metric {key!r}; there are: {', '.join(known[:20]) or 'none'}")
    pick = max if which == "max" else min
    return [pick(scored, key=lambda pair: pair[0])[1]] if scored else []


def _meant(runs: list[RunRecord], key: str) -> str:
    """A metric by its name, or without the data it is of, where that is clear: accuracy for accuracy_on_X_test."""
    known = {name for run in runs for name in run.metrics}
    of_data = [name for name in known if name.startswith(f"{key}_on_")]
    return of_data[0] if key not in known and len(of_data) == 1 else key


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

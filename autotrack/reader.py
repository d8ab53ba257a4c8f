"""One run as it is read: records of a store folded together. Everything read is untrusted input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, BinaryIO

from autotrack import values
from autotrack.backends.base import RunLog, RunSource
from autotrack.backends.heads import HeadFold, RunHead, derived_status, head_of
from autotrack.backends.history import History, Point
from autotrack.edits import Editable
from autotrack.experiment import ExperimentNames, experiment_names
from autotrack.records import Artifact, End, Facts, Model, Note, Record, model_number

__all__ = ["History", "Point", "RunHead", "RunRecord", "open_run", "read_run"]


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

    def add_to(self, run: RunRecord) -> RunRecord:
        """Give a record of which the head is known all else that has come together."""
        for part in _REST:
            if part != "_source":
                run.__dict__[part] = getattr(self, part)
        return run


def open_run(source: RunSource, run_id: str) -> RunRecord:
    """A run of which the head is known, and all else is read when it is looked at.

    Raises:
        RunNotFound: There is no such run in the source.
    """
    head = source.head(run_id)
    if head is None:
        return read_run(source, run_id)
    return _of_head(head, source, experiment_names(source))


def _of_head(head: RunHead, source: RunSource, names: ExperimentNames) -> RunRecord:
    run = RunRecord.of_head(head, source)
    run.experiment = names.of(head.experiment, head.start)
    return run


def read_run(source: RunSource, run_id: str) -> RunRecord:
    """A run with its children.

    Raises:
        RunNotFound: There is no such run in the source.
    """
    head = source.head(run_id)
    log = source.read(run_id) if head is None else source.outline(run_id)
    return _fold(source, log, head, experiment_names(source))


def _fold(source: RunSource, log: RunLog, head: RunHead | None, names: ExperimentNames) -> RunRecord:
    """A run of all its records; or of its head and what else is in them."""
    folds: dict[str, _Fold] = {"": _Fold(log.run_id)}
    for entry in log.entries:
        child = entry.record.c
        if child not in folds:
            folds[child] = _Fold(f"{log.run_id}.{child}")
        folds[child].take(entry.time, entry.record)
    top = folds.pop("")
    if head is None:
        head = head_of(log.run_id, top.head.state, derived_status(top.head.state.status, log.alive, log.here))
    top.problems += [what for what in log.damage if not (head.status == "running" and "torn last line" in what)]
    if log.unknown:
        top.problems.append(f"{log.unknown} records are of kinds that this version does not know")
    run = top.add_to(_of_head(head, source, names))
    run.child_count = 0
    records = {
        child: fold.add_to(
            RunRecord.of_head(head_of(fold.run_id, fold.head.state, fold.head.state.status or head.status), source)
        )
        for child, fold in folds.items()
    }
    for child, record in records.items():
        parent = records.get(child.rpartition(".")[0], run)
        record.parent, record.session = parent.id, run.session
        record.experiment = names.of(record.experiment, record.start) or run.experiment
        if not record.removed:
            parent.children.append(record)
            parent.child_count += 1
    return run

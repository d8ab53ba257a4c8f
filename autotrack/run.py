"""The handle of a run: calls become records.

What a person logs wrongly by structure (no mapping, a path that leaves the folder) raises at once. One
odd value among others never costs the others: it is left out, with a note in the run and one warning.
"""

from __future__ import annotations

import logging
import operator
import os
import threading
import time
import traceback
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

from autotrack import context, models, values
from autotrack.backends.base import RunWriter, safe_path
from autotrack.backends.housekeeping import housekeeper
from autotrack.backends.null import NullRun
from autotrack.errors import ArtifactPathError, ModelError
from autotrack.guard import foreign, guarded
from autotrack.records import (
    Artifact,
    Begin,
    End,
    Facts,
    Failure,
    Metrics,
    Model,
    Note,
    Params,
    Points,
    Record,
    Summary,
    Tags,
    number_to_json,
)

__all__ = ["Run", "flush", "status_of"]

_MAX_STEP = 2**63  # other languages read these files
_logger = logging.getLogger("autotrack")
_runs: weakref.WeakSet[Run] = weakref.WeakSet()
_reopened: set[Run] = set()


def status_of(error: BaseException | None) -> str:
    """The status of a run that ended with this exception, or without one."""
    if error is None:
        return "finished"
    if isinstance(error, SystemExit):
        return "finished" if error.code in (None, 0) else "failed"
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"


class Run:
    """An open run, or one that has ended in this process. Usable from several threads and in forked children.

    Attributes:
        id: Its id; of a child without files of its own ``<id of the parent>.<number>``.
        name: Its name.
        experiment: Name of its experiment.
        status: ``running`` until it ends; then ``finished``, ``failed`` or ``interrupted``.
        incomplete: Whether something of autotrack's own failed while it was recorded.
    """

    def __init__(
        self, writer: RunWriter, name: str, experiment: str, child: str = "", models: models.Policy = "auto"
    ) -> None:
        self.id = f"{writer.run_id}.{child}" if child else writer.run_id
        self.name = name
        self.experiment = experiment
        self.status = "running"
        self.incomplete = False
        self._writer = writer
        self._child = child
        self._top = self  # the run whose files these are
        self._models = models
        self._started = time.monotonic()
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._children = 0
        self._adopted = False
        self._by_hand: set[str] = set()
        self._params: dict[str, Any] = {}
        self._metrics: dict[str, list[Any]] = {}  # key -> [count, last, min, max, last step]
        self._tags: dict[str, str] = {}
        self._told: set[str] = set()
        _runs.add(self)

    def __repr__(self) -> str:
        return f"<Run {self.name} ({self.id}): {self.status}>"

    @property
    def ended(self) -> bool:
        """Whether the run has ended. Logging to it goes on working and does not change its status."""
        return self.status != "running"

    @property
    def _off(self) -> bool:
        """Whether nothing is kept anyway (``mode="off"``), so that nothing costly is done for it."""
        return isinstance(self._writer, NullRun)

    # ---- what people log ---------------------------------------------------------------------------------------

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record parameters. JSON types are kept; anything else is kept as text or as the name of its type.

        Raises:
            TypeError: ``params`` is no mapping.
        """
        _must_map(params, "log_params", '{"C": 1.0}')
        self._by_hand.update(f"params.{key}" for key in params)
        self.capture(params=params, _by_hand=True)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None, *, epoch: int | None = None) -> None:
        """Record one value of each metric.

        Args:
            metrics: Values by name: numbers, or arrays and tensors of one element.
            step: Step of all of them; steps may repeat and go backwards, every point is kept. None: the next
                integer for each metric.
            epoch: Epoch of all of them.

        Raises:
            TypeError: ``metrics`` is no mapping.
        """
        if type(metrics) is not dict:
            _must_map(metrics, "log_metrics", '{"loss": 0.3}')
        self._log_metrics(metrics, step, epoch)

    def log_points(self, key: str, points: Sequence[float], first_step: int = 0) -> None:
        """Record the whole history of a metric at once: one value per step, from ``first_step`` on."""
        self._by_hand.add(f"metrics.{key}")
        self._log_points(key, points, first_step)

    def set_tags(self, tags: Mapping[str, str | None]) -> None:
        """Set tags; None removes one. Values that are not text are made text.

        Raises:
            TypeError: ``tags`` is no mapping.
        """
        _must_map(tags, "set_tags", '{"team": "vision"}')
        self._by_hand.update(f"tags.{key}" for key in tags)
        self._write_tags(tags)

    def log_artifact(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        """Copy a file, or a folder with all that is in it, into the run.

        Args:
            path: The file or folder.
            name: Path below the run's artifacts; by default the file's own name.

        Raises:
            FileNotFoundError: There is no such file.
            ArtifactPathError: ``name`` is no path below the run's artifacts.
        """
        if self._off:
            return
        source = Path(path)
        target = safe_path(source.resolve().name if name is None else name)
        if not source.exists():
            raise FileNotFoundError(f"log_artifact: there is no file {str(source)!r}")
        if source.is_dir():
            for file in sorted(source.rglob("*")):
                if file.is_file() and not file.is_symlink():
                    try:
                        self._store(target / file.relative_to(source).as_posix(), file)
                    except ArtifactPathError as error:  # one odd name among many
                        self.note(f"a file was not stored: {error}", "warning")
        else:
            self._store(target, source)

    def log_figure(self, figure: Any, name: str) -> None:
        """Keep a figure: matplotlib's as PNG, plotly's as HTML.

        Raises:
            TypeError: The object can be saved as neither.
            ArtifactPathError: ``name`` is no path below the run's artifacts.
        """
        if self._off:
            return
        if hasattr(figure, "savefig"):
            import io  # noqa: PLC0415

            buffer = io.BytesIO()
            figure.savefig(buffer, format="png")
            data, suffix = buffer.getvalue(), ".png"
        elif hasattr(figure, "to_html"):
            data, suffix = figure.to_html().encode(), ".html"
        else:
            raise TypeError(
                f"log_figure takes a matplotlib or plotly figure, not {type(figure).__name__}; "
                "save it to a file and use log_artifact"
            )
        self._store(safe_path(name if name.endswith(suffix) else name + suffix), data)

    def log_model(self, model: Any, name: str = "model") -> None:
        """Save a model under a name.

        Raises:
            ModelError: No installed plugin can save an object of this kind.
            ArtifactPathError: The name cannot be the name of a folder.
        """
        if self._off:
            return
        models.check_name(name)
        self._write_model(model, name, models.format_for(model), budget=None)

    def child(self, name: str) -> Run:
        """A child run. It lives in this run's journal until it has files of its own."""
        with self._lock:
            self._children += 1
            number = str(self._children)
        if os.getpid() != self._pid:  # numbers are the parent's; a forked child makes its own
            number = f"{number}-{os.urandom(3).hex()}"
        key = f"{self._child}.{number}" if self._child else number
        child = Run(self._writer, name, self.experiment, key, self._models)
        child._top = self._top
        child._write([Begin(t=self._writer.elapsed(), name=name, experiment=self.experiment)])
        return child

    def end(self, status: str | None = None, error: BaseException | None = None) -> None:
        """End the run; a second time nothing happens.

        Args:
            status: ``finished``, ``failed`` or ``interrupted``; by default what ``error`` says.
            error: The exception that ended it.
        """
        with self._lock:
            if self.ended or os.getpid() != self._pid:  # a forked child does not end its parent's run
                return
            self.status = status or status_of(error)
        context.close_run(self)
        context.finished_run(self)
        self._end(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error=error)

    # ---- what integrations capture -----------------------------------------------------------------------------

    def adopt(self) -> bool:
        """Whether this run, opened by hand, takes the training that begins now; the first one only."""
        with self._lock:
            first, self._adopted = not self._adopted, True
            return first

    @guarded("capture")
    def capture(
        self,
        *,
        params: Mapping[str, Any] | None = None,
        changed: Iterable[str] = (),
        metrics: Mapping[str, float] | None = None,
        curves: Mapping[str, Sequence[float]] | None = None,
        facts: Mapping[str, Any] | None = None,
        _by_hand: bool = False,
    ) -> None:
        """Record what an integration saw, in one write. What a person logged under the same name stands.

        Args:
            params: Parameters by name.
            changed: Names of those that differ from their default.
            metrics: Metrics by name.
            curves: Whole histories of metrics by name, one value per step; these are not in ``metrics``.
            facts: Sections of facts, in JSON types.
        """
        records: list[Record] = []
        now = self._writer.elapsed()
        if params:
            fields = {
                key: self._param(key, value)
                for key, value in ((str(key), value) for key, value in params.items())
                if _by_hand or f"params.{key}" not in self._by_hand
            }
            self._params.update(fields)
            records.append(Params(t=now, p=fields, changed=[key for key in changed if key in fields]))
        if facts:
            records.append(Facts(t=now, f=dict(facts)))
        self._write(records)
        if metrics:
            self._log_metrics(
                {k: v for k, v in metrics.items() if f"metrics.{k}" not in self._by_hand}, None, None, False
            )
        for key, points in (curves or {}).items():
            if f"metrics.{key}" not in self._by_hand:
                self._log_points(key, points, 0)

    @guarded("saving the model")
    def capture_model(self, model: Any, name: str, duration: float) -> None:
        """Save a trained model, if that costs little beside ``duration``, the seconds that training took."""
        if self._models != "never":
            budget = models.Budget(duration) if self._models == "auto" else None
            try:
                self._write_model(model, name, models.format_for(model), budget)
            except ModelError as error:  # a lambda in it, say: no failure of ours
                self.note(f"model {name!r} was not saved: {error}", "warning")

    @guarded("storing the code")
    def capture_code(self, name: str, content: bytes) -> None:
        """Keep source or a patch beside the run, under ``artifacts/code/``."""
        self._store(PurePosixPath("code", name), content)

    @guarded("a note")
    def note(self, text: str, level: str = "info") -> None:
        """Say in the record what a person should know."""
        self._write([Note(t=self._writer.elapsed(), text=text, level=level)])

    # ---- how it is written -------------------------------------------------------------------------------------

    def _write(self, records: Sequence[Record]) -> None:
        if self._child:
            for record in records:
                record.c = self._child
        if records:
            self._writer.write(records)
            if self.ended:
                self._reopen()

    def _reopen(self) -> None:
        """Something came after the end: a fresh summary follows soon, off this thread."""
        if self not in _reopened and os.getpid() == self._pid and not self._off:
            _reopened.add(self)
            housekeeper.add(_reopened, flush)

    def _number(self, key: str, value: Any) -> float | None:
        """A metric's value as a float, or None with a note."""
        number, error = foreign(_as_float, value)
        if error is not None:
            kind = f"{type(error).__name__}: {_text_of(error)}"
            self._odd(f"metric {key!r}", f"metric {key!r} was not recorded: {type(value).__name__} ({kind})")
        return number

    def _step(self, step: Any, what: str) -> int | None:
        number, _ = foreign(_as_whole, step)
        if number is None or not -_MAX_STEP <= number < _MAX_STEP:
            text = f"a {type(step).__name__} was given as {what} that is no whole number of 64 bits; it was left out"
            self._odd(what, text)
            return None
        return number

    def _text(self, value: Any, what: str) -> str | None:
        """``str`` of anything, or None with a note."""
        text, error = foreign(str, value)
        if error is not None:
            self._odd(f"{what} {type(value).__name__}", f"{what} of type {type(value).__name__} was not recorded")
        return text

    def _odd(self, what: str, text: str) -> None:
        """Note an odd value; warn once for each name."""
        if what not in self._told:
            self._told.add(what)
            self.note(text, "warning")
            _logger.warning("%s: %s", self.name, text)

    @guarded("log_metrics")
    def _log_metrics(
        self, metrics: Mapping[str, Any], step: int | None, epoch: int | None, by_hand: bool = True
    ) -> None:
        now = self._writer.elapsed()
        if step is not None and (type(step) is not int or not -_MAX_STEP <= step < _MAX_STEP):
            step = self._step(step, "step")
        if epoch is not None and (type(epoch) is not int or not -_MAX_STEP <= epoch < _MAX_STEP):
            epoch = self._step(epoch, "epoch")
        lines: dict[int, dict[str, float | str]] = {}
        with self._lock:
            for key, value in metrics.items():
                if type(key) is not str:
                    name = self._text(key, "metric with a name")
                    if name is None:
                        continue
                    key = name
                if type(value) is not float:
                    value = self._number(key, value)
                    if value is None:
                        continue
                at = self._count(key, value, step)
                lines.setdefault(at, {})[key] = value if value - value == 0.0 else number_to_json(value)
                if by_hand:
                    self._by_hand.add("metrics." + key)
        if len(lines) == 1:
            at, fields = lines.popitem()
            record = Metrics(now, self._child, fields, at, epoch)
            self._writer.write((record,))
            if self.status != "running":
                self._reopen()
        elif lines:
            self._write([Metrics(now, self._child, fields, at, epoch) for at, fields in lines.items()])

    def _count(self, key: str, value: float, step: int | None) -> int:
        """Bring the summary of a metric up to date; the step of this value."""
        seen = self._metrics.get(key)
        if seen is None:
            at = 0 if step is None else step
            self._metrics[key] = [1, value, value, value, at]
            return at
        at = seen[4] + 1 if step is None else step
        seen[0] += 1
        seen[1] = value
        if value < seen[2] or seen[2] != seen[2]:
            seen[2] = value
        if value > seen[3] or seen[3] != seen[3]:
            seen[3] = value
        seen[4] = at
        return at

    @guarded("log_points")
    def _log_points(self, key: str, points: Sequence[float], first_step: int) -> None:
        numbers = [number for point in points if (number := self._number(key, point)) is not None]
        with self._lock:
            steps = [self._count(key, number, first_step + index) for index, number in enumerate(numbers)]
        if numbers:
            line = Points(t=self._writer.elapsed(), key=key, s=steps, v=[number_to_json(number) for number in numbers])
            self._write([line])

    def _param(self, key: str, value: Any) -> Any:
        """A parameter in JSON types; a text that is too long is kept whole in a file."""
        result = values.to_json(value)
        if type(value) is str and type(result) is dict and "$cut" in result:
            name = "".join(char if char.isascii() and (char.isalnum() or char in "-_.") else "_" for char in key)[:80]
            path = self._folder("params") / f"{name}-{os.urandom(3).hex()}.txt"
            stored = self._writer.put_file(path, value.encode("utf-8", "backslashreplace"))
            return values.cut(value, "" if stored is None else stored.path)
        return result

    @guarded("set_tags")
    def _write_tags(self, tags: Mapping[str, Any]) -> None:
        fields: dict[str, str | None] = {}
        for key, value in tags.items():
            name, text = self._text(key, "tag with a name"), None if value is None else self._text(value, "tag")
            if name is not None and (text is not None or value is None):
                fields[name] = None if text is None else text[: values.MAX_TEXT]
        for key, text in fields.items():
            if text is None:
                self._tags.pop(key, None)
            else:
                self._tags[key] = text
        self._write([Tags(t=self._writer.elapsed(), g=fields)])

    def _folder(self, name: str) -> PurePosixPath:
        """Where files of this run lie, below the run that has a folder."""
        return PurePosixPath("children", self._child, name) if self._child else PurePosixPath(name)

    def _store(self, name: PurePosixPath, source: bytes | Path) -> None:
        stored = self._writer.put_file(safe_path(self._folder("artifacts") / name), source)
        if stored is None:
            self.note(f"artifact {str(name)!r} was not stored: the store cannot take it", "warning")
        else:
            self._write([Artifact(self._writer.elapsed(), path=stored.path, size=stored.size, sha256=stored.sha256)])

    def _write_model(self, model: Any, name: str, form: models.ModelFormat, budget: models.Budget | None) -> None:
        why_not = "" if budget is None else budget.refuses(model, form)
        if why_not:
            self.note(f"model {name!r} was not saved: {why_not}. To save it: autotrack.log_model(model)", "warning")
            return
        saved = form.save(model)
        path = self._folder("models") / name / f"{name}{saved.suffix}"
        stored = self._writer.put_file(path, saved.data)
        if stored is None:
            self.note(f"model {name!r} was not saved: the store cannot take it", "warning")
            return
        record = Model(
            t=self._writer.elapsed(),
            name=name,
            format=saved.format,
            path=stored.path,
            size=stored.size,
            sha256=stored.sha256,
            cls=values.type_name(type(model)),
            requires=saved.requires,
            stays=saved.stays,
        )
        self._write([record])
        if saved.convert_to:
            models.convert_later(self._writer, record, saved.convert_to)

    @guarded("the end of a run")
    def _end(self, error: BaseException | None) -> None:
        failure = None
        if error is not None and self.status != "finished":
            text = "".join(traceback.format_exception(error))
            failure = Failure(values.type_name(type(error)), _text_of(error), text[-values.MAX_TEXT * 4 :])
        summary = self._summary()
        end = End(
            t=self._writer.elapsed(),
            status=self.status,
            duration=round(time.monotonic() - self._started, 6),
            error=failure,
            incomplete=self.incomplete,
            dropped=self._writer.dropped,
            params=summary.params,
            metrics=summary.metrics,
            tags=summary.tags,
        )
        if self._child:
            end.c = self._child
        self._writer.write([end])
        if not self._child:
            self._writer.close()

    def _summary(self) -> Summary:
        with self._lock:
            metrics = {
                key: [seen[0], *(number_to_json(number) for number in seen[1:4]), seen[4]]
                for key, seen in self._metrics.items()
            }
            return Summary(
                t=self._writer.elapsed(),
                c=self._child,
                params=dict(self._params),
                metrics=metrics,
                tags=dict(self._tags),
            )


def _as_float(value: Any) -> float:
    if isinstance(value, (str, bytes)):
        raise TypeError("text is no number")
    item = getattr(value, "item", None)
    return float(value if item is None else item())


def _as_whole(value: Any) -> int | None:
    try:
        return operator.index(value)
    except TypeError:
        number = int(value)
        return number if number == value else None


def _text_of(error: BaseException) -> str:
    """The exception's message; traceback copes with exceptions whose own ``__str__`` raises."""
    return "".join(traceback.format_exception_only(error)).partition(": ")[2].rstrip()[: values.MAX_TEXT]


def _must_map(given: Any, call: str, example: str) -> None:
    if not isinstance(given, Mapping):
        raise TypeError(f"{call} takes a mapping such as {example}, not {type(given).__name__}")


def flush() -> None:
    """Write fresh summaries of the runs that were added to after their end."""
    while _reopened:
        run = _reopened.pop()
        run._writer.write([run._summary()])
        if run._top.ended:  # a child may end long before
            run._writer.close()


def _after_fork() -> None:
    _reopened.clear()
    for run in list(_runs):
        run._lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)

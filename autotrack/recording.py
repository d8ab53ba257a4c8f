"""How a run is written: the lower half of ``Run``, which keeps count and makes records.

One odd value among others never costs the others: it is left out, with a note in the run and one warning.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import traceback
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from autotrack import models, values
from autotrack.backends.base import RunWriter, StoredFile, safe_path
from autotrack.backends.housekeeping import housekeeper
from autotrack.backends.null import NullRun
from autotrack.guard import foreign, guarded
from autotrack.records import (
    Artifact,
    End,
    Failure,
    Metrics,
    Model,
    Note,
    Params,
    Points,
    Record,
    Removed,
    Resumed,
    Summary,
    Tags,
    number_to_json,
)
from autotrack.steps import StepMetrics
from autotrack.summaries import Summaries

__all__ = ["Recording", "flush"]

_SUMMARIZED = (Params, Metrics, Points, Tags)
_MAX_STEP = 2**63  # other languages read these files
_logger = logging.getLogger("autotrack")
_runs: weakref.WeakSet[Recording] = weakref.WeakSet()
_reopened: set[Recording] = set()


class Recording:
    """Counts of what was logged to one run, and the records that it becomes. See ``run.Run``."""

    def __init__(
        self,
        writer: RunWriter,
        name: str,
        experiment: str,
        child: str = "",
        allowance: models.Allowance | None = None,
        clean: Callable[[str], str] = str,
    ) -> None:
        self.id = f"{writer.run_id}.{child}" if child else writer.run_id
        self.name = name
        self.experiment = experiment
        self.status = "running"
        self.incomplete = False
        self._writer = writer
        self._child = child
        self._top = self  # the run whose files these are
        self._allowance = allowance or models.Allowance()
        self._clean = clean  # takes secrets out of text that nobody wrote into the record by hand
        self._started = time.monotonic()
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._children = 0
        self._adopted = False
        self._by_hand: set[str] = set()
        self._metrics_by_hand: set[str] = set()
        self._params: dict[str, Any] = {}
        self._changed: list[str] = []
        self._begun = 0  # children
        self._metrics = Summaries()
        self._tags: dict[str, str] = {}
        self._saved: Counter[str] = Counter()  # models by name
        self._interim: dict[str, StoredFile] = {}  # models whose training goes on, by name
        self._told: set[str] = set()
        self._steps: StepMetrics | None = None
        self._before_end: list[Callable[[BaseException | None], None]] = []
        _runs.add(self)

    def __repr__(self) -> str:
        return f"<Run {self.name} ({self.id}): {self.status}>"

    @property
    def ended(self) -> bool:
        """Whether the run has ended. Logging to it goes on working and does not change its status."""
        return self.status not in ("running", "idle")

    @property
    def _off(self) -> bool:
        """Whether nothing is kept anyway (``mode="off"``), so that nothing costly is done for it."""
        return isinstance(self._writer, NullRun)

    @guarded("a note")
    def note(self, text: str, level: str = "info") -> None:
        """Say in the record what a person should know."""
        self._write([Note(t=self._writer.elapsed(), text=self._clean(text), level=level)])

    def _write(self, records: Sequence[Record]) -> None:
        if self._child:
            for record in records:
                record.c = self._child
        if records:
            self._writer.write(records)
            if self.ended and any(isinstance(record, _SUMMARIZED) for record in records):
                self._reopen()

    def _reopen(self) -> None:
        """Something came after the end: a fresh summary follows soon, off this thread."""
        if self not in _reopened and os.getpid() == self._pid and not self._off:
            _reopened.add(self)
            housekeeper.add(_reopened, flush)

    def _number(self, key: str, value: Any) -> float | None:
        """A metric's value as a float, or None with a note."""
        number, error = foreign(values.as_float, value)
        if error is not None:
            kind = f"{type(error).__name__}: {_text_of(error)}"
            self._odd(f"metric {key!r}", f"metric {key!r} was not recorded: {type(value).__name__} ({kind})")
        return number

    def _step(self, step: Any, what: str) -> int | None:
        number, _ = foreign(values.as_whole, step)
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
                at = self._metrics.add(key, value, step)
                fields = lines.get(at)
                if fields is None:
                    fields = lines[at] = {}
                fields[key] = value if value - value == 0.0 else number_to_json(value)
                if by_hand:
                    self._metrics_by_hand.add(key)
        if len(lines) == 1:
            at, fields = lines.popitem()
            record = Metrics(now, self._child, fields, at, epoch)
            self._writer.write((record,))
            if self.status != "running" and self.ended:
                self._reopen()
        elif lines:
            self._write([Metrics(now, self._child, fields, at, epoch) for at, fields in lines.items()])

    @guarded("log_points")
    def _log_points(self, key: str, points: Sequence[float], first_step: int) -> None:
        name = self._text(key, "metric with a name")
        if name is None:
            return
        first = self._step(first_step, "step") or 0
        numbers = [number for point in points if (number := self._number(key, point)) is not None]
        with self._lock:
            steps = [self._metrics.add(name, number, first + index) for index, number in enumerate(numbers)]
        if numbers:
            line = Points(t=self._writer.elapsed(), key=name, s=steps, v=[number_to_json(number) for number in numbers])
            self._write([line])

    def _param(self, key: str, value: Any, files: bool) -> Any:
        """A parameter in JSON types; a text that is too long is kept whole in a file, where there may be files."""
        result = values.to_json(value)
        if type(value) is str and type(result) is dict and "$cut" in result:
            name = "".join(char if char.isascii() and (char.isalnum() or char in "-_.") else "_" for char in key)[:80]
            path = self._folder("params") / f"{name}-{os.urandom(3).hex()}.txt"
            data = value.encode("utf-8", "backslashreplace")
            stored = self._writer.put_file(path, data) if files else None
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

    def _write_model(
        self, saved: models.Saved, name: str, signature: Mapping[str, Any], sample: Any = None, interim: bool = False
    ) -> None:
        folder = self._folder("models") / name
        self._saved[name] += 1  # a file of its own: the earlier one may just be being turned into its safe form
        stem = name if self._saved[name] == 1 else f"{name}-{self._saved[name]}"
        stored = self._writer.put_file(folder / f"{stem}{saved.suffix}", saved.data)
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
            cls=saved.cls,
            requires=saved.requires,
            becomes=saved.convert_to,
            stays=saved.stays,
            signature={**saved.signature, **signature},
            types=saved.types,
        )
        dropped = self._writer.dropped
        self._write([record])
        if self._writer.dropped == dropped:
            self._replace_model(name, stored if interim else None)
        if self._allowance.spend(stored.size):
            housekeeper.submit(self._allowance.measure_store)
        beside = {"requirements.txt": models.requirements(saved)}
        if sample is not None:
            from autotrack.capture.dataset import first_rows  # noqa: PLC0415  seldom asked for

            beside["input_example.json"] = json.dumps(first_rows(sample)).encode()
        housekeeper.submit(partial(self._store_beside, folder, beside))
        if saved.convert_to:
            models.convert_later(self._writer, record, saved.convert_to)

    def _replace_model(self, name: str, interim: StoredFile | None) -> None:
        """A model was saved: the file of one that was kept while its training went on goes."""
        old = self._interim.pop(name, None)
        folder = getattr(self._writer, "folder", None)  # of a store that has none nothing outlives the process
        if old is not None and isinstance(folder, Path):
            (folder / old.path).unlink(missing_ok=True)
            self._allowance.spent -= old.size
        if interim is not None:
            self._interim[name] = interim

    @guarded("the files beside a model")
    def _store_beside(self, folder: PurePosixPath, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            self._writer.put_file(folder / name, content)

    def _step_metrics(self) -> StepMetrics:
        if self._steps is None:
            self._steps = StepMetrics(self._writer.write, self._writer.elapsed, self._metrics, self._child, self._lock)
            housekeeper.add(self._steps, guarded("metrics of steps")(self._steps.flush))
        return self._steps

    @guarded("metrics of steps")
    def _gather(self, key: str, value: float, step: int, epoch: int | None, at: int | None) -> None:
        if key not in self._metrics_by_hand:
            (self._steps or self._step_metrics()).add(key, value, step, epoch, at)

    @guarded("metrics of steps")
    def put(self, key: str, value: float, step: int, epoch: int | None = None) -> None:
        """As ``gather``, and each of the first 100,000 points is on record when this returns."""
        if key not in self._metrics_by_hand:
            (self._steps or self._step_metrics()).put(key, value, step, epoch)

    @guarded("metrics of steps")
    def _gather_points(
        self, key: str, values: Sequence[float], steps: Sequence[int], times: Sequence[int], epoch: int | None
    ) -> None:
        if key not in self._metrics_by_hand:
            self._step_metrics().extend(key, values, steps, times, epoch)

    @guarded("metrics of steps")
    def _flush(self, final: bool = False) -> None:
        if self._steps is not None:
            self._steps.flush(final)
            if final:
                housekeeper.remove(self._steps)
                self._steps = None

    @guarded("what comes before the end of a run")
    def _call_before_end(self, error: BaseException | None) -> None:
        while self._before_end:
            self._before_end.pop()(error)

    @guarded("a run that goes on")
    def _resume(self) -> None:
        if not self._child:
            self._writer.resume()
        self._write([Resumed(t=self._writer.elapsed())])

    @guarded("a run that is none")
    def _discard(self) -> None:
        self._write([Removed(t=self._writer.elapsed(), by="autotrack")])
        if self._child and "." not in self._child:
            self._top._begun -= 1

    @guarded("the end of a run")
    def _end(self, error: BaseException | None) -> None:
        failure = None
        if error is not None and self.status != "finished":
            text = self._clean("".join(traceback.format_exception(error))[-values.MAX_TEXT * 4 :])
            failure = Failure(values.type_name(type(error)), self._clean(_text_of(error)), text)
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
            changed=list(self._changed),
            children=None if self._child else self._begun,
        )
        if self._child:
            end.c = self._child
        self._writer.write([end])
        if not self._child and self.ended:
            self._writer.close()

    def _summary(self) -> Summary:
        with self._lock:
            return Summary(
                t=self._writer.elapsed(),
                c=self._child,
                params=dict(self._params),
                metrics=self._metrics.to_json(),
                tags=dict(self._tags),
            )


def _text_of(error: BaseException) -> str:
    """The exception's message; traceback copes with exceptions whose own ``__str__`` raises."""
    return "".join(traceback.format_exception_only(error)).partition(": ")[2].rstrip()[: values.MAX_TEXT]


@guarded("a summary after the end of a run")
def flush() -> None:
    """Write fresh summaries of the runs that were added to after their end."""
    while _reopened:
        try:
            run = _reopened.pop()
        except KeyError:  # the exit and a round of housekeeping may meet here
            return
        run._writer.write([run._summary()])
        if run._top.ended:  # a child may end long before
            run._writer.close()


def _after_fork() -> None:
    _reopened.clear()
    for run in list(_runs):
        run._lock = threading.RLock()
        if run._steps is not None:
            run._steps.after_fork(run._lock)


os.register_at_fork(after_in_child=_after_fork)

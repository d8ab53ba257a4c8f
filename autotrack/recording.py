"""How a run is written: the lower half of ``Run``, which keeps count and makes records.

One odd value among others never costs the others: it is left out, with a note in the run and one warning.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autotrack import steps, values
from autotrack.backends.base import RunWriter
from autotrack.backends.housekeeping import housekeeper
from autotrack.backends.null import NullRun
from autotrack.guard import can_be_ours, foreign, guarded, swallow
from autotrack.records import (
    End,
    Failure,
    Metrics,
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
from autotrack.summaries import MAX_STEP, Summaries

__all__ = ["Recording", "flush"]

_SUMMARIZED = (Params, Metrics, Points, Tags)
_MIN_STEP = -MAX_STEP - 1
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
        self._told: set[str] = set()
        self._steps: steps.StepMetrics | None = None
        self._puts_left = steps.ALL
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

    def _metric(self, key: Any, value: Any) -> tuple[str, float | None]:
        """A metric's name and value, None where one of the two is none, with a note."""
        name = self._text(key, "metric with a name")
        return ("", None) if name is None else (name, self._number(name, value))

    def _step(self, step: Any, what: str) -> int | None:
        number, _ = foreign(values.as_whole, step)
        if number is None or not _MIN_STEP <= number <= MAX_STEP:
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

    def _log_metrics(
        self, metrics: Mapping[str, Any], step: int | None, epoch: int | None, by_hand: bool = True
    ) -> None:
        try:  # the lines of ``guarded``: this is called at every step
            now = self._writer.elapsed()
            if step is not None and (type(step) is not int or not _MIN_STEP <= step <= MAX_STEP):
                step = self._step(step, "step")
            if epoch is not None and (type(epoch) is not int or not _MIN_STEP <= epoch <= MAX_STEP):
                epoch = self._step(epoch, "epoch")
            if step is None and len(metrics) > 1:
                self._log_at_next_steps(metrics, epoch, by_hand)
                return
            numbers: dict[str, float | str] = {}
            with self._lock:
                for key, value in metrics.items():
                    if type(key) is not str or type(value) is not float:
                        key, value = self._metric(key, value)
                        if value is None:
                            continue
                    at = self._metrics.add(key, value, step)
                    numbers[key] = value if value - value == 0.0 else number_to_json(value)
                if by_hand:
                    self._metrics_by_hand.update(numbers)
            if numbers:
                self._writer.write((Metrics(now, self._child, numbers, at, epoch),))
                if self.status != "running" and self.ended:
                    self._reopen()
        except BaseException as error:
            if not can_be_ours(error):
                raise
            swallow("log_metrics", error)

    def _log_at_next_steps(self, metrics: Mapping[str, Any], epoch: int | None, by_hand: bool) -> None:
        """Metrics without a step: those whose next one is the same go together."""
        together: dict[int, dict[str, Any]] = {}
        with self._lock:
            for key, value in metrics.items():
                name = self._text(key, "metric with a name")
                if name is not None:
                    step = self._metrics.next_step(name)
                    while name in together.setdefault(step, {}):  # 1 and "1"
                        step += 1
                    together[step][name] = value
            for step, some in together.items():
                self._log_metrics(some, step, epoch, by_hand)

    @guarded("log_points")
    def _log_points(self, key: str, points: Sequence[float], first_step: int) -> None:
        name = self._text(key, "metric with a name")
        if name is None:
            return
        first = self._step(first_step, "step") or 0
        numbers = [number for point in points if (number := self._number(key, point)) is not None]
        with self._lock:
            taken = [self._metrics.add(name, number, first + index) for index, number in enumerate(numbers)]
        if numbers:
            line = Points(t=self._writer.elapsed(), key=name, s=taken, v=[number_to_json(number) for number in numbers])
            self._write([line])

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

    def _step_metrics(self) -> steps.StepMetrics:
        if self._steps is None:
            writer = self._writer
            self._steps = steps.StepMetrics(writer.write, writer.elapsed, self._metrics, self._child, self._lock)
            housekeeper.add(self._steps, guarded("metrics of steps")(self._steps.flush))
        return self._steps

    @guarded("metrics of steps")
    def _gather(self, key: str, value: float, step: int, epoch: int | None, at: int | None) -> None:
        if key not in self._metrics_by_hand:
            (self._steps or self._step_metrics()).add(key, value, step, epoch, at)

    def put(self, metrics: dict[str, float], step: int, epoch: int | None = None) -> None:
        """Record one point of each metric, as ``gather``; the first 100,000 of one are on record when this returns."""
        self._puts_left -= 1
        by_hand = self._metrics_by_hand
        if self._puts_left < 0 or self._steps is not None or (by_hand and not by_hand.isdisjoint(metrics)):
            metrics = self._few(metrics, step, epoch) or {}
        if metrics:
            self._log_metrics(metrics, step, epoch, by_hand=False)

    @guarded("metrics of steps")
    def _few(self, metrics: dict[str, float], step: int, epoch: int | None) -> dict[str, float]:
        """Those of the metrics that have few points; the others are gathered, and what waited of these is written."""
        few = {}
        if self._steps is not None and self._steps.holds(metrics):
            self._flush()
        for key, value in metrics.items():
            if self._metrics.count(key) >= steps.ALL:
                self._gather(key, value, step, epoch, None)
            elif key not in self._metrics_by_hand:
                few[key] = value
        return few

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

"""Searches over parameters: every candidate is a child run, its folds are points, while the search runs.

Children are made by the outermost search, also within a pipeline or within a training of the user's own class.
A search within a fold, a candidate or an ensemble leaves a summary in the run around it.
"""

from __future__ import annotations

import functools
import os
import sys
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import autotrack
from autotrack_sklearn import cv_results, folds
from autotrack_sklearn.tasks import Failure, Tasks

Steps = Generator[None, autotrack.Outcome, None]

WRITE_EVERY = 0.1
"""Seconds between two writes of candidates that are done; slower ones are written at once."""

_MAX_SUMMARIES = 100
# Of scikit-learn's own estimators those that hand a search all of their data, once.
_TRANSPARENT = ("Pipeline", "TransformedTargetRegressor", "FixedThresholdClassifier")


class Searches:
    """Records searches; one per integration."""

    def __init__(self, integration: str, tasks: Tasks) -> None:
        self._integration = integration
        self._tasks = tasks
        self._fitting: set[int] = set()  # ids of the searches that are being fitted
        self._summaries: weakref.WeakKeyDictionary[autotrack.Run, int] = weakref.WeakKeyDictionary()

    @contextmanager
    def within(self, run: autotrack.Run, estimator: Any) -> Iterator[Callable[[autotrack.Outcome], None]]:
        """Round the outermost fit: records it where it is a search, else sees to searches within it.

        Gives what is to be called with the outcome, when the fit's duration has been taken.
        """
        scope = autotrack.current_scope()
        assert scope is not None
        if _is_search(estimator):
            candidates = Candidates(run, autotrack.current_settings().max_children)
            with self._tasks.watched(candidates), self._fit_of(estimator):
                yield functools.partial(self._finish, candidates, estimator)
        elif _is_transparent(estimator):
            self._tasks.open[scope] = run
            try:
                yield _nothing
            finally:
                self._tasks.open.pop(scope, None)
        else:
            yield _nothing

    def inner(self, call: autotrack.Call) -> Steps | None:
        """A fit within a training."""
        scope = autotrack.current_scope() if self._tasks.open else None
        run = None if scope is None else self._tasks.open.get(scope)
        if _is_search(call.instance):
            if id(call.instance) in self._fitting:  # its class calls super().fit, as Halving's do
                return None
            if run is None or scope is None:
                return self._summarize(call.instance)
            del self._tasks.open[scope]  # of several searches in one training the first makes the children
            return self._record(run, call.instance)
        return None if run is None or _is_transparent(call.instance) else self._closed()

    @contextmanager
    def _fit_of(self, search: Any) -> Iterator[None]:
        self._fitting.add(id(search))
        try:
            yield
        finally:
            self._fitting.discard(id(search))

    def _closed(self) -> Steps:
        """Searches within this are inner ones."""
        with autotrack.ignored_training(self._integration):
            yield

    def _record(self, run: autotrack.Run, search: Any) -> Steps:
        with autotrack.ignored_training(self._integration), self.within(run, search) as finish:
            outcome = yield
        finish(outcome)
        if outcome.exception is None and "best_score_" in vars(search):  # of the outermost fit it is taken anyway
            run.capture(metrics={"best_score": folds.as_float(vars(search)["best_score_"])})

    def _finish(self, candidates: Candidates, search: Any, outcome: autotrack.Outcome) -> None:
        with autotrack.protect("recording a search", self._integration):
            if outcome.exception is not None:
                candidates.broken(outcome.exception)
                return
            results = getattr(search, "cv_results_", None)
            candidates.finished(results)
            _capture_best(candidates, search)
            if isinstance(results, Mapping):
                candidates.run.capture_file("cv_results.csv", cv_results.as_csv(results))

    def _summarize(self, search: Any) -> Steps:
        with autotrack.ignored_training(self._integration), self._fit_of(search):
            outcome = yield
        run = autotrack.active_run()
        if outcome.exception is not None or run is None:
            return
        number = self._summaries[run] = self._summaries.get(run, 0) + 1
        if number <= _MAX_SUMMARIES:
            key = f"{number} of process {os.getpid()}" if run.elsewhere else str(number)
            run.capture(facts={"searches": {key: cv_results.summary(search)}})


def _nothing(outcome: autotrack.Outcome) -> None:
    """There is no search to finish."""


def _is_search(estimator: Any) -> bool:
    if not hasattr(type(estimator), "_run_search"):  # asked at every inner fit: mostly this is enough
        return False
    base = getattr(sys.modules.get("sklearn.model_selection._search"), "BaseSearchCV", None)
    return base is not None and isinstance(estimator, base)


def _is_transparent(estimator: Any) -> bool:
    """Whether a search within it is still the outermost one: in people's own classes, and where it is the only one."""
    cls = type(estimator)
    return cls.__name__ in _TRANSPARENT or cls.__module__.partition(".")[0] not in ("sklearn", "imblearn")


def _capture_best(candidates: Candidates, search: Any) -> None:
    facts = cv_results.summary(search)
    if facts.get("best_index") is not None:
        facts["best_child"] = candidates.child_id(facts["best_index"])
    best = vars(search).get("best_params_")
    params = {f"best_{name}": value for name, value in best.items()} if isinstance(best, Mapping) else {}
    metrics = {"refit_time": folds.as_float(vars(search)["refit_time_"])} if "refit_time_" in vars(search) else {}
    candidates.run.capture(params=params, changed=list(params), metrics=metrics, facts={"search": facts})


class _Round:
    """The candidates that were evaluated by one call; Halving has several."""

    def __init__(self, numbers: range, params: list[Any], splits: int, more: Mapping[str, Sequence[Any]]) -> None:
        self.numbers = numbers
        self.params = params
        self.splits = splits
        self.more = more
        self.folds: dict[int, dict[int, Any]] = {}  # of candidates that have begun, by place
        self.began: dict[int, float] = {}
        self.errors: dict[int, BaseException] = {}
        self.failures: dict[int, Failure] = {}  # of scorers, the first of each candidate


class Candidates:
    """Receives what the folds of a search return, and makes child runs of them."""

    def __init__(self, run: autotrack.Run, limit: int | None) -> None:
        self.run = run
        self._limit = limit
        self._rounds: list[_Round] = []
        self._done: list[tuple[_Round, int]] = []
        self._wrote = time.monotonic()
        self._named_late = False  # whether scikit-learn names the scores of fits that failed when all is done

    def child_id(self, index: int) -> str:
        """Id of the child of a candidate, by its place in ``cv_results_``."""
        number = self._number(index)
        return "" if number is None else f"{self.run.id}.{number}"

    def _number(self, index: int) -> int | None:
        for group in self._rounds:
            if index < len(group.numbers):
                return group.numbers[index]
            index -= len(group.numbers)
        return None

    # ---- while the search runs ----------------------------------------------------------------------------------

    def starts(self, frame: FrameType) -> bool:
        """See ``tasks.Receiver``; the frame meant is that of ``evaluate_candidates``."""
        known = frame.f_locals
        params, splits, more = (known.get(name) for name in ("candidate_params", "n_splits", "more_results"))
        if not isinstance(params, list) or not isinstance(splits, int) or splits < 1:
            return False
        self._named_late = callable(getattr(known.get("self"), "scoring", None))
        numbers = self.run.reserve_children(len(params))
        self._rounds.append(_Round(numbers, params, splits, more if isinstance(more, Mapping) else {}))
        return True

    def result(self, index: int, value: Any, failure: Failure | None) -> None:
        """See ``tasks.Receiver``."""
        group = self._rounds[-1]
        place, split = divmod(index, group.splits)
        found = group.folds.setdefault(place, {})
        now = time.monotonic()
        if not found and isinstance(value, dict):
            group.began[place] = now - sum(folds.as_float(value.get(key, 0.0)) for key in folds.TIMES)
        found[split] = value
        if failure is not None:
            group.failures.setdefault(place, failure)
        if len(found) == group.splits:
            self._done.append((group, place))
            if self._limit is None and now - self._wrote >= WRITE_EVERY:
                self._write(final=False)

    def raised(self, index: int, error: BaseException) -> None:
        """See ``tasks.Receiver``."""
        group = self._rounds[-1]
        place = index // group.splits
        group.folds.setdefault(place, {})
        group.errors[place] = error

    def _write(self, final: bool = True) -> None:
        done, self._done = self._done, []
        if self._named_late and not final:
            self._done = [(group, place) for group, place in done if _all_failed(group.folds[place])]
            done = [one for one in done if one not in self._done]
        self.run.capture_children(_children(done))
        for group, place in done:
            del group.folds[place]  # the search has them too
            group.began.pop(place, None)
            group.failures.pop(place, None)
        self._wrote = time.monotonic()

    # ---- when it is over ----------------------------------------------------------------------------------------

    def finished(self, results: Any) -> None:
        """Write what is not written, and what only ``cv_results_`` knows: the ranks."""
        ranks = cv_results.ranks(results)
        numbers = [number for group in self._rounds for number in group.numbers]
        if self._limit is not None:
            order = next(iter(ranks.values()), list(range(len(numbers))))
            best = sorted(range(min(len(numbers), len(order))), key=lambda index: order[index])[: self._limit]
            kept = {numbers[index] for index in best}
            self._done = [(group, place) for group, place in self._done if group.numbers[place] in kept]
            numbers = [number if number in kept else 0 for number in numbers]
        self._write()
        ranked = zip(*ranks.values(), strict=False)
        self.run.capture_children(
            [
                autotrack.ChildRun(number, metrics=dict(zip(ranks, map(float, row), strict=True)))
                for number, row in zip(numbers, ranked, strict=False)
                if number
            ]
        )

    def broken(self, error: BaseException) -> None:
        """The search raised: write also the candidates that were under way."""
        if self._limit is not None:
            self._done = self._done[: self._limit]
        self._write()
        under_way = [
            (group, place)
            for group in self._rounds
            for place in group.folds
            if place in group.errors or 0 < len(group.folds[place]) < group.splits
        ]
        if self._limit is None:
            self.run.capture_children([_cut_short(group, place) for group, place in under_way])


def _all_failed(results: Mapping[int, Any]) -> bool:
    return all(folds.failure_of(result) for result in results.values())


def _children(done: Sequence[tuple[_Round, int]]) -> list[autotrack.ChildRun]:
    """Child runs of candidates whose folds are all in; means are computed for all of them at once."""
    now = time.monotonic()
    tables = [folds.table([group.folds[place][split] for split in range(group.splits)]) for group, place in done]
    keys = dict.fromkeys(key for table in tables for key in table)
    rows = {key: [table.get(key, []) for table in tables] for key in keys}
    same = {key: values for key, values in rows.items() if len({len(row) for row in values}) == 1}
    averages = folds.mean_and_std(same) if tables else {}
    children = []
    for index, ((group, place), table) in enumerate(zip(done, tables, strict=True)):
        metrics = {}
        for key, (means, deviations) in averages.items():
            metrics[f"mean_{key}"], metrics[f"std_{key}"] = means[index], deviations[index]
        failed_fits = (folds.failure_of(group.folds[place][split]) for split in range(group.splits))
        error = next(filter(None, failed_fits), group.failures.get(place))
        children.append(
            autotrack.ChildRun(
                group.numbers[place],
                name=cv_results.label(group.params[place], group.more, place),
                params=cv_results.readable(group.params[place]),
                metrics={**_more(group, place), **metrics},
                points=table,
                status="finished" if error is None else "failed",
                error=error,
                age=now - group.began.get(place, now),
                duration=sum(sum(table.get(key, ())) for key in folds.TIMES),
            )
        )
    return children


def _cut_short(group: _Round, place: int) -> autotrack.ChildRun:
    """The child run of a candidate that has not got to its end."""
    error = group.errors.get(place)
    now = time.monotonic()
    seen = group.folds[place]
    table = folds.table([seen[split] for split in sorted(seen)]) if sorted(seen) == list(range(len(seen))) else {}
    return autotrack.ChildRun(
        group.numbers[place],
        name=cv_results.label(group.params[place], group.more, place),
        params=cv_results.readable(group.params[place]),
        metrics=_more(group, place),
        points=table,
        status="interrupted" if error is None or not isinstance(error, Exception) else "failed",
        error=None if error is None else cv_results.described(error),
        age=now - group.began.get(place, now),
        duration=now - group.began.get(place, now),
    )


def _more(group: _Round, place: int) -> dict[str, float]:
    """``iter`` and ``n_resources`` of Halving, and what other searches add."""
    found = {}
    for key, values in group.more.items():
        number = values[place] if isinstance(values, Sequence) and place < len(values) else None
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            found[str(key)] = float(number)
    return found

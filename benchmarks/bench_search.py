"""What recording adds to a grid search: 20 candidates of 5 folds each, ``LogisticRegression`` on iris.

One process, no joblib workers. autotrack and ``mlflow.sklearn.autolog()`` with their defaults, each in a process of
its own. autotrack's searches are paired with searches of that process beside which nothing is recorded, MLflow's with
those of a third process; MLflow keeps five candidates as child runs unless told otherwise.

Beside that, searches of up to 10,000 candidates of two folds with an estimator that does nothing: the processor's
time that recording adds to each candidate. It shall not grow with their number.
"""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from common import Case, Found, Turn, added, bench, emit, emit_ratio, pairs

PAIRS = 4
CANDIDATES = (10_000, 1_000)
PAUSE = 0.05
"""Seconds of rest after each, for what a tracker still does beside the work."""


def searching() -> Callable[[], float]:
    """A function that searches, and returns the seconds that it took."""
    import numpy
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    warnings.simplefilter("ignore")  # the solver stops at its hundredth iteration
    X, y = load_iris(return_X_y=True)
    grid = {"C": numpy.logspace(-3, 3, 20)}

    def search() -> float:
        one = GridSearchCV(LogisticRegression(), grid, cv=5)
        started = time.perf_counter()
        one.fit(X, y)
        return time.perf_counter() - started

    return search


def plain(folder: Path) -> Iterator[Turn]:
    search = searching()
    while True:
        yield {"search": [search()]}


def autotrack(folder: Path) -> Iterator[Turn]:
    import autotrack

    search, store = searching(), folder / ".autotrack"

    def recorded() -> float:
        autotrack.enable(store=store)
        try:
            return search()
        finally:
            autotrack.disable()

    for turn in itertools.count(1):
        yield pairs(search, recorded, PAIRS, PAUSE)
        assert len(autotrack.runs(store=store)) == turn * PAIRS, "not every search was recorded once"


def mlflow(folder: Path) -> Iterator[Turn]:
    import mlflow

    search = searching()
    mlflow.sklearn.autolog()
    for turn in itertools.count(1):
        yield {"search": [search()]}
        runs = mlflow.search_runs(output_format="list")
        tops = sum("mlflow.parentRunId" not in run.data.tags for run in runs)
        assert tops == turn, "not every search was recorded once"


def many(folder: Path) -> Iterator[Turn]:
    """Another number of candidates in each turn, with and without recording."""
    import numpy
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.model_selection import GridSearchCV

    import autotrack

    class Idle(ClassifierMixin, BaseEstimator):
        def __init__(self, a: int = 0) -> None:
            self.a = a

        def fit(self, X: Any, y: Any) -> Idle:
            self.classes_ = numpy.array([0, 1])
            return self

        def score(self, X: Any, y: Any) -> float:
            return 0.5

    X, y = numpy.zeros((12, 2)), numpy.array([0, 1] * 6)

    def seconds(count: int, record: bool) -> float:
        if record:
            autotrack.enable(store=folder / ".autotrack", models="never")
        else:
            autotrack.disable()
        search = GridSearchCV(Idle(), {"a": list(range(count))}, cv=2, refit=False)
        started = time.process_time()
        search.fit(X, y)
        return time.process_time() - started

    for turn in itertools.count():
        count = CANDIDATES[turn % len(CANDIDATES)]
        found = pairs(partial(seconds, count, False), partial(seconds, count, True), 1, PAUSE)
        assert len(autotrack.runs(store=folder / ".autotrack")[0].children) == count, "not every candidate is on record"
        extra = added(found["recorded"], found["plain"])
        yield {str(size): [value / size for value in extra] if size == count else [] for size in CANDIDATES}


CASES = {
    "plain": Case(plain, ("scikit-learn",)),
    "autotrack": Case(autotrack, ("scikit-learn", "skops")),
    "mlflow": Case(mlflow, ("mlflow",)),
    "many": Case(many, ("scikit-learn",)),
}


def report(found: Found) -> None:
    own = found["autotrack"]
    emit("search: plain, 20 candidates of 5 folds", own["plain"], "ms")
    extra = added(own["recorded"], own["plain"])
    emit("search: added, autotrack", extra, "ms", at_most=50.0)
    if "mlflow" in found:
        theirs = added(found["mlflow"]["search"], found["plain"]["search"])
        emit("search: added, mlflow", theirs, "ms")
        emit_ratio("search: added, mlflow / autotrack", theirs, extra)
    for size in sorted(CANDIDATES):
        if values := found["many"][str(size)]:
            emit(f"search: added to a candidate, of {size:,}", values, "us", at_most=100.0)


if __name__ == "__main__":
    bench(CASES, report, rounds=9, seconds=110)

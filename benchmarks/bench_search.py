"""What recording adds to a grid search: 20 candidates of 5 folds each, ``LogisticRegression`` on iris.

One process, no joblib workers. autotrack and ``mlflow.sklearn.autolog()`` with their defaults, each in a process of
its own beside a third that records nothing; MLflow keeps five candidates as child runs unless told otherwise.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from common import Case, Found, Turn, added, bench, emit, emit_ratio

SEARCHES = 1
PAUSE = 0.05
"""Seconds of rest after each, for what a tracker still does beside the work."""


def measure(begin: Callable[[Path], Callable[[int], None]], folder: Path) -> Iterator[Turn]:
    """``begin`` switches recording on and returns a check of the number of searches."""
    import numpy
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    warnings.simplefilter("ignore")  # the solver stops at its hundredth iteration
    X, y = load_iris(return_X_y=True)
    grid = {"C": numpy.logspace(-3, 3, 20)}
    check = begin(folder)
    searches = 0
    while True:
        taken = []
        for _ in range(SEARCHES):
            search = GridSearchCV(LogisticRegression(), grid, cv=5)
            started = time.perf_counter()
            search.fit(X, y)
            taken.append(time.perf_counter() - started)
            time.sleep(PAUSE)
        searches += SEARCHES
        check(searches)
        yield {"search": taken}


def plain(folder: Path) -> Callable[[int], None]:
    return lambda searches: None


def autotrack(folder: Path) -> Callable[[int], None]:
    import autotrack

    autotrack.enable(store=folder / ".autotrack")

    def check(searches: int) -> None:
        assert len(autotrack.runs()) == searches, "not every search was recorded once"

    return check


def mlflow(folder: Path) -> Callable[[int], None]:
    import mlflow

    mlflow.sklearn.autolog()

    def check(searches: int) -> None:
        runs = mlflow.search_runs(output_format="list")
        tops = sum("mlflow.parentRunId" not in run.data.tags for run in runs)
        assert tops == searches, "not every search was recorded once"

    return check


CASES = {
    "plain": Case(partial(measure, plain), ("scikit-learn",)),
    "autotrack": Case(partial(measure, autotrack), ("scikit-learn", "skops")),
    "mlflow": Case(partial(measure, mlflow), ("mlflow",)),
}


def report(found: Found) -> None:
    base = found["plain"]["search"]
    emit("search: plain, 20 candidates of 5 folds", base, "ms")
    extra = {name: added(found[name]["search"], base) for name in ("autotrack", "mlflow") if name in found}
    for name, values in extra.items():
        emit(f"search: added, {name}", values, "ms")
    if "mlflow" in extra:
        emit_ratio("search: added, mlflow / autotrack", extra["mlflow"], extra["autotrack"])


if __name__ == "__main__":
    bench(CASES, report, rounds=9, seconds=75)

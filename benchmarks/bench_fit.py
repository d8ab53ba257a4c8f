"""What recording adds to a fit of scikit-learn: a small one, and one of medium size.

*small*: ``LogisticRegression`` on iris, the shortest training that people do; *medium*: the same on 20,000 rows of
50 columns. Added is the difference between a recorded fit and a plain one right before or after it, which runs the
function that scikit-learn made.

- **autotrack**: ``enable(models=...)``; "auto" is the default. With a model means that it is saved, which is checked.
- **disabled**: enabled, then disabled.
- **mlflow**: ``mlflow.sklearn.autolog()`` with its defaults into SQLite, its default store: parameters, training
  metrics, data set, and the model with its requirements. Without model: ``log_models=False``. Its first fit, which
  makes the data base, is not counted.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

from common import Case, Found, Turn, added, bench, emit, emit_ratio, pairs

PAIRS = {"small": 6, "medium": 2}
PAUSE = 0.03


def measure(begin: Callable[[Path], Callable[[int], None] | None], few: bool, folder: Path) -> Iterator[Turn]:
    """Turns of pairs of fits; ``begin`` switches recording on and may return a check of the number of runs."""
    from sklearn.datasets import load_iris, make_classification
    from sklearn.linear_model import LogisticRegression

    warnings.simplefilter("ignore")  # the solver stops at its hundredth iteration
    untouched = LogisticRegression.fit
    data = {"small": load_iris(return_X_y=True), "medium": make_classification(20_000, 50, random_state=0)}
    check = begin(folder)
    fits = 0

    def fit(function: Callable[..., Any], size: str) -> float:
        X, y = data[size]
        model = LogisticRegression()
        started = time.perf_counter()
        function(model, X, y)
        return time.perf_counter() - started

    while True:
        found: Turn = {}
        for size in data:
            count = 1 if few else PAIRS[size]
            taken = pairs(
                partial(fit, untouched, size), partial(fit, lambda model, X, y: model.fit(X, y), size), count, PAUSE
            )
            fits += count
            found |= {f"{size}, {figure}": values for figure, values in taken.items()}
        if check is not None:
            check(fits)
        yield found


def autotrack_with(models: Literal["auto", "always", "never"], folder: Path) -> Callable[[int], None]:
    import autotrack

    autotrack.enable(store=folder / ".autotrack", models=models)

    def check(fits: int) -> None:
        runs = autotrack.runs()
        assert len(runs) == fits, f"{len(runs)} of {fits} trainings were recorded"
        saved = sum(bool(run.models) for run in runs)
        assert saved == (0 if models == "never" else fits), f"{saved} of {fits} models were saved"

    return check


def disabled(folder: Path) -> None:
    import autotrack

    autotrack.enable(store=folder / ".autotrack")
    autotrack.disable()


def mlflow(log_models: bool, folder: Path) -> Callable[[int], None]:
    import mlflow

    mlflow.sklearn.autolog(log_models=log_models)

    def check(fits: int) -> None:
        runs = mlflow.search_runs(output_format="list")
        assert len(runs) == fits, f"{len(runs)} of {fits} trainings were recorded"

    return check


SKLEARN = ("scikit-learn", "skops")
CASES = {
    'autotrack, models="auto"': Case(partial(measure, partial(autotrack_with, "auto"), False), SKLEARN),
    'autotrack, models="always"': Case(partial(measure, partial(autotrack_with, "always"), False), SKLEARN),
    'autotrack, models="never"': Case(partial(measure, partial(autotrack_with, "never"), False), SKLEARN),
    "disabled": Case(partial(measure, disabled, False), SKLEARN),
    "mlflow": Case(partial(measure, partial(mlflow, True), True), ("mlflow",)),
    "mlflow without model": Case(partial(measure, partial(mlflow, False), True), ("mlflow",)),
}
AT_MOST = {'autotrack, models="auto"': 10.0, 'autotrack, models="always"': 10.0, 'autotrack, models="never"': 1.5}
AGAINST = {"mlflow": 'autotrack, models="auto"', "mlflow without model": 'autotrack, models="never"'}


def report(found: Found) -> None:
    for size in PAIRS:
        emit(f"fit, {size}: plain", next(iter(found.values()))[f"{size}, plain"], "ms")
        extra = {
            name: added(figures[f"{size}, recorded"], figures[f"{size}, plain"]) for name, figures in found.items()
        }
        for name, values in extra.items():
            at_most = AT_MOST.get(name) if size == "small" else None
            emit(f"fit, {size}: added, {name}", values, "ms", at_most=at_most)
        for peer, ours in AGAINST.items():
            if {peer, ours} <= extra.keys():
                at_least = 200.0 if (size, peer) == ("small", "mlflow") else None
                emit_ratio(f"fit, {size}: added, {peer} / {ours}", extra[peer], extra[ours], at_least=at_least)


if __name__ == "__main__":
    bench(CASES, report, rounds=12, seconds=130)

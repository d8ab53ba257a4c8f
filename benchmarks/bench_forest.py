"""A forest of 500 trees on 5,000 rows: what recording and saving it adds, and what the helper makes of the file.

autotrack and ``mlflow.sklearn.autolog()`` with their defaults, each beside the plain fit of the same turn. autotrack
pickles such a model within the fit and has a helper process turn it into a skops file; *until it loads as skops*
is the time from the end of the fit until ``load_model`` has it back without a word of trust. MLflow saves it by
cloudpickle.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from common import Case, Found, Turn, added, bench, emit, emit_ratio


def forest() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return RandomForestClassifier(500, n_jobs=jobs, random_state=0)


def measure(
    begin: Callable[[Path], None], look: Callable[[Turn, float, Any, Any], None], folder: Path
) -> Iterator[Turn]:
    """Turns of one plain and one recorded fit; ``look(found, seconds, model, X)`` measures what came of the second."""
    from sklearn.datasets import make_classification

    X, y = make_classification(5000, 20, random_state=0)
    untouched = type(forest()).fit
    recorded: list[Any] = []  # the model

    def fit(function: Callable[..., Any]) -> float:
        recorded[:] = [forest()]
        started = time.perf_counter()
        function(recorded[0], X, y)
        return time.perf_counter() - started

    begin(folder)
    while True:
        found: Turn = {"plain": [fit(untouched)], "recorded": [fit(lambda model, X, y: model.fit(X, y))]}
        look(found, found["recorded"][0], recorded[0], X)
        yield found


def autotrack(folder: Path) -> None:
    import autotrack

    autotrack.enable(store=folder / ".autotrack")


def look_at_ours(found: Turn, taken: float, model: Any, X: Any) -> None:
    import autotrack

    found["inside"] = [taken - autotrack.get_run("@last").metrics["fit_time"]]
    started = time.perf_counter()
    loaded = autotrack.load_model("@last")  # not before the helper is through with it
    found["loads"] = [time.perf_counter() - started]
    assert (loaded.predict(X[:50]) == model.predict(X[:50])).all()
    saved = autotrack.get_run("@last").models["model"]
    assert saved.format == "skops", f"the forest is still {saved.format}"
    found["skops"] = [float(saved.size)]
    found["pickle"] = [float(len(pickle.dumps(model, protocol=5)))]


def mlflow(folder: Path) -> None:
    import mlflow

    mlflow.sklearn.autolog()


CASES = {
    "autotrack": Case(partial(measure, autotrack, look_at_ours), ("scikit-learn", "skops")),
    "mlflow": Case(partial(measure, mlflow, lambda *_: None), ("mlflow",)),
}


def report(found: Found) -> None:
    ours = found["autotrack"]
    fits = ours["plain"]
    allowed = max(25.0, 0.1 * 1e3 * sorted(fits)[len(fits) // 2])
    emit("forest: plain fit", fits, "ms")
    emit("forest: added, autotrack", added(ours["recorded"], ours["plain"]), "ms", at_most=allowed)
    emit("forest: added, autotrack, of the very same fit", ours["inside"], "ms", at_most=allowed)
    if "mlflow" in found:
        theirs = added(found["mlflow"]["recorded"], found["mlflow"]["plain"])
        emit("forest: added, mlflow", theirs, "ms")
        emit_ratio("forest: added, mlflow / autotrack", theirs, ours["inside"])
    emit("forest: pickle", ours["pickle"], "bytes")
    emit("forest: skops", ours["skops"], "bytes")
    emit("forest: until it loads as skops", ours["loads"], "ms")


if __name__ == "__main__":
    bench(CASES, report, rounds=6, seconds=75)

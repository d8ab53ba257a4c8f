"""What capturing code and environment adds to ``LogisticRegression().fit`` on iris.

Each process measures its own first 30 fits; processes with and without capture alternate, and those of one round
make a pair. The capture is switched off by taking it out of autotrack: there is no setting for that. The working
folder is this very repository, so that git has something to say; no models are saved.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from common import Case, Found, Turn, added, bench, emit

FITS = 30
FIRST = 20


def measure(capture: bool, folder: Path) -> Iterator[Turn]:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    import autotrack
    from autotrack.facts import ProcessFacts

    os.chdir(Path(__file__).parent)
    warnings.simplefilter("ignore")  # the solver stops at its hundredth iteration
    X, y = load_iris(return_X_y=True)
    LogisticRegression().fit(X, y)
    if not capture:
        ProcessFacts.give = lambda self, run: None  # type: ignore[method-assign]
    autotrack.enable(store=folder / ".autotrack", models="never")
    times = []
    for _ in range(FITS):
        model = LogisticRegression()
        started = time.perf_counter()
        model.fit(X, y)
        times.append(time.perf_counter() - started)
        time.sleep(0.01)
    later = sorted(times[FIRST:])
    yield {
        "the first fit": [times[0]],
        f"the first {FIRST} fits together": [sum(times[:FIRST])],
        "a fit after them": [later[len(later) // 2]],
    }


NEEDS = ("scikit-learn", "skops")
CASES = {"off": Case(partial(measure, False), NEEDS, fresh=True), "on": Case(partial(measure, True), NEEDS, fresh=True)}


def report(found: Found) -> None:
    for what, without in found["off"].items():
        emit(f"capture: {what}, off", without, "ms")
        emit(f"capture: added to {what}", added(found["on"][what], without), "ms")


if __name__ == "__main__":
    bench(CASES, report, rounds=15, seconds=55)

"""What recording adds to ``LogisticRegression().fit`` on iris, the shortest training that people do."""

from __future__ import annotations

import os

# One thread: where BLAS spins on all cores, the helper process beside it makes fits of one millisecond last ten.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from common import added, emit, interleave
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import autotrack

X, y = load_iris(return_X_y=True)


def fit() -> float:
    """Seconds of one training, by whatever ``fit`` is now."""
    model = LogisticRegression()
    started = time.perf_counter()
    model.fit(X, y)
    return time.perf_counter() - started


untouched = LogisticRegression.fit


def plain() -> float:
    """Seconds of one training by the function that scikit-learn made."""
    model = LogisticRegression()
    started = time.perf_counter()
    untouched(model, X, y)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=150)
    repeats = parser.parse_args().repeats
    warnings.simplefilter("ignore")  # the solver stops at its hundredth iteration
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / ".autotrack"

        def recorded(models: Literal["auto", "always", "never"]) -> float:
            autotrack.enable(store=store, models=models)
            return fit()

        cases: dict[str, Callable[[], float]] = {"plain": plain}
        cases |= {models: lambda models=models: recorded(models) for models in MODELS}
        times = interleave(cases, repeats, warm_up=5)
        runs = autotrack.runs(store=store)
        assert len(runs) == 3 * (repeats + 5), "not every training was recorded"
        assert sum(bool(run.models) for run in runs) == 2 * (repeats + 5), "not every model was saved"
        autotrack.disable()
        assert LogisticRegression.fit is untouched
        autotrack.enable(mode="off")  # the store is closed before its folder goes
        times |= {
            f"{name}, after": values for name, values in interleave({"plain": plain, "off": fit}, repeats).items()
        }

    emit("fit: plain", [value * 1e3 for value in times["plain"]], "ms", None, ["scikit-learn"])
    for models, target in MODELS.items():
        values = [value * 1e3 for value in added(times, models, "plain")]
        emit(f'fit: added, models="{models}"', values, "ms", target, ["scikit-learn"])
    values = [value * 1e6 for value in added(times, "off, after", "plain, after")]
    emit("fit: added, enabled, then disabled", values, "us", None, ["scikit-learn"])


MODELS: dict[Literal["auto", "always", "never"], float] = {"always": 10.0, "auto": 10.0, "never": 1.5}

if __name__ == "__main__":
    main()

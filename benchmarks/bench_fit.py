"""What recording adds to ``LogisticRegression().fit`` on iris, the shortest training that people do."""

from __future__ import annotations

import os

# One thread: where BLAS spins on all cores, the helper process beside it makes fits of one millisecond last ten.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import argparse
import logging
import tempfile
import time
import warnings
from pathlib import Path

from common import added, emit, interleave
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import autotrack

X, y = load_iris(return_X_y=True)


def fit() -> float:
    """Seconds of one training."""
    model = LogisticRegression()
    started = time.perf_counter()
    model.fit(X, y)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=150)
    repeats = parser.parse_args().repeats
    warnings.simplefilter("ignore")  # the solver stops at its hundredth iteration
    logging.disable()
    untouched = LogisticRegression.fit
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / ".autotrack"

        def plain() -> float:
            autotrack.disable()
            assert LogisticRegression.fit is untouched
            return fit()

        def saved() -> float:
            autotrack.enable(store=store, models="always")
            return fit()

        def default() -> float:
            autotrack.enable(store=store, models="auto")
            return fit()

        def never() -> float:
            autotrack.enable(store=store, models="never")
            return fit()

        def disabled() -> float:
            autotrack.enable(store=store)
            autotrack.disable()
            return fit()

        cases = {"plain": plain, "saved": saved, "default": default, "never": never, "disabled": disabled}
        times = interleave(cases, repeats, warm_up=5)
        recorded = autotrack.runs(store=store)
        autotrack.enable(mode="off")  # the store is closed before its folder goes
        assert len(recorded) == 3 * (repeats + 5), "not every training was recorded"
        assert sum(bool(run.models) for run in recorded) == 2 * (repeats + 5), "not every model was saved"

    emit("fit: plain", [value * 1e3 for value in times["plain"]], "ms", None, ["scikit-learn"])
    for case, target in (("saved", 10.0), ("default", 10.0), ("never", 1.5), ("disabled", None)):
        values = [value * 1e3 for value in added(times, case, "plain")]
        emit(f"fit: added, {LABELS[case]}", values, "ms", target, ["scikit-learn"])


LABELS = {
    "saved": 'models="always"',
    "default": 'models="auto"',
    "never": 'models="never"',
    "disabled": "enabled, then disabled",
}

if __name__ == "__main__":
    main()

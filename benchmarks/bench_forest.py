"""A forest of 500 trees on 5,000 rows: what recording and saving it adds, and what the helper makes of the file."""

from __future__ import annotations

import argparse
import os
import pickle
import tempfile
import time
from pathlib import Path

from common import added, emit, interleave
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier

import autotrack

X, y = make_classification(5000, 20, random_state=0)
untouched = RandomForestClassifier.fit
jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def plain() -> float:
    """Seconds of one training by the function that scikit-learn made."""
    model = RandomForestClassifier(500, n_jobs=jobs, random_state=0)
    started = time.perf_counter()
    untouched(model, X, y)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    inside: list[float] = []
    converting: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / ".autotrack"
        autotrack.enable(store=store)

        def recorded() -> float:
            model = RandomForestClassifier(500, n_jobs=jobs, random_state=0)
            started = time.perf_counter()
            model.fit(X, y)
            whole = time.perf_counter() - started
            inside.append(whole - autotrack.get_run("@last").metrics["fit_time"])
            loaded = autotrack.load_model("@last")  # not before the helper is through with it, without a word of trust
            converting.append(time.perf_counter() - started - whole)
            assert (loaded.predict(X[:50]) == model.predict(X[:50])).all()
            return whole

        times = interleave({"plain": plain, "recorded": recorded}, repeats, warm_up=1)
        runs = autotrack.runs()
        assert {run.models["model"].format for run in runs} == {"skops"}, "not every forest became skops"
        skops = [float(run.models["model"].size) for run in runs]
        size = len(pickle.dumps(untouched(RandomForestClassifier(500, n_jobs=jobs, random_state=0), X, y), protocol=5))
        autotrack.enable(mode="off")  # the store is closed before its folder goes

    fits = times["plain"]
    allowed = max(25.0, 0.1 * 1e3 * sorted(fits)[len(fits) // 2])
    emit("forest: plain fit", [value * 1e3 for value in fits], "ms", None, ["scikit-learn"])
    emit("forest: added", [value * 1e3 for value in added(times, "recorded", "plain")], "ms", allowed, ["scikit-learn"])
    emit("forest: added, of the very same fit", [value * 1e3 for value in inside[1:]], "ms", allowed, ["scikit-learn"])
    emit("forest: pickle", [float(size)], "bytes", None, ["scikit-learn"])
    emit("forest: skops", skops, "bytes", None, ["scikit-learn", "skops"])
    emit("forest: until it loads as skops", [value * 1e3 for value in converting[1:]], "ms", None, ["skops"])


if __name__ == "__main__":
    main()

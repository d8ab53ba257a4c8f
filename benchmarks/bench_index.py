"""Finding runs, and reading a long history.

*list*: ``runs("metrics.metric1 > 0.5 and params.C = 3", order_by="metrics.metric2 DESC", limit=1000)`` of 10,000 runs
with 20 params and 20 metrics of 250 points, and the newest 1,000 of 20,000 runs with 5 params and 5 metrics of one
point, to the names of all runs found. Cold: without an index, in the page cache; warm: with one, as in a process that
has just begun. MLflow's ``search_runs`` with the same filter and order on 500 runs with 20 params and 20 metrics of
one point in SQLite. ``BENCH_POINTS=1000 BENCH_RUNS=100000`` gives the sizes of the targets; the first is 6 GB.

*history*: 1,000,000 points of one metric, gathered 1,000 a line; first: from the journal, again: from the cache.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from common import Case, Found, Turn, bench, emit
from stores import write_run_of_points, write_runs

POINTS = int(os.environ.get("BENCH_POINTS", "250"))
SMALL_RUNS = int(os.environ.get("BENCH_RUNS", "20000"))
MLFLOW_RUNS = 500
FILTER, ORDER = "metrics.metric1 > 0.5 and params.C = '3'", "metrics.metric2 DESC"


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def lists(runs: int, size: int, points: int, question: tuple[str, str] | None, folder: Path) -> Iterator[Turn]:
    import autotrack
    from autotrack.backends import index

    store = folder / ".autotrack"
    write_runs(store, runs, size, size, points)
    text, order = question or ("", None)

    def ask() -> None:
        index._indexes.clear()  # as in another process
        found = autotrack.runs(text, order_by=order, limit=1000, store=store)
        assert len([run.name for run in found]) > 10

    for turn in range(1_000_000):
        os.environ["XDG_CACHE_HOME"] = str(folder / f"cache-{turn}")
        yield {"cold": [timed(ask)], "warm": [timed(ask) for _ in range(3)]}


def searches(folder: Path) -> Iterator[Turn]:
    import mlflow
    from mlflow.entities import Metric, Param

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("bench")
    for number in range(MLFLOW_RUNS):
        run = client.create_run(experiment)
        metrics = [Metric(f"metric{key}", (number * 7919 + key) % 1000 / 1000, 0, 0) for key in range(20)]
        params = [Param("C", str(number % 10)), *(Param(f"param{key}", str(number)) for key in range(19))]
        client.log_batch(run.info.run_id, metrics, params)
    while True:
        yield {
            "warm": [
                timed(lambda: mlflow.search_runs([experiment], FILTER, order_by=[ORDER], output_format="list"))
                for _ in range(3)
            ]
        }


def history(folder: Path) -> Iterator[Turn]:
    import autotrack

    store = folder / ".autotrack"
    write_run_of_points(store, 1_000_000)
    run = autotrack.runs(store=store)[0]

    def read() -> None:
        assert len(run.history("loss")) == 1_000_000

    for turn in range(1_000_000):
        os.environ["XDG_CACHE_HOME"] = str(folder / f"cache-{turn}")
        yield {"first": [timed(read)], "again": [timed(read) for _ in range(3)]}


CASES = {
    "large": Case(partial(lists, 10_000, 20, POINTS, (FILTER, ORDER))),
    "small": Case(partial(lists, SMALL_RUNS, 5, 1, None)),
    "history": Case(history),
    "mlflow": Case(searches, needs=("mlflow",)),
}


def report(found: Found) -> None:
    emit("index: 10,000 runs by filter and order, cold", found["large"]["cold"], "s", at_most=3.0)
    emit("index: 10,000 runs by filter and order, warm", found["large"]["warm"], "s", at_most=0.3)
    emit(f"index: newest 1,000 of {SMALL_RUNS:,} runs, cold", found["small"]["cold"], "s")
    emit(f"index: newest 1,000 of {SMALL_RUNS:,} runs, warm", found["small"]["warm"], "s", at_most=1.0)
    emit("index: history of 1,000,000 points, first", found["history"]["first"], "s", at_most=1.5)
    emit("index: history of 1,000,000 points, again", found["history"]["again"], "ms", at_most=50.0)
    if "mlflow" in found:
        emit(f"index: {MLFLOW_RUNS} runs by filter and order, MLflow", found["mlflow"]["warm"], "s")


if __name__ == "__main__":
    bench(CASES, report, rounds=5, seconds=90.0)

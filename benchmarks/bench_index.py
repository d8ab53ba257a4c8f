"""Finding runs, and reading a long history.

*list*: ``runs("metrics.metric1 > 0.5 and params.C = 3", order_by="metrics.metric2 DESC", limit=1000)`` of 10,000 runs
with 20 params and 20 metrics of 250 points, and the newest 1,000 of 20,000 runs with 5 params and 5 metrics of one
point, to the names of all runs found. Cold: without an index, in the page cache; warm: with one, as in a process that
has just begun. MLflow's ``search_runs`` with the same filter and order on 10,000 runs with the same params and the last
values of the same metrics in SQLite, to the runs themselves. ``BENCH_POINTS=1000 BENCH_RUNS=100000`` gives the sizes of
the targets; the first is 6 GB.

*history*: 1,000,000 points of one metric, gathered 1,000 a line; first: from the journal, again: from the cache.

*memory*: the most that a process of its own ever took which does the same, Python and all.
"""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from common import Case, Found, Turn, bench, emit
from stores import write_run_of_points, write_runs

POINTS = int(os.environ.get("BENCH_POINTS", "250"))
SMALL_RUNS = int(os.environ.get("BENCH_RUNS", "20000"))
RUNS = 10_000
FILTER, ORDER = "metrics.metric1 > 0.5 and params.C = '3'", "metrics.metric2 DESC"


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def memory(code: str, *arguments: str) -> float:
    """Peak of the resident bytes of a fresh process that runs this code, as Linux counts them."""
    code += "\nprint(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    done = subprocess.run([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return 1024.0 * int(done.stdout)


LIST = """
import sys, autotrack
text, order, store = sys.argv[1:]
assert len([run.name for run in autotrack.runs(text, order_by=order or None, limit=1000, store=store)]) > 10
"""
HISTORY = """
import sys, autotrack
assert len(autotrack.runs(store=sys.argv[1])[0].history("loss")) == 1_000_000
"""


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
        cold, warm = [timed(ask)], [timed(ask) for _ in range(3)]
        yield {"cold": cold, "warm": warm, "memory": [memory(LIST, text, order or "", str(store))]}


def searches(folder: Path) -> Iterator[Turn]:
    import mlflow
    from mlflow.entities import Metric, Param

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("bench")
    run = client.create_run(experiment)
    metrics = [Metric(f"metric{key}", 0.0, 0, 0) for key in range(20)]
    params = [Param("C", "0"), *(Param(f"param{key}", "0") for key in range(20))]
    client.log_batch(run.info.run_id, metrics, params)
    multiply(folder / "mlflow.db", run.info.run_id)

    def ask() -> None:
        found = mlflow.search_runs([experiment], FILTER, order_by=[ORDER], max_results=1000, output_format="list")
        assert len(found) > 10

    while True:
        yield {"warm": [timed(ask) for _ in range(3)]}


def multiply(file: Path, first: str) -> None:
    """Copies of MLflow's rows of one run under other ids, each with values of its own: its API takes 30 ms a run."""
    chance = random.Random(8)
    ids = [f"{number:032x}" for number in range(1, RUNS)]
    with sqlite3.connect(file) as database:
        for table in ("runs", "params", "metrics", "latest_metrics", "tags"):
            found = database.execute(f"SELECT * FROM {table} WHERE run_uuid = ?", [first])
            names = [column[0] for column in found.description]
            originals = found.fetchall()
            rows: list[tuple[Any, ...]] = []
            for number, run_id in enumerate(ids):
                for original in originals:
                    row = dict(zip(names, original, strict=True)) | {"run_uuid": run_id}
                    if table == "params":
                        row["value"] = str(number % 10) if row["key"] == "C" else f"word{number % 7}"
                    elif table in ("metrics", "latest_metrics"):
                        row["value"] = chance.random()
                    rows.append(tuple(row.values()))
            database.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(names))})", rows)


def history(folder: Path) -> Iterator[Turn]:
    import autotrack

    store = folder / ".autotrack"
    write_run_of_points(store, 1_000_000)
    run = autotrack.runs(store=store)[0]

    def read() -> None:
        assert len(run.history("loss")) == 1_000_000

    for turn in range(1_000_000):
        os.environ["XDG_CACHE_HOME"] = str(folder / f"cache-{turn}")
        first, again = [timed(read)], [timed(read) for _ in range(3)]
        os.environ["XDG_CACHE_HOME"] = str(folder / f"cache-{turn}-anew")
        yield {"first": first, "again": again, "memory": [memory(HISTORY, str(store))]}


CASES = {
    "large": Case(partial(lists, RUNS, 20, POINTS, (FILTER, ORDER))),
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
    emit("index: memory, 10,000 runs by filter and order", found["large"]["memory"], "MB", at_most=200.0)
    emit(f"index: memory, newest 1,000 of {SMALL_RUNS:,} runs", found["small"]["memory"], "MB", at_most=200.0)
    emit("index: memory, history of 1,000,000 points, first", found["history"]["memory"], "MB", at_most=150.0)
    if "mlflow" in found:
        emit("index: 10,000 runs by filter and order, MLflow", found["mlflow"]["warm"], "s")


if __name__ == "__main__":
    bench(CASES, report, rounds=5, seconds=90.0)

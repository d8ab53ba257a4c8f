"""An MLflow server as the store: what it adds to a fit, and how fast and how large what copies the runs is.

One server for all cases (SQLite, one worker), on this machine.

- *added*: ``LogisticRegression`` on 569 rows of 30 columns; autotrack with ``enable(store=server)``, its forwarder at
  work beside the fits, and ``mlflow.sklearn.autolog()`` to the same server, both with their defaults.
- *a step*: one of a training that logs a metric, with about a millisecond of work, where the store is the server,
  beside one where it is a folder: 500 steps each in turn, in one process.
- *points a second*: a run of 20,000 points copied by ``autotrack sync``'s own code, beside the same number of points in
  requests of 1,000 that were made before, sent one after the other by the HTTP client alone: what the server can do.
  *busy* is the processor time of the server, and of what copies, by the seconds that passed meanwhile: the server has
  one worker, so that 1 is all that it can do, on a machine that does nothing else.
- *memory*: the peak of ``autotrack sync`` as a process that copies a run of 20,000 points.
"""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from common import Case, Found, Turn, added, bench, emit, emit_ratio, pairs

POINTS = 20_000
STEPS = 500
SERVER = "BENCH_REMOTE_SERVER"
SERVER_GROUP = "BENCH_REMOTE_SERVER_GROUP"


def measure_fit(begin: Callable[[str], None], folder: Path) -> Iterator[Turn]:
    """Turns of plain and recorded fits."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import scale

    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)
    untouched = LogisticRegression.fit

    def fit(function: Callable[..., Any]) -> float:
        model = LogisticRegression()
        started = time.perf_counter()
        function(model, X, y)
        return time.perf_counter() - started

    begin(os.environ[SERVER])
    while True:
        yield pairs(lambda: fit(untouched), lambda: fit(lambda model, X, y: model.fit(X, y)), count=1, pause=1.0)


def autotrack(server: str) -> None:
    import autotrack

    autotrack.enable(store=server)


def mlflow(server: str) -> None:
    import mlflow

    mlflow.set_tracking_uri(server)
    mlflow.set_experiment("benchmark")
    mlflow.sklearn.autolog()


def record(store: Path, points: int) -> None:
    """A run of so many points, by a process of its own."""
    code = f"""
import autotrack
autotrack.enable(store={os.fspath(store)!r}, experiment="points")
with autotrack.start_run() as run:
    run.log_points("loss", [float(step) for step in range({points})])
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def measure_rate(folder: Path) -> Iterator[Turn]:
    """Turns of a copy, and of the same by the HTTP client alone."""
    import urllib3

    from autotrack import plugins
    from autotrack.forward import Forwarder

    server = os.environ[SERVER]
    pool = urllib3.PoolManager()

    def post(what: str, body: bytes) -> Any:
        headers = {"Content-Type": "application/json"}
        answer = pool.request("POST", f"{server}/api/2.0/mlflow/runs/{what}", body=body, headers=headers)
        assert answer.status == 200, answer.data
        return answer.json()

    def alone() -> float:
        run = post("create", b'{"experiment_id": "0"}')["run"]["info"]["run_id"]
        points = [
            {"key": "loss", "value": float(i), "timestamp": 1_700_000_000_000 + i, "step": i} for i in range(POINTS)
        ]
        bodies = [
            json.dumps({"run_id": run, "metrics": points[at : at + 1000]}).encode() for at in range(0, POINTS, 1000)
        ]
        started = time.perf_counter()
        for body in bodies:
            post("log-batch", body)
        return POINTS / (time.perf_counter() - started)

    for turn in range(1000):
        store = folder / f"store-{turn}"
        record(store, POINTS)
        remote = plugins.remote(server)
        forwarder = Forwarder(store, remote)
        here, there, started = time.process_time(), server_time(), time.perf_counter()
        while forwarder.round():
            pass
        seconds = time.perf_counter() - started
        here, there = time.process_time() - here, server_time() - there
        remote.close()
        assert not forwarder.progress.problems
        yield {
            "copied": [POINTS / seconds],
            "alone": [alone()],
            "busy": [here / seconds],
            "server busy": [there / seconds],
        }


def server_time() -> float:
    """Processor time of the server's processes, in seconds; NaN where the system does not tell."""
    group, ticks = os.environ[SERVER_GROUP], 0
    if not Path("/proc/self/stat").is_file():
        return math.nan
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended
            continue
        if words[2] == group:
            ticks += int(words[11]) + int(words[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure_steps(folder: Path) -> Iterator[Turn]:
    """Turns of the time of a step with a server, and without."""
    import numpy

    import autotrack

    matrix = numpy.ones((300, 300))

    def steps(store: str) -> float:
        autotrack.enable(store=store)
        taken = []
        with autotrack.start_run() as run:
            for step in range(STEPS):
                started = time.perf_counter()
                (matrix @ matrix).sum()
                run.log_metrics({"loss": 0.5}, step=step)
                taken.append(time.perf_counter() - started)
        return statistics.median(taken)

    while True:
        yield {"server": [steps(os.environ[SERVER])], "folder": [steps(os.fspath(folder / "store"))]}


def measure_memory(folder: Path) -> Iterator[Turn]:
    """Turns of the peak memory of a process that copies."""
    import resource

    store = folder / ".autotrack"
    while True:
        record(store, 20_000)
        command = [sys.executable, "-m", "autotrack", "sync", "--store", os.fspath(store), "--to", os.environ[SERVER]]
        subprocess.run(command, check=True, timeout=300, stdout=subprocess.DEVNULL)
        unit = 1 if sys.platform == "darwin" else 1024
        yield {"peak": [float(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit)]}


CASES = {
    "autotrack": Case(partial(measure_fit, autotrack), ("scikit-learn", "skops", "mlflow")),
    "mlflow": Case(partial(measure_fit, mlflow), ("mlflow",)),
    "steps": Case(measure_steps, ("mlflow", "urllib3", "numpy")),
    "rate": Case(measure_rate, ("mlflow", "urllib3")),
    "memory": Case(measure_memory, ("mlflow", "urllib3")),
}


def report(found: Found) -> None:
    if "autotrack" not in found:
        return
    ours = added(found["autotrack"]["recorded"], found["autotrack"]["plain"])
    theirs = added(found["mlflow"]["recorded"], found["mlflow"]["plain"])
    emit("remote: added to a fit, autotrack", ours, "ms", at_most=15.0)
    emit("remote: added to a fit, mlflow", theirs, "ms")
    emit_ratio("remote: added to a fit, mlflow / autotrack", theirs, ours, at_least=150.0)
    steps, rate = found["steps"], found["rate"]
    emit("remote: a step, the store a folder", steps["folder"], "us")
    emit("remote: a step, the store a server", steps["server"], "us")
    emit_ratio("remote: a step, folder / server", steps["folder"], steps["server"], at_least=0.95)
    emit("remote: points copied", rate["copied"], "per s")
    emit("remote: points, the HTTP client alone", rate["alone"], "per s")
    emit_ratio("remote: points copied / by the client alone", rate["copied"], rate["alone"], at_least=0.8)
    if not math.isnan(rate["server busy"][0]):
        emit("remote: the server busy meanwhile", rate["server busy"], "times")
    emit("remote: what copies busy meanwhile", rate["busy"], "times", at_most=0.1)
    emit("remote: memory of the process that copies", found["memory"]["peak"], "MB", at_most=100.0)


def start_server(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """An MLflow server, once it answers."""
    import urllib.request

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination", str(folder / "artifacts"), "--workers", "1",
        "--host", "127.0.0.1", "--port", address.rpartition(":")[2],
    ]  # fmt: skip
    environment = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env=environment
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
            return process, address
        except OSError:
            time.sleep(0.2)
    raise TimeoutError("the server does not start")


def main() -> None:
    if "--serve" in sys.argv or "--no-peers" in sys.argv:
        bench(CASES, report, rounds=6, seconds=120)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the server is ended as well
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process, os.environ[SERVER] = start_server(Path(folder))
        os.environ[SERVER_GROUP] = str(process.pid)
        try:
            bench(CASES, report, rounds=6, seconds=120)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


if __name__ == "__main__":
    main()

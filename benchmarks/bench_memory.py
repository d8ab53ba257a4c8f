"""Memory that a tracker adds to the process that trains, and the processes that it keeps beside it.

Fresh processes, as Linux counts resident memory, from before the tracker is imported to after it has recorded.
*fits*: scikit-learn is there and has fitted; then the tracker is switched on and five fits of ``LogisticRegression``
on iris are recorded, models saved. *scalars*: torch is there; then a run begins and 2,000 scalars are
logged (MLflow: 100), by the calls that trackers.py says. *beside* is the proportional share (pss) of all processes
that the tracker started and that still live then.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from common import Case, Found, Turn, bench, emit
from trackers import TRACKERS, Tracker


def own_memory() -> float:
    """Resident bytes of this process."""
    status = Path("/proc/self/status").read_text()
    return 1024.0 * int(status.partition("VmRSS:")[2].split()[0])


def memory_beside() -> float:
    """Bytes of all processes that descend from this one."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
    found, family = 0.0, {os.getpid()}
    while born := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= born
    for pid in family - {os.getpid()}:
        try:
            found += 1024.0 * int(Path(f"/proc/{pid}/smaps_rollup").read_text().partition("Pss:")[2].split()[0])
        except (OSError, IndexError):
            continue
    return found


def fits(begin: Callable[[Path], None], folder: Path) -> Iterator[Turn]:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    warnings.simplefilter("ignore")  # the solver stops at its hundredth iteration
    X, y = load_iris(return_X_y=True)
    for _ in range(5):
        LogisticRegression().fit(X, y)
    before = own_memory()
    begin(folder)
    for _ in range(5):
        LogisticRegression().fit(X, y)
    time.sleep(1.0)  # for what is still done beside it
    yield {"added": [own_memory() - before], "beside": [memory_beside()]}


def autotrack(folder: Path) -> None:
    import autotrack

    autotrack.enable(store=folder / ".autotrack", models="always")


def mlflow(folder: Path) -> None:
    import mlflow

    mlflow.sklearn.autolog()


def scalars(tracker: type[Tracker], folder: Path) -> Iterator[Turn]:
    import torch  # and numpy with it: where losses come from

    assert torch
    before = own_memory()
    run = tracker(folder, "memory")
    for step in range(min(2_000, 5 * run.burst)):
        run.log(step / 3, step)
    run.drain()
    yield {"added": [own_memory() - before], "beside": [memory_beside()]}
    run.finish()


CASES = {
    "fits, autotrack": Case(partial(fits, autotrack), ("scikit-learn", "skops"), fresh=True),
    "fits, mlflow": Case(partial(fits, mlflow), ("mlflow",), fresh=True),
    **{
        f"scalars, {name}": Case(partial(scalars, tracker), ("torch", *needs), fresh=True)
        for name, (tracker, needs) in TRACKERS.items()
        if "synchronous" not in name
    },
}


def report(found: Found) -> None:
    for name, figures in found.items():
        emit(f"memory: {name}", figures["added"], "MB")
        if max(figures["beside"]) > 0:
            emit(f"memory: {name}, beside", figures["beside"], "MB")


if __name__ == "__main__":
    bench(CASES, report, rounds=3, seconds=60)

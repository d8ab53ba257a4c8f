"""One scalar a call: what the call costs the thread that trains.

Each tracker (trackers.py says by which call) logs one value of one metric. *in a row*: the mean of 1,000 calls one
after another (MLflow: 20), as in a loop over tiny steps; trackers with a queue and a thread pay for their thread
here. *between steps*: the mean of 50 calls with a millisecond or two of matrix product after each, so that queues
and threads have time to work beside it and the caches hold something else; the call alone is timed.

``os.write`` is what no tracker that promises to have written can be below.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
from common import Case, Found, Turn, bench, emit, emit_ratio
from trackers import TRACKERS, AutotrackModule, Log, Tracker

BURSTS = 3
STEPS = 50
TARGETS = {"tensorboard": 8.0, "wandb": 50.0}


def in_a_row(log: Log, step: int, calls: int) -> float:
    """Mean seconds of a call, the first of which is for ``step``."""
    steps = range(step, step + calls)
    started = time.perf_counter()
    for at in steps:
        log(at / 3, at)
    return (time.perf_counter() - started) / calls


def between_steps(log: Log, step: int) -> float:
    """Mean seconds of a call, the first of which is for ``step``."""
    matrix = numpy.ones((256, 256))
    product = matrix.copy()
    taken = 0.0
    for at in range(step, step + STEPS):
        numpy.matmul(matrix, matrix, out=product)
        started = time.perf_counter()
        log(at / 3, at)
        taken += time.perf_counter() - started
    return taken / STEPS


def turns(tracker: Tracker) -> Iterator[Turn]:
    step = 0
    try:
        while True:
            found: Turn = {"in a row": [], "between steps": []}
            for _ in range(BURSTS):
                found["in a row"].append(in_a_row(tracker.log, step, tracker.burst))
                step += tracker.burst
                tracker.drain()
            found["between steps"].append(between_steps(tracker.log, step))
            step += STEPS
            tracker.drain()
            yield found
    finally:
        tracker.finish()
        kept = tracker.kept()
        assert kept in (None, step), f"{kept} of {step} points were kept"


def bare_write(folder: Path) -> Iterator[Turn]:
    fd = os.open(folder / "probe", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    line = b"x" * 60
    while True:
        yield {"in a row": [in_a_row(lambda value, step: os.write(fd, line), 0, 1_000) for _ in range(BURSTS)]}


def case(tracker: type[Tracker]) -> Callable[[Path], Iterator[Turn]]:
    return lambda folder: turns(tracker(folder, "scalars"))


CASES = {
    **{name: Case(case(tracker), needs) for name, (tracker, needs) in TRACKERS.items()},
    "autotrack.log_metrics": Case(case(AutotrackModule)),
    "os.write of 60 bytes": Case(bare_write),
}


def report(found: Found) -> None:
    for name, figures in found.items():
        for figure, values in figures.items():
            at_most = 5.0 if figure == "in a row" and name.startswith("autotrack") else None
            emit(f"scalar: {name}, {figure}", values, "us", at_most=at_most)
    for peer in [name for name in TRACKERS if name in found][1:]:
        for figure, values in found[peer].items():
            ratio = f"scalar: {peer} / autotrack, {figure}"
            at_least = TARGETS.get(peer) if figure == "in a row" else None
            emit_ratio(ratio, values, found["autotrack"][figure], at_least=at_least)


if __name__ == "__main__":
    bench(CASES, report, rounds=15, seconds=100)

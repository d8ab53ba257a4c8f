"""Many scalars until they are on the disk: points a second, and bytes a point.

Each turn begins a new run of a tracker (trackers.py says how), which is not timed. Timed is the time from the first
point to the moment when the run is finished and every file that it wrote has been forced to the disk by ``fsync``.
Bytes are what all files of the case grew by, the end of the run included; the name of the metric is ``loss``. After
each turn the tracker's own reader has to find every point (W&B: none that could be asked).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from common import Case, Found, Turn, bench, emit
from trackers import TRACKERS, Tracker

POINTS = {"autotrack": 20_000, "csv": 20_000, "trackio": 10_000, "mlflow": 100, "mlflow, synchronous=False": 100}


def files() -> list[Path]:
    """What the case has written so far: in its working folder and in its home."""
    return [
        file for top in (Path.cwd(), Path.home()) for file in top.rglob("*") if file.is_file() and not file.is_symlink()
    ]


def turn(tracker: Tracker, points: int) -> Turn:
    before = sum(file.stat().st_size for file in files())
    started = time.perf_counter()
    for step in range(points):
        tracker.log(step / 3, step)
    tracker.finish()
    for file in files():
        fd = os.open(file, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    taken = time.perf_counter() - started
    size = sum(file.stat().st_size for file in files()) - before
    kept = tracker.kept()
    assert kept in (None, points), f"{kept} of {points} points were kept"
    return {"points": [points / taken], "bytes": [size / points]}


def case(tracker: type[Tracker], points: int) -> Callable[[Path], Iterator[Turn]]:
    def turns(folder: Path) -> Iterator[Turn]:
        number = 0
        while True:
            number += 1
            yield turn(tracker(folder, f"turn-{number}"), points)

    return turns


CASES = {name: Case(case(tracker, POINTS.get(name, 5_000)), needs) for name, (tracker, needs) in TRACKERS.items()}


def report(found: Found) -> None:
    for name, figures in found.items():
        emit(f"until durable: {name}", figures["points"], "per s")
    for name, figures in found.items():
        at_most = 80.0 + len("loss") if name == "autotrack" else None
        emit(f"bytes a point: {name}", figures["bytes"], "bytes", at_most=at_most)


if __name__ == "__main__":
    bench(CASES, report, rounds=9, seconds=75)

"""One scalar a call while other Python threads of the process compute.

One and three threads run pure Python beside the calling one, so that they want the interpreter lock all the time. A
call that gives the lock up, as every write to a file does, may wait for it. Each tracker (trackers.py says by which
call) makes up to 2,000 calls, as many as half a second holds; the mean of a call is taken.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from common import Case, Found, Turn, bench, emit
from trackers import TRACKERS, Tracker

CALLS = 2_000
LONGEST = 0.5
THREADS = (1, 3)


class BusyThreads:
    """So many threads that compute until the block is left."""

    def __init__(self, count: int) -> None:
        self._stop = False
        self._threads = [threading.Thread(target=self._compute) for _ in range(count)]

    def _compute(self) -> None:
        number = 0
        while not self._stop:
            number = (number * 31 + 7) % 1_000_003

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop = True
        for thread in self._threads:
            thread.join()


def turns(tracker: Tracker) -> Iterator[Turn]:
    step = 0
    try:
        while True:
            found: Turn = {}
            for count in THREADS:
                with BusyThreads(count):
                    first = step
                    started = time.perf_counter()
                    while step < first + CALLS and time.perf_counter() - started < LONGEST:
                        tracker.log(step / 3, step)
                        step += 1
                    found[str(count)] = [(time.perf_counter() - started) / (step - first)]
                tracker.drain()
            yield found
    finally:
        tracker.finish()


def case(tracker: type[Tracker]) -> Callable[[Path], Iterator[Turn]]:
    return lambda folder: turns(tracker(folder, "threads"))


CASES = {name: Case(case(tracker), needs) for name, (tracker, needs) in TRACKERS.items()}


def report(found: Found) -> None:
    for name, figures in found.items():
        for count, values in figures.items():
            emit(f"scalar beside busy threads: {name}, {count}", values, "us")


if __name__ == "__main__":
    bench(CASES, report, rounds=15, seconds=75)

"""One daemon thread a process, for what must not be on the training's way.

Every few seconds it runs the tasks that were given to it; jobs run once, as soon as it is free. It
starts with the first task and starts anew in a forked child that has something to do.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

__all__ = ["PERIOD", "Housekeeper", "housekeeper"]

PERIOD = 5.0
"""Seconds between two rounds."""


class Housekeeper:
    """Tasks are called each round until they are removed; they must not raise."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._thread: threading.Thread | None = None
        self._tasks: dict[int, Callable[[], None]] = {}
        self._jobs: list[Callable[[], None]] = []

    def after_fork(self) -> None:
        """In the child the thread is gone and its tasks are the parent's."""
        self._reset()

    def add(self, owner: object, task: Callable[[], None]) -> None:
        """Call ``task`` each round; one task per owner."""
        with self._lock:
            self._tasks[id(owner)] = task
            self._start()

    def remove(self, owner: object) -> None:
        """Stop calling the owner's task."""
        with self._lock:
            self._tasks.pop(id(owner), None)

    def submit(self, job: Callable[[], None]) -> None:
        """Call ``job`` once, soon."""
        with self._lock:
            self._jobs.append(job)
            self._idle.clear()
            self._start()
        self._wake.set()

    def wait_idle(self, timeout: float) -> bool:
        """Wait until all submitted jobs are done; False when ``timeout`` seconds were not enough."""
        return self._idle.wait(timeout)

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="autotrack-housekeeping", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        due = time.monotonic() + PERIOD
        while True:
            self._wake.wait(max(0.0, due - time.monotonic()))
            self._wake.clear()
            while job := self._next_job():
                job()
            if time.monotonic() >= due:
                due = time.monotonic() + PERIOD
                with self._lock:
                    tasks = list(self._tasks.values())
                for task in tasks:
                    task()

    def _next_job(self) -> Callable[[], None] | None:
        with self._lock:
            if not self._jobs:
                self._idle.set()
                return None
            return self._jobs.pop(0)


housekeeper = Housekeeper()
os.register_at_fork(after_in_child=housekeeper.after_fork)

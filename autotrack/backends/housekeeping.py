"""One daemon thread a process, for what must not be on the training's way.

Every few seconds it runs the tasks that were given to it; jobs run once, as soon as it is free. It
starts with the first task and starts anew in a forked child that has something to do. While a process
forks it is away, since Python warns of a fork beside threads from 3.12 on.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["PERIOD", "Housekeeper", "Job", "Wait", "housekeeper"]

PERIOD = 5.0
"""Seconds between two rounds."""

PATIENCE = 0.25
"""Seconds that a fork waits at most for the thread to get through with what it is at; others then do not wait."""

Wait = tuple[int, float]
"""A descriptor, and how many seconds to wait for it at most."""

Job = Callable[[], "Iterator[Wait] | None"]
"""What is to be done once. One that has to wait for a descriptor gives each wait, and goes on where it was after it."""


class Housekeeper:
    """Tasks are called each round until they are removed; they must not raise."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._thread: threading.Thread | None = None
        self._due: float | None = None  # when the next round is
        self._forks = 0  # under way
        self._in_vain = False  # whether a fork has waited for what the thread is at
        self._bell: tuple[int, int] | None = None  # a pipe that ends a wait for a descriptor
        self._tasks: dict[int, Callable[[], None]] = {}
        self._jobs: list[Job | Iterator[Wait]] = []

    def add(self, owner: object, task: Callable[[], None]) -> None:
        """Call ``task`` each round; one task per owner."""
        with self._lock:
            self._tasks[id(owner)] = task
            self._start()

    def remove(self, owner: object) -> None:
        """Stop calling the owner's task."""
        with self._lock:
            self._tasks.pop(id(owner), None)

    def submit(self, job: Job) -> None:
        """Do ``job`` once, soon."""
        with self._lock:
            self._jobs.append(job)
            self._idle.clear()
            self._start()
        self._wake.set()

    def wait_idle(self, timeout: float) -> bool:
        """Wait until all submitted jobs are done; False when ``timeout`` seconds were not enough."""
        return self._idle.wait(timeout)

    def _start(self) -> None:
        if not self._forks and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._work, name="autotrack-housekeeping", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        if self._due is None:
            self._due = time.monotonic() + PERIOD
        while True:
            self._wake.wait(max(0.0, self._due - time.monotonic()))
            self._wake.clear()
            while not self._forks and (job := self._next_job()) is not None:
                self._do(job)
                self._in_vain = False
            with self._lock:
                if self._forks:
                    self._thread = None
                    return
                tasks = list(self._tasks.values())
            if time.monotonic() >= self._due:
                self._due = time.monotonic() + PERIOD
                for task in tasks:
                    task()
                self._in_vain = False

    def _next_job(self) -> Job | Iterator[Wait] | None:
        with self._lock:
            if not self._jobs:
                self._idle.set()
                return None
            return self._jobs.pop(0)

    def _do(self, job: Job | Iterator[Wait]) -> None:
        """Do a job, or as much of it as there is time for until the thread has to leave."""
        waits = job() if callable(job) else job
        if waits is None:
            return
        for fd, seconds in waits:
            if not self._wait_for(fd, seconds):
                with self._lock:
                    self._jobs.insert(0, waits)
                return

    def _wait_for(self, fd: int, seconds: float) -> bool:
        """Wait until there is something to read, or time is up; False where the thread has to leave before."""
        with self._lock:
            if self._forks:
                return False
            if self._bell is None:
                self._bell = os.pipe()
                os.set_blocking(self._bell[0], False)
        poll = select.poll()  # unlike select, also above 1,024 open files
        poll.register(fd, select.POLLIN)
        poll.register(self._bell[0], select.POLLIN)
        poll.poll(max(0, int(seconds * 1000)))
        return not self._forks

    # ---- forks --------------------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """The thread leaves, if it can soon."""
        deadline = time.monotonic() + PATIENCE
        with self._lock:
            self._forks += 1
            thread = self._thread
            if thread is None or thread is threading.current_thread() or self._in_vain:
                return
            if self._bell is not None:
                os.write(self._bell[1], b"!")
        self._wake.set()
        thread.join(PATIENCE)
        self._in_vain = thread.is_alive()
        # In Python 3.12 a thread is there for some microseconds after it was joined.
        task = Path(f"/proc/self/task/{thread.native_id}")
        while not self._in_vain and task.exists() and time.monotonic() < deadline:
            time.sleep(0.0002)

    def after_fork_in_parent(self) -> None:
        """It comes back, where there is something to do."""
        with self._lock:
            self._forks -= 1
            if self._forks:
                return
            if self._bell is not None:
                with suppress(BlockingIOError):
                    os.read(self._bell[0], 100)
            if self._tasks or self._jobs:
                self._start()
                self._wake.set()

    def after_fork_in_child(self) -> None:
        """In the child the thread is gone and its tasks are the parent's."""
        for fd in self._bell or ():
            with suppress(OSError):
                os.close(fd)
        self._reset()


housekeeper = Housekeeper()
os.register_at_fork(after_in_child=housekeeper.after_fork_in_child)
if sys.version_info >= (3, 12):  # which warns; before, it would only cost time
    os.register_at_fork(before=housekeeper.before_fork, after_in_parent=housekeeper.after_fork_in_parent)

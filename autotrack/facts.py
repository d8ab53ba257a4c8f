"""What all runs of a process have in common: captured once, off the training's way, and given to each run.

What is known at once does not wait for git, which may take long in a large repository. A run that ends
before the capture does still gets everything.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from autotrack import guard
from autotrack.backends.housekeeping import Wait, housekeeper
from autotrack.capture.source import cells, command_line, entry_script, in_notebook, own_script
from autotrack.run import Run

if TYPE_CHECKING:
    from autotrack.capture.redact import Redactor

__all__ = ["EXIT_WAIT", "ProcessFacts"]

EXIT_WAIT = 2.0
"""Seconds that the exit may wait for facts that are still being captured."""


class ProcessFacts:
    """Facts and code of this process."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self.patterns = patterns
        self._reset()

    @cached_property
    def redactor(self) -> Redactor:
        """What all captured text passes."""
        from autotrack.capture.redact import Redactor  # noqa: PLC0415  enable() does not need it

        return Redactor(self.patterns)

    def clean(self, text: str) -> str:
        """``text`` without its secrets."""
        return self.redactor.text(text)

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._forked = False
        self._surroundings: Any = None  # in which it was captured
        self._lock = threading.RLock()  # a signal handler may train while its thread is in here
        self._facts: dict[str, Any] = {}
        self._code: dict[str, bytes] = {}
        self._waiting: list[Run] = []  # runs that get what is still to come
        self._owed: list[Run] = []  # runs that get the code with the next round of housekeeping
        self._state: Literal["new", "capturing", "complete"] = "new"
        self._folder = Path()
        self._script = ""

    def _after_fork(self) -> None:
        """In a child: what is known of its parent is true of it too, where it is in the same surroundings."""
        known = self._state == "complete" and self._surroundings == _surroundings()
        before = vars(self).copy()
        self._reset()
        self._forked = True
        if known:
            self._state = "complete"
            self._facts, self._code = before["_facts"], before["_code"]

    def give(self, run: Run) -> None:
        """Have the facts in this run, now or as soon as they are there; and the random states as they are now."""
        from autotrack.capture.randomness import describe_randomness  # noqa: PLC0415  enable() does not need it

        if os.getpid() != self._pid:
            self._after_fork()
        with self._lock:
            if self._state == "new":
                self._state = "capturing"
                with contextlib.suppress(FileNotFoundError):  # the working folder was deleted
                    self._folder = Path().absolute()  # where it started; it may move on
                self._script = entry_script()
                self._surroundings = _surroundings()
                housekeeper.submit(self._capture)
            if self._state == "capturing":
                self._waiting.append(run)
            elif in_notebook() or self._forked:  # the cells as they are now; and a worker may be ended at any time
                housekeeper.submit(partial(self._give_code, run))
            else:  # files are made when housekeeping comes round: they would stand in the way of the next fit
                self._owed.append(run)
                housekeeper.add(self, self._pay)
            facts = dict(self._facts)
        with guard.protect("reading the random states"):
            facts["random"] = describe_randomness()
        run.capture(facts=facts)

    def _capture(self) -> Iterator[Wait]:
        from autotrack.capture.process import Order, capture  # noqa: PLC0415  on this thread, not at enable()

        script = self._script
        order = Order(str(self._folder), script, command_line(), own_script(script), list(self.patterns))
        with guard.protect("capturing the facts"):
            yield from capture(order, self._found)
        with self._lock:
            self._state = "complete"
            waiting, self._waiting = self._waiting, []
        for run in waiting:
            self._give_code(run)

    def _found(self, section: str, facts: dict[str, Any]) -> None:
        if section == "code":
            self._code = {name: _encoded(text) for name, text in facts.items()}
            return
        with self._lock:
            self._facts[section] = facts
            waiting = list(self._waiting)
        for run in waiting:
            run.capture(facts={section: facts})

    def _pay(self) -> None:
        with self._lock:  # the exit may meet a round of housekeeping here
            owed, self._owed = self._owed, []
        for run in owed:
            self._give_code(run)

    def _give_code(self, run: Run) -> None:
        with guard.protect("storing the code"):
            ran = cells()  # more each time
            if ran is not None:
                self._code["cells.py"] = _encoded(self.clean(ran))
            for name, content in list(self._code.items()):  # another thread may be adding to them
                run.capture_code(name, content)

    def close(self) -> None:
        """At exit: wait for what is still being captured, but not long."""
        if os.getpid() != self._pid:  # a forked child without a run: what is owed, its parent owes
            return
        if not housekeeper.wait_idle(EXIT_WAIT):
            from autotrack.capture.process import stop  # noqa: PLC0415  only a git that hangs takes so long

            stop()
        self._pay()


def _surroundings() -> tuple[str, dict[str, str]]:
    """What facts of this process may differ by from those of its parent."""
    try:
        return os.getcwd(), dict(os.environ)
    except FileNotFoundError:  # the working folder was deleted
        return "", dict(os.environ)


def _encoded(text: str) -> bytes:
    """Text as it was read: bytes that were no UTF-8 come back as they were."""
    return text.encode("utf-8", "surrogateescape")

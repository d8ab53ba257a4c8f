"""What all runs of a process have in common: captured once, off the training's way, and given to each run.

What is known at once does not wait for git, which may take long in a large repository. A run that ends
before the capture does still gets everything.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from autotrack import guard
from autotrack.backends.housekeeping import housekeeper
from autotrack.capture.source import entry_script, entry_source, in_notebook
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
        self._lock = threading.Lock()
        self._facts: dict[str, Any] = {}
        self._code: dict[str, bytes] = {}
        self._waiting: list[Run] = []  # runs that get what is still to come
        self._owed: list[Run] = []  # runs that get the code with the next round of housekeeping
        self._state: Literal["new", "capturing", "complete"] = "new"
        self._folder = Path()
        self._script = ""

    def give(self, run: Run) -> None:
        """Have the facts in this run, now or as soon as they are there; and the random states as they are now."""
        from autotrack.capture.randomness import describe_randomness  # noqa: PLC0415  enable() does not need it

        if os.getpid() != self._pid:  # a forked child: its own process, its own facts
            self._reset()
        with self._lock:
            if self._state == "new":
                self._state = "capturing"
                self._folder, self._script = Path().absolute(), entry_script()  # where it started; it may move on
                housekeeper.submit(self._capture)
            if self._state == "capturing":
                self._waiting.append(run)
            elif in_notebook():  # the cells as they are now
                housekeeper.submit(partial(self._give_code, run))
            else:  # files are made when housekeeping comes round: they would stand in the way of the next fit
                self._owed.append(run)
                housekeeper.add(self, self._pay)
            facts = dict(self._facts)
        with guard.protect("reading the random states"):
            facts["random"] = describe_randomness()
        run.capture(facts=facts)

    def _capture(self) -> None:
        from autotrack.capture.environment import describe_environment  # noqa: PLC0415  on this thread, not at enable()
        from autotrack.capture.git import git_state  # noqa: PLC0415
        from autotrack.capture.hardware import describe_hardware  # noqa: PLC0415
        from autotrack.capture.packages import installed_packages  # noqa: PLC0415

        with guard.protect("capturing the environment"):
            self._found("environment", describe_environment(self._folder, self._script, self.redactor))
        with guard.protect("listing packages"):
            self._found("packages", self._clean(installed_packages()))
        with guard.protect("describing the machine"):  # asks a driver, which may be slow
            self._found("hardware", describe_hardware())
        with guard.protect("asking git"):  # slowest in a large work tree
            state = git_state(self._folder, lambda known: self._found("git", self._clean(known)))
            if state is not None:
                self._found("git", self._clean(state.facts))
                if state.patch:
                    self._code["changes.patch"] = self._encoded(state.patch)
        with self._lock:
            self._state = "complete"
            waiting, self._waiting = self._waiting, []
        for run in waiting:
            self._give_code(run)

    def _found(self, section: str, facts: dict[str, Any]) -> None:
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
            if in_notebook() or not self._code.keys() - {"changes.patch"}:  # cells have been run since
                source = entry_source(self._script)
                if source is not None:
                    self._code[self.redactor.text(source[0])] = self._encoded(source[1])
            for name, content in self._code.items():
                run.capture_code(name, content)

    def _encoded(self, text: str) -> bytes:
        return self.redactor.text(text).encode("utf-8", "surrogateescape")

    def _clean(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._clean(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._clean(item) for item in value]
        return self.redactor.text(value) if isinstance(value, str) else value

    def close(self) -> None:
        """At exit: wait for what is still being captured, but not long."""
        if not housekeeper.wait_idle(EXIT_WAIT):
            from autotrack.capture.git import stop  # noqa: PLC0415  only a git that hangs takes so long

            stop()
        self._pay()

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

__all__ = ["ProcessFacts"]


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

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._facts: dict[str, Any] = {}
        self._code: dict[str, bytes] = {}
        self._waiting: list[Run] = []  # runs that get what is still to come
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
            else:
                housekeeper.submit(partial(self._give_code, run))
            facts = dict(self._facts)
        run.capture(facts={**facts, "random": describe_randomness()})

    def _capture(self) -> None:
        from autotrack.capture.environment import describe_environment  # noqa: PLC0415  on this thread, not at enable()
        from autotrack.capture.git import git_state  # noqa: PLC0415

        with guard.protect("capturing the environment"):
            self._found(describe_environment(self._folder, self._script, self.redactor))
        with guard.protect("asking git"):
            state = git_state(self._folder)
            if state is not None:
                self._found({"git": {key: self._clean(value) for key, value in state.facts.items()}})
                if state.patch:
                    self._code["changes.patch"] = self.redactor.text(state.patch).encode("utf-8", "replace")
        with self._lock:
            self._state = "complete"
            waiting, self._waiting = self._waiting, []
        for run in waiting:
            self._give_code(run)

    def _found(self, facts: dict[str, Any]) -> None:
        with self._lock:
            self._facts.update(facts)
            waiting = list(self._waiting)
        for run in waiting:
            run.capture(facts=facts)

    def _give_code(self, run: Run) -> None:
        with guard.protect("storing the code"):
            if in_notebook() or not self._code.keys() - {"changes.patch"}:  # cells have been run since
                source = entry_source(self._script)
                if source is not None:
                    self._code[source[0]] = self.redactor.text(source[1]).encode("utf-8", "replace")
            for name, content in self._code.items():
                run.capture_code(name, content)

    def _clean(self, value: Any) -> Any:
        return self.redactor.text(value) if isinstance(value, str) else value

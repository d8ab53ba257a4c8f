"""What all runs of a process have in common: captured once, on the housekeeping thread, and given to each run."""

from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path
from typing import Any

from autotrack import guard
from autotrack.backends.housekeeping import housekeeper
from autotrack.capture.environment import describe_environment
from autotrack.capture.git import git_state
from autotrack.capture.randomness import describe_randomness
from autotrack.capture.redact import Redactor
from autotrack.capture.source import entry_source, in_notebook
from autotrack.run import Run

__all__ = ["ProcessFacts"]


class ProcessFacts:
    """Facts and code of this process. A run that ends before they are there still gets them."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._facts: dict[str, Any] | None = None
        self._code: dict[str, bytes] = {}

    def give(self, run: Run) -> None:
        """Record the random states now, and the rest as soon as housekeeping comes to it."""
        if os.getpid() != self._pid:  # a forked child: its own process, its own facts
            self._reset()
        if self._folder is None:
            self._folder = Path().absolute()  # where the training started; the process may move on
        run.capture(facts={"random": describe_randomness()})
        housekeeper.submit(partial(self._deliver, run))

    def _deliver(self, run: Run) -> None:
        with guard.protect("capturing the environment"):
            with self._lock:
                if self._facts is None:
                    self._capture()
                assert self._facts is not None
            run.capture(facts=self._facts)
            if in_notebook():  # cells have been run since
                self._take_source()
            for name, content in self._code.items():
                run.capture_code(name, content)

    def _capture(self) -> None:
        assert self._folder is not None
        facts = describe_environment(self._folder, self._redactor)
        state = git_state(self._folder)
        if state is not None:
            found = {key: self._clean(value) for key, value in state.facts.items()}
            facts["git"] = found
            if state.patch:
                self._code["changes.patch"] = self._redactor.text(state.patch).encode()
        self._take_source()
        self._facts = facts

    def _take_source(self) -> None:
        source = entry_source()
        if source is not None:
            self._code[source[0]] = self._redactor.text(source[1]).encode()

    def _clean(self, value: Any) -> Any:
        return self._redactor.text(value) if isinstance(value, str) else value

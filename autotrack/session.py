"""What autotrack holds in this process: settings, the open store, the integrations, and the end of it all."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Literal

from autotrack import context, guard, models, plugins
from autotrack.backends.base import new_run_id
from autotrack.backends.file import FileBackend
from autotrack.backends.housekeeping import housekeeper
from autotrack.backends.memory import MemoryBackend
from autotrack.backends.null import NullBackend
from autotrack.capture.process import entry_script, git_facts, process_facts
from autotrack.config import Settings, default_experiment, find_store
from autotrack.errors import ConfigError
from autotrack.integration import Integration
from autotrack.models import conversion
from autotrack.records import Begin
from autotrack.run import Run, flush, status_of

__all__ = ["EXIT_WAIT", "Session", "open_backend"]

EXIT_WAIT = 2.0
"""Seconds that the exit may wait for facts that are still being captured."""

AnyBackend = FileBackend | MemoryBackend | NullBackend


def open_backend(store: str) -> AnyBackend:
    """The backend of a setting: a folder, a ``file://`` URI, ``memory://``, or empty for the store found from here.

    Raises:
        ConfigError: No installed plugin knows the URI's scheme.
    """
    scheme, separator, rest = store.partition("://")
    if not separator:
        return FileBackend(find_store(store))
    if scheme == "file":
        return FileBackend(find_store(rest))
    if scheme == "memory":
        return MemoryBackend()
    raise ConfigError(f"no backend for {scheme}:// is installed; use a folder, or install the plugin that offers it")


class Session:
    """One a process; all its runs share ``id``."""

    def __init__(self, settings: Settings) -> None:
        self.id = os.urandom(6).hex()
        self.settings = settings
        self.backend: AnyBackend = NullBackend() if settings.mode == "off" else open_backend(settings.store)
        self.integrations: list[Integration] = []
        self._experiment = settings.experiment
        self._facts = _ProcessFacts()
        self._lock = threading.Lock()
        self._last_start = 0
        self._register_formats()

    def use(self, settings: Settings) -> None:
        """Change settings; runs that are open stay where they are."""
        if settings == self.settings:
            return
        if (settings.store, settings.mode) != (self.settings.store, self.settings.mode):
            backend: AnyBackend = NullBackend() if settings.mode == "off" else open_backend(settings.store)
            self.backend.close()
            self.backend = backend
        self.settings = settings
        self._experiment = settings.experiment
        self._register_formats()

    def _register_formats(self) -> None:
        """Off, no plugin is loaded: a broken one may be why somebody switched autotrack off."""
        if self.settings.mode == "on":
            for form in plugins.model_formats():
                models.register_format(form)

    def new_run(
        self, name: str = "", *, prefix: str = "run", experiment: str = "", parent: str = "", by: str = ""
    ) -> Run:
        """A run of its own; without a name it is called ``<prefix>-<short id>``."""
        if not self._experiment:
            self._experiment = default_experiment()
        for integration in self.integrations:
            self._verify(integration)
        while True:
            run_id = new_run_id(self._start())
            begin = Begin(
                name=name or f"{prefix}-{run_id.partition('-')[2][:6]}",
                experiment=experiment or self._experiment,
                session=self.id,
                parent=parent,
                by=by,
            )
            try:
                writer = self.backend.open_run(run_id, begin)
                break
            except FileExistsError:  # another process drew the same 40 bits in the same millisecond
                continue
        run = Run(writer, begin.name, begin.experiment, models=self.settings.models)
        if not isinstance(self.backend, NullBackend):
            self._facts.give(run)
        return run

    def _start(self) -> float:
        """Now; a millisecond of its own for each run of this process, so that their ids sort by start."""
        with self._lock:
            self._last_start = max(int(time.time() * 1000), self._last_start + 1)
            return (self._last_start + 0.5) / 1000

    def _verify(self, integration: Integration) -> None:
        """Somebody may have taken our wrappers away since the last run."""
        with guard.protect(f"checking {integration.name}", integration.name):
            restored = integration.patches.verify()
            if restored:
                guard.tell(
                    f"{integration.name}: {len(restored)} patches had been removed by another library "
                    f"({', '.join(restored[:3])}…) and were put back; fits in between were not recorded."
                )

    def close_integrations(self) -> None:
        """Take all patches out, in reverse order."""
        for integration in reversed(self.integrations):
            integration.disable()

    def close(self) -> None:
        """At exit: end what is open, write what is missing, sync, for a bounded time."""
        if isinstance(self.backend, NullBackend):
            return
        for integration in self.integrations:
            with guard.protect(f"closing {integration.name}", integration.name):
                integration.close()
        error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
        for run in context.explicit_runs():
            if isinstance(run, Run):
                run.end(status_of(error), error)
        housekeeper.wait_idle(EXIT_WAIT)
        flush()
        conversion.close()
        self.backend.close()


class _ProcessFacts:
    """Facts that are the same for all runs of a process: captured once, off the training's way, given to each.

    What is known at once does not wait for git, which may take long in a large repository.
    """

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._facts: dict[str, object] = {}
        self._waiting: list[Run] = []  # runs that get what is still to come
        self._state: Literal["new", "capturing", "complete"] = "new"
        self._folder = Path()
        self._script = ""

    def give(self, run: Run) -> None:
        """Have the facts in this run, now or as soon as they are there."""
        if os.getpid() != self._pid:
            self._reset()
        with self._lock:
            if self._state == "new":
                self._state = "capturing"
                self._folder, self._script = Path().absolute(), entry_script()  # where it started; it may move on
                housekeeper.submit(self._capture)
            if self._state == "capturing":
                self._waiting.append(run)
            facts = dict(self._facts)
        if facts:
            run.capture(facts=facts)

    def _capture(self) -> None:
        with guard.protect("capturing the environment"):
            self._found("environment", process_facts(self._folder, self._script))
        with guard.protect("asking git"):
            self._found("git", git_facts(self._folder))
        with self._lock:
            self._state = "complete"
            self._waiting = []

    def _found(self, section: str, facts: dict[str, object]) -> None:
        if not facts:
            return
        with self._lock:
            self._facts[section] = facts
            waiting = list(self._waiting)
        for run in waiting:
            run.capture(facts={section: facts})

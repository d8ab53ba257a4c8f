"""What autotrack holds in this process: settings, the open store, the integrations, and the end of it all."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from autotrack import context, guard, models, plugins
from autotrack.backends.base import new_run_id
from autotrack.backends.file import FileBackend
from autotrack.backends.housekeeping import housekeeper
from autotrack.backends.null import NullBackend
from autotrack.callsite import CallSite, find_call_site
from autotrack.capture.source import in_notebook
from autotrack.config import Settings, default_experiment, find_store, split_store
from autotrack.facts import ProcessFacts
from autotrack.forwarder import ForwarderProcess
from autotrack.integration import Integration
from autotrack.models import conversion
from autotrack.recording import flush
from autotrack.records import Begin
from autotrack.run import Run, status_of
from autotrack.series import LIMIT, SeriesRuns

if TYPE_CHECKING:
    from autotrack.backends.memory import MemoryBackend

    AnyBackend = FileBackend | MemoryBackend | NullBackend

__all__ = ["Session", "open_backend"]


def open_backend(store: str) -> AnyBackend:
    """The backend of a setting: a folder, a ``file://`` URI, ``memory://``, or empty for the store found from here.

    Servers beside it, or alone, are looked at only: the journal is first, and forwarders copy it.

    Raises:
        ConfigError: No installed plugin knows a URI's scheme, or it cannot be used.
    """
    folder, servers = split_store(store)
    for server in servers:
        plugins.check_remote(server)
    if folder.startswith("memory://"):
        from autotrack.backends.memory import MemoryBackend  # noqa: PLC0415  enable() seldom needs it

        return MemoryBackend()
    return FileBackend(find_store(folder.removeprefix("file://")))


class Session:
    """One a process; all its runs share ``id``."""

    def __init__(self, settings: Settings) -> None:
        self.id = os.urandom(6).hex()
        self.settings = settings
        self.backend: AnyBackend = NullBackend() if settings.mode == "off" else open_backend(settings.store)
        self.forwarders = self._new_forwarders()
        self.integrations: list[Integration] = []
        self._experiment = settings.experiment
        self._facts = ProcessFacts(settings.redact)
        self._allowance = self._allow()
        self._announced = False
        self._error_before = _uncaught()
        self.closing = False
        self.error: BaseException | None = None  # that ends this process
        self._exit: SystemExit | None = None
        self._last_start = 0
        self._ends_with = 0  # pid of the process whose end closes this session
        self._series = SeriesRuns(self._open_series)
        self._formats_known = False

    def _new_forwarders(self) -> list[ForwarderProcess]:
        """What copies the runs to servers: a process for each, so that none waits for another."""
        if self.settings.mode != "on" or not isinstance(self.backend, FileBackend):
            return []
        return [ForwarderProcess(self.backend.root, server) for server in split_store(self.settings.store)[1]]

    @property
    def experiment(self) -> str:
        """Name of the experiment of runs that name none themselves."""
        if not self._experiment:
            self._experiment = self._facts.clean(default_experiment())  # a script's name may be telling
        return self._experiment

    def join(self, run_id: str, experiment: str) -> Run | None:
        """A handle of a run (or child run) that another process began; None where this store has no folders."""
        if not isinstance(self.backend, FileBackend):
            return None
        self._register_formats()
        self._close_with_worker()
        top, _, child = run_id.partition(".")
        writer = self.backend.join_run(top)
        run = Run(writer, "", experiment, child, allowance=self._allowance, clean=self._facts.clean)
        run.joined()
        return run

    def use(self, settings: Settings) -> None:
        """Change settings; runs that are open stay where they are."""
        if settings == self.settings:
            return
        self._series.end()
        if (settings.store, settings.mode) != (self.settings.store, self.settings.mode):
            backend: AnyBackend = NullBackend() if settings.mode == "off" else open_backend(settings.store)
            self._close_store()
            self.backend = backend
            self.settings = settings
            self.forwarders = self._new_forwarders()
        self.settings = settings
        self._experiment = settings.experiment
        self._facts = ProcessFacts(settings.redact) if settings.redact != self._facts.patterns else self._facts
        spent = self._allowance.spent  # the session's cap is not raised by enabling anew
        self._allowance = self._allow()
        self._allowance.spent = spent

    def _allow(self) -> models.Allowance:
        settings = self.settings
        return models.Allowance(
            policy=settings.models,
            model_bytes=settings.model_max_mb * 1e6,
            session_bytes=settings.session_max_gb * 1e9,
            store_bytes=settings.store_max_gb * 1e9,
            input_example=settings.input_example,
            measure=getattr(self.backend, "model_bytes", None),
        )

    def _register_formats(self) -> None:
        """With the first run. Off, no plugin is loaded: a broken one may be why somebody switched autotrack off."""
        if not self._formats_known and self.settings.mode != "off":
            self._formats_known = True
            for form in plugins.model_formats():
                models.register_format(form)

    def call_site(self, integration: str) -> CallSite:
        """The user's line that starts a training now, seen from the integration that records it."""
        integrations = self.integrations or plugins.integrations()  # a callback given by hand needs no enable()
        frameworks = {name.partition(".")[0] for known in integrations for name in (known.minimum[0], *known.modules)}
        recorders = {type(known).__module__.partition(".")[0] for known in integrations}
        return find_call_site(frozenset({"autotrack", integration} | frameworks | recorders))

    def training_run(self, model: str, by: str, site: CallSite) -> Run:
        """The run of an outermost training: one of its own, in a long loop a child of the loop's series."""
        return self._series.child(model, by, site) or self.new_run(prefix=model, by=by)

    def _open_series(self, model: str, by: str, site: CallSite) -> Run:
        files = self._allowance.policy == "always"
        allowance = self._allowance if files else dataclasses.replace(self._allowance, files=False)
        run = self.new_run(prefix=f"{model}-series", by=by, allowance=allowance)
        run.capture(tags={"series": str(site)})
        run.note(
            f"the first {LIMIT} trainings at {site} are runs of their own, all further ones children of this run"
            + ("" if files else ", without files: their models are not saved; autotrack.log_model(model) saves one")
        )
        return run

    def new_run(
        self,
        name: str = "",
        *,
        prefix: str = "run",
        experiment: str = "",
        parent: str = "",
        by: str = "",
        allowance: models.Allowance | None = None,
    ) -> Run:
        """A run of its own; without a name it is called ``<prefix>-<short id>``."""
        self._verify()
        self._register_formats()
        self._close_with_worker()
        while True:
            run_id = new_run_id(self._start())
            begin = Begin(
                name=name or f"{prefix}-{run_id.partition('-')[2][:6]}",
                experiment=experiment or self.experiment,
                session=self.id,
                parent=parent,
                by=by,
            )
            try:
                writer = self.backend.open_run(run_id, begin)
                break
            except FileExistsError:  # another process drew the same 40 bits in the same millisecond
                continue
        run = Run(writer, begin.name, begin.experiment, "", allowance or self._allowance, self._facts.clean)
        if not isinstance(self.backend, NullBackend):
            self._facts.give(run)
            self._announce()
            for forwarder in self.forwarders:
                forwarder.start(self.id, run_id)
            housekeeper.add(self, self._verify)  # where all patches are gone, no run will ask
        return run

    def _close_with_worker(self) -> None:
        """Processes of multiprocessing run no exit handlers but its own, and begin without any."""
        if self._ends_with == os.getpid():
            return
        self._ends_with = os.getpid()
        if _in_worker():
            from multiprocessing import util  # noqa: PLC0415  workers have it

            util.Finalize(None, guard.guarded("the end of a worker")(self.close), exitpriority=10)

    def _announce(self) -> None:
        """Once, to a person who sits in front of it: where the runs go. Never on stdout."""
        if self._announced or not self.settings.announce:
            return
        self._announced = True
        if in_notebook() or hasattr(sys, "ps1") or (sys.stderr is not None and sys.stderr.isatty()):
            where = getattr(self.backend, "root", "memory")
            servers = ", ".join(forwarder.uri for forwarder in self.forwarders)
            copied = f", copied to {servers}" if servers else ""
            sys.stderr.write(f"autotrack: recording to {where}{copied} (autotrack.runs() lists the runs)\n")

    def _start(self) -> float:
        """Now; a millisecond of its own for each run of a thread, so that their ids sort by start.

        Without a lock: a signal handler that trains, or a fork, must not find it taken.
        """
        start = self._last_start = max(int(time.time() * 1000), self._last_start + 1)
        return (start + 0.5) / 1000

    def _verify(self) -> None:
        """Somebody may have taken our wrappers away, as MLflow does when it is switched off."""
        for integration in self.integrations:
            with guard.protect(f"checking {integration.name}", integration.name):
                restored = integration.patches.verify()
                if restored:
                    guard.tell(
                        f"{integration.name}: {len(restored)} patches had been removed by another library "
                        f"({', '.join(restored[:3])}…) and were put back; fits in between were not recorded."
                    )

    def close_integrations(self) -> None:
        """Take all patches out, in reverse order."""
        housekeeper.remove(self)
        self._verify()  # for the word
        for integration in reversed(self.integrations):
            integration.switch(False)
        self._series.end()

    def _close_store(self) -> None:
        self.backend.close()
        if _in_worker():  # nobody sits in front of a worker: its forwarders go on by themselves
            return
        deadline = time.monotonic() + self.settings.exit_wait
        for forwarder in self.forwarders:
            forwarder.finish()
        for forwarder in self.forwarders:
            forwarder.close(max(0.0, deadline - time.monotonic()))

    def exits_with(self, code: Any) -> None:
        """The program was left by ``sys.exit(code)``: Python has forgotten that when it asks us to close."""
        left = SystemExit(code)
        self._exit = None if status_of(left) == "finished" else left

    def close(self) -> None:
        """At exit: end what is open, write what is missing, sync, for a bounded time."""
        if isinstance(self.backend, NullBackend):
            return
        housekeeper.remove(self)
        self._verify()
        error = _uncaught()
        if error is self._error_before or hasattr(sys, "ps1") or in_notebook():
            error = None  # not what ended this process
        error = error or self._exit
        self.closing, self.error = True, error
        for integration in self.integrations:
            with guard.protect(f"closing {integration.name}", integration.name):
                integration.close()
        self._series.end(status_of(error), error)
        for run in context.explicit_runs():
            if isinstance(run, Run):
                run.end(status_of(error), error)
        self._facts.close()
        flush()
        conversion.close()
        self._close_store()
        if isinstance(error, KeyboardInterrupt):
            _keep_exit_status()


def _in_worker() -> bool:
    """Whether this is a process of multiprocessing's, or of loky's."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def _keep_exit_status() -> None:
    """Python ends by SIGINT after an uncaught Ctrl-C, unless a text was evaluated since: modules that make named
    tuples do that when they are imported, also on our thread. Evaluating one that is interrupted says it anew.
    """
    with contextlib.suppress(KeyboardInterrupt):
        exec("raise KeyboardInterrupt")  # noqa: S102


def _uncaught() -> BaseException | None:
    """The exception that Python last printed as uncaught: at exit, the one that ended the script."""
    error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return error if isinstance(error, BaseException) else None

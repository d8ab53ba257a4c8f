"""The public functions, and the one place where everything is composed."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from autotrack import config, context, guard, plugins
from autotrack.backends.file import FileBackend
from autotrack.backends.housekeeping import housekeeper
from autotrack.backends.null import NullBackend
from autotrack.config import Settings
from autotrack.errors import ConfigError, NoActiveRun, StoreError
from autotrack.run import Run
from autotrack.session import Session

__all__ = [
    "Training",
    "active_run",
    "begin_training",
    "current_settings",
    "disable",
    "enable",
    "ending",
    "exits_with",
    "ignored_training",
    "in_background",
    "init_store",
    "join_run",
    "last_run",
    "log_artifact",
    "log_figure",
    "log_metrics",
    "log_model",
    "log_params",
    "run_here",
    "serve",
    "session_in_use",
    "set_tags",
    "start_run",
    "training",
]

_lock = threading.RLock()
_session: Session | None = None


def _current() -> Session:
    """This process's session; made with the settings found where nobody enabled anything."""
    global _session
    with _lock:
        if _session is None:
            _session = Session(config.resolve())
            atexit.register(_at_exit)
        return _session


def session_in_use() -> Session | None:
    """This process's session, if one has been made."""
    return _session


def _at_exit() -> None:
    if _session is not None:
        with guard.protect("the exit"):
            _session.close()


def exits_with(code: Any) -> None:
    """For what runs a program: it was left by ``sys.exit(code)``, which nobody can ask Python for at the exit."""
    if _session is not None:
        _session.exits_with(code)


def enable(
    store: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    experiment: str | None = None,
    integrations: list[str] | None = None,
    mode: Literal["on", "offline", "off"] | None = None,
    models: Literal["auto", "always", "never"] | None = None,
    training_metrics: bool | None = None,
) -> None:
    """Record every training of this process from now on. Frameworks imported later are met when they are.

    Arguments that are not given come from the environment (``AUTOTRACK_STORE``, …), from ``[tool.autotrack]``
    of pyproject.toml, or are the defaults. A second call changes the settings and nothing else.

    Args:
        store: Folder of the store. Default: the nearest ``.autotrack`` upward, else a new one at the git root, else
            in the working folder. URI of a server: the runs are copied there from that folder. Or a list of both.
        experiment: Name of the experiment. Default: the entry script's name.
        integrations: Names of the integrations to use. Default: all that are installed.
        mode: ``offline`` copies nothing to a server, ``off`` makes every call of autotrack do nothing.
        models: ``auto`` (default) saves models within max(25 ms, 10 % of the fit), ``always``, or ``never``.
        training_metrics: Whether metrics on the training data are computed after a fit, by predicting at most
            1,000 of its rows. Only for models whose ``predict`` is known to change nothing. Default: False.

    Raises:
        ConfigError: A setting has a value that cannot be used.
    """
    _use(
        config.resolve(
            store=store, experiment=experiment, integrations=integrations, mode=mode, models=models,
            training_metrics=training_metrics,
        )
    )  # fmt: skip


def _use(settings: Settings) -> None:
    global _session
    with _lock:
        if _session is None:
            _session = Session(settings)
            atexit.register(_at_exit)
        else:
            _session.use(settings)
        if settings.mode == "off":
            _session.close_integrations()
            return
        if not _session.integrations:
            _session.integrations = plugins.integrations()
        known = {integration.name for integration in _session.integrations}
        unknown = set(settings.integrations or ()) - known
        if unknown:
            raise ConfigError(f"no integration {', '.join(sorted(unknown))}; there are: {', '.join(sorted(known))}")
        for integration in _session.integrations:
            integration.switch(settings.integrations is None or integration.name in settings.integrations)


_serving = False


def serve(settings: Settings, session_id: str) -> bool:
    """Record in this worker process as the process does whose session that is.

    False in a worker that has a session of its own, or was forked from a process that has: that one stays.
    """
    global _serving
    with _lock:
        if _session is not None and not _serving:
            return False
        if _session is None or (_session.settings, _session.id) != (settings, session_id):
            _use(settings)
            assert _session is not None
            _session.id = session_id
        _serving = True
        return True


def disable() -> None:
    """Stop recording trainings, and put every patched attribute back. Runs opened by hand go on."""
    with _lock:
        if _session is not None:
            _session.close_integrations()


# ---- runs by hand ---------------------------------------------------------------------------------------------------


def start_run(
    name: str | None = None,
    experiment: str | None = None,
    tags: Mapping[str, str] | None = None,
    parent: Run | str | None = None,
) -> Run:
    """Open a run by hand: ``with start_run(): …``, or until ``run.end()``.

    The first training inside is recorded in it, each further one as its child. Inside another run it is a
    child of that one.

    Args:
        name: Its name. Default: ``run-`` and a short id.
        experiment: Its experiment. Default: as for ``enable``.
        tags: Tags to set at once.
        parent: The run that it is a child of: one of this process, or the id of any other.
    """
    session = _current()
    # 3 is a name as well; in a record only text is.
    name, experiment = (None if text is None else str(text) for text in (name, experiment))
    outer = parent if parent is not None else context.explicit_run()
    if isinstance(outer, Run) and experiment is None:
        run = outer.child(name or "run")
    else:
        # In another experiment a child has files of its own.
        above = outer.id if isinstance(outer, Run) else outer if isinstance(outer, str) else ""
        run = session.new_run(name or "", experiment=experiment or "", parent=above)
    context.open_run(run)
    if tags:
        run.set_tags(tags)
    return run


def active_run() -> Run | None:
    """The run that takes what is logged here, or None."""
    run = context.current_run()
    return run if isinstance(run, Run) else None


def last_run() -> Run | None:
    """The run that ended last here, or None. It can still be logged to."""
    run = context.last_run()
    return run if isinstance(run, Run) else None


def _target() -> Run:
    run = active_run() or last_run()
    if run is None:
        session = _current()
        if isinstance(session.backend, NullBackend):
            return session.new_run("off")
        raise NoActiveRun("no run is open; train something first, or open one: `with autotrack.start_run(): …`")
    return run


def log_params(params: Mapping[str, Any]) -> None:
    """``Run.log_params`` of the active run, else of the one that ended last here."""
    _target().log_params(params)


def log_metrics(metrics: Mapping[str, Any], step: int | None = None, *, epoch: int | None = None) -> None:
    """``Run.log_metrics`` of the active run, else of the one that ended last here."""
    _target().log_metrics(metrics, step, epoch=epoch)


def set_tags(tags: Mapping[str, str | None]) -> None:
    """``Run.set_tags`` of the active run, else of the one that ended last here."""
    _target().set_tags(tags)


def log_artifact(path: str | os.PathLike[str], name: str | None = None) -> None:
    """``Run.log_artifact`` of the active run, else of the one that ended last here."""
    _target().log_artifact(path, name)


def log_figure(figure: Any, name: str) -> None:
    """``Run.log_figure`` of the active run, else of the one that ended last here."""
    _target().log_figure(figure, name)


def log_model(model: Any, name: str = "model", *, example: Any = None) -> None:
    """``Run.log_model`` of the active run, else of the one that ended last here."""
    _target().log_model(model, name, example=example)


# ---- what integrations use ------------------------------------------------------------------------------------------


def current_settings() -> Settings:
    """The settings in use, resolved; read-only."""
    return _current().settings


def run_here() -> Run | None:
    """The run that a value computed here may be guessed to belong to, or None.

    The open one of this thread (of this context), else the one that ended last in it; unlike ``active_run`` and
    ``last_run`` never one of another thread's.
    """
    run = context.run_here()
    return run if isinstance(run, Run) else None


def join_run(run_id: str) -> Run | None:
    """A handle of a run that another process began: this one adds to it and does not end it.

    None where the store in use has no folders, so that nobody else can add to its runs.
    """
    return _current().join(run_id, "")


class Training:
    """One training that an integration records.

    Attributes:
        run: The run that takes it.
        own: Whether that run was begun for it, and ends with it.
        metrics_wanted: Whether metrics on the training data are asked for (``training_metrics``).
    """

    def __init__(self, run: Run, own: bool, metrics_wanted: bool) -> None:
        self.run = run
        self.own = own
        self.metrics_wanted = metrics_wanted
        self._done = False

    def end(self, error: BaseException | None = None) -> None:
        """It returned, or raised ``error``. A run that a person opened stays open, with a note of the error."""
        self._done = True
        if self.own:
            self.run.end(error=error)
        elif error is not None:
            text, _ = guard.foreign(str, error)
            self.run.note(f"a training raised {type(error).__name__}: {text or ''}", "warning")

    def _close(self) -> None:
        """Whatever happened to the integration, a run does not stay open."""
        if not self._done:
            self.run.incomplete = True
            if self.own:
                self.run.end("finished")


def begin_training(integration: str, name: str, *, run_name: str = "", experiment: str = "") -> Training:
    """A training of a model called ``name`` that lasts until ``end()``, for frameworks that train call by call.

    By the run rules: outside any explicit run it is a new run, after a hundred from one line a child of that
    line's series; the first training inside an explicit run is that run's; further ones are its children. A
    training that a library in site-packages started has the tag ``via``. Where a person gave ``run_name`` or
    ``experiment``, a run that is begun for it has them.
    """
    result = _begin(integration, name, run_name, experiment)
    context.ongoing(result.run)
    return result


def _begin(integration: str, name: str, run_name: str = "", experiment: str = "") -> Training:
    session = _current()
    site = session.call_site(integration)
    explicit = context.explicit_run()
    if not isinstance(explicit, Run):
        given = run_name or experiment
        by_hand = session.new_run(run_name, prefix=name, experiment=experiment, by=integration) if given else None
        run, own = by_hand or session.training_run(name, integration, site), True
    elif explicit.adopt():
        run, own = explicit, False
    else:
        run, own = explicit.child(run_name or name), True
    if site.library:
        run.capture(tags={"via": site.library})
    return Training(run, own, session.settings.training_metrics)


@contextmanager
def training(integration: str, name: str) -> Iterator[Training]:
    """As ``begin_training``; the lines inside are the training, and trainings in them are inner ones."""
    result = _begin(integration, name)
    try:
        with context.training(result.run, integration):
            yield result
    finally:
        result._close()


@contextmanager
def ignored_training(integration: str) -> Iterator[None]:
    """The lines inside are a training that makes no run; neither do trainings in them."""
    with context.training(None, integration):
        yield


def in_background(job: Callable[[], None]) -> None:
    """Call ``job`` once, soon, on the housekeeping thread, which has run since the first run began.

    The exit waits for it, but not long. Its errors are guarded.
    """
    housekeeper.submit(guard.guarded("work in the background")(job))


def ending() -> tuple[bool, BaseException | None]:
    """Whether this process is ending, and the uncaught exception that ends it. For ``Integration.close``."""
    return (False, None) if _session is None else (_session.closing, _session.error)


def init_store(folder: str | os.PathLike[str], *, shared: bool = False) -> bool:
    """Make a store; False where there is one already.

    Args:
        folder: Where.
        shared: For a group: folders 2770, files 0660, whatever the umask of who writes.

    Raises:
        StoreError: It cannot be made there.
    """
    try:
        return FileBackend(config.find_store(os.fspath(folder))).create(shared)
    except OSError as error:
        raise StoreError(f"no store can be made in {os.fspath(folder)}: {error.strerror}") from None

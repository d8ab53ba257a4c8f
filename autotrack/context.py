"""Which run takes what is logged here and now, and whether a training is going on around us.

The state is a chain of scopes in a context variable, so threads and asyncio tasks do not see each
other's. Where the context has none (a thread started by the user or by a library), the explicit run of
the main thread is the fallback. A run opened in another thread, or in another asyncio task that still goes on,
is that one's alone: threads and tasks that each open their own must not become children of whichever was first.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

__all__ = [
    "RunLike",
    "Scope",
    "close_run",
    "current_run",
    "current_scope",
    "explicit_run",
    "explicit_runs",
    "finished_run",
    "in_scope",
    "in_training",
    "innermost",
    "last_run",
    "ongoing",
    "open_run",
    "put_back",
    "run_here",
    "training",
    "training_scope",
]


class RunLike(Protocol):
    """What this module needs of a run."""

    incomplete: bool

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        ...


class Scope:
    """One link of the chain: an explicit run, or a training (``integration`` is its owner's name)."""

    __slots__ = ("integration", "parent", "run")

    def __init__(self, run: RunLike | None, integration: str, parent: Scope | None) -> None:
        self.run = run
        self.integration = integration
        self.parent = parent


_scope: ContextVar[Scope | None] = ContextVar("autotrack_scope", default=None)
_ongoing: ContextVar[RunLike | None] = ContextVar("autotrack_ongoing_run", default=None)
_last: ContextVar[RunLike | None] = ContextVar("autotrack_last_run", default=None)
_lock = threading.RLock()
_explicit: list[RunLike] = []
_of_main_thread: list[RunLike] = []
_tasks: weakref.WeakKeyDictionary[RunLike, weakref.ref[Any]] = weakref.WeakKeyDictionary()  # that opened them
_last_of_process: list[RunLike] = []


def current_scope() -> Scope | None:
    """The innermost scope that is still open: runs that were ended elsewhere are passed over."""
    scope = _scope.get()
    while scope is not None and not scope.integration and scope.run is not None and scope.run.ended:
        scope = scope.parent
    return scope


def training_scope() -> Scope | None:
    """The scope of the training that is going on around the caller, or None outside any training."""
    scope = _scope.get()
    while scope is not None and not scope.integration:
        scope = scope.parent
    return scope


def in_training() -> bool:
    """Whether the caller runs inside a training that an integration records (or ignores on purpose)."""
    scope = _scope.get()
    while scope is not None and not scope.integration:
        scope = scope.parent
    return scope is not None


def explicit_run() -> RunLike | None:
    """The run opened by hand that a training starting here belongs to."""
    scope = current_scope()
    if scope is not None and not scope.integration:
        return scope.run
    # The context has none: the main thread's, the innermost one.
    return next((run for run in reversed(_of_main_thread) if not run.ended and not _of_another_task(run)), None)


def _task() -> Any:
    """The asyncio task that runs here, if any."""
    asyncio = sys.modules.get("asyncio")
    try:
        return None if asyncio is None else asyncio.current_task()
    except RuntimeError:  # no loop runs in this thread
        return None


def _of_another_task(run: RunLike) -> bool:
    opener = _tasks[run]() if run in _tasks else None
    if opener is None or opener.done():
        return False
    return _task() not in (None, opener)


def explicit_runs() -> list[RunLike]:
    """All runs of this process that were opened by hand and are still open, the innermost first."""
    return [run for run in reversed(_explicit) if not run.ended]


def current_run() -> RunLike | None:
    """The run that takes what is logged here: the enclosing training's, else the explicit one, else the loop's."""
    scope = current_scope()
    while scope is not None:
        if scope.run is not None and not scope.run.ended:
            return scope.run
        scope = scope.parent
    run = explicit_run()
    if run is not None:
        return run
    run = _ongoing.get()
    return run if run is not None and not run.ended else None


def ongoing(run: RunLike) -> None:
    """A training has begun that is no block of lines, but a loop somewhere here: what is logged is for its run."""
    _ongoing.set(run)


def last_run() -> RunLike | None:
    """The run that ended last in this context, else in this process."""
    return _last.get() or (_last_of_process[-1] if _last_of_process else None)


def run_here() -> RunLike | None:
    """The open run of this very context, else the one that ended last in it: never one of another thread's."""
    scope = current_scope()
    while scope is not None:
        if scope.run is not None and not scope.run.ended:
            return scope.run
        scope = scope.parent
    run = _ongoing.get()
    return run if run is not None and not run.ended else _last.get()


def finished_run(run: RunLike) -> None:
    """Remember the run that ended last."""
    _last.set(run)
    _last_of_process[:] = [run]


@contextmanager
def training(run: RunLike | None, integration: str) -> Iterator[None]:
    """The lines inside are one training, owned by ``integration``; without a run, one that makes none."""
    scope = Scope(run, integration, _scope.get())
    _scope.set(scope)
    try:
        yield
    finally:
        # Where Ctrl-C left this suspended it may end late, in another thread: by then it is nobody's scope.
        if _around(scope):
            _scope.set(scope.parent)


def _around(scope: Scope | None) -> bool:
    now = _scope.get()
    while now is not None and now is not scope:
        now = now.parent
    return now is scope


def innermost() -> Scope | None:
    """The innermost scope, ended or not; for ``put_back``."""
    return _scope.get()


def put_back(scope: Scope | None) -> None:
    """Return to a scope after lines of ours that failed half way."""
    _scope.set(scope)


class in_scope:  # noqa: N801  used as a function
    """The lines inside belong to a scope of another thread, or to one further out (None: to no scope).

    A class, since it stands round every task of a search: half of what a generator takes.
    """

    __slots__ = ("_before", "_scope")

    def __init__(self, scope: Scope | None) -> None:
        self._scope = scope

    def __enter__(self) -> None:
        self._before = _scope.get()
        _scope.set(self._scope)

    def __exit__(self, *error: object) -> None:
        if _around(self._scope):
            _scope.set(self._before)


def open_run(run: RunLike) -> None:
    """Make an explicit run the one that takes what follows, here and, when alone, in the whole process."""
    _scope.set(Scope(run, "", _scope.get()))
    with _lock:
        _explicit[:] = [other for other in _explicit if not other.ended] + [run]
        if threading.current_thread() is threading.main_thread():
            _of_main_thread[:] = [other for other in _of_main_thread if not other.ended] + [run]
            task = _task()
            if task is not None:
                _tasks[run] = weakref.ref(task)


def close_run(run: RunLike) -> None:
    """Forget an explicit run that has ended."""
    with _lock:
        for runs in (_explicit, _of_main_thread):
            runs[:] = [other for other in runs if other is not run]
    scope = _scope.get()
    if scope is not None and scope.run is run:
        _scope.set(scope.parent)

"""What a worker process needs to add to the runs of the process that gave it work.

The parent makes a small description, which travels with each task; the worker enables itself by it when the first
one comes, and takes its scope while the task runs. Nothing has to be installed or enabled there by hand. Records go
to a file of the worker's own in the folder of the run.
"""

from __future__ import annotations

import functools
import os
from contextvars import ContextVar
from types import TracebackType
from typing import Any

import msgspec

from autotrack import api, context, guard
from autotrack.backends.file import FileBackend
from autotrack.config import Settings
from autotrack.context import Scope
from autotrack.run import Run

__all__ = ["WorkerContext", "send_along", "sent_along", "worker_context"]

_MAX_RECEIVED = 1000  # results whose messages nobody has asked for


def worker_context() -> dict[str, Any] | None:
    """What tasks that are started here and now take along, in types that any pickle knows.

    None where a worker can record nothing: nothing is enabled here, or the store is no folder.
    """
    session = api.session_in_use()
    if session is None or not isinstance(session.backend, FileBackend):
        return None
    names = tuple(known.name for known in session.integrations if known.enabled)
    run = api.active_run()
    scope = context.training_scope()
    settings = msgspec.structs.replace(
        session.settings, store=str(session.backend.root), integrations=names, announce=False
    )
    return {
        "pid": os.getpid(),
        "session": session.id,
        "settings": {**msgspec.structs.asdict(settings), "experiment": session.experiment},
        "run": "" if run is None else run.id,
        "experiment": "" if run is None else run.experiment,
        "training": "" if scope is None else scope.integration,
    }


class WorkerContext:
    """``with WorkerContext(given):`` round a task in a worker process; ``given`` is what ``worker_context`` made.

    Whatever fails in here, the task runs. In the process that made it, nothing happens.
    """

    __slots__ = ("_after", "_before", "_entered", "_given", "_messages")

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given
        self._entered = False
        self._after: Scope | None = None
        self._messages: list[Any] = []

    def __enter__(self) -> None:
        with guard.protect("a worker process"):
            if self._given["pid"] != os.getpid():
                self._after = context.innermost()
                if api.serve(Settings(**self._given["settings"]), self._given["session"]):
                    # A task that brings nothing along comes from a process that has been disabled since.
                    self._after = _IDLE
                self._entered = True
                self._before = _outgoing.set(self._messages)
                context.put_back(_scope(self._given))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._entered:
            context.put_back(self._after)
            _outgoing.reset(self._before)

    def with_messages(self, result: Any) -> Any:
        """The task's result, as it is to be sent back: pickled and opened again, it is the result itself."""
        return _Envelope(result, self._messages) if self._messages else result


# ---- what a worker has to say beside the result -------------------------------------------------------------------

_outgoing: ContextVar[list[Any] | None] = ContextVar("autotrack_outgoing", default=None)
_received: dict[int, tuple[Any, list[Any]]] = {}


def send_along(message: Any) -> None:
    """In a task in a worker process: send ``message``, of plain types, along with the task's result.

    Elsewhere nothing happens.
    """
    outgoing = _outgoing.get()
    if outgoing is not None:
        outgoing.append(message)


def sent_along(result: Any) -> list[Any]:
    """The messages that came along with this very result of a task; asked a second time, none."""
    found = _received.get(id(result))
    if found is None or found[0] is not result:
        return []
    del _received[id(result)]
    return found[1]


class _Envelope:
    """A result with messages, on its way from a worker."""

    __slots__ = ("messages", "result")

    def __init__(self, result: Any, messages: list[Any]) -> None:
        self.result = result
        self.messages = messages

    def __reduce__(self) -> tuple[Any, ...]:
        return _receive, (self.result, self.messages)


def _receive(result: Any, messages: list[Any]) -> Any:
    while len(_received) >= _MAX_RECEIVED:
        _received.pop(next(iter(_received)), None)
    _received[id(result)] = result, messages
    return result


_IDLE = Scope(None, "a worker without a task", None)


def _scope(given: dict[str, Any]) -> Scope | None:
    """The scope of the task, of this process's own making."""
    if not given["run"]:
        return Scope(None, given["training"], None) if given["training"] else None
    return Scope(_run(given["run"], given["experiment"], os.getpid()), given["training"], None)


@functools.lru_cache(maxsize=64)
def _run(run_id: str, experiment: str, pid: int) -> Run | None:
    """A handle of a run of another process; one for each run, so that the process has one file in it."""
    session = api.session_in_use()
    return None if session is None else session.join(run_id, experiment)

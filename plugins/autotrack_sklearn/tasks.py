"""What scikit-learn's parallel tasks return, seen in this process as they return.

Searches and cross-validation all go through ``sklearn.utils.parallel.Parallel``, whose list of results comes
when the last task is done. Before that, results are seen one by one: where tasks run one after the other, by the
small object that calls each of them (``_FuncWrapper``); where joblib runs them, by its callback, which gets whole
batches. Neither is joblib's or scikit-learn's public face: where they are missing, results come at the end.

Functions that are shipped to workers are left alone. A task is marked by a scope of its own, so that a search
within it is known as an inner one.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any, Protocol

import autotrack

Steps = Generator[None, autotrack.Outcome, None]


Failure = tuple[str, str, str]
"""Type, message and traceback of an exception."""


class Receiver(Protocol):
    """Who wants to know what tasks return."""

    def starts(self, frame: FrameType) -> bool:
        """Tasks are about to run, and ``frame`` is the code that waits for them. Whether they are the ones meant."""
        ...

    def result(self, index: int, value: Any, failure: Failure | None) -> None:
        """What the task of this place returned. Once for each task, in any order, from any thread.

        ``failure`` is what was raised in it and caught by scikit-learn, without a trace in ``value``.
        """
        ...

    def raised(self, index: int, error: BaseException) -> None:
        """The task of this place raised. Told only where tasks run one after the other."""
        ...


class _Tasks:
    """The tasks of one call of ``Parallel``."""

    def __init__(self, receiver: Receiver, inside: autotrack.Scope) -> None:
        self.dispatched = 0  # by joblib in batches; 0 where they run one after the other
        self.inside = inside  # the scope of the tasks
        self._receiver = receiver
        self._begun = 0
        self._seen: set[int] = set()
        self._failures: dict[int, Failure] = {}
        self._lock = threading.RLock()  # a signal handler may train in the thread that holds it

    def next(self) -> int:
        """Place of the task that begins now, where they run one after the other."""
        self._begun += 1
        return self._begun - 1

    def result(self, index: int, value: Any) -> None:
        with self._lock:
            if index in self._seen:
                return
            self._seen.add(index)
            failure = self._failures.pop(index, None) or next(iter(autotrack.sent_along(value)), None)
            self._receiver.result(index, value, failure)

    def failed(self, index: int, failure: Failure) -> None:
        self._failures.setdefault(index, failure)

    def raised(self, index: int, error: BaseException) -> None:
        self._receiver.raised(index, error)


class Tasks:
    """Watches the tasks of the trainings that ask for it."""

    def __init__(self, integration: str) -> None:
        self.open: dict[autotrack.Scope, autotrack.Run] = {}
        """Scopes in which a search is the outermost one, with the run that takes its candidates."""
        self._integration = integration
        self._receivers: dict[autotrack.Scope, Receiver] = {}
        self._running: dict[autotrack.Scope, _Tasks] = {}
        self._inside_of: dict[autotrack.Scope, _Tasks] = {}  # by the scope of the tasks
        self._of_parallel: dict[int, _Tasks] = {}
        self._batches: weakref.WeakKeyDictionary[Any, tuple[_Tasks, int]] = weakref.WeakKeyDictionary()

    def install(self, module: ModuleType, patches: autotrack.PatchSet) -> None:
        """Patch ``sklearn.utils.parallel``."""
        patches.around(module.Parallel, "__call__", self._on_call)
        patches.around(module._FuncWrapper, "__call__", self._on_task)
        batch = getattr(sys.modules.get("joblib.parallel"), "BatchCompletionCallBack", None)
        if hasattr(batch, "_register_outcome"):  # joblib 1.3
            patches.watch(batch, "__init__", after=self._dispatched)
            patches.watch(batch, "_register_outcome", after=self._returned)

    @contextmanager
    def watched(self, receiver: Receiver) -> Iterator[None]:
        """Tasks that the training around starts are this receiver's, those within them not."""
        scope = autotrack.current_scope()
        assert scope is not None  # a training's
        self._receivers[scope] = receiver
        try:
            yield
        finally:
            self._receivers.pop(scope, None)

    def _on_call(self, call: autotrack.Call) -> Steps | None:
        scope = autotrack.current_scope()
        receiver = None if scope is None else self._receivers.get(scope)
        if scope is None or receiver is None or not receiver.starts(_waiting()):
            return None
        return self._call(call, scope, receiver)

    def _call(self, call: autotrack.Call, scope: autotrack.Scope, receiver: Receiver) -> Steps:
        tasks = _Tasks(receiver, autotrack.Scope(None, self._integration, scope))
        self._running[scope] = self._of_parallel[id(call.instance)] = self._inside_of[tasks.inside] = tasks
        try:
            outcome = yield
        finally:
            self._running.pop(scope, None)
            self._of_parallel.pop(id(call.instance), None)
            self._inside_of.pop(tasks.inside, None)
        if isinstance(outcome.value, list):
            for index, value in enumerate(outcome.value):
                tasks.result(index, value)

    def _on_task(self, call: autotrack.Call) -> Steps | None:
        scope = autotrack.current_scope()
        if scope is None:
            return None
        tasks = self._running.get(scope)
        if tasks is not None:
            return self._task(tasks) if tasks.dispatched == 0 else self._inside(tasks.inside)
        return self._inside(autotrack.Scope(None, self._integration, scope)) if scope in self.open else None

    @staticmethod
    def _inside(scope: autotrack.Scope) -> Steps:
        with autotrack.in_scope(scope):
            yield

    @staticmethod
    def _task(tasks: _Tasks) -> Steps:
        index = tasks.next()
        with autotrack.in_scope(tasks.inside):
            outcome = yield
        if outcome.exception is None:
            tasks.result(index, outcome.value)
        else:
            tasks.raised(index, outcome.exception)

    def failed(self, index: int, failure: Failure) -> None:
        """The task of this place, in which we are, raised something that scikit-learn catches."""
        scope = autotrack.current_scope()
        tasks = None if scope is None else self._inside_of.get(scope)
        if tasks is not None:
            tasks.failed(index, failure)
        elif scope is not None and scope.parent is None:  # of a worker process; else in a search within the task
            autotrack.send_along(failure)

    # Batches are dispatched in the order of their tasks, from whichever thread, under joblib's lock.

    def _dispatched(self, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = dict(zip(("self", "dispatch_timestamp", "batch_size", "parallel"), args, strict=False)) | kwargs
        tasks = self._of_parallel.get(id(given["parallel"]))
        if tasks is not None:
            self._batches[given["self"]] = tasks, tasks.dispatched
            tasks.dispatched += given["batch_size"]

    def _returned(self, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tasks, first = self._batches.pop(args[0], (None, 0))
        outcome = args[1] if len(args) > 1 else kwargs.get("outcome", {})
        values = outcome.get("result")
        if tasks is not None and isinstance(values, Sequence):  # else the batch raised, or came too late
            for index, value in enumerate(values):
                tasks.result(first + index, value)


def _waiting() -> FrameType:
    """The innermost frame that is not ours: the one that called what we wrap."""
    frame = sys._getframe(1)
    while str(frame.f_globals.get("__name__", "")).partition(".")[0] in ("autotrack", "autotrack_sklearn"):
        assert frame.f_back is not None
        frame = frame.f_back
    return frame

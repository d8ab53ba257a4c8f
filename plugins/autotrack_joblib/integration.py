"""What is patched in joblib, and why.

Worker threads inherit no context variables, and later batches are dispatched from callback threads that
have none either. So the scope is remembered on the way: ``Parallel.__call__`` notes it for the Parallel
object, ``dispatch_one_batch`` gives it back while a batch is made, ``BatchedCalls.__init__`` notes it for
the batch, and ``BatchedCalls.__call__`` gives it back where the batch runs.

Worker processes get it with each task, in a small object that is pickled in the task's place: so it reaches
pools that run already, and nested ones. Only with joblib's own backends, whose processes run on this machine
from this very installation; other workers may know nothing of autotrack. Those of dask are told where they are threads
of this process, and that they are within a training; more only when asked.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Generator
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import autotrack
from autotrack_joblib.worker import SCOPES, Task

Steps = Generator[None, autotrack.Outcome, None]

_sent: ContextVar[dict[str, Any] | None] = ContextVar("autotrack_joblib_sent", default=None)


class JoblibIntegration(autotrack.Integration):
    """Makes what runs in joblib's workers part of the run that it was started from."""

    name = "joblib"
    modules = ("joblib.parallel",)
    minimum = ("joblib", "1.2")

    def __init__(self) -> None:
        super().__init__()
        self._scopes: weakref.WeakKeyDictionary[Any, autotrack.Scope] = weakref.WeakKeyDictionary()
        self._contexts: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()

    def install(self, module: ModuleType, patches: autotrack.PatchSet) -> None:
        """Patch the two classes that every backend of joblib goes through."""
        patches.watch(module.Parallel, "__call__", before=self._starts)
        patches.around(module.Parallel, "dispatch_one_batch", self._dispatch)
        patches.watch(module.BatchedCalls, "__init__", after=self._made)
        patches.around(module.BatchedCalls, "__call__", self._in_scope)

    def _starts(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        parallel = args[0]
        self._note(parallel)
        context = autotrack.worker_context()
        if _backend_module(parallel) == "joblib._dask":
            context = _for_dask(parallel, context)
        if context is None:
            self._contexts.pop(parallel, None)
        else:
            self._contexts[parallel] = context

    def _note(self, owner: Any) -> None:
        scope = autotrack.current_scope()
        if scope is not None:
            self._scopes[owner] = scope
        else:
            self._scopes.pop(owner, None)  # a Parallel object that is called again, elsewhere

    def _dispatch(self, call: autotrack.Call) -> Steps | None:
        if _is_pickled(call.instance):
            context = self._contexts.get(call.instance)
            return None if context is None else self._sending(context)
        return self._in_scope(call)

    @staticmethod
    def _sending(context: dict[str, Any]) -> Steps:
        before = _sent.set(context)
        try:
            yield
        finally:
            _sent.reset(before)

    def _made(self, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        batch, context = args[0], _sent.get()
        if context is None:
            self._note(batch)
        else:
            batch.items = [(Task(function, context), *rest) for function, *rest in batch.items]

    def _in_scope(self, call: autotrack.Call) -> Steps | None:
        scope = self._scopes.get(call.instance)
        return None if scope is None or scope is autotrack.current_scope() else self._carried(scope)

    @staticmethod
    def _carried(scope: autotrack.Scope) -> Steps:
        with autotrack.in_scope(scope):
            yield


def _for_dask(parallel: Any, context: dict[str, Any] | None) -> dict[str, Any]:
    """What tasks take along to dask's workers, which may be threads of this process."""
    asked = context is not None and context["settings"]["dask"]
    token, scope = os.urandom(6).hex(), autotrack.current_scope()
    if scope is not None:
        SCOPES[token] = scope
        weakref.finalize(parallel, SCOPES.pop, token, None).atexit = False
    training = "joblib" if autotrack.in_training() else ""
    known = context if asked and context is not None else {"training": training}
    return {**known, "pid": os.getpid(), "token": token}


def _backend_module(parallel: Any) -> str:
    return type(getattr(parallel, "_backend", None)).__module__


def _is_pickled(parallel: Any) -> bool:
    """Whether its tasks are pickled: for processes of joblib's own, or for dask."""
    module = _backend_module(parallel)
    own = module == "joblib._parallel_backends" and not getattr(parallel._backend, "uses_threads", False)
    return own or module == "joblib._dask"

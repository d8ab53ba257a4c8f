"""What is patched in joblib, and why.

Worker threads inherit no context variables, and later batches are dispatched from callback threads that
have none either. So the scope is remembered on the way: ``Parallel.__call__`` notes it for the Parallel
object, ``dispatch_one_batch`` gives it back while a batch is made, ``BatchedCalls.__init__`` notes it for
the batch, and ``BatchedCalls.__call__`` gives it back where the batch runs. Nothing of ours is pickled:
in a worker process the batch is unknown, and runs as it would without us.
"""

from __future__ import annotations

import weakref
from collections.abc import Generator
from types import ModuleType
from typing import Any

import autotrack

Steps = Generator[None, autotrack.Outcome, None]


class JoblibIntegration(autotrack.Integration):
    """Makes inner fits in joblib's threads known as inner ones."""

    name = "joblib"
    modules = ("joblib.parallel",)
    minimum = ("joblib", "1.2")

    def __init__(self) -> None:
        super().__init__()
        self._scopes: weakref.WeakKeyDictionary[Any, autotrack.Scope] = weakref.WeakKeyDictionary()

    def install(self, module: ModuleType, patches: autotrack.PatchSet) -> None:
        """Patch the two classes that every backend of joblib goes through."""
        patches.watch(module.Parallel, "__call__", before=self._starts)
        patches.around(module.Parallel, "dispatch_one_batch", self._in_scope)
        patches.watch(module.BatchedCalls, "__init__", after=self._made)
        patches.around(module.BatchedCalls, "__call__", self._in_scope)

    def _starts(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._note(args[0])

    def _made(self, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._note(args[0])

    def _note(self, owner: Any) -> None:
        scope = autotrack.current_scope()
        if scope is not None:
            self._scopes[owner] = scope

    def _in_scope(self, call: autotrack.Call) -> Steps | None:
        scope = self._scopes.get(call.instance)
        return None if scope is None or scope is autotrack.current_scope() else self._carried(scope)

    @staticmethod
    def _carried(scope: autotrack.Scope) -> Steps:
        with autotrack.in_scope(scope):
            yield

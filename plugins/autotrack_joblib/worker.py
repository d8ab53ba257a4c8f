"""What travels with a task into a worker."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import autotrack

# An expression, so that a worker which cannot import autotrack (its path was set before ours was) runs the task as it
# would without us, and does not die when it unpickles it.
_SOURCE = (
    "__import__('autotrack_joblib.worker').worker.Task(function, context)"
    " if __import__('importlib.util').util.find_spec('autotrack_joblib') else function"
)

SCOPES: dict[str, autotrack.Scope] = {}
"""Scopes of this process that tasks were sent from, by the token that went with them."""


class Task:
    """Calls a function, in a worker within the scope that it was sent from."""

    __slots__ = ("context", "function")

    def __init__(self, function: Callable[..., Any], context: dict[str, Any]) -> None:
        self.function = function
        self.context = context

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (_SOURCE, {"function": self.function, "context": self.context})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        scope, _ = autotrack.foreign(self._scope)
        if scope is None:  # something that autotrack needs is not installed in the worker
            return self.function(*args, **kwargs)
        with scope:
            result = self.function(*args, **kwargs)
        return scope.with_messages(result) if isinstance(scope, autotrack.WorkerContext) else result

    def _scope(self) -> autotrack.WorkerContext | autotrack.in_scope:
        given = self.context
        if "token" in given and given["pid"] == os.getpid():  # a thread of dask's
            return autotrack.in_scope(SCOPES.get(given["token"], autotrack.current_scope()))
        if "settings" in given:
            return autotrack.WorkerContext(given)
        # A process that is to record nothing of this training, also if it is enabled for itself.
        return autotrack.in_scope(
            autotrack.Scope(None, given["training"], None) if given["training"] else autotrack.current_scope()
        )


# ``warnings`` does not count frames of files that are called so: stacklevel=2 means the same as without us.
_call = Task.__call__
_call.__code__ = _call.__code__.replace(co_filename="<autotrack importlib._bootstrap shim>")

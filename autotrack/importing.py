"""Call back when a module has been imported, without importing it.

A finder in front of ``sys.meta_path`` lets the other finders do their work and, for the names asked
for only, sets ``exec_module`` on the loader *instance*: types of loaders and specs stay as they were,
and the attribute is gone before the module's first line runs.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from autotrack import guard

__all__ = ["cancel", "when_imported"]

Callback = Callable[[ModuleType], None]

_lock = threading.RLock()
_callbacks: dict[str, list[Callback]] = {}


class _Finder:
    """Knows no module itself; it only listens."""

    def __init__(self) -> None:
        self._busy = threading.local()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _callbacks or getattr(self._busy, "name", None) == name:
            return None
        self._busy.name = name
        try:
            spec = self._ask_others(name, path, target)
        finally:
            self._busy.name = None
        if spec is not None:
            with guard.protect(f"the import of {name}"):
                _listen(spec, name)
        return spec

    def _ask_others(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = None if finder is self or find is None else find(name, path, target)
            if spec is not None:
                return spec  # type: ignore[no-any-return]
        return None


_finder = _Finder()


def _listen(spec: ModuleSpec, name: str) -> None:
    loader = spec.loader
    if loader is None or isinstance(loader, type) or not hasattr(loader, "exec_module"):
        return
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        vars(loader).pop("exec_module", None)
        execute(module)
        for callback in list(_callbacks.get(name, ())):
            with guard.protect(f"the import of {name}"):
                callback(module)

    loader.exec_module = exec_module  # type: ignore[method-assign]


def when_imported(name: str, callback: Callback) -> None:
    """Call ``callback(module)`` now if the module is imported already, and after each import of it."""
    with _lock:
        _callbacks.setdefault(name, []).append(callback)
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)
    module = sys.modules.get(name)
    # A module that is half imported calls back when it is whole, unless its import began before we listened.
    spec = getattr(module, "__spec__", None)
    if module is not None and not getattr(spec, "_initializing", False):
        callback(module)


def cancel(callback: Callback) -> None:
    """Forget a callback; without any left, ``sys.meta_path`` is as it was."""
    with _lock:
        for name in list(_callbacks):
            _callbacks[name] = [other for other in _callbacks[name] if other != callback]
            if not _callbacks[name]:
                del _callbacks[name]
        if not _callbacks and _finder in sys.meta_path:
            sys.meta_path.remove(_finder)

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
_running: set[str] = set()  # modules whose code runs now, and whose callbacks follow
_half_imported: list[tuple[ModuleType, Callback]] = []  # their import began before we listened


class _Finder:
    """Knows no module itself; it only listens."""

    def __init__(self) -> None:
        self._busy = threading.local()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if _half_imported:
            _tell_finished()
        if name not in _callbacks or getattr(self._busy, "name", None) == name:
            return None
        before = getattr(self._busy, "name", None)
        self._busy.name = name
        try:
            spec = self._ask_others(name, path, target)
        finally:
            self._busy.name = before
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
    if getattr(execute, "listens_for", None) == name:  # found before, and not loaded
        return

    def exec_module(module: ModuleType) -> None:
        if module.__name__ != name:  # a loader that serves several modules, as zipimport's does
            execute(module)
            return
        vars(loader).pop("exec_module", None)
        _running.add(name)
        try:
            execute(module)
        finally:
            _running.discard(name)
        for callback in list(_callbacks.get(name, ())):
            with guard.protect(f"the import of {name}"):
                callback(module)

    exec_module.listens_for = name  # type: ignore[attr-defined]
    loader.exec_module = exec_module  # type: ignore[method-assign]


def when_imported(name: str, callback: Callback) -> None:
    """Call ``callback(module)`` now if the module is imported already, and after each import of it."""
    with _lock:
        _callbacks.setdefault(name, []).append(callback)
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)
    module = sys.modules.get(name)
    if module is None or name in _running:
        return
    if _is_whole(module):
        callback(module)
    else:
        with _lock:
            _half_imported.append((module, callback))


def _is_whole(module: ModuleType) -> bool:
    return not getattr(getattr(module, "__spec__", None), "_initializing", False)


def _tell_finished() -> None:
    """Nobody tells us when an import ends that began before we listened: look whenever something is imported."""
    with _lock:
        finished = [(module, callback) for module, callback in _half_imported if _is_whole(module)]
        _half_imported[:] = [pair for pair in _half_imported if pair not in finished]
    for module, callback in finished:
        if sys.modules.get(module.__name__) is module:
            with guard.protect(f"the import of {module.__name__}"):
                callback(module)


def cancel(callback: Callback) -> None:
    """Forget a callback; without any left, ``sys.meta_path`` is as it was."""
    with _lock:
        _half_imported[:] = [pair for pair in _half_imported if pair[1] != callback]
        for name in list(_callbacks):
            _callbacks[name] = [other for other in _callbacks[name] if other != callback]
            if not _callbacks[name]:
                del _callbacks[name]
        if not _callbacks and _finder in sys.meta_path:
            sys.meta_path.remove(_finder)

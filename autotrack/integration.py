"""The base class of what records one framework."""

from __future__ import annotations

import importlib.util
import re
import sys
from types import ModuleType

from autotrack import guard, importing
from autotrack.patching import PatchSet

__all__ = ["Integration"]


class Integration:
    """Patches one framework while it is enabled. Subclasses set the three attributes and write ``install``.

    Attributes:
        name: What it is called in settings and messages; unique.
        modules: Modules of the framework; ``install`` is called after each import of one of them.
        minimum: The oldest version that is supported, as (top module, version).
        status: active, waiting for its framework, framework missing, wrong version, dropped after errors, or off.
        reason: The status in more words.
    """

    name: str
    modules: tuple[str, ...]
    minimum: tuple[str, str]

    def __init__(self) -> None:
        self.patches = PatchSet(self.name)
        self._state, self.reason = "off", "not enabled"
        self._enabled = False

    @property
    def enabled(self) -> bool:
        """Whether it is to record, once its framework is there."""
        return self._enabled

    @property
    def status(self) -> str:
        """Whether it records, and if not why."""
        if self.name in guard.quarantined:
            return "dropped after errors"
        package = self.minimum[0]
        if self._state != "waiting for its framework" or package in sys.modules:
            return self._state
        return "framework missing" if importlib.util.find_spec(package) is None else self._state

    @property
    def dropped(self) -> bool:
        """Whether it was switched off after errors. For callbacks that the framework calls past ``patches``."""
        return self.name in guard.quarantined

    def install(self, module: ModuleType, patches: PatchSet) -> None:
        """Put patches in. Called when ``module`` has been imported; must not import anything heavy."""
        raise NotImplementedError

    def close(self) -> None:
        """End what is still open. Called at ``disable()`` and at exit."""

    def enable(self) -> None:
        """Patch now what is imported, later what is not. A second time nothing happens."""
        if self._enabled:
            return
        self._enabled = True
        self._state, self.reason = "waiting for its framework", f"{self.modules[0]} is not imported yet"
        guard.reset(self.name)
        for module in self.modules:
            importing.when_imported(module, self._imported)

    def disable(self) -> None:
        """Put everything back. A second time nothing happens."""
        if not self._enabled:
            return
        self._enabled = False
        importing.cancel(self._imported)
        with guard.protect(f"closing {self.name}", self.name):
            self.close()
        self.patches.undo()
        self._state, self.reason = "off", "not enabled"

    def switch(self, on: bool) -> None:
        """``enable()`` or ``disable()``. A subclass may have its own: what that raises does not stop the user."""
        what = "enabling" if on else "disabling"
        with guard.protect(f"{what} the integration {self.name!r} of {type(self).__module__}", self.name):
            try:
                if on:
                    self.enable()
                else:
                    self.disable()
            except BaseException as error:
                self._dropped(error)
                raise

    def _dropped(self, error: BaseException) -> None:
        """Half a framework is not recorded."""
        self._state, self.reason = "dropped after errors", f"{type(error).__name__}: {error}"
        self.patches.undo()

    def _imported(self, module: ModuleType) -> None:
        if self._state == "dropped after errors":  # by another of its modules
            return
        package, wanted = self.minimum
        found = str(getattr(sys.modules.get(package), "__version__", ""))
        if found and _numbers(found) < _numbers(wanted):
            self._state, self.reason = "wrong version", f"{package} {found} is older than {wanted}"
            return
        with guard.protect(f"patching {module.__name__} for {self.name!r}", self.name):
            try:
                self.install(module, self.patches)
            except BaseException as error:
                self._dropped(error)
                raise
            self._state, self.reason = "active", f"{package} {found}, {len(self.patches)} patches"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])

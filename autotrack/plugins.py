"""Finding plugins, each behind a guard: a broken one is named and leaves all others alone."""

from __future__ import annotations

import functools
import importlib.metadata
from typing import Any

import pluggy

from autotrack import guard, hookspecs
from autotrack.integration import Integration
from autotrack.models import ModelFormat

__all__ = ["integrations", "manager", "model_formats"]

GROUP = "autotrack"


@functools.cache
def manager() -> pluggy.PluginManager:
    """All plugins that could be loaded, registered in the order of their names."""
    result = pluggy.PluginManager("autotrack")
    result.add_hookspecs(hookspecs)
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda entry: entry.name):
        if result.has_plugin(entry.name):  # the same distribution seen twice: a checkout that is also installed
            continue
        with guard.protect(f"loading plugin {entry.name!r} ({entry.value})"):
            plugin = entry.load()
            result.register(plugin, name=entry.name)
            _guard_hooks(result, plugin, entry.name)
    return result


def _guard_hooks(found: pluggy.PluginManager, plugin: Any, name: str) -> None:
    """pluggy stops a whole hook call at the first error; ours are each caught where they happen."""
    for caller in found.get_hookcallers(plugin) or ():
        for implementation in caller.get_hookimpls():
            if implementation.plugin is plugin:
                place = f"plugin {name!r}, {caller.name}"
                implementation.function = guard.guarded(place)(implementation.function)  # type: ignore[misc]


def integrations() -> list[Integration]:
    """What the plugins offer to record. Two of one name: the first stays, and the second is named."""
    found: dict[str, Integration] = {}
    for offered in manager().hook.autotrack_integrations():
        for integration in offered:
            with guard.protect(f"integration {getattr(integration, 'name', integration)!r}"):
                if integration.name in found:
                    raise ValueError(f"{type(integration)} and {type(found[integration.name])} have one name")
                found[integration.name] = integration
    return list(found.values())


def model_formats() -> list[ModelFormat]:
    """The model formats that the plugins offer."""
    return [form for offered in manager().hook.autotrack_model_formats() for form in offered]

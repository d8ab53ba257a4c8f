"""Finding plugins, each behind a guard: a broken one is named and leaves all others alone."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import pluggy

from autotrack import guard, hookspecs
from autotrack.errors import ConfigError
from autotrack.integration import Integration
from autotrack.models import ModelFormat

if TYPE_CHECKING:
    from autotrack.records import Model
    from autotrack.remote import ForeignRun, Offer, Remote

__all__ = [
    "Plugin",
    "check_remote",
    "describe_model",
    "foreign_runs",
    "found",
    "integrations",
    "model_formats",
    "offered",
    "remote",
]

GROUP = "autotrack"


@dataclass(slots=True)
class Plugin:
    """One entry point of the group ``autotrack``.

    Attributes:
        name: Its name; ``AUTOTRACK_PLUGINS``, a comma-separated allow-list, speaks of it.
        value: The module that it names.
        status: ``loaded``, ``blocked``, ``import error`` or ``dropped after errors``.
        reason: Why it is not loaded, or what of it is not used, in words.
        offers: What it offers, by hook.
    """

    name: str
    value: str
    _of: importlib.metadata.Distribution | None = None
    status: str = "loaded"
    reason: str = ""
    offers: dict[str, list[str]] = field(default_factory=dict)

    @property
    def distribution(self) -> str:
        """Name and version of the distribution that it comes with; read when asked for, which takes a while."""
        return "" if self._of is None else f"{self._of.name} {self._of.version}"


@functools.cache
def _load() -> tuple[pluggy.PluginManager, list[Plugin]]:
    manager = pluggy.PluginManager("autotrack")
    manager.add_hookspecs(hookspecs)
    if os.environ.get("AUTOTRACK_TRACE_PLUGINS") == "1":
        manager.add_hookcall_monitoring(_trace_before, _trace_after)
    allowed = os.environ.get("AUTOTRACK_PLUGINS")
    names = None if allowed is None else {name.strip() for name in allowed.split(",")}
    table: list[Plugin] = []
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda entry: entry.name):
        if any(plugin.name == entry.name for plugin in table):  # seen twice: a checkout that is also installed
            continue
        plugin = Plugin(entry.name, entry.value, entry.dist)
        table.append(plugin)
        if names is not None and entry.name not in names:
            plugin.status, plugin.reason = "blocked", "AUTOTRACK_PLUGINS does not name it"
            continue
        plugin.status, plugin.reason = "import error", "see the log"
        with guard.protect(f"loading plugin {entry.name!r} ({entry.value})"):
            _register(manager, entry, plugin)
    return manager, table


def _register(manager: pluggy.PluginManager, entry: importlib.metadata.EntryPoint, plugin: Plugin) -> None:
    try:
        module = entry.load()
        manager.register(module, name=entry.name)
    except SystemExit as error:  # a plugin does not end the user's process
        plugin.reason = f"SystemExit: {error}"
        raise ImportError(f"it calls sys.exit({error}) when it is imported") from error
    except BaseException as error:
        plugin.reason = f"{type(error).__name__}: {error}"
        raise
    plugin.status, plugin.reason = "loaded", ""
    # pluggy stops a whole hook call at the first error; ours are each caught where they happen.
    for caller in manager.get_hookcallers(module) or ():
        for implementation in caller.get_hookimpls():
            if implementation.plugin is module:
                implementation.function = _noting(implementation.function, plugin, caller.name)  # type: ignore[misc]


def _noting(function: Callable[..., Any], plugin: Plugin, hook: str) -> Callable[..., Any]:
    """A hook's implementation whose errors are noted in its plugin and go no further."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            plugin.status, plugin.reason = "dropped after errors", f"{hook} raised {type(error).__name__}: {error}"
            raise

    return guard.guarded(f"plugin {plugin.name!r}, {hook}")(call)


def _trace_before(name: str, methods: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    sys.stderr.write(f"autotrack: hook {name} -> {', '.join(method.plugin_name for method in methods) or 'nobody'}\n")


def _trace_after(result: Any, name: str, methods: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    sys.stderr.write(f"autotrack: hook {name} gave {result.get_result()!r}\n")


def found() -> list[Plugin]:
    """Every plugin that is installed, in the order of their names."""
    return _load()[1]


def _call(hook: str) -> list[tuple[str, Any]]:
    """(plugin name, object) of everything that a hook's implementations offer."""
    manager, table = _load()
    caller = getattr(manager.hook, hook)
    result: list[tuple[str, Any]] = []
    for plugin in table:
        if plugin.status == "loaded":
            others = [module for name, module in manager.list_name_plugin() if name != plugin.name]
            with guard.protect(f"what plugin {plugin.name!r} gives for {hook}"):
                for objects in manager.subset_hook_caller(hook, remove_plugins=others)():
                    result += [(plugin.name, item) for item in objects]
                    plugin.offers[caller.name] = [str(getattr(item, "name", item)) for item in objects]
    return result


def offered() -> list[tuple[str, Integration]]:
    """(plugin name, integration) of all integrations. Two of one name: the first stays, and the second is named."""
    taken: dict[str, tuple[str, Integration]] = {}
    for plugin, integration in _call("autotrack_integrations"):
        with guard.protect(f"integration {getattr(integration, 'name', integration)!r} of plugin {plugin!r}"):
            for attribute in ("name", "modules", "minimum", "patches"):
                getattr(integration, attribute)  # a base class or its constructor may have been forgotten
            if integration.name in taken:
                why = f"plugin {taken[integration.name][0]!r} has an integration of this name already"
                _note(plugin, f"{integration.name!r} is not used: {why}")
                raise ValueError(why)
            taken[integration.name] = plugin, integration
    return list(taken.values())


def _note(name: str, reason: str) -> None:
    for plugin in found():
        if plugin.name == name:
            plugin.reason = reason


def integrations() -> list[Integration]:
    """What the plugins offer to record."""
    return [integration for _, integration in offered()]


def model_formats() -> list[ModelFormat]:
    """The model formats that the plugins offer."""
    formats: list[ModelFormat] = []
    for plugin, form in _call("autotrack_model_formats"):
        with guard.protect(f"model format {getattr(form, 'name', form)!r} of plugin {plugin!r}"):
            for method in ("name", "can_save", "cost", "save", "convert", "untrusted", "load", "export"):
                getattr(form, method)
            formats.append(form)
    return formats


def describe_model(record: Model, opens: Callable[[], BinaryIO]) -> dict[str, bytes]:
    """What MLflow needs beside a stored model's file to open it, by POSIX path; nothing is loaded.

    Empty where its format has nothing to say, or somebody would have to vouch for what is in it first.

    Args:
        record: What was recorded of it.
        opens: Opens its file.
    """
    from autotrack.models.export import description_files  # noqa: PLC0415  a training describes nothing

    for form in model_formats():
        if form.name == record.format and (describe := getattr(form, "describe", None)) is not None:
            with opens() as file:
                exported = describe(record, file)
            return {} if exported is None or not exported.flavors else description_files(record, exported)
    return {}


def check_remote(uri: str) -> Offer:
    """What serves the URI of a server.

    Raises:
        ConfigError: No installed plugin does, or not without another package, or there are credentials in the URI.
    """
    scheme, _, rest = uri.partition("://")
    _, at, _ = rest.partition("/")[0].rpartition("@")
    if at:
        raise ConfigError(
            f"credentials do not belong into an address ({scheme}://…@…): they would stand in logs and process lists. "
            "A plugin takes them from the environment; for MLflow set MLFLOW_TRACKING_USERNAME and _PASSWORD, or _TOKEN"
        )
    for _, offer in _call("autotrack_remotes"):
        if scheme.lower() in offer.schemes:
            if importlib.util.find_spec(offer.needs[0]) is None:
                raise ConfigError(f"a store at {scheme}:// needs {offer.needs[0]}: {offer.needs[1]}")
            found: Offer = offer
            return found
    raise ConfigError(f"no plugin that is installed here serves {scheme}://; a store is a folder, or http://HOST:PORT")


def remote(uri: str) -> Remote:
    """The server of a URI, as the plugin that serves its scheme gives it; nothing is sent yet.

    Raises:
        ConfigError: As for ``check_remote``, or it makes no sense to the plugin.
    """
    return check_remote(uri).connect(uri)


def foreign_runs(place: str) -> Iterator[list[ForeignRun]]:
    """The runs of other tools at a URI, or in a folder.

    Raises:
        ConfigError: No plugin knows how to read them there.
    """
    offers = [check_remote(place)] if "://" in place else [offer for _, offer in _call("autotrack_remotes")]
    said = [f"no plugin that is installed here reads runs of other tools at {place}"]
    for offer in offers:
        if offer.foreign is not None:
            try:
                return offer.foreign(place)
            except ConfigError as error:
                said.append(str(error))
    raise ConfigError(said[-1])

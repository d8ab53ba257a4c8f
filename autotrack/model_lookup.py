"""From a reference to the model that it means."""

from __future__ import annotations

import math
import os
import re
import time
from functools import partial
from typing import Any

from autotrack import api, config, plugins, values
from autotrack.backends.base import RunSource
from autotrack.backends.file_source import FileSource
from autotrack.backends.housekeeping import housekeeper
from autotrack.backends.registry import Registry
from autotrack.errors import ModelError, ModelNotFound, RunNotFound, StoreError
from autotrack.lookup import backend_of, source_of
from autotrack.models import conversion
from autotrack.reader import RunRecord
from autotrack.records import Model
from autotrack.references import find_run
from autotrack.stored import StoredModel

__all__ = ["SCHEME", "get_model", "load_model", "registry_of", "server_of", "split_ref"]

SCHEME = "models:/"
"""What a reference to a registered model begins with."""

CONVERSION_WAIT = 60.0
"""Seconds that one waits for a model of this very process to get its safe form."""

YOUNG = 20.0
"""Age in seconds up to which a model of another process may still be on its way to its safe form."""


def get_model(ref: str, *, store: str | os.PathLike[str] | None = None) -> StoredModel:
    """A recorded or registered model, without opening it: what it is, what it needs, whether data fits it.

    Args:
        ref: A run as for ``get_run``; ``<run>/<model name>`` where a run has several; or ``models:/<name>@<alias>``,
            ``models:/<name>/<version>``, ``models:/<name>/latest``.
        store: As for ``runs``.

    Raises:
        RunNotFound: There is no such run.
        ModelNotFound: There is no such registered model, version or alias.
        ModelError: The run has no such model.
    """
    return _find(ref, store, wait=True)


def load_model(
    ref: str, trusted: list[str] | bool | None = None, *, store: str | os.PathLike[str] | None = None
) -> Any:
    """Load a recorded or registered model. Nothing is unpickled, and no unknown type is made, without your word.

    Args:
        ref: As for ``get_model``; ``model-best`` beside ``model`` is the state in which an evaluation was best.
        trusted: Names of types that you vouch for; True for the whole file, whatever is in it.
        store: As for ``runs``.

    Raises:
        RunNotFound: There is no such run.
        ModelNotFound: There is no such registered model, version or alias.
        ModelNotTrusted: More would have to be trusted; the message says what.
        ModelError: The run has no such model, or the file is not what was saved.
    """
    return _find(ref, store, wait=trusted is not True).load(trusted)


def registry_of(store: str | os.PathLike[str] | None) -> Registry:
    """The registry of a store; by default of the one in use, and where that is a server, the server's.

    Raises:
        StoreError: It has none, or is a server that is not to be spoken to.
    """
    uri = server_of(store)
    offer = plugins.check_remote(uri).registry if uri else None
    registry: Registry | None = backend_of(store).registry() if not uri else offer(uri) if offer else None
    if registry is None:
        raise StoreError("this store keeps no registered models")
    return registry


def server_of(store: str | os.PathLike[str] | None) -> str:
    """URI of the server whose registered models are meant, of several the first; empty where they are in a folder.

    Raises:
        StoreError: Nothing is to be asked of a server now.
    """
    if store is not None:
        return os.fspath(store) if config.is_remote(os.fspath(store)) else ""
    session = api.session_in_use()
    settings = config.resolve() if session is None else session.settings
    servers = config.split_store(settings.store)[1]
    if servers and settings.mode == "offline":
        raise StoreError(
            f"registered models are on {servers[0]}, and the mode is offline: do it later, with the mode on"
        )
    return servers[0] if servers else ""


def split_ref(ref: str) -> tuple[str, str]:
    """Name, and version or alias (empty: neither), of a reference to a registered model, with or without its scheme."""
    rest = ref.removeprefix(SCHEME)
    name, _, which = rest.partition("@" if "@" in rest else "/")
    return name, which


def _find(ref: str, store: str | os.PathLike[str] | None, wait: bool) -> StoredModel:
    if ref.startswith(SCHEME):
        return _registered(ref, store)
    try:
        return _recorded(ref, store, wait)
    except RunNotFound as error:
        if not _is_registered(re.split("[@/]", ref)[0], store):
            raise
        uri = SCHEME + ref if re.search("[@/]", ref) else f"{SCHEME}{ref}/latest"
        raise RunNotFound(f"{error}; the registered model is {uri}") from None


def _is_registered(name: str, store: str | os.PathLike[str] | None) -> bool:
    try:
        return name in registry_of(store).names()
    except StoreError:  # it keeps none
        return False


def _registered(ref: str, store: str | os.PathLike[str] | None) -> StoredModel:
    registry = registry_of(store)
    name, which = split_ref(ref)
    if not which:
        model = registry.read(name)
        have = [f"{SCHEME}{name}@{alias}" for alias in sorted(model.aliases)]
        have += [f"{SCHEME}{name}/{number}" for number in list(model.versions)[:-6:-1]]
        raise ModelNotFound(f"{ref!r} does not say which version; name one of: {', '.join(have)}")
    found = registry.read(name).version(which)
    number, record = found.version.n, found.version.model
    exact = f"{SCHEME}{name}/{number}"
    return StoredModel(
        exact,
        exact,
        record,
        found.version.run,
        partial(registry.open, name, number),
        lambda: record,
        lambda: {key: values.from_json(value) for key, value in found.version.lineage.items()},
    )


def _recorded(ref: str, store: str | os.PathLike[str] | None, wait: bool) -> StoredModel:
    source = source_of(store)
    housekeeper.wait_idle(CONVERSION_WAIT)  # this very process may be writing it
    ref, _, name = ref.partition("/")
    run, model = _find_model(source, ref, name)
    deadline = time.monotonic() + CONVERSION_WAIT
    while wait and _gets_safe(run, model) and time.monotonic() < deadline:
        time.sleep(0.05)
        run, model = _find_model(source, run.id, name)
    return StoredModel(
        f"{run.id}/{model.name}",
        f"model {model.name!r} of run {run.name}",
        model,
        run.id,
        run._open,
        lambda: _find_model(source, run.id, model.name)[1],
        partial(_lineage, source, run),
        partial(source.path, run.id.partition(".")[0]) if isinstance(source, FileSource) else None,
    )


def _find_model(source: RunSource, ref: str, name: str) -> tuple[RunRecord, Model]:
    run = find_run(source, ref)
    if not run.models:
        why = "; ".join(text for _, text in run.notes if "model" in text)
        raise ModelError(f"run {run.name} has no model" + (f": {why}" if why else ""))
    # A loop keeps a model as it was last, and beside it as it was best.
    meant = [known for known in run.models if not known.endswith("-best")] or list(run.models)
    name = name or (meant[0] if len(meant) == 1 else "")
    if name not in run.models:
        have = ", ".join(f"{run.id}/{known}" for known in run.models)
        what = f"no model {name!r}" if name else "several models"
        raise ModelError(f"run {run.name} has {what}; name one of: {have}")
    return run, run.models[name]


def _lineage(source: RunSource, run: RunRecord) -> dict[str, Any]:
    """What the run knows of itself, its data and its code; a child's data and code are its parent's."""
    top = find_run(source, run.id.partition(".")[0])
    facts = {**top.facts, **run.facts}
    lineage = {"run_name": run.name, "experiment": run.experiment, "params": run.params, "metrics": run.metrics}
    lineage |= {section: facts[section] for section in ("data", "git") if section in facts}
    return lineage


def _gets_safe(run: RunRecord, model: Model) -> bool:
    """Whether a pickle is still to be turned into its safe form, by our helper or by another process's."""
    if model.format != "pickle" or model.stays:
        return False
    return conversion.under_way(model.sha256) or (bool(model.becomes) and _age(run, model) < YOUNG)


def _age(run: RunRecord, model: Model) -> float:
    """Seconds since the model's file was written; infinite where it is gone or no file."""
    try:
        with run._open(model.path) as file:
            return time.time() - os.fstat(file.fileno()).st_mtime
    except OSError:
        return math.inf

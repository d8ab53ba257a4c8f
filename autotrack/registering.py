"""Registered models: from a recorded model to version 3 of a name, and which version is the champion."""

from __future__ import annotations

import getpass
import io
import os
import socket
import time
from collections.abc import Mapping

import msgspec

from autotrack import plugins, values
from autotrack.backends.registry import RegisteredModel, check_alias
from autotrack.backends.stored_files import BESIDE
from autotrack.model_lookup import get_model, registry_of, server_of
from autotrack.records import RegistryChange, Version
from autotrack.stored import StoredModel

__all__ = ["get_registered_model", "register_model", "registered_models", "update_model"]

Store = str | os.PathLike[str] | None


def register_model(
    ref: str,
    name: str,
    alias: str | None = None,
    *,
    tags: Mapping[str, str] | None = None,
    description: str | None = None,
    store: Store = None,
) -> int:
    """Make a recorded model the next version of a registered one; the number of the version.

    The version is a copy: it stays when its run is deleted. It tells the run, the data and the code that it came from.

    Args:
        ref: The model, as for ``get_model``.
        name: Name of the registered model; it is made where there is none.
        alias: An alias that moves to this version, ``champion`` say.
        tags: Tags of this version.
        description: Description of this version.
        store: As for ``runs``.

    Raises:
        ModelNotFound, RunNotFound: There is no such model.
        ModelError: The name or the alias cannot be one, or the model's file is not the one that was saved.
        StoreError: The store cannot be written.
    """
    if alias is not None:
        check_alias(alias)  # before a version is made
    model = get_model(ref, store=store)
    registry = registry_of(store)
    record = msgspec.structs.replace(model.record, t=0, c="", path=model.file_name, becomes="")
    lineage = {key: values.to_json(value) for key, value in model.lineage.items()}
    version = Version(n=0, at=int(time.time() * 1e6), model=record, by=_who(), run=model.run, lineage=lineage)
    files = _files(model)
    if server_of(store):  # where others look for it with MLflow
        files |= plugins.describe_model(record, lambda: io.BytesIO(model.read()))
    number = registry.add(name, version, files)
    if alias is not None or tags or description is not None:
        aliases: dict[str, int | None] = {} if alias is None else {alias: number}
        change = RegistryChange(n=number, by=_who(), aliases=aliases, tags=dict(tags or {}), description=description)
        registry.change(name, change)
    return number


def update_model(
    name: str,
    version: int | None = None,
    *,
    aliases: Mapping[str, int | None] | None = None,
    tags: Mapping[str, str | None] | None = None,
    description: str | None = None,
    store: Store = None,
) -> None:
    """Change what is said of a registered model, or of one version of it. Who did it and when is kept.

    Args:
        name: The registered model.
        version: The version that tags and description are of. Default: the model as a whole.
        aliases: Aliases and the versions that they move to; None takes an alias away.
        tags: Tags to set; None takes a tag away.
        description: The description.
        store: As for ``runs``.

    Raises:
        ModelNotFound: There is no such model or version.
        ModelError: An alias cannot be one.
        StoreError: The store cannot be written.
    """
    change = RegistryChange(
        n=version or 0, by=_who(), aliases=dict(aliases or {}), tags=dict(tags or {}), description=description
    )
    registry_of(store).change(name, change)


def registered_models(*, store: Store = None) -> list[RegisteredModel]:
    """All registered models, by name.

    Args:
        store: As for ``runs``.
    """
    registry = registry_of(store)
    return [registry.read(name) for name in registry.names()]


def get_registered_model(name: str, *, store: Store = None) -> RegisteredModel:
    """One registered model, with its versions, aliases and history.

    Raises:
        ModelNotFound: There is none.
    """
    return registry_of(store).read(name)


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container whose user has no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _files(model: StoredModel) -> dict[str, bytes | os.PathLike[str]]:
    """The model's file and those beside it: where they lie, or their content where they lie nowhere."""
    place = model.place()
    files: dict[str, bytes | os.PathLike[str]] = {model.file_name: model.read() if place is None else place}
    for name in BESIDE:
        content = model.beside(name)
        if content is not None:
            files[name] = content
    return files

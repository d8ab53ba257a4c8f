"""The contract of a registry: registered models, their numbered versions and aliases, and who changed what when.

Its rules, by the names under which ``autotrack.testing.backend_suite`` tells what is broken:

* numbers: the versions of a name are 1, 2, 3 and so on, in the order in which they came to be; no gap and no double,
  however many processes register at once.
* whole: a version is there whole or not at all; what died on the way leaves nothing that is read.
* fixed: a version never changes, and outlives its run; its model has the hash that was given, or is refused.
* changes: aliases, tags and descriptions are as the last change of each left them, and the history tells all changes.
* names: a name or an alias that cannot be one is refused; what is not there is ``ModelNotFound``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple, Protocol

from autotrack.errors import ModelError, ModelNotFound
from autotrack.records import Artifact, RegistryChange, Version

__all__ = [
    "HistoryEntry", "ModelVersion", "RegisteredModel", "Registry", "check_alias", "check_change", "check_content",
    "check_registered_name", "fold_registered", "is_registered_name", "place_aliases",
]  # fmt: skip

_NAME = re.compile(r"[^\W_][\w .+()-]{0,79}")
_ALIAS = re.compile(r"[A-Za-z0-9_-]{1,80}")


class HistoryEntry(NamedTuple):
    """One change of a registered model. ``time`` is Unix time in seconds."""

    time: float
    change: RegistryChange


@dataclass(repr=False)
class ModelVersion:
    """One version of a registered model.

    Attributes:
        name: Name of the registered model.
        version: What was registered; ``version.n`` is its number.
        aliases: Aliases that stand at it.
        tags: Its tags.
        description: Its description.
    """

    name: str
    version: Version
    aliases: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    description: str = ""

    def __repr__(self) -> str:
        return f"<ModelVersion models:/{self.name}/{self.version.n}: {', '.join(self.aliases) or 'no alias'}>"


@dataclass(repr=False)
class RegisteredModel:
    """A registered model, as it stands.

    Attributes:
        name: Its name.
        versions: Its versions by number, oldest first.
        aliases: Number of the version that each alias stands at.
        tags: Its tags.
        description: Its description.
        history: All changes of it, oldest first; empty where the registry keeps no history.
        problems: What of it could not be read, in words.
    """

    name: str
    versions: dict[int, ModelVersion] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    description: str = ""
    history: list[HistoryEntry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        aliases = "".join(f", {alias} → {number}" for alias, number in sorted(self.aliases.items()))
        return f"<RegisteredModel {self.name}: {len(self.versions)} versions{aliases}>"

    def version(self, which: str) -> ModelVersion:
        """The version that a number, ``latest`` or an alias means.

        Raises:
            ModelNotFound: There is none; the message says what there is.
        """
        number = int(which) if which.isdecimal() and len(which) < 10 else self.aliases.get(which)
        if which == "latest":
            number = max(self.versions, default=0)
        if number in self.versions:
            return self.versions[number]
        numbers = ", ".join(map(str, self.versions)) or "none"
        aliases = ", ".join(f"{alias} → {at}" for alias, at in sorted(self.aliases.items())) or "none"
        raise ModelNotFound(
            f"registered model {self.name!r} has no version or alias {which[:100]!r}; versions: {numbers}; "
            f"aliases: {aliases}"
        )


class Registry(Protocol):
    """The registered models of a store. Every call is a person's: what cannot be done is an error, not a warning."""

    def names(self) -> list[str]:
        """Names of all registered models, sorted."""
        ...

    def read(self, name: str) -> RegisteredModel:
        """One registered model.

        Raises:
            ModelNotFound: There is none of this name.
        """
        ...

    def add(self, name: str, version: Version, files: Mapping[str, bytes | os.PathLike[str]]) -> int:
        """Make a new version, and the registered model where there is none; its number.

        Args:
            name: Name of the registered model.
            version: What it is; its ``n`` and ``files`` do not count: the registry finds them out.
            files: Content, or where it lies, by file name in the version; ``version.model.path`` is one.

        Raises:
            ModelError: The name cannot be one, or the model's file has another hash than ``version.model`` says.
            StoreError: The store cannot take it.
        """
        ...

    def change(self, name: str, change: RegistryChange) -> None:
        """Move aliases, set tags or a description.

        Raises:
            ModelNotFound: There is no such model, or no such version.
            ModelError: An alias cannot be one.
            StoreError: The store cannot take it.
        """
        ...

    def open(self, name: str, number: int, path: str) -> BinaryIO:
        """A file of a version, for reading.

        Raises:
            ModelNotFound: There is no such version, or no such file in it.
            ArtifactPathError: The path would leave the version.
        """
        ...


def is_registered_name(name: str) -> bool:
    """Whether this can be a registered model's name: in a URI and as the name of a folder it must be clear."""
    return bool(_NAME.fullmatch(name)) and name.rstrip(" .") == name


def check_registered_name(name: str) -> None:
    """Raise ModelError where this cannot be a registered model's name."""
    if not is_registered_name(name):
        raise ModelError(
            f"{name[:100]!r} cannot be the name of a registered model: up to 80 letters, digits, spaces and .+()-_, "
            "beginning with a letter or digit"
        )


def check_alias(alias: str) -> None:
    """Raise ModelError where this cannot be an alias; the rules are MLflow's, so that any of ours can go there."""
    if not _ALIAS.fullmatch(alias) or alias.isdecimal() or alias == "latest" or re.fullmatch(r"v\d+", alias):
        raise ModelError(
            f"{alias[:100]!r} cannot be an alias: up to 80 of A-Z, a-z, 0-9, _ and -, no number, not 'latest' or 'v1'"
        )


def check_content(version: Version, stored: Iterable[Artifact]) -> None:
    """Raise ModelError where the model's file, as it was copied, has another hash than was recorded."""
    if version.model.sha256 not in [file.sha256 for file in stored if file.path == version.model.path]:
        raise ModelError(
            f"the file of model {version.model.name!r} is not the one that was saved (its sha256 differs); "
            "it was not registered"
        )


def fold_registered(name: str, versions: Iterable[Version], history: Iterable[HistoryEntry]) -> RegisteredModel:
    """What versions and changes, oldest first, come to."""
    model = RegisteredModel(name, {v.n: ModelVersion(name, v) for v in sorted(versions, key=lambda v: v.n)})
    for entry in history:
        change = entry.change
        model.history.append(entry)
        target = model if change.n == 0 else model.versions.get(change.n)
        for alias, number in change.aliases.items():
            model.aliases.pop(alias, None)
            if number is not None:
                model.aliases[alias] = number
        if target is None:
            model.problems.append(f"a change is of version {change.n}, which is not there")
            continue
        for key, value in change.tags.items():
            target.tags.pop(key, None)
            if value is not None:
                target.tags[key] = value
        target.description = target.description if change.description is None else change.description
    place_aliases(model)
    return model


def place_aliases(model: RegisteredModel) -> None:
    """Tell the versions of a registered model which aliases stand at them; what cannot be is a problem of it."""
    for alias, number in sorted(model.aliases.items()):
        if not _ALIAS.fullmatch(alias):
            del model.aliases[alias]
            model.problems.append(f"{alias[:100]!a} is no alias")
        elif number in model.versions:
            model.versions[number].aliases.append(alias)
        else:
            model.problems.append(f"alias {alias!r} stands at version {number}, which is not there")


def check_change(model: RegisteredModel, change: RegistryChange) -> None:
    """Raise ModelNotFound or ModelError where a change cannot be made."""
    for alias in change.aliases:
        check_alias(alias)
    for number in {change.n, *(at for at in change.aliases.values() if at is not None)} - {0}:
        model.version(str(number))

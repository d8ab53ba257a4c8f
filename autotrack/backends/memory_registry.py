"""The registry of the store in memory: the shortest example of one."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec

from autotrack.backends.base import safe_path
from autotrack.backends.registry import (
    HistoryEntry,
    RegisteredModel,
    check_change,
    check_content,
    check_registered_name,
    fold_registered,
)
from autotrack.errors import ModelNotFound, StoreError
from autotrack.records import Artifact, RegistryChange, Version, decode, encode

__all__ = ["MemoryRegistry"]


class MemoryRegistry:
    """Registered models that are gone with the process; see the contract."""

    def __init__(self) -> None:
        self._versions: dict[str, list[tuple[bytes, dict[str, bytes]]]] = {}  # encoded, and its files
        self._changes: dict[str, list[tuple[float, bytes]]] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Names of all registered models, sorted."""
        return sorted(self._versions)

    def read(self, name: str) -> RegisteredModel:
        """One registered model; see the contract."""
        if name not in self._versions:
            known = ", ".join(self.names()) or "none"
            raise ModelNotFound(f"there is no registered model {name!r} in this memory store; there are: {known}")
        with self._lock:
            lines = [line for line, _ in self._versions[name]]
            changes = [(at, decode(line)) for at, line in self._changes[name]]
        versions = [record for record in map(decode, lines) if isinstance(record, Version)]
        history = [HistoryEntry(at, change) for at, change in changes if isinstance(change, RegistryChange)]
        return fold_registered(name, versions, history)

    def add(self, name: str, version: Version, files: Mapping[str, bytes | os.PathLike[str]]) -> int:
        """Make a new version; see the contract."""
        check_registered_name(name)
        try:
            contents = {
                str(safe_path(path)): source if isinstance(source, bytes) else Path(source).read_bytes()
                for path, source in files.items()
            }
        except OSError as error:
            raise StoreError(f"the model cannot be registered as {name!r}: {error}") from error
        stored = [
            Artifact(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest())
            for path, data in contents.items()
        ]
        check_content(version, stored)
        with self._lock:
            versions = self._versions.setdefault(name, [])
            self._changes.setdefault(name, [])
            number = len(versions) + 1
            versions.append((encode(msgspec.structs.replace(version, n=number, files=stored)), contents))
        return number

    def change(self, name: str, change: RegistryChange) -> None:
        """Keep a change; see the contract."""
        check_change(self.read(name), change)
        with self._lock:
            self._changes[name].append((time.time(), encode(change)))

    def open(self, name: str, number: int, path: str) -> BinaryIO:
        """A file of a version; see the contract."""
        key = str(safe_path(path))
        versions = self._versions.get(name, [])
        if not 0 < number <= len(versions) or key not in versions[number - 1][1]:
            raise ModelNotFound(f"version {number} of registered model {name!r} has no file {path!r}")
        return io.BytesIO(versions[number - 1][1][key])

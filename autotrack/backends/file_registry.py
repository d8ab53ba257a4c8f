"""The registry of the file store: a folder per version, which is the version from the moment of its rename.

No number is given before: a folder with all its files gets the next number by one ``rename``, which fails where
another process was first, and then tries the one after. What dies on the way leaves a hidden folder.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import shutil
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec

from autotrack.backends.base import RunLog, safe_path
from autotrack.backends.file import FileBackend
from autotrack.backends.file_run import copy_file
from autotrack.backends.journal import JournalWriter
from autotrack.backends.journal_folder import open_plain_file, read_folder
from autotrack.backends.registry import (
    HistoryEntry,
    RegisteredModel,
    check_change,
    check_content,
    check_registered_name,
    fold_registered,
    is_registered_name,
)
from autotrack.errors import ArtifactPathError, ModelNotFound, StoreError
from autotrack.records import Artifact, RegistryChange, Version, decode, encode

__all__ = ["FileRegistry"]

_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_MAX_DESCRIPTION = 16_000_000
"""Bytes of a version.json beyond which it is not read."""


class FileRegistry:
    """Registered models below ``registry`` in a store; see the contract."""

    def __init__(self, backend: FileBackend) -> None:
        self._backend = backend
        self._root = backend.source().root / "registry"  # a source refuses a store of a later version

    def names(self) -> list[str]:
        """Names of all registered models, sorted."""
        return sorted(name for name in _names(self._root) if self._numbers(name))

    def read(self, name: str) -> RegisteredModel:
        """One registered model; see the contract."""
        numbers = self._numbers(name)
        if not numbers:
            known = ", ".join(self.names()) or "none"
            raise ModelNotFound(f"there is no registered model {name!r} in {self._backend.root}; there are: {known}")
        problems: list[str] = []
        versions = []
        for number in numbers:
            try:
                versions.append(self._version(name, number))
            except (OSError, ValueError, RecursionError, ModelNotFound) as error:
                problems.append(f"version {number} cannot be read: {error}")
        history = self._history(name, problems)
        model = fold_registered(name, versions, history)
        model.problems[:0] = problems
        return model

    def add(self, name: str, version: Version, files: Mapping[str, bytes | os.PathLike[str]]) -> int:
        """Make a new version; see the contract."""
        check_registered_name(name)
        with _told(f"the model cannot be registered as {name!r}"):
            self._backend._prepare()
            folder = self._root / name / "versions"
            for missing in (self._root, self._root / name, self._root / name / "journal", folder):
                with contextlib.suppress(FileExistsError):
                    self._backend._own(missing, make=True)
            temporary = folder / f".{os.urandom(8).hex()}.tmp"
            self._backend._own(temporary, make=True)
            try:
                stored = [self._put(temporary, path, source) for path, source in files.items()]
                check_content(version, stored)
                return self._take_number(folder, temporary, msgspec.structs.replace(version, files=stored))
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def _take_number(self, folder: Path, temporary: Path, version: Version) -> int:
        """Give a folder that is complete the next number."""
        for number in itertools.count(max(_numbers(folder), default=0) + 1):
            description = temporary / "version.json"
            description.unlink(missing_ok=True)
            line = encode(msgspec.structs.replace(version, n=number))
            if len(line) >= _MAX_DESCRIPTION or not _NUMBER.fullmatch(str(number)):  # nobody would read it
                raise StoreError(f"what its run knew has {len(line)} bytes, and it would be version {number}: too much")
            copy_file(line, description, self._backend._file_mode)
            _sync(temporary)
            try:
                temporary.rename(folder / str(number))
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
                continue  # another process was first
            _sync(folder)
            return number
        raise AssertionError("there is always a next number")

    def _put(self, folder: Path, path: str, source: bytes | os.PathLike[str]) -> Artifact:
        """A file of a version: a second name of the run's file where that can be, for neither is ever written again."""
        target = folder / safe_path(path)
        linked = False
        if not isinstance(source, bytes) and Path(source).is_relative_to(self._backend.root / "runs"):
            with contextlib.suppress(OSError):  # no hard links here, or too many
                os.link(source, target, follow_symlinks=False)
                linked = True
        if not linked:
            copy_file(source, target, self._backend._file_mode)
        with open_plain_file(target) as file:
            import hashlib  # noqa: PLC0415  loads OpenSSL

            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            os.fsync(file.fileno())
            return Artifact(path=str(safe_path(path)), size=os.fstat(file.fileno()).st_size, sha256=digest.hexdigest())

    def change(self, name: str, change: RegistryChange) -> None:
        """Append a change; see the contract."""
        model = self.read(name)
        check_change(model, change)
        with _told(f"registered model {name!r} cannot be changed"):
            self._backend._prepare()
            journal = JournalWriter(self._root / name / "journal", name, self._backend._file_mode)
            # After all changes that are there, also where another host's clock is ahead.
            later = max((int((entry.time - journal.start) * 1e6) + 2 for entry in model.history), default=0)
            journal.append(encode(msgspec.structs.replace(change, t=max(journal.elapsed(), later))))
            journal.seal()
            journal.sync()
            journal.release()

    def open(self, name: str, number: int, path: str) -> BinaryIO:
        """A file of a version; see the contract."""
        target = self._below(name, "versions", str(number)) / safe_path(path)
        try:
            return open_plain_file(target)
        except (FileNotFoundError, NotADirectoryError):
            raise ModelNotFound(f"version {number} of registered model {name!r} has no file {path!r}") from None

    def _numbers(self, name: str) -> list[int]:
        return _numbers(self._below(name, "versions")) if is_registered_name(name) else []

    def _below(self, *parts: str) -> Path:
        """A folder of the registry; a link that leads out of it is not followed."""
        folder = self._root.joinpath(*parts)
        if not folder.resolve().is_relative_to(self._root.resolve()):
            raise ArtifactPathError(f"{folder} leads out of the registry")
        return folder

    def _version(self, name: str, number: int) -> Version:
        with self.open(name, number, "version.json") as file:
            version = decode(file.read(_MAX_DESCRIPTION))
        if not isinstance(version, Version) or version.n != number:
            raise ValueError("version.json does not describe this version")
        return version

    def _history(self, name: str, problems: list[str]) -> list[HistoryEntry]:
        log = RunLog(name)
        read_folder(self._below(name, "journal"), log)
        problems += log.damage
        changes = [(entry.time, entry.record) for entry in log.entries]
        return [HistoryEntry(time, change) for time, change in changes if isinstance(change, RegistryChange)]


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _numbers(folder: Path) -> list[int]:
    return sorted(int(name) for name in _names(folder) if _NUMBER.fullmatch(name))


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _told(what: str) -> Generator[None, None, None]:
    """What the system refuses, as an error that says what was to be done."""
    try:
        yield
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise StoreError(f"{what}: {error.strerror or error}{where}") from error

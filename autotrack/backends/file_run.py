"""The files of one run of the file store, as one process writes them."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from autotrack.backends.base import StoredFile, safe_path
from autotrack.backends.journal import JournalWriter
from autotrack.backends.liveness import HEARTBEAT, identity
from autotrack.errors import ArtifactPathError
from autotrack.records import Begin, Record, encode, encode_all

if TYPE_CHECKING:
    from autotrack.backends.file import FileBackend

__all__ = ["LOW_DISK", "FileRunWriter", "copy_file", "make_parents"]

LOW_DISK = 1_000_000_000
"""Bytes of free disk below which only records are written, no files."""


class FileRunWriter:
    """The files of one run, as written by this process."""

    def __init__(
        self, backend: FileBackend, run_id: str, file_mode: int, joined: bool = False, start: float | None = None
    ) -> None:
        self.run_id = run_id
        self.dropped = 0
        self.folder = backend.root / "runs" / run_id
        self._backend = backend
        self._mode = file_mode
        self._journal = JournalWriter(self.folder / "journal", run_id, file_mode, start)
        self.start = self._journal.start
        self.elapsed = self._journal.elapsed
        self._ended = joined
        self._complete = False  # it ended with all its records in the store
        self._deleted = False  # after that
        self._beat = 0.0
        self._pid = os.getpid()

    def begin(self, begin: Begin) -> None:
        """Say who works on the run, and write its first record."""
        try:
            if self.folder.is_dir():
                self._touch()
        except OSError as error:
            self._backend.failed(error, 0, self.run_id)
        self.write([begin])

    def _touch(self) -> None:
        """Say that the process still works."""
        alive = self.folder / "alive"
        self._beat = time.monotonic()
        try:
            os.utime(alive)
        except FileNotFoundError:
            fd = os.open(alive, os.O_WRONLY | os.O_CREAT, self._mode)
            try:
                os.write(fd, json.dumps(identity()).encode())
                if self._mode & 0o060:  # a shared store: whatever the umask says
                    os.fchmod(fd, self._mode)
            finally:
                os.close(fd)

    def write(self, records: Sequence[Record]) -> None:
        """Append records; see the contract."""
        data = encode(records[0]) if len(records) == 1 else encode_all(records)
        journal = self._journal
        clean = not journal.dirty
        try:
            journal.append(data)
        except OSError as error:
            self._failed(error, len(records))
            return
        if clean:
            self._backend.working(self)

    def tidy(self) -> bool:
        """Sync, and beat while the run goes on. False when there is nothing left to see to."""
        try:
            self._journal.sync()
            if (
                not self._ended
                and os.getpid() == self._pid
                and time.monotonic() - self._beat >= HEARTBEAT
                and self.folder.is_dir()
            ):
                self._touch()
        except OSError as error:
            self._lost(error)
            if isinstance(error, FileNotFoundError):
                return False
        if self._ended:
            self._journal.release()
        return not self._ended

    def _lost(self, error: OSError) -> None:
        """Something went wrong off the training's way. Only a file that is gone takes its records along."""
        self._failed(error, self._journal.abandon() if isinstance(error, FileNotFoundError) else 0)

    def _failed(self, error: OSError, records: int) -> None:
        """So many records are lost, unless somebody deleted the run when it had ended: then nobody misses them."""
        if self._complete and isinstance(error, FileNotFoundError):
            self._deleted = True
        if self._deleted:
            return
        self.dropped += records
        self._backend.failed(error, records, self.run_id)

    def put_file(self, path: PurePosixPath, source: bytes | os.PathLike[str] | BinaryIO) -> StoredFile | None:
        """Store a file, also one that is open; see the contract."""
        path = safe_path(path)
        target = self.folder / path
        try:
            if _free(self.folder) < LOW_DISK:
                raise OSError(errno.ENOSPC, "no room for files, only for records")
            make_parents(self.folder, target.parent, self._backend)
            temporary = target.parent / f".{os.urandom(6).hex()}.tmp"
            try:
                known = self._backend.contents.link(source, temporary) if isinstance(source, bytes) else None
                stored = StoredFile(str(path), *(known or copy_file(source, temporary, self._mode)))
                temporary.rename(target)
                if isinstance(source, bytes):
                    self._backend.contents.remember(target, stored)
            finally:
                temporary.unlink(missing_ok=True)  # also there where both were links to one file
        except OSError as error:
            if isinstance(source, os.PathLike) and error.filename == os.fspath(source):
                raise  # what the user named is not there
            self._failed(error, 0)
            return None
        return stored

    def close(self) -> None:
        """The run has ended: seal it; ``alive`` goes, the descriptor with the next round of housekeeping."""
        again, self._ended = self._ended, True
        try:
            self._journal.seal()
            if again:  # readers only ask a run that ended long ago whether its folder has changed
                os.utime(self.folder / "journal")
            if self._journal.is_deleted():
                raise FileNotFoundError(errno.ENOENT, "the run's folder was deleted", str(self.folder))
            (self.folder / "alive").unlink(missing_ok=True)
            self._complete = True
        except OSError as error:
            self._lost(error)

    def resume(self) -> None:
        """The run goes on: it beats again."""
        self._ended = self._complete = self._deleted = False
        try:
            self._touch()
        except OSError as error:
            self._lost(error)
        self._backend.working(self)


def make_parents(top: Path, folder: Path, backend: FileBackend) -> None:
    """Make the folders between ``top`` and ``folder``, following no links out of it."""
    missing = []
    while folder != top and not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    if not folder.resolve().is_relative_to(top.resolve()):
        raise ArtifactPathError(f"{folder} leads out of the run's folder")
    for new in reversed(missing):
        try:
            backend._own(new, make=True)
        except FileExistsError:
            if not new.is_dir():
                raise


def _free(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def copy_file(source: bytes | os.PathLike[str] | BinaryIO, target: Path, mode: int) -> tuple[int, str]:
    """Write ``source`` to a new file; (size, sha256)."""
    import hashlib  # noqa: PLC0415  enable() does not need it

    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
        if mode & 0o060:
            os.fchmod(out.fileno(), mode)
        if isinstance(source, bytes):
            out.write(source)
            return len(source), hashlib.sha256(source).hexdigest()
        digest, size = hashlib.sha256(), 0
        with open(source, "rb") if isinstance(source, os.PathLike) else contextlib.nullcontext(source) as file:
            while block := file.read(1 << 20):
                out.write(block)
                digest.update(block)
                size += len(block)
    return size, digest.hexdigest()

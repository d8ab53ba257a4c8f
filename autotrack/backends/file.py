"""The file store: a folder per run, plain files, one writer per file. docs/journal-format.md is its description."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import time
import weakref
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from autotrack.backends.base import StoredFile, safe_path
from autotrack.backends.contents import Contents
from autotrack.backends.file_source import FileSource, read_description
from autotrack.backends.housekeeping import housekeeper
from autotrack.backends.journal import JournalWriter
from autotrack.backends.liveness import HEARTBEAT, identity
from autotrack.errors import ArtifactPathError
from autotrack.records import FORMAT_VERSION, Begin, Record, encode, encode_all

if TYPE_CHECKING:
    from autotrack.backends.file_registry import FileRegistry

__all__ = ["FileBackend", "FileRunWriter", "copy_file"]

LOW_DISK = 1_000_000_000
"""Bytes of free disk below which only records are written, no files."""

SYNC_AT_EXIT = 1.0
"""Seconds that forcing everything to disk may take at exit."""

_logger = logging.getLogger("autotrack")


class FileBackend:
    """A store in ``root``. Nothing is made before the first run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folder_mode = 0o700
        self._file_mode = 0o600
        self._ready = False
        self._failed: set[int | None] = set()
        self._busy: dict[int, FileRunWriter] = {}
        self.contents = Contents()
        self._lost_records = 0
        self._lost_runs: set[str] = set()
        _backends.add(self)

    def open_run(self, run_id: str, begin: Begin) -> FileRunWriter:
        """Start a run; see the contract."""
        folder = self.root / "runs" / run_id
        try:
            self._prepare()
            self._own(folder, make=True)
            self._own(folder / "journal", make=True)
        except FileExistsError:
            if folder.is_dir():
                raise
            self.failed(NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)), 0, run_id)
        except OSError as error:
            self.failed(error, 0, run_id)
        writer = FileRunWriter(self, run_id, self._file_mode)
        writer.begin(begin)
        return writer

    def join_run(self, run_id: str) -> FileRunWriter:
        """A writer for a run that another process began, and ends; it has a file of its own."""
        try:
            self._prepare()
        except OSError as error:
            self.failed(error, 0, run_id)
        return FileRunWriter(self, run_id, self._file_mode, joined=True)

    def source(self) -> FileSource:
        """The reading half."""
        return FileSource(self.root)

    def registry(self) -> FileRegistry:
        """The registered models."""
        from autotrack.backends.file_registry import FileRegistry  # noqa: PLC0415  no training needs it

        return FileRegistry(self)

    def _own(self, folder: Path, make: bool = False) -> None:
        """Make a folder, and give it the store's mode where the umask took some of it."""
        if make:
            folder.mkdir(self._folder_mode & 0o777)
        if self._folder_mode != 0o700:
            folder.chmod(self._folder_mode)

    def _prepare(self, shared: bool = False) -> None:
        """Make the store, or check that it is one that we can write."""
        if self._ready and (self.root / "runs").is_dir():
            return
        if not self.root.exists():
            self.root.parent.mkdir(parents=True, exist_ok=True)
            self.root.mkdir(self._folder_mode & 0o777, exist_ok=True)  # another thread or process may be making it
            self._own(self.root)
        description = read_description(self.root)
        if description is None:
            new = {"store": os.urandom(8).hex(), "format": FORMAT_VERSION, "min_reader": 1}
            content = json.dumps({**new, "shared": True} if shared else new).encode() + b"\n"
            _create_once(self.root / "store.json", content, self._file_mode)
            _create_once(self.root / ".gitignore", b"*\n", self._file_mode)
        elif description.get("shared"):
            self._folder_mode, self._file_mode = 0o2770, 0o660
        runs = self.root / "runs"
        if not runs.is_dir():
            runs.mkdir(self._folder_mode & 0o777, exist_ok=True)
            self._own(runs)
        self._ready = True

    def failed(self, error: OSError, records: int, run_id: str) -> None:
        """Something could not be written: said once per kind of error, counted, and told at the end."""
        follows = error.errno == errno.ENOENT and run_id in self._lost_runs  # its folder could not even be made
        self._lost_records += records
        self._lost_runs.add(run_id)
        if error.errno == errno.EAGAIN or error.errno in self._failed or follows:
            return
        self._failed.add(error.errno)
        _logger.warning(
            "autotrack cannot write to %s: %s. Your training goes on; what cannot be written is not recorded.",
            self.root,
            error.strerror or error,
        )

    def create(self, shared: bool = False) -> bool:
        """Make the store now, for a group where ``shared``; False where there is one already.

        Raises:
            OSError: It cannot be made.
        """
        description = read_description(self.root)
        if description is not None:
            if shared and not description.get("shared"):
                raise FileExistsError(errno.EEXIST, "there is a store already, and it is not shared")
            return False
        if shared:
            self._folder_mode, self._file_mode = 0o2770, 0o660
        self._prepare(shared)
        return True

    def model_bytes(self, seconds: float = math.inf) -> int:
        """Bytes of all models in the store; in a large one what a random part of its runs says in so many seconds."""
        deadline = time.monotonic() + seconds
        try:
            names = os.listdir(self.root / "runs")
        except OSError:
            return 0
        names.sort(key=lambda name: name.partition("-")[2])  # by the random part of the id
        size = seen = 0
        for name in names:
            size += _model_bytes(os.path.join(self.root, "runs", name))
            seen += 1
            if time.monotonic() > deadline:
                break
        return size * len(names) // max(1, seen)

    def working(self, writer: FileRunWriter) -> None:
        """The writer has something that housekeeping must see to."""
        self._busy[id(writer)] = writer
        housekeeper.add(self, self._tidy)

    def _tidy(self) -> None:
        for key, writer in list(self._busy.items()):
            if not writer.tidy():
                self._busy.pop(key, None)

    def close(self) -> None:
        """At exit: force to disk what is not there yet, for a bounded time, and tell what was lost."""
        deadline = time.monotonic() + SYNC_AT_EXIT
        while self._busy and time.monotonic() < deadline:
            _, writer = self._busy.popitem()
            writer.tidy()
        housekeeper.remove(self)
        if self._lost_records:
            _logger.warning(
                "autotrack could not write %d records of %d runs to %s.",
                self._lost_records,
                len(self._lost_runs),
                self.root,
            )
            self._lost_records = 0
            self._lost_runs.clear()
            self._failed.clear()

    def after_fork(self) -> None:
        """In the child: what the parent lost or has to tidy is the parent's to tell."""
        self._busy = {}
        self._lost_records = 0
        self._lost_runs.clear()


_backends: weakref.WeakSet[FileBackend] = weakref.WeakSet()


def _after_fork() -> None:
    for backend in list(_backends):
        backend.after_fork()


os.register_at_fork(after_in_child=_after_fork)


class FileRunWriter:
    """The files of one run, as written by this process."""

    def __init__(self, backend: FileBackend, run_id: str, file_mode: int, joined: bool = False) -> None:
        self.run_id = run_id
        self.dropped = 0
        self.folder = backend.root / "runs" / run_id
        self._backend = backend
        self._mode = file_mode
        self._journal = JournalWriter(self.folder / "journal", run_id, file_mode)
        self.start = self._journal.start
        self.elapsed = self._journal.elapsed
        self._ended = joined
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
            journal.append(data, len(records))
        except OSError as error:
            self.dropped += len(records)
            self._backend.failed(error, len(records), self.run_id)
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
        records = self._journal.abandon() if isinstance(error, FileNotFoundError) else 0
        self.dropped += records
        self._backend.failed(error, records, self.run_id)

    def put_file(self, path: PurePosixPath, source: bytes | os.PathLike[str]) -> StoredFile | None:
        """Store a file; see the contract."""
        path = safe_path(path)
        target = self.folder / path
        try:
            if _free(self.folder) < LOW_DISK:
                raise OSError(errno.ENOSPC, "no room for files, only for records")
            _make_parents(self.folder, target.parent, self._backend)
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
            if not isinstance(source, bytes) and error.filename == os.fspath(source):
                raise  # what the user named is not there
            self._backend.failed(error, 0, self.run_id)
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
        except OSError as error:
            self._lost(error)

    def resume(self) -> None:
        """The run goes on: it beats again."""
        self._ended = False
        try:
            self._touch()
        except OSError as error:
            self._lost(error)
        self._backend.working(self)


def _create_once(path: Path, content: bytes, mode: int) -> None:
    """Make a file whole, unless another process was first."""
    temporary = path.parent / f".{os.urandom(6).hex()}.tmp"
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            if mode & 0o060:
                os.fchmod(file.fileno(), mode)
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        except OSError:  # no hard links here
            temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


def _make_parents(top: Path, folder: Path, backend: FileBackend) -> None:
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


def _model_bytes(run: str) -> int:
    """Bytes of the models of a run and of its children."""
    try:
        children = [os.path.join(run, "children", name) for name in os.listdir(os.path.join(run, "children"))]
    except OSError:  # most runs have none
        children = []
    size = 0
    for folder in (run, *children):
        try:
            for model in os.scandir(os.path.join(folder, "models")):
                size += sum(file.stat().st_size for file in os.scandir(model) if file.is_file(follow_symlinks=False))
        except OSError:  # no models, or just being deleted
            continue
    return size


def _free(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def copy_file(source: bytes | os.PathLike[str], target: Path, mode: int) -> tuple[int, str]:
    """Write ``source`` to a new file; (size, sha256)."""
    import hashlib  # noqa: PLC0415  enable() does not need it

    digest = hashlib.sha256()
    size = 0
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
        if mode & 0o060:
            os.fchmod(out.fileno(), mode)
        if isinstance(source, bytes):
            out.write(source)
            return len(source), hashlib.sha256(source).hexdigest()
        with open(source, "rb") as file:
            while block := file.read(1 << 20):
                out.write(block)
                digest.update(block)
                size += len(block)
    return size, digest.hexdigest()

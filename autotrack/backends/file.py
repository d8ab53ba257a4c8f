"""The file store: a folder per run, plain files, one writer per file. docs/journal-format.md is its description."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from autotrack.backends.contents import Contents
from autotrack.backends.file_run import FileRunWriter
from autotrack.backends.file_source import FileSource, read_description
from autotrack.backends.housekeeping import housekeeper
from autotrack.records import FORMAT_VERSION, Begin

if TYPE_CHECKING:
    from autotrack.backends.file_registry import FileRegistry

__all__ = ["FileBackend"]

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

    def open_run(self, run_id: str, begin: Begin, start: float | None = None) -> FileRunWriter:
        """Start a run; see the contract. ``start``, Unix time in seconds, for one that began long ago: its records'
        times are relative to that."""
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
        writer = FileRunWriter(self, run_id, self._file_mode, start=start)
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

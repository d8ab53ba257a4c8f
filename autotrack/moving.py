"""Whole runs of a store into a folder: their journals, byte for byte, and their files.

A journal only ever grows, and nobody but its writer writes it: the copy is always a beginning of it, and goes on where
it ends, whoever was stopped in between or does the same beside us. Files come before the lines that name them. So
two stores may be copied into each other, in any order and as often as wanted; each then has the edits of both.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from autotrack.backends import trash
from autotrack.backends.base import RunLog, RunSource, StoredJournal, safe_path
from autotrack.backends.edits import is_folder
from autotrack.backends.file import FileBackend
from autotrack.backends.file_run import copy_file, make_parents
from autotrack.backends.file_source import FileSource
from autotrack.backends.journal_folder import journals_in, open_plain_file, read_folder
from autotrack.backends.liveness import is_alive
from autotrack.backends.stored_files import BESIDE, named_files
from autotrack.errors import ArtifactPathError, ConfigError, StoreError
from autotrack.forward import Progress
from autotrack.records import Artifact, Begin, End, Head, Model, Removed, Restored, Resumed, Seal, decode_lines

__all__ = ["Mover"]

_BLOCK = 1 << 20

_OVERLAP = 1024
"""Bytes before the end of a copy that must be those of the journal."""


@dataclass
class _New:
    """What a journal has that its copy has not.

    Attributes:
        writer: Whose it is.
        journal: The journal.
        offset: Where the copy ends.
        end: Where its last whole line does.
        records: Number of records in between.
        begins: Whether the run's first record is among them.
        ended: Whether the run's end is, and nothing by which it goes on.
        stones: Whether the run was removed, or restored, by one of them.
        files: sha256 of the files that they name, by path; empty where it is not on record.
    """

    writer: str
    journal: StoredJournal
    offset: int
    end: int
    records: int = 0
    begins: bool = False
    ended: bool = False
    stones: bool = False
    files: dict[str, str] = field(default_factory=dict)


class Mover:
    """Copies the runs of a store into a folder, as often as it is called; each time what is new.

    Args:
        source: Where they are.
        root: The store that they go to; made if need be.

    Raises:
        ConfigError: The two are one store.
    """

    def __init__(self, source: RunSource, root: Path) -> None:
        if isinstance(source, FileSource) and source.root.resolve() == root.resolve():
            raise ConfigError(f"{root} is the store itself")
        self.progress = Progress()
        self._source = source
        self._backend = FileBackend(root)
        self._root = root

    def round(self, *, send: bool = True) -> bool:
        """Copy what is new in all runs; False where nothing was. Without ``send`` only count it.

        Raises:
            RemoteError: The store to copy from cannot be reached.
            StoreError: The other one cannot be written. A later call goes on where this one ended.
        """
        before = self.progress.records
        try:
            if send:
                self._backend._prepare()
                if isinstance(self._source, FileSource):
                    self._experiments(self._source.root / "experiments")
            for source in (self._source, self._source.removed()):
                for run_id in source.run_ids() if source is not None else ():
                    self._run(source, run_id, source is not self._source, send)  # type: ignore[arg-type]
        except OSError as error:
            raise StoreError(f"{self._root} cannot be written: {error.strerror or error}") from error
        return self.progress.records > before

    def _run(self, source: RunSource, run_id: str, removed: bool, send: bool) -> None:
        target = self._root / trash.TRASH / run_id
        if not is_folder(target):
            target = self._root / "runs" / run_id
        if removed and not is_folder(target):
            return  # it never was here
        news, journals = [], source.journals(run_id)
        if not journals:
            self._problem(f"run {run_id} is left out: its journal is not there (yet)")
        for writer, journal in journals.items():
            try:
                if (new := _look(writer, journal, target / "journal" / f"{writer}.jsonl")) is not None:
                    news.append(new)
            except (OSError, _OtherJournalError) as error:
                self._problem(f"run {run_id}: journal {writer}: {error}")
        news.sort(key=lambda new: not new.begins)
        if send:
            self._take(source, run_id, removed, target, news)
        if news:
            self.progress.runs.add(run_id)
            self.progress.records += sum(new.records for new in news)

    def _take(self, source: RunSource, run_id: str, removed: bool, target: Path, news: list[_New]) -> None:
        for folder in (target, target / "journal") if news else ():
            if not is_folder(folder):
                self._backend._own(folder, make=True)
        if is_folder(target):
            self._files(source, run_id, target, news)
        for new in news:
            self._append(new, target / "journal")
        if isinstance(source, FileSource):
            self._alive(source, run_id, target, news)
        if any(new.stones for new in news) or removed != (target.parent.name == trash.TRASH):
            self._place(run_id, target)

    # ---- files -----------------------------------------------------------------------------------------------------

    def _files(self, source: RunSource, run_id: str, target: Path, news: list[_New]) -> None:
        wanted = {path: sha256 for new in news for path, sha256 in new.files.items()}
        for path, size in source.files(run_id).items():
            if path not in wanted and _size(target / path) != size:
                wanted[path] = ""
        for path, sha256 in wanted.items():
            try:
                where = target / _stored(path)
                if sha256 and _sha256(where) == sha256:
                    continue
                with source.open(run_id, path) as file:
                    make_parents(target, where.parent, self._backend)
                    self._store(file, where)
            except FileNotFoundError:  # a pickle that became its safe form, or what lies beside few models
                continue
            except ArtifactPathError as error:
                self._problem(f"run {run_id}: {error}")

    def _store(self, file: BinaryIO, where: Path) -> None:
        temporary = where.with_name(f".{os.urandom(6).hex()}.tmp")
        try:
            copy_file(file, temporary, self._backend._file_mode)
            temporary.rename(where)
        finally:
            temporary.unlink(missing_ok=True)

    def _alive(self, source: FileSource, run_id: str, target: Path, news: list[_New]) -> None:
        """Who works on a run is taken over as it is; a copy of it that is newer stays."""
        alive = target / "alive"
        if any(new.ended for new in news):
            alive.unlink(missing_ok=True)
            return
        try:
            with source.open(run_id, "alive") as file:
                touched = os.fstat(file.fileno()).st_mtime_ns
                known = alive.stat(follow_symlinks=False).st_mtime_ns if alive.exists() else None
                if touched > known if known is not None else bool(news):
                    self._store(file, alive)
                    os.utime(alive, ns=(touched, touched))
        except FileNotFoundError:
            pass

    # ---- journals --------------------------------------------------------------------------------------------------

    def _append(self, new: _New, folder: Path) -> None:
        """Each byte goes where it belongs: who does the same beside us writes the same there."""
        mode = self._backend._file_mode
        fd = os.open(folder / f"{new.writer}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, mode)
        try:
            if mode & 0o060:  # a shared store: whatever the umask says
                os.fchmod(fd, mode)
            with new.journal.open() as file:
                file.seek(new.offset)
                at = new.offset
                while at < new.end and (block := file.read(min(_BLOCK, new.end - at))):
                    while block:
                        written = os.pwrite(fd, block, at)
                        at, block = at + written, block[written:]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.utime(folder)  # readers only ask a run that ended long ago whether its folder has changed

    def _experiments(self, top: Path) -> None:
        """What was said of experiments, likewise."""
        for found in sorted(top.iterdir()) if is_folder(top) else ():
            target = self._root / "experiments" / found.name
            for writer, journal in journals_in(found / "journal").items():
                for folder in (target.parent, target, target / "journal"):
                    if not is_folder(folder):
                        self._backend._own(folder, make=True)
                if (new := _look(writer, journal, target / "journal" / f"{writer}.jsonl")) is not None:
                    self._append(new, target / "journal")

    def _place(self, run_id: str, target: Path) -> None:
        """Into the trash, or out of it, by the newest word of both stores."""
        log = RunLog(run_id)
        read_folder(target / "journal", log)
        said = [entry.record for entry in log.entries if isinstance(entry.record, Removed | Restored)]
        removed = [isinstance(record, Removed) for record in said if not record.c]
        if not removed or removed[-1] == (target.parent.name == trash.TRASH):
            return
        if not removed[-1]:
            trash.take_back(self._root, run_id)
        elif is_alive(target / "alive")[0]:
            self._problem(f"run {run_id} was removed there and goes on here: it stays")
        else:
            trash.throw_away(self._root, run_id, self._backend._folder_mode)

    def _problem(self, text: str) -> None:
        if text not in self.progress.problems:
            self.progress.problems.append(text)


class _OtherJournalError(StoreError):
    """What lies at the place of a copy is the copy of something else."""


def _look(writer: str, journal: StoredJournal, copy: Path) -> _New | None:
    """What of a journal is not in its copy yet; None where nothing is.

    Raises:
        OSError: The journal cannot be read (any more).
        _OtherJournalError: The copy is none.
    """
    offset = max(0, _size(copy))
    if offset >= journal.size:
        return None
    new = _New(writer, journal, offset, offset)
    with journal.open() as file:
        if offset:
            with open_plain_file(copy) as other:
                for one in (file, other):
                    one.seek(max(0, offset - _OVERLAP))
                if other.read() != file.read(min(offset, _OVERLAP)):
                    raise _OtherJournalError(f"{copy} is no copy of the journal of this name, and stays as it is")
        for lines in _whole_lines(file, journal.size - offset):
            new.end += len(lines)
            _take(new, lines)
    return new if new.end > offset else None


def _whole_lines(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The next ``size`` bytes in pieces that end with a line; without a last line that is being written."""
    rest = b""
    while size > 0 and (block := file.read(min(_BLOCK, size))):
        size -= len(block)
        whole, newline, block = block.rpartition(b"\n")
        if newline:
            yield rest + whole + newline
            rest = block
        else:
            rest += block


def _take(new: _New, lines: bytes) -> None:
    for record in decode_lines(lines):
        if isinstance(record, Head | Seal):
            continue
        new.records += 1
        for path in named_files(record):
            new.files[path] = record.sha256 if isinstance(record, Artifact | Model) else ""
        if isinstance(record, Model):
            new.files.update({f"{record.path.rpartition('/')[0]}/{name}": "" for name in BESIDE})
        if not record.c and isinstance(record, Begin | End | Resumed | Removed | Restored):
            new.begins = new.begins or isinstance(record, Begin)
            new.stones = new.stones or isinstance(record, Removed | Restored)
            if isinstance(record, End | Resumed):
                new.ended = isinstance(record, End) and record.status != "idle"


def _size(path: Path) -> int:
    """Bytes of a file; -1 where there is none."""
    try:
        return path.stat(follow_symlinks=False).st_size
    except (FileNotFoundError, NotADirectoryError):
        return -1


def _stored(path: str) -> PurePosixPath:
    """The path of a stored file.

    Raises:
        ArtifactPathError: It leads out of the run's folder, or is the place of something else.
    """
    safe = safe_path(path)
    if safe.parts[0] in ("journal", "alive"):
        raise ArtifactPathError(f"{path!r} is no place for a stored file")
    return safe


def _sha256(path: Path) -> str:
    """Of a file; empty where there is none."""
    digest = hashlib.sha256()
    try:
        with open_plain_file(path) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return digest.hexdigest()

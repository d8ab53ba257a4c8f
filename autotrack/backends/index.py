"""What was read of a store's runs, kept in the user's cache folder. It can be deleted at any time: nothing is lost.

``runs.sqlite`` in the folder that ``cache_folder`` names holds a row for each run: which files were read how far, and
the head that came of it. Nothing that depends on the moment, such as whether a process lives, is in it. A small store
has its index in memory only, and so has one whose user has no cache folder that can be written.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import threading
import time
import weakref
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from autotrack.backends.head_rows import PARTS, Part, decode_marks, decode_state, encode_marks, encode_state
from autotrack.backends.heads import HeadState, Query
from autotrack.backends.run_files import RunFiles

__all__ = ["SETTLED", "Index", "cache_folder", "index_of"]

SETTLED = 3_600_000_000_000
"""Nanoseconds after its last change from which on a run that has ended is only asked whether its folder changed."""

VERSION = 2

KEEP_RUNS = 200
KEEP_BYTES = 8_000_000
"""From so many runs, or so many bytes that had to be read for them, an index is worth a file."""

_Result = TypeVar("_Result")
_NO_SENSE = (ValueError, TypeError, LookupError)  # what a damaged row may raise
_BATCH = 500
_WAIT = 10.0  # seconds for another process that writes
_SCHEMA = f"""
CREATE TABLE runs (
  id TEXT PRIMARY KEY, folder INTEGER, settled INTEGER, scanned INTEGER,
  files BLOB, head BLOB, params BLOB, metrics BLOB, tags BLOB
);
CREATE INDEX walk ON runs (id, folder, settled);
PRAGMA user_version = {VERSION};
"""
_PUT = """
INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET folder = excluded.folder, settled = excluded.settled, scanned = excluded.scanned,
  files = excluded.files, head = excluded.head, params = excluded.params, metrics = excluded.metrics,
  tags = excluded.tags
WHERE runs.scanned <= excluded.scanned OR runs.scanned > excluded.scanned + 1000000000
"""  # what another process read after us stays, unless its clock was ahead


class Index:
    """The index of the runs in a folder. Usable from several threads; several processes may have the same file."""

    def __init__(self, runs: str, file: Path | None) -> None:
        self._runs = runs
        self._file = file
        self._lock = threading.RLock()
        self._bytes_read = 0
        self._list_ids: Callable[[], list[str]] = list
        try:
            self._connect(file if file is not None and os.access(file, os.F_OK) else None)
        except sqlite3.Error as error:
            self._spoiled(error)
            self._connect(None)

    def _connect(self, file: Path | None) -> None:
        self._in_memory = file is None
        self._db = sqlite3.connect(
            ":memory:" if file is None else file, timeout=_WAIT, isolation_level=None, check_same_thread=False
        )
        self._finalizer = weakref.finalize(self, self._db.close)
        if file is None:
            self._db.executescript(_SCHEMA)
        elif self._db.execute("PRAGMA user_version").fetchone() != (VERSION,):
            raise sqlite3.DatabaseError("an index of another version")

    def refresh(self, list_ids: Callable[[], list[str]]) -> None:
        """Bring it up to date with the files of the runs that ``list_ids`` names, oldest first."""
        with self._lock:
            self._list_ids = list_ids
            self._sound(self._refresh)
            if self._in_memory:
                self._keep()

    def refresh_run(self, run_id: str) -> None:
        """Bring one run up to date with its files."""
        with self._lock:
            self._sound(lambda: self._drop(self._read([run_id])))
            if self._in_memory:
                self._keep()

    def states(self, query: Query) -> Iterator[tuple[str, HeadState]]:
        """(id, head) of runs as of the last refresh, newest first; a head has the query's keys of its ``PARTS``.

        Left out are those whose params, metrics and tags do not meet the query's conditions.
        """
        parts = [Part(part, query) for part in PARTS if query.keys(part)]
        columns = ", ".join(["id", "head", *(part.name for part in parts)])
        ask = f"SELECT {columns} FROM runs WHERE id < ? ORDER BY id DESC LIMIT {_BATCH}"  # noqa: S608  names of our own
        last = "~"  # after any id
        while last:
            page, last = self._fetch(ask, [last], parts)
            yield from page

    def states_of(self, run_ids: Sequence[str]) -> list[tuple[str, HeadState]]:
        """(id, head) of these runs as of the last refresh, as far as they were there."""
        found = []
        parts = [Part(part) for part in PARTS]
        ask = f"SELECT id, {', '.join(['head', *PARTS])} FROM runs WHERE id IN ("  # noqa: S608  names of our own
        for first in range(0, len(run_ids), _BATCH):
            batch = run_ids[first : first + _BATCH]
            found += self._fetch(ask + ",".join("?" * len(batch)) + ")", batch, parts)[0]
        return found

    def _fetch(self, ask: str, values: Sequence[Any], parts: Sequence[Part]) -> tuple[list[tuple[str, HeadState]], str]:
        """What is found, and the id of the last row if there may be more."""

        def fetch() -> tuple[list[tuple[str, HeadState]], str]:
            rows = self._db.execute(ask, values).fetchall()
            found = [(row[0], state) for row in rows if (state := decode_state(row[1], row[2:], parts)) is not None]
            return found, rows[-1][0] if len(rows) == _BATCH else ""

        with self._lock:
            return self._sound(fetch)

    def _sound(self, work: Callable[[], _Result]) -> _Result:
        """What ``work`` does; where the file is damaged or cannot be used, with an index made anew in memory."""
        try:
            return work()
        except (sqlite3.Error, *_NO_SENSE) as error:
            if self._in_memory:
                raise
            self._leave(error)
            self._refresh()
            return work()

    def _leave(self, error: Exception) -> None:
        """Go on in memory; a file that is damaged, and not merely in use or on a full disk, is deleted."""
        self._finalizer()
        self._spoiled(error)
        self._connect(None)

    def _spoiled(self, error: Exception) -> None:
        if self._file is not None and not isinstance(error, sqlite3.OperationalError):
            with contextlib.suppress(OSError):
                self._file.unlink(missing_ok=True)

    def _keep(self) -> None:
        """Put an index in memory into a file, if that is worth it."""
        (runs,) = self._db.execute("SELECT count(*) FROM runs").fetchone()
        if self._file is None or (runs < KEEP_RUNS and self._bytes_read < KEEP_BYTES):
            return
        try:
            self._file.parent.mkdir(0o700, parents=True, exist_ok=True)
            temporary = self._file.with_name(f".{os.urandom(6).hex()}.tmp")
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            try:
                copy = sqlite3.connect(temporary)
                with contextlib.closing(copy):
                    self._db.backup(copy)
                # What a process that died left beside an index of before would be taken for this one's.
                self._file.with_name(f"{self._file.name}-journal").unlink(missing_ok=True)
                temporary.rename(self._file)
            finally:
                temporary.unlink(missing_ok=True)
            self._finalizer()
            self._connect(self._file)
        except (OSError, sqlite3.Error):  # no folder that can be written
            self._file = None

    # ---- what has changed -------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        known = {row[0]: row[1:] for row in self._db.execute("SELECT id, folder, settled FROM runs")}
        changed = []  # the runs are listed after what is known of them: one that comes in between is not taken for gone
        quiet = time.time_ns() - SETTLED
        for run_id in self._list_ids():
            folder, settled = known.pop(run_id, (0, None))
            if settled is None or settled > quiet or _changed(f"{self._runs}/{run_id}/journal") != folder:
                changed.append(run_id)
        gone = list(known)
        for first in range(0, len(changed), _BATCH):
            gone += self._read(changed[first : first + _BATCH])
        self._drop(gone)

    def _drop(self, gone: list[str]) -> None:
        if gone:
            self._write("DELETE FROM runs WHERE id = ?", [(run_id,) for run_id in gone])

    def _read(self, run_ids: list[str]) -> list[str]:
        """Bring these runs up to date; those that are no more there."""
        scanned = time.time_ns()
        ask = f"SELECT id, folder, files FROM runs WHERE id IN ({','.join('?' * len(run_ids))})"  # noqa: S608
        known = {row[0]: row[1:] for row in self._db.execute(ask, run_ids)}
        gone, rows = [], []
        for run_id in run_ids:
            journal = f"{self._runs}/{run_id}/journal"
            if run_id in known and RunFiles(run_id, known[run_id][0], decode_marks(known[run_id][1])).unchanged(
                journal
            ):
                continue
            run = self._stored(run_id)
            before = run.folder, encode_marks(run.marks)
            if not run.refresh(journal):
                gone.append(run_id)
                continue
            self._bytes_read += run.bytes_read
            marks = encode_marks(run.marks)
            if (run.folder, marks) != before or run_id not in known:
                rows.append((run_id, run.folder, run.settled(), scanned, marks, *encode_state(run.state)))
        if rows:
            self._write(_PUT, rows)
        return gone

    def _stored(self, run_id: str) -> RunFiles:
        """What is known of a run: head and files as of one moment, since another process may be at work on both."""
        ask = "SELECT folder, files, head, params, metrics, tags FROM runs WHERE id = ?"
        row = self._db.execute(ask, [run_id]).fetchone()
        if row is None:
            return RunFiles(run_id)
        state = decode_state(row[2], row[3:], [Part(part) for part in PARTS])
        return RunFiles(run_id, row[0], decode_marks(row[1]), state)

    def _write(self, statement: str, rows: list[tuple[Any, ...]]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany(statement, rows)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.rollback()
            raise


def _changed(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return -1


_indexes: OrderedDict[str, Index] = OrderedDict()
_MOST = 4


def index_of(root: Path, runs: str, store: str) -> Index:
    """This process's index of the runs in a folder of a store.

    Args:
        root: The store.
        runs: Name of the folder.
        store: Id of the store, as its description says.
    """
    key = f"{root / runs} {store}"
    index = _indexes.pop(key, None)
    if index is None:
        folder = cache_folder(root, store)
        index = Index(str(root / runs), None if folder is None else folder / f"{runs}.sqlite")
    _indexes[key] = index
    while len(_indexes) > _MOST:
        _indexes.popitem(last=False)
    return index


def cache_folder(root: Path, store: str) -> Path | None:
    """Where things that can be made anew are kept for a store: ``<its id>-<hash of where it lies>``.

    Copies of a store have its id; each has its own. None where the id is none, or the user has no home.
    """
    if not re.fullmatch(r"[0-9a-f]{16}", store):
        return None
    base = os.environ.get("XDG_CACHE_HOME", "")
    base = base if os.path.isabs(base) else os.path.expanduser("~/.cache")
    place = zlib.crc32(os.fsencode(os.path.realpath(root)))
    return Path(base, "autotrack", f"{store}-{place:08x}") if os.path.isabs(base) else None


def _after_fork() -> None:
    """A connection is not carried into a child: it is left open there, and never used."""
    for index in _indexes.values():
        index._finalizer.detach()
    _indexes.clear()


os.register_at_fork(after_in_child=_after_fork)

"""Histories of metrics, kept in the user's cache folder as columns of numbers. It can be deleted at any time.

``histories.sqlite`` beside the index (see ``index.cache_folder``) holds, for a metric of a long run, how far the run's
files were read and the points in blocks: all steps, times and values, then all epochs where there are some. Only points
that came since are read from the journal. What is short is read there each time.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from array import array
from pathlib import Path
from typing import Any

from autotrack.backends.head_rows import decode_marks, encode_marks
from autotrack.backends.history import NONE, History, HistoryBuilder
from autotrack.backends.marks import FileMark, mark_at_start, open_journals, read_on, went_on

__all__ = ["KEEP_BYTES", "MOST_BYTES", "read_history"]

KEEP_BYTES = 256 * 1024
"""Bytes of journals from which on a history is worth keeping: less is read in some milliseconds."""

MOST_BYTES = 2_000_000_000
"""Size of the file at which it is begun anew."""

VERSION = 3 if sys.byteorder == "little" else 4
_BLOCK = 250_000  # points
_BLOCKS = 50  # short ones, of a run that goes on, are then put together
_WAIT = 5.0
_SCHEMA = f"""
PRAGMA page_size = 16384;
CREATE TABLE histories (run TEXT, key BLOB, files BLOB, points INTEGER, last REAL, PRIMARY KEY (run, key));
CREATE TABLE blocks (run TEXT, key BLOB, first INTEGER, points INTEGER, columns BLOB, PRIMARY KEY (run, key, first));
PRAGMA user_version = {VERSION};
"""


_NO_EPOCHS = array("q", [NONE]).tobytes()
_NO_SENSE = (ValueError, TypeError, LookupError)  # what a damaged row may raise


class _Stale(Exception):
    """What was kept cannot be gone on with."""


class _Reading:
    """A history, and how far the files were read for it."""

    def __init__(self, run_id: str, key: str) -> None:
        self.run_id, _, self.child = run_id.partition(".")
        self.builder = HistoryBuilder(key)
        self.marks: list[FileMark] = []
        self.kept = 0  # points that are in the cache
        self.blocks = 0
        self.last = -1e18  # time of the newest record

    def go_on(self, files: dict[str, int]) -> bool:
        """Read what is new; whether there was anything.

        Raises:
            _Stale: The files are not those that were read, or a record comes before others that were taken.
        """
        known = {mark.name: mark for mark in self.marks}
        if not known.keys() <= files.keys():
            raise _Stale
        self.marks = [known.get(name) or mark_at_start(name, fd, self.run_id) for name, fd in files.items()]
        before = encode_marks(self.marks)
        for mark, fd in zip(self.marks, files.values(), strict=True):
            if not went_on(mark, fd):
                raise _Stale
            for start, records in read_on(fd, mark, _written(self.builder.key)):
                self.builder.take_all(start, [record for record in records if record.c == self.child])
        if self.kept and self.builder.at and min(self.builder.at) <= self.last:  # at one time the writers' order counts
            raise _Stale
        self.builder.sort()
        self.last = self.builder.at[-1] if self.builder.at else self.last
        return encode_marks(self.marks) != before


def read_history(journal: str, run_id: str, key: str, file: Path | None) -> History:
    """All points of a metric.

    Args:
        journal: Folder of the run's journal files.
        run_id: The run, or a child of it.
        key: Name of the metric.
        file: Where histories are kept; None: nowhere.

    Raises:
        OSError: The folder cannot be read.
    """
    files = open_journals(journal)
    try:
        size = sum(os.fstat(fd).st_size for fd in files.values())
        cache = _open(file) if file is not None and size >= KEEP_BYTES else None
        with contextlib.closing(cache) if cache is not None else contextlib.nullcontext():
            reading = _Reading(run_id, key)
            try:
                if cache is not None:
                    _load(cache, run_id, reading)
                news = reading.go_on(files)
            except (_Stale, sqlite3.Error, *_NO_SENSE) as error:
                if cache is not None:
                    cache.rollback()
                if file is not None and not isinstance(error, (_Stale, sqlite3.OperationalError)):
                    with contextlib.suppress(OSError):
                        file.unlink(missing_ok=True)  # damaged
                reading = _Reading(run_id, key)
                news = reading.go_on(files)
            if cache is not None and news:
                with contextlib.suppress(sqlite3.Error):  # full, locked or damaged: it is read anew each time
                    _save(cache, run_id, reading)
            return reading.builder.history
    finally:
        for fd in files.values():
            os.close(fd)


def _written(key: str) -> bytes:
    """Bytes that stand in all lines about this metric, unless there is a backslash in them; none for an odd name."""
    return f'"{key}"'.encode() if key.isascii() and key.isprintable() and not set('"\\') & set(key) else b""


def _open(file: Path) -> sqlite3.Connection | None:
    """The cache, made where there is none, or none of this version; None where it cannot be."""
    for _ in range(2):
        try:
            file.parent.mkdir(0o700, parents=True, exist_ok=True)
            if os.access(file, os.F_OK) and file.stat().st_size > MOST_BYTES:
                file.unlink()
            cache = sqlite3.connect(file, timeout=_WAIT, isolation_level=None)
        except (OSError, sqlite3.Error):
            return None
        try:
            version = cache.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                cache.executescript(_SCHEMA)
            if version in (0, VERSION):
                return cache
        except sqlite3.OperationalError:  # another process is making it, or it cannot be written
            cache.close()
            return None
        except sqlite3.DatabaseError:
            pass
        cache.close()
        with contextlib.suppress(OSError):
            file.unlink()
    return None


def _columns(history: History) -> tuple[array[Any], ...]:
    """As they stand in a block; most histories have no epochs."""
    return history.step, history.time, history.value, history.epoch


def _load(cache: sqlite3.Connection, run_id: str, reading: _Reading) -> None:
    """What is kept of a history.

    Raises:
        sqlite3.Error, ValueError: It is damaged.
    """
    name = (run_id, reading.builder.key.encode("utf-8", "surrogatepass"))
    cache.execute("BEGIN")
    row = cache.execute("SELECT files, points, last FROM histories WHERE run = ? AND key = ?", name).fetchone()
    if row is not None:
        blocks = cache.execute("SELECT rowid, points FROM blocks WHERE run = ? AND key = ? ORDER BY first", name)
        for block, points in blocks:
            # By SELECT each block would be copied three times more: two thirds of the time.
            with cache.blobopen("blocks", "columns", block, readonly=True) as data:
                if len(data) not in (24 * points, 32 * points):
                    raise ValueError("a block has another size than its points")
                for column in _columns(reading.builder.history):
                    column.frombytes(data.read(8 * points) or _NO_EPOCHS * points)
            reading.blocks += 1
        reading.marks, reading.kept, reading.last = decode_marks(row[0]), row[1], row[2]
        if len(reading.builder.history) != reading.kept:
            raise ValueError("blocks are missing")
    cache.execute("COMMIT")


def _save(cache: sqlite3.Connection, run_id: str, reading: _Reading) -> None:
    """Keep what is new, unless another process has kept something meanwhile."""
    history = reading.builder.history
    name = (run_id, reading.builder.key.encode("utf-8", "surrogatepass"))
    cache.execute("BEGIN IMMEDIATE")
    try:
        row = cache.execute("SELECT points FROM histories WHERE run = ? AND key = ?", name).fetchone()
        first = reading.kept
        if first == 0 or reading.blocks >= _BLOCKS:
            cache.execute("DELETE FROM blocks WHERE run = ? AND key = ?", name)
            first = 0
        elif row != (reading.kept,):
            cache.execute("ROLLBACK")
            return
        for begin in range(first, len(history), _BLOCK):
            part = history[begin : begin + _BLOCK]
            *columns, epochs = [column.tobytes() for column in _columns(part)]
            if epochs != _NO_EPOCHS * len(part):
                columns.append(epochs)
            cache.execute("INSERT INTO blocks VALUES (?, ?, ?, ?, ?)", (*name, begin, len(part), b"".join(columns)))
        row = (*name, encode_marks(reading.marks), len(history), reading.last)
        cache.execute("INSERT OR REPLACE INTO histories VALUES (?, ?, ?, ?, ?)", row)
        cache.execute("COMMIT")
    except BaseException:
        cache.rollback()
        raise

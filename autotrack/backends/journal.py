"""The append-only files of one run: one per writing process, sealed every 64 KiB; how they are written and read."""

from __future__ import annotations

import errno
import os
import re
import threading
import time
import weakref
import zlib
from collections import OrderedDict
from pathlib import Path

from autotrack.backends.base import Entry, RunLog
from autotrack.records import FORMAT_VERSION, Head, Record, Seal, decode, encode

__all__ = [
    "COUNT_EVERY",
    "FARTHEST",
    "SEAL_EVERY",
    "JournalWriter",
    "add_journal",
    "block_intact",
    "is_far",
    "read_journal",
    "run_start",
]

SEAL_EVERY = 64 * 1024
"""Bytes between two seals."""

FARTHEST = 2**53
"""Microseconds (285 years) beyond which a time is damage."""

OPEN_FILES = 64
"""Journals kept open in a process; further ones are opened for each write."""

COUNT_EVERY = 32
"""Lines that are counted together: their checksum takes a tenth of the time."""

RETRY_AFTER = 5.0
"""Seconds between two tries to write after an error."""

_open: OrderedDict[int, JournalWriter] = OrderedDict()
_all: weakref.WeakSet[JournalWriter] = weakref.WeakSet()


class JournalWriter:
    """Appends lines to a file of its own in ``folder``.

    After any failure, an interrupted call or a fork, the file is left as it is and the next line opens
    another one: a torn line is never written on to, and a seal never covers what may not be there.
    """

    def __init__(self, folder: Path, run_id: str, file_mode: int = 0o600, start: float | None = None) -> None:
        self.folder = folder
        self.run_id = run_id
        self.start = time.time() if start is None else start
        self._zero = time.monotonic_ns()
        self._mode = file_mode
        _all.add(self)
        self._forget()
        self._next_try = 0.0

    def _forget(self) -> None:
        """Begin anew: no lock held, no file open."""
        self._lock = threading.RLock()
        self._busy = False
        self._later: list[bytes] = []
        self._fd = -1
        self._name = ""
        self._reset_counts()

    def _reset_counts(self) -> None:
        self.records = self._others = 0  # lines of this file; the others are its head and seals
        self._uncounted: list[bytes] = []  # written, and not yet part of what follows
        self._size = self._after_seal = self._crc = 0
        self._seal_at = SEAL_EVERY
        self.dirty = False

    def after_fork(self) -> None:
        """In the child: the descriptor is the parent's, and so is the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._forget()

    def elapsed(self) -> int:
        """Whole microseconds since ``start``, by a clock that does not jump."""
        return (time.monotonic_ns() - self._zero) // 1000

    @property
    def path(self) -> Path | None:
        """The file being written, if any."""
        return self.folder / self._name if self._name else None

    def append(self, data: bytes) -> None:
        """Append whole lines.

        Raises:
            OSError: They could not be written, or the last failure is less than ``RETRY_AFTER`` ago.
        """
        with self._lock:
            if self._busy:  # a signal handler logs while its thread is writing: after the line that it interrupted
                self._later.append(data)
                return
            self._busy = True
            try:
                self._write(data)
                self._write_later()
            except BaseException as error:
                # After Ctrl-C the disk is as good as before: nothing waits.
                self.abandon(RETRY_AFTER if isinstance(error, OSError) else 0.0)
                raise
            finally:
                self._busy = False

    def _write(self, data: bytes) -> None:
        fd = self._fd if self._fd >= 0 else self._open_file()
        written = os.write(fd, data)
        if written != len(data):
            _write_rest(fd, data[written:])
        self.dirty = True
        # Every step of a training passes here: what can wait is done for many lines at once.
        self._uncounted.append(data)
        if len(self._uncounted) >= COUNT_EVERY or len(data) >= SEAL_EVERY // COUNT_EVERY:
            self._count()
            if self._size >= self._seal_at:
                try:
                    self._write_seal()
                except OSError:  # the lines are whole; the next one will tell
                    self.abandon()

    def _write_later(self) -> None:
        while self._later:
            self._write(self._later[0])
            del self._later[0]

    def _count(self) -> None:
        """Take what was written into size, checksum and number of lines."""
        data = b"".join(self._uncounted)
        self._uncounted.clear()
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        self.records += data.count(b"\n")

    def seal(self) -> None:
        """Close the last block with a seal, if it has one line or more that is not a seal."""
        with self._lock:
            if self._fd < 0 or self._busy:
                return
            self._busy = True
            try:
                self._count()
                if self._size > self._after_seal:
                    self._write_seal()
                self._write_later()
            except BaseException:
                self.abandon()
                raise
            finally:
                self._busy = False

    def _write_seal(self) -> None:
        line = encode(Seal(t=self.elapsed(), o=self._size, n=self.records + self._others, crc=self._crc))
        _write_rest(self._fd, line)
        self._crc = zlib.crc32(line)
        self._seal_at = self._size + SEAL_EVERY
        self._size = self._after_seal = self._size + len(line)
        self._others += 1

    def _open_file(self) -> int:
        if self._name:
            fd = os.open(self.folder / self._name, os.O_WRONLY | os.O_APPEND)
        else:
            if time.monotonic() < self._next_try:
                raise OSError(errno.EAGAIN, "waiting after an error")
            fd = self._new_file()
        self._fd = fd
        _open[id(self)] = self
        if len(_open) > OPEN_FILES:  # by more than one where some could not be closed, as others were writing to them
            for oldest in list(_open.values())[: len(_open) - OPEN_FILES]:
                oldest.release(wait=False)
        return fd

    def _new_file(self) -> int:
        writer = os.urandom(8).hex()
        name = f"{writer}.jsonl"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
        fd = os.open(self.folder / name, flags, self._mode)
        try:
            if self._mode & 0o060:  # a shared store: whatever the umask says
                os.fchmod(fd, self._mode)
            head = Head(
                v=FORMAT_VERSION,
                run=self.run_id,
                writer=writer,
                start=round(self.start * 1e6),
                t=self.elapsed(),
                host=os.uname().nodename,
                pid=os.getpid(),
            )
            line = encode(head)
            _write_rest(fd, line)
        except BaseException:
            os.close(fd)
            (self.folder / name).unlink(missing_ok=True)
            raise
        self._reset_counts()
        self._name = name
        self._size = len(line)
        self._crc = zlib.crc32(line)
        self._others = 1
        return fd

    def abandon(self, wait: float = 0.0) -> int:
        """Leave the file for good, with so many records; the next line opens another, ``wait`` seconds later."""
        with self._lock:
            self._count()
            self._close_fd()
            self._name = ""
            self.dirty = False
            self._next_try = time.monotonic() + wait
            records, self.records = self.records, 0
            return records

    def _close_fd(self) -> None:
        fd, self._fd = self._fd, -1
        _open.pop(id(self), None)
        if fd >= 0:
            os.close(fd)

    def sync(self) -> None:
        """Force to disk what was written.

        Raises:
            OSError: It cannot be, or the file was deleted under us.
        """
        with self._lock:
            if not self.dirty or not self._name:
                return
            fd = os.dup(self._fd) if self._fd >= 0 else os.open(self.folder / self._name, os.O_WRONLY | os.O_APPEND)
            self.dirty = False
        try:  # without the lock: who logs meanwhile does not wait for the disk
            if os.fstat(fd).st_nlink == 0:
                raise FileNotFoundError(errno.ENOENT, "the journal was deleted", str(self.path))
            os.fsync(fd)
        finally:
            os.close(fd)

    def is_deleted(self) -> bool:
        """Whether the file was deleted while it was being written."""
        with self._lock:
            if not self._name:
                return False
            return os.fstat(self._fd).st_nlink == 0 if self._fd >= 0 else not (self.folder / self._name).exists()

    def release(self, wait: bool = True) -> None:
        """Close the descriptor; the next line opens the same file again."""
        if self._lock.acquire(blocking=wait):
            try:
                if not self._busy:
                    self._close_fd()
            finally:
                self._lock.release()

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)


def _write_rest(fd: int, data: bytes) -> None:
    """A disk that is filling up takes a part; the next try says what is wrong."""
    while data:
        written = os.write(fd, data)
        if written == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        data = data[written:]


def _after_fork() -> None:
    _open.clear()
    for writer in list(_all):
        writer.after_fork()


os.register_at_fork(after_in_child=_after_fork)


# ---- reading ------------------------------------------------------------------------------------------------------


def is_far(record: Record) -> bool:
    """Whether a record's time is out of range."""
    return abs(record.t) > FARTHEST or (isinstance(record, Head) and abs(record.start) > FARTHEST)


def run_start(run_id: str) -> float:
    """Unix time of a run's start as its id says, in seconds; 0.0 where the id says nothing."""
    try:
        parsed = time.strptime(run_id[:15], "%Y%m%dT%H%M%S")
        return _utc_seconds(parsed) + int(run_id[15:18]) / 1000
    except ValueError:
        return 0.0


def _utc_seconds(parsed: time.struct_time) -> float:
    import calendar  # noqa: PLC0415  only where a head is damaged

    return float(calendar.timegm(parsed))


class _Reading:
    """What has been read of one file so far."""

    def __init__(self, name: str, run_id: str) -> None:
        self.writer = name.removesuffix(".jsonl")
        self.start = run_start(run_id)
        self.entries: list[Entry] = []
        self.damage: list[str] = []
        self.unknown = 0
        self.sealed_at = 0
        self._shift = 0  # number that a line was written under, minus the one it has now
        self._name = name

    def hurt(self, what: str) -> None:
        self.damage.append(f"{self._name}: {what}")

    def take(self, data: bytes, number: int, offset: int, line: bytes) -> None:
        """One whole line, the ``number``-th from 1, that begins at ``offset``."""
        try:
            record = decode(line)
        except ValueError as error:
            self.hurt(f"line {number} (byte {offset}) is damaged: {error}")
            return
        if record is None:
            self.unknown += 1
        elif is_far(record):
            self.hurt(f"line {number} (byte {offset}) is damaged: its time is out of range")
        elif isinstance(record, Head):
            self.start = record.start / 1e6
        elif isinstance(record, Seal):
            self._check(record, data, number, offset)
        else:
            self._keep(record, number + self._shift)

    def _keep(self, record: Record, number: int) -> None:
        self.entries.append(Entry(self.start + record.t / 1e6, self.writer, number, record))

    def _check(self, seal: Seal, data: bytes, number: int, offset: int) -> None:
        intact = seal.o == offset and zlib.crc32(data[self.sealed_at : offset]) == seal.crc
        if not intact or seal.n != number - 1 + self._shift:
            self.hurt(f"bytes {self.sealed_at} to {offset} do not match their seal")
        if not intact:  # lines were joined or split: those that follow keep their numbers
            self._shift = seal.n - (number - 1)
        self.sealed_at = offset


_OWN_POINTS = rb'\{"k":"(?:m|points)"(?:,"t":-?[0-9]+)?,"(?:m|key)":'  # compiled by readers only


def read_journal(name: str, data: bytes, run_id: str, points: bool = True) -> tuple[list[Entry], list[str], int]:
    """(entries, damage in words, number of unknown kinds) of one file's content.

    Every whole line is read, also before and after damaged ones. A last line without its newline is
    being written, or was torn when its writer died: it is named and left out. Without ``points`` lines that hold
    points of the run's own metrics are passed over; what is damaged in them is seen by the seals.
    """
    reading = _Reading(name, run_id)
    own_points = None if points else re.compile(_OWN_POINTS)
    offset = 0
    for number, line in enumerate(data.split(b"\n"), 1):
        if offset + len(line) == len(data):
            if line:
                reading.hurt(f"torn last line of {len(line)} bytes at byte {offset}")
            break
        if number == 1 and not _readable_version(line, data, reading):
            break
        if own_points is None or not own_points.match(line):
            reading.take(data, number, offset, line)
        offset += len(line) + 1
    return reading.entries, reading.damage, reading.unknown


def add_journal(log: RunLog, name: str, data: bytes, points: bool = True) -> None:
    """Add what one file's content holds to the log of its run. ``by_time`` sorts the entries when all are there."""
    entries, damage, unknown = read_journal(name, data, log.run_id, points)
    log.entries += entries
    log.damage += damage
    log.unknown += unknown


def _readable_version(line: bytes, data: bytes, reading: _Reading) -> bool:
    """Whether the first line is a head of a version that can be read; a damaged one is taken to be."""
    try:
        head = decode(line)
    except ValueError:
        return True
    if isinstance(head, Head):
        if head.v > FORMAT_VERSION and block_intact(data):
            reading.hurt(f"written in format {head.v}; this autotrack reads up to {FORMAT_VERSION}: upgrade autotrack")
            return False
        return True
    reading.hurt("does not begin with a head")
    return True


def block_intact(data: bytes) -> bool:
    """Whether the bytes before the first seal match it; True where there is none. Its form never changes."""
    offset = data.find(b'\n{"k":"seal",') + 1
    try:
        seal = decode(data[offset : data.find(b"\n", offset)])
    except ValueError:
        return True
    return not isinstance(seal, Seal) or offset == 0 or zlib.crc32(data[:offset]) == seal.crc

"""The journal files of one run, read for its head: only what is new; of a long file that has ended, both ends."""

from __future__ import annotations

import operator
import os
import time

from autotrack.backends.heads import HeadFold, HeadState
from autotrack.backends.journal import FARTHEST, SEAL_EVERY
from autotrack.backends.marks import FileMark, is_same, mark_at_start, open_journals, read_on, went_on
from autotrack.records import FORMAT_VERSION, End, Facts, Head, Metrics, Points, Record, Seal, decode_lines

__all__ = ["RACY", "RunFiles"]


RACY = 10_000_000_000
"""Nanoseconds for which a folder that was just changed may be changed again without a new modification time."""

_METRICS = (b'{"k":"m"', b'{"k":"points"', b'{"k":"artifact"')


class _Anew(Exception):
    """What was read of the run cannot be gone on with."""


class RunFiles:
    """What is known of one run's files, and its head so far.

    Attributes:
        folder: Modification time of the folder of its journal files when it was listed, in nanoseconds; 0 where it was
            so young that more files may have come without a change of it.
        marks: Its files.
        state: The head that the records up to the marks make.
        bytes_read: Bytes of journals that ``refresh`` has read.
    """

    def __init__(
        self,
        run_id: str,
        folder: int = 0,
        marks: list[FileMark] | None = None,
        state: HeadState | None = None,
    ) -> None:
        self.run_id = run_id
        self.folder = folder
        self.marks = marks or []
        self.state = state or HeadState()
        self.bytes_read = 0

    def settled(self) -> int | None:
        """When the last of its files was changed, in nanoseconds, if it has ended."""
        if self.state.status in ("", "idle") or not self.folder:
            return None
        return max([self.folder, *(mark.changed for mark in self.marks)])

    def unchanged(self, journal: str) -> bool:
        """Whether the files are as they were; asks for the state of the folder and of each file once."""
        try:
            if not self.folder or os.stat(journal).st_mtime_ns != self.folder:
                return False
            return all(is_same(mark, os.lstat(f"{journal}/{mark.name}")) for mark in self.marks)
        except OSError:
            return False

    def refresh(self, journal: str) -> bool:
        """Read what is new in the folder ``journal``; False where there is no such folder any more."""
        try:
            changed = os.stat(journal).st_mtime_ns
            files = open_journals(journal)
        except OSError:
            if not os.path.isdir(os.path.dirname(journal)):
                return False
            changed, files = 0, {}
        self.folder = changed if time.time_ns() - changed > RACY else 0
        try:
            try:
                self._go_on(files)
            except _Anew:
                self._begin_anew(files)
        finally:
            for fd in files.values():
                os.close(fd)
        return True

    # ---- going on where reading stopped -----------------------------------------------------------------------------

    def _go_on(self, files: dict[str, int]) -> None:
        known = {mark.name: mark for mark in self.marks}
        if not known or not known.keys() <= files.keys():
            raise _Anew
        fold = HeadFold(self.state)
        marks = []
        for name, fd in files.items():
            mark = known.get(name) or mark_at_start(name, fd, self.run_id)
            if not went_on(mark, fd):
                raise _Anew
            if mark.offset < mark.size:
                self._read_on(fd, mark, fold)
            marks.append(mark)
        self.marks = marks

    def _read_on(self, fd: int, mark: FileMark, fold: HeadFold) -> None:
        before = mark.offset
        fold.file = mark.name
        for start, records in read_on(fd, mark):
            for record in records:
                if not fold.take_any(start + record.t / 1e6, record):
                    raise _Anew
        self.bytes_read += mark.offset - before

    # ---- from the beginning -----------------------------------------------------------------------------------------

    def _begin_anew(self, files: dict[str, int]) -> None:
        for way in (self._by_ends, self._sorted):
            self.state = HeadState()
            self.marks = [mark_at_start(name, fd, self.run_id) for name, fd in files.items()]
            try:
                way(files)
                return
            except _Anew:
                continue

    def _by_ends(self, files: dict[str, int]) -> None:
        """One file after another; the first, if it is long and has ended, by its first and last block."""
        fold = HeadFold(self.state)
        marks = sorted(self.marks, key=lambda mark: mark.changed)
        for mark in marks:
            fold.file = mark.name
            if mark is marks[0] and mark.size > 2 * SEAL_EVERY:
                self._skip_to_end(files[mark.name], mark, fold)
            self._read_on(files[mark.name], mark, fold)

    def _skip_to_end(self, fd: int, mark: FileMark, fold: HeadFold) -> None:
        """Take the first block, and put the mark behind the last ``end`` of the run, with what it says."""
        first = os.pread(fd, SEAL_EVERY, 0)
        at = mark.size - SEAL_EVERY
        last = os.pread(fd, SEAL_EVERY, at)
        self.bytes_read += len(first) + len(last)
        found = last.rfind(b'\n{"k":"end"') + 1
        while found > 0:
            line = last[found : last.find(b"\n", found) + 1]
            records = decode_lines(line)
            if line and records and isinstance(records[0], End) and not records[0].c:
                break
            found = last.rfind(b'\n{"k":"end"', 0, found - 1) + 1
        else:
            raise _Anew
        end = records[0]
        assert isinstance(end, End)
        if end.children is None or not self._take_first(first, mark, fold):
            raise _Anew
        mark.move(at + found + len(line), line)
        try:
            fold.take_summary(mark.start + end.t / 1e6, end)
        except (ValueError, TypeError):
            raise _Anew from None

    def _take_first(self, block: bytes, mark: FileMark, fold: HeadFold) -> bool:
        """Whether the first block says who made the run, and where; takes it."""
        told = False
        lines = [line for line in block.split(b"\n")[:-1] if not line.startswith(_METRICS)]
        for record in decode_lines(b"\n".join(lines)):
            if isinstance(record, Head):
                if record.v > FORMAT_VERSION or abs(record.start) > FARTHEST:
                    return False
                mark.start = record.start / 1e6
            elif record.c or isinstance(record, Seal):
                continue  # children are counted in the summary
            elif abs(record.t) > FARTHEST or not fold.take_any(mark.start + record.t / 1e6, record):
                return False
            told = told or (isinstance(record, Facts) and "environment" in record.f)
        return told and fold.state.begun

    def _sorted(self, files: dict[str, int]) -> None:
        """All records of all files; those whose order matters are sorted before they are taken."""
        fold = HeadFold(self.state)
        waiting: list[tuple[float, Record]] = []
        for mark in self.marks:  # by name, that is by writer: sorting keeps that order where times are equal
            for start, records in read_on(files[mark.name], mark):
                for record in records:
                    if record.c or isinstance(record, (Metrics, Points)):
                        fold.take_any(start + record.t / 1e6, record)
                    else:
                        waiting.append((start + record.t / 1e6, record))
            self.bytes_read += mark.offset
        waiting.sort(key=operator.itemgetter(0))
        for at, record in waiting:
            fold.take_any(at, record)

"""A journal file that grows, read piece by piece."""

from __future__ import annotations

from pathlib import Path

from autotrack.backends.base import Entry
from autotrack.backends.journal import is_far, run_start
from autotrack.backends.journal_folder import open_plain_file
from autotrack.records import FORMAT_VERSION, Head, Seal, decode

__all__ = ["JournalTail"]


class JournalTail:
    """Gives the records of one file in order, each once, under the lines that ``read_journal`` gives them.

    Attributes:
        writer: Its writer.
        offset: Bytes read so far, whole lines only.
        damage: What could not be read, in words.
    """

    def __init__(self, path: Path, run_id: str) -> None:
        self.path = path
        self.writer = path.name.removesuffix(".jsonl")
        self.offset = 0
        self.damage: list[str] = []
        self._start = run_start(run_id)
        self._lines = 0
        self._shift = 0  # number that a line was written under, minus the one that it has now
        self._readable = True

    def read(self, limit: int = 1 << 20) -> list[Entry]:
        """The records of the next whole lines, about ``limit`` bytes of them; none where nothing new is there.

        A file that is gone, or cannot be read, gives nothing.
        """
        entries: list[Entry] = []
        while self._readable and not entries:
            data = self._next(limit)
            if not data:
                break
            for line in data.split(b"\n")[:-1]:
                self._take(line, entries)
            self.offset += len(data)
        return entries

    def _next(self, limit: int) -> bytes:
        """Whole lines from ``offset`` on; more than ``limit`` where one is longer."""
        data = b""
        try:
            if self.path.stat(follow_symlinks=False).st_size <= self.offset:
                return b""
            with open_plain_file(self.path) as file:
                file.seek(self.offset)
                while block := file.read(limit):
                    data += block
                    if b"\n" in block:
                        break
        except OSError:
            return b""
        return data[: data.rfind(b"\n") + 1]

    def _take(self, line: bytes, entries: list[Entry]) -> None:
        self._lines += 1
        try:
            record = decode(line)
            if record is not None and is_far(record):
                raise ValueError("its time is out of range")
        except ValueError as error:
            self.damage.append(f"{self.path.name}: line {self._lines} is damaged: {error}")
            return
        if isinstance(record, Head):
            self._start = record.start / 1e6
            self._readable = record.v <= FORMAT_VERSION
        elif isinstance(record, Seal):
            if record.n != self._lines - 1 + self._shift:  # lines were joined or split
                self._shift = record.n - (self._lines - 1)
        elif record is not None:
            entries.append(Entry(self._start + record.t / 1e6, self.writer, self._lines + self._shift, record))

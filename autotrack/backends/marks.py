"""How far a journal file was read, and its records from there on."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

import msgspec

from autotrack.backends.journal import FARTHEST, block_intact, run_start
from autotrack.records import FORMAT_VERSION, Head, Record, Seal, decode_lines

__all__ = ["FileMark", "is_same", "mark_at_start", "open_journals", "read_on", "went_on"]

_CHUNK = 1 << 20
_TAIL = 32
_UNREADABLE = "00"  # the tail of a file that is left alone; no file has this one


class FileMark(msgspec.Struct, array_like=True):
    """How far a journal file was read, and what tells that it is still the same file.

    ``offset`` is where the first line that was not read begins, ``tail`` the last bytes before it in hex, ``start``
    Unix time in seconds that the times of the next lines count from.
    """

    name: str
    device: int
    inode: int
    changed: int
    size: int
    offset: int = 0
    start: float = 0.0
    tail: str = ""

    def move(self, offset: int, read: bytes) -> None:
        """Everything before ``offset`` has been read; ``read`` ends there."""
        self.offset = offset
        self.tail = read[-_TAIL:].hex()


def open_journals(folder: str) -> dict[str, int]:
    """Descriptors of the journal files in a folder by name, sorted; without links, pipes and what cannot be read.

    Raises:
        OSError: The folder cannot be read.
    """
    found = {}
    for name in sorted(name for name in os.listdir(folder) if name.endswith(".jsonl")):
        try:
            fd = os.open(f"{folder}/{name}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        if stat.S_ISREG(os.fstat(fd).st_mode):
            found[name] = fd
        else:
            os.close(fd)
    return found


def mark_at_start(name: str, fd: int, run_id: str) -> FileMark:
    """A mark before the first line."""
    status = os.fstat(fd)
    return FileMark(name, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size, start=run_start(run_id))


def is_same(mark: FileMark, status: os.stat_result) -> bool:
    """Whether nothing happened to the file since the mark was set."""
    now = status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
    return (mark.device, mark.inode, mark.changed, mark.size) == now


def went_on(mark: FileMark, fd: int) -> bool:
    """Whether the file is as it was or has grown; takes its new size. False: what was read of it counts no more."""
    status = os.fstat(fd)
    if is_same(mark, status):
        return True
    if (mark.device, mark.inode) != (status.st_dev, status.st_ino) or status.st_size <= mark.size:
        return False
    if os.pread(fd, len(mark.tail) // 2, mark.offset - len(mark.tail) // 2).hex() != mark.tail:
        return False
    mark.size, mark.changed = status.st_size, status.st_mtime_ns
    return True


def read_on(fd: int, mark: FileMark, wanted: bytes = b"") -> Iterator[tuple[float, list[Record]]]:
    """Records of the whole lines from the mark on, with the time that theirs counts from; moves the mark behind them.

    Args:
        fd: The file.
        mark: How far it was read.
        wanted: Lines without these bytes may be passed over.
    """
    while mark.offset < mark.size:
        want = _CHUNK
        while True:
            data = os.pread(fd, min(want, mark.size - mark.offset), mark.offset)
            whole = data.rfind(b"\n") + 1
            if whole or len(data) < want:
                break
            want *= 2  # a line that is longer than a chunk
        if not whole:  # it is being written
            return
        waiting: list[Record] = []
        for record in decode_lines(_lines_with(wanted, data[:whole]) if wanted else data[:whole]):
            if isinstance(record, Head):
                if record.v > FORMAT_VERSION and not mark.offset and block_intact(data):
                    mark.offset, mark.tail = mark.size, _UNREADABLE
                    return
                if abs(record.start) <= FARTHEST:
                    yield mark.start, waiting
                    waiting = []
                    mark.start = record.start / 1e6
            elif -FARTHEST <= record.t <= FARTHEST and type(record) is not Seal:
                waiting.append(record)
        yield mark.start, waiting
        mark.move(mark.offset + whole, data[max(0, whole - _TAIL) : whole])


def _lines_with(wanted: bytes, data: bytes) -> bytes:
    """Lines with these bytes, heads, and those in which they may be written otherwise."""
    lines = data.split(b"\n")
    return b"\n".join([line for line in lines if wanted in line or b"\\" in line or line.startswith(b'{"k":"head"')])

"""The contract of a backend: one half takes records, the other gives them back.

Its rules, by the names under which ``autotrack.testing.backend_suite`` tells what is broken:

* order: records of one thread are read back in the order in which they were written; entries lie by time, then
  writer, then line; runs oldest first.
* once: each record is read once, always under the same writer and line. Equal records stay as many as were written;
  what is delivered a second time is read once.
* values: records come back equal, whatever stands in them; those of unknown kinds are counted.
* runs: an id is given once, runs do not mix, what is not there is ``RunNotFound``.
* writers: a writer is called from any thread of the process that opened it, and goes on working in a forked child;
  several processes use one store at once.
* durable: when ``write`` returns, the records survive the death of the process.
* readers: who reads beside a writer sees a beginning of what was written, which only grows.
* refusal: a store that takes nothing raises nothing; one warning, and what is lost is counted.
* damage: what cannot be read is named, and costs no other record.
* files: a file is there whole or not at all; the last one of a path counts.
* paths: a path that leads out of the run is refused; any other stays as it is.
* end: the end of a run is a record like others. What comes later is kept, and a removed run stays removed.
* heads: what a list shows of a run, and the points of a metric, are what its records say, also beside a writer.
* quiet: nothing is printed, nothing global moves, and what was given is neither changed nor looked at later.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

from autotrack.errors import ArtifactPathError, RunNotFound, StoreError
from autotrack.records import Begin, Record, Removed, Restored

if TYPE_CHECKING:  # a training reads nothing
    from autotrack.backends.heads import Query, RunHead
    from autotrack.backends.history import History
    from autotrack.backends.registry import Registry

__all__ = [
    "RUN_ID",
    "Backend",
    "Entry",
    "RunLog",
    "RunSource",
    "RunWriter",
    "StoredFile",
    "StoredJournal",
    "by_time",
    "new_run_id",
    "safe_path",
]


class StoredFile(NamedTuple):
    """A file that lies whole in a run's folder: POSIX path below it, size in bytes, sha256 in hex."""

    path: str
    size: int
    sha256: str


class StoredJournal(NamedTuple):
    """A writer's journal as it was written: bytes that are there now, and what opens it."""

    size: int
    open: Callable[[], BinaryIO]


class Entry(NamedTuple):
    """One record as read back. ``time`` is Unix time in seconds; (writer, line) is its identity in the run."""

    time: float
    writer: str
    line: int
    record: Record


@dataclass
class RunLog:
    """All records of a run, merged by time, ties by writer and line.

    Attributes:
        run_id: The run.
        entries: Its records.
        alive: Whether the process that began it still works: True, False, or None where that cannot be told.
        here: Whether that process ran on this very host since its last boot.
        damage: What could not be read, in words, with file and place.
        unknown: Number of records of kinds that this version does not know.
    """

    run_id: str
    entries: list[Entry] = field(default_factory=list)
    alive: bool | None = None
    here: bool = False
    damage: list[str] = field(default_factory=list)
    unknown: int = 0


class RunWriter(Protocol):
    """Takes the records of one run."""

    run_id: str
    start: float
    dropped: int

    def elapsed(self) -> int:
        """Whole microseconds since ``start``; the ``t`` of a record."""
        ...

    def write(self, records: Sequence[Record]) -> None:
        """Append records, in order. Never raises for a full or vanished disk: what is lost is counted."""
        ...

    def put_file(self, path: PurePosixPath, source: bytes | os.PathLike[str]) -> StoredFile | None:
        """Store a file under ``path`` below the run, whole or not at all; None where it could not be stored.

        Raises:
            ArtifactPathError: The path would leave the run's folder.
        """
        ...

    def close(self) -> None:
        """The run has ended. Writing may go on later."""
        ...

    def resume(self) -> None:
        """The run goes on after it had ended."""
        ...


class RunSource(Protocol):
    """Gives records back, while others write.

    ``run_ids``, ``read`` and ``open`` are all that a source must have. What has a body here works on them, by reading
    runs whole: a source that knows a shorter way (an index, a server that is asked) takes that. One that has ``head``
    has ``outline``, too.
    """

    def run_ids(self) -> list[str]:
        """All runs, oldest first."""
        ...

    def heads(self, query: Query) -> Iterator[RunHead]:
        """Heads of all runs, newest first, as they are now.

        The reader applies the whole query to what comes: a source may leave out any run that does not meet its
        experiment and conditions, or none. Of a head only the attributes and ``query.keys`` of its params, metrics and
        tags are looked at; all else in these may be missing. The reader stops when it has enough.
        """
        return (head for run_id in reversed(self.run_ids()) for head in self.heads_of([run_id]).values())

    def heads_of(self, run_ids: Sequence[str]) -> dict[str, RunHead]:
        """Whole heads of these runs, by id; of those that are there (any more)."""
        from autotrack.backends.heads import head_in  # noqa: PLC0415

        found = {}
        for run_id in run_ids:
            try:
                found[run_id] = head_in(self.read(run_id))
            except RunNotFound:  # removed meanwhile
                continue
        return found

    def head(self, run_id: str) -> RunHead | None:
        """Whole head of a run, as it is now; None where that takes as long as reading the run.

        Raises:
            RunNotFound: There is no such run.
        """
        return None

    def outline(self, run_id: str) -> RunLog:
        """Everything about one run but the points of its own metrics, which may be missing: its head sums them up.

        Raises:
            RunNotFound: There is no such run.
        """
        return self.read(run_id)

    def read(self, run_id: str) -> RunLog:
        """Everything about one run.

        Raises:
            RunNotFound: There is no such run.
        """
        ...

    def history(self, run_id: str, key: str) -> History:
        """All points of a metric, in order, as they are now; none where there is no such metric.

        Args:
            run_id: A run, or a child run: ``<id of the run>.<c>``.
            key: Name of the metric.

        Raises:
            RunNotFound: There is no such run.
        """
        from autotrack.backends.history import HistoryBuilder  # noqa: PLC0415

        top, _, child = run_id.partition(".")
        builder = HistoryBuilder(key)
        for entry in self.read(top).entries:  # sorted
            if entry.record.c == child:
                builder.take(entry.time, entry.record)
        return builder.history

    def open(self, run_id: str, path: str) -> BinaryIO:
        """A stored file, for reading.

        Raises:
            ArtifactPathError: The path would leave the run's folder.
            FileNotFoundError: It is not there.
        """
        ...

    def journals(self, run_id: str) -> dict[str, StoredJournal]:
        """The journal of each writer, byte for byte; none where the store does not keep them so, or not yet."""
        return {}

    def files(self, run_id: str) -> dict[str, int]:
        """Bytes of the stored files by path, with those that no record names; none where they cannot be listed."""
        return {}

    # What follows changes what others wrote. A store that cannot be changed leaves it as it is here.

    def edit(self, run_id: str, records: Sequence[Record]) -> None:
        """Add records to a run of any process, by a writer of their own. Their ``t`` is set: they come after all
        edits that are there.

        Raises:
            RunNotFound: There is no such run.
            StoreError: They cannot be written; the message says why.
        """
        raise StoreError("runs of this store cannot be changed from here")

    def remove(self, run_id: str) -> None:
        """Delete a run, so that ``restore`` can still bring it back.

        Raises:
            RunNotFound: There is no such run.
            StoreError: It goes on, or cannot be written.
        """
        self.edit(run_id, [Removed()])

    def restore(self, run_id: str) -> None:
        """Take back ``remove``; see there."""
        self.edit(run_id, [Restored()])

    def removed(self) -> RunSource | None:
        """Where runs that were removed can be read; None where the store has no such place."""
        return None

    def experiments(self) -> list[RunLog]:
        """What was said of experiments: a log for each, that begins with its first name. Most have none."""
        return []

    def edit_experiment(self, name: str, records: Sequence[Record]) -> None:
        """Say something of the experiment with this first name.

        Raises:
            StoreError: It cannot be written.
        """
        raise StoreError("experiments of this store cannot be changed from here")


class Backend(Protocol):
    """A store."""

    def open_run(self, run_id: str, begin: Begin) -> RunWriter:
        """Start a run and write its first record. A store that cannot be written drops what it is given.

        Raises:
            FileExistsError: There is a run of this id.
        """
        ...

    def source(self) -> RunSource:
        """The reading half."""
        ...

    def registry(self) -> Registry | None:
        """Its registered models; None where it keeps none. The contract is in ``autotrack.backends.registry``."""
        ...

    def close(self) -> None:
        """The process ends: make safe what is not yet, in bounded time, and tell how many records were lost."""
        ...


RUN_ID = re.compile(r"[0-9]{8}T[0-9]{9}-[0-9a-f]{10}")
"""What the id of a run looks like, as ``new_run_id`` makes it."""


def new_run_id(now: float) -> str:
    """``20261122T193015123-9f8e7d6c5b``: UTC to the millisecond, then 40 random bits (never from ``random``)."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
    return f"{stamp}{int(now * 1000) % 1000:03d}-{os.urandom(5).hex()}"


_MAX_PART = 200  # bytes; file systems allow 255, temporary names need some


def safe_path(path: str | PurePosixPath) -> PurePosixPath:
    """``path`` as a relative POSIX path that stays below the folder that it is joined to.

    Raises:
        ArtifactPathError: It is absolute, has ``..``, control characters, backslashes or overlong parts.
    """
    text = str(path)
    parts = text.split("/")
    problem = ""
    if not text or text.startswith("/") or (len(text) > 1 and text[1] == ":"):
        problem = "it must be relative and not empty"
    elif any(part in ("", ".", "..") for part in parts):
        problem = "it must have no empty, '.' or '..' part"
    elif any(ord(char) < 32 or ord(char) == 127 or char == "\\" or 0xD800 <= ord(char) < 0xE000 for char in text):
        problem = "it must have no control characters, backslashes or lone surrogates"
    elif any(len(part.encode()) > _MAX_PART for part in parts) or len(text.encode()) > 1000:
        problem = f"its parts must not be longer than {_MAX_PART} bytes, the whole not longer than 1000"
    if problem:
        raise ArtifactPathError(f"{text[:200]!r} cannot be the path of an artifact: {problem}")
    return PurePosixPath(text)


def by_time(entries: Iterable[Entry]) -> list[Entry]:
    """Entries of several writers in reading order."""
    return sorted(entries, key=lambda entry: (entry.time, entry.writer, entry.line))

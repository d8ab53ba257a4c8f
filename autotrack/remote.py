"""The contract of a remote store: a server that runs are copied to from their journals, by ``forward``.

A plugin offers an ``Offer`` by the hook ``autotrack_remotes``. What its ``connect`` gives has to hold to this:

* Everything may come twice: after a lost answer, a kill, or from two processes at once. What is delivered
  again changes nothing; a record is on the server once.
* The server says how far it is: what ``missing`` says is read from it, and moves when all else of a ``write`` is there.
* What the server does not take costs nothing else: it is left out and named in ``problems``.
* ``RemoteError`` means: not now, try again later. ``RemoteRefused`` means: not with these credentials.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Protocol

from autotrack.backends.base import RUN_ID, Entry, RunLog, RunSource, StoredJournal, by_time, safe_path
from autotrack.backends.journal import add_journal, run_start
from autotrack.backends.stored_files import named_files
from autotrack.records import Begin, Model, Record

if TYPE_CHECKING:
    from autotrack.backends.registry import Registry

__all__ = [
    "RUN_ID",
    "Entry",
    "ForeignRun",
    "LocalRun",
    "Offer",
    "Remote",
    "RemoteRun",
    "RunLog",
    "RunSource",
    "StoredJournal",
    "add_journal",
    "by_time",
    "named_files",
    "run_start",
    "safe_path",
]


@dataclass(frozen=True, slots=True)
class LocalRun:
    """A run as it lies in the file store.

    Attributes:
        id: Its id.
        begin: Its first record.
        start: Unix time of that record, in seconds.
        open: Opens a stored file by its path below the run's folder.
        describe: Gives what others need beside a saved model's file to open it, by POSIX path; nothing is loaded.
    """

    id: str
    begin: Begin
    start: float
    open: Callable[[str], BinaryIO]
    describe: Callable[[Model], dict[str, bytes]]


class RemoteRun(Protocol):
    """The copy of one run on the server.

    Attributes:
        exists: Whether it was there when it was looked for, deleted or not.
        problems: What the server did not take, in words.
    """

    exists: bool
    problems: list[str]

    @property
    def removed(self) -> bool:
        """Whether somebody deleted it there: it stays so, and nothing more is sent."""
        ...

    @property
    def journals(self) -> Mapping[str, int]:
        """Size in bytes of each writer's journal that the server keeps."""
        ...

    def missing(self, entry: Entry) -> bool:
        """Whether the server does not have a record yet; False where its run is deleted there."""
        ...

    def write(self, writer: str, entries: Sequence[Entry]) -> None:
        """Take the next records of one writer, in order; those that are there are left out."""
        ...

    def remove(self, child: str) -> bool:
        """Delete the copy of a child run; of the run itself (``""``) all of them. False where it is not there."""
        ...

    def restore(self, child: str) -> bool:
        """Take back ``remove``; False where nothing was removed, or by somebody else."""
        ...

    def keep_journal(self, writer: str, journal: BinaryIO, size: int) -> None:
        """Keep ``size`` bytes of a writer's journal, so that the run can be restored from them."""
        ...

    def keep_head(self, head: bytes) -> None:
        """Keep what a list shows of the run, for ``remote_reading``; it counts when the journals it names are kept."""
        ...

    def lost(self, time: float) -> None:
        """The process of the run is gone without having ended it; last heard of at this Unix time in seconds."""
        ...


class Remote(Protocol):
    """A server."""

    def run(self, local: LocalRun) -> RemoteRun:
        """The copy of a run, as it is there now. It is made when the first records come."""
        ...

    def close(self) -> None:
        """No more will come."""
        ...


@dataclass(slots=True)
class ForeignRun:
    """A run that another tool recorded.

    Attributes:
        id: By which that tool knows it, and it is found again.
        parent: That of its parent; empty where it has none.
        name: Its name.
        experiment: Name of its experiment.
        start: Unix time in seconds.
        end: Likewise; None where it has not ended.
        status: ``finished``, ``failed`` or ``interrupted``; empty where it has not ended.
        alive: Unix time in seconds of the last thing that was heard of it.
        records: Gives what was logged, with Unix times: params, metrics, tags, facts.
        files: Gives the stored files: POSIX path, and what opens each.
        problems: What of it cannot be had, in words; complete when records and files were given.
    """

    id: str
    parent: str
    name: str
    experiment: str
    start: float
    end: float | None
    status: str
    alive: float
    records: Callable[[], Iterable[tuple[float, Record]]]
    files: Callable[[], Iterable[tuple[str, Callable[[], BinaryIO]]]]
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a plugin offers.

    Attributes:
        name: What it is called in tables and messages.
        schemes: The URI schemes that it serves.
        needs: The module without which it does not work, and how that is installed; looked for, not imported.
        connect: Gives the remote of a URI, without speaking to it yet. Raises ConfigError where it makes no sense.
        source: Gives the reading half of a URI, likewise.
        foreign: Gives the runs of other tools at a URI or in a folder, experiment by experiment; None where it knows of
            none. Raises ConfigError where there can be none.
        registry: Gives the registered models of a URI, likewise; None where the server has none.
    """

    name: str
    schemes: tuple[str, ...]
    needs: tuple[str, str]
    connect: Callable[[str], Remote]
    source: Callable[[str], RunSource]
    foreign: Callable[[str], Iterator[list[ForeignRun]]] | None = None
    registry: Callable[[str], Registry] | None = None

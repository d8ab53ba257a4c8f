"""Journals of a file store → a remote store. The journal is the truth; what is sent twice is there once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from autotrack import plugins
from autotrack.backends.base import Entry
from autotrack.backends.file_source import FileSource
from autotrack.backends.journal_folder import open_plain_file
from autotrack.backends.liveness import is_alive
from autotrack.backends.run_files import RunFiles
from autotrack.backends.tail import JournalTail
from autotrack.backends.trash import TRASH
from autotrack.errors import ArtifactPathError, RemoteError, RemoteRefused
from autotrack.records import Artifact, Begin, End, Model, Removed, Restored, Resumed
from autotrack.remote import LocalRun, Remote, RemoteRun
from autotrack.remote_reading import encode_head

__all__ = ["Copier", "Forwarder", "Progress", "sync"]

PERIOD = 2.0
"""Seconds between two looks at a store in which runs go on."""

LONGEST_PAUSE = 60.0
"""Seconds after which a server that cannot be reached is tried again, at the latest."""

LARGE_FILE = 1_000_000
"""Bytes of a file after which the server is told how far we are."""


@dataclass
class Progress:
    """What was done.

    Attributes:
        runs: Ids of the runs of which something was sent.
        records: Number of records sent.
        open: Ids of the runs that go on.
        converting: Ids of the runs with a model that is on its way to its safe form.
        problems: What the server did not take, in words.
    """

    runs: set[str] = field(default_factory=set)
    records: int = 0
    open: set[str] = field(default_factory=set)
    converting: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


class Copier(Protocol):
    """Copies runs to another store."""

    progress: Progress

    def round(self, *, send: bool = True) -> bool:
        """Send what is new in all runs; False where nothing was. Without ``send`` only count it."""
        ...


class Forwarder:
    """Copies runs of a file store to a server, as often as it is called; each time what is new.

    Args:
        root: The store.
        remote: The server.
        wanted: Says of a run's first record whether it is to be copied; None: all are.
        since: Runs whose ids sort before this are left out.
    """

    def __init__(
        self, root: Path, remote: Remote, wanted: Callable[[Begin], bool] | None = None, since: str = ""
    ) -> None:
        self.progress = Progress()
        self._source = FileSource(root)
        self._remote = remote
        self._wanted = wanted
        self._since = since
        self._runs: dict[Path, _Run | None] = {}  # by folder; None: not wanted, or done with

    def round(self, *, send: bool = True) -> bool:
        """Send what is new in all runs; False where nothing was. Without ``send`` only count it.

        Raises:
            RemoteError: The server cannot be reached. What was not sent is sent by a later call.
        """
        before = self.progress.records
        trash = self._source.removed()
        runs = {}  # what is no longer there is forgotten: a run that comes back out of the trash is another one
        for source, parent in ((self._source, "runs"), (trash, "trash")):
            for run_id in source.run_ids():
                folder = source.root / parent / run_id
                if run_id >= self._since:
                    runs[folder] = self._runs.get(folder, _Run(source, folder))
        self._runs = runs
        self.progress.open &= {folder.name for folder in runs}
        again = [self._step(folder, send) for folder, run in list(runs.items()) if run is not None]
        return self.progress.records > before or any(again)

    def _step(self, folder: Path, send: bool) -> bool:
        """Whether records of a run are to be read once more."""
        run, run_id = self._runs[folder], folder.name
        assert run is not None
        begin = run.begin()
        if begin is None:  # it is being made, or damaged
            return False
        if self._wanted is not None and not self._wanted(begin):
            self._runs[folder] = None
            return False
        try:
            sent = run.send(self._remote, self.progress.problems) if send else run.count(self._remote)
        except RemoteError:
            self._runs[folder] = run.anew()  # what is on the server is asked again
            raise
        self.progress.records += sent
        if sent:
            self.progress.runs.add(run_id)
        if run.gone:
            self._runs[folder] = None
        elif run.again:
            self._runs[folder] = run.anew()
        (self.progress.open.discard if run.ended or run.gone else self.progress.open.add)(run_id)
        (self.progress.converting.add if run.converting else self.progress.converting.discard)(run_id)
        return run.again


def sync(
    copier: Copier,
    *,
    patience: float,
    watch: bool = False,
    tell: Callable[[str], None],
    stop: Callable[[bool], bool] | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Send until nothing is new; with ``watch`` until ``stop`` says so, and what comes meanwhile.

    Args:
        copier: Who sends.
        patience: Seconds without success after which a server that cannot be reached is given up.
        watch: Whether to go on when all is there.
        tell: Is given words for a person when the server cannot be reached, and when it can again.
        stop: Asked after each round, with whether all is there.
        wait: Waits so many seconds, or less.

    Raises:
        RemoteError: The server was out of reach for too long.
        RemoteRefused: It does not accept our credentials.
    """
    pause, told, last = 0.0, "", time.monotonic()
    while True:
        records = copier.progress.records
        try:
            new = copier.round()
            if told:
                tell("the server answers again")
            pause, told, last = 0.0, "", time.monotonic()
        except RemoteError as error:
            if copier.progress.records > records:
                last = time.monotonic()
            if isinstance(error, RemoteRefused) or time.monotonic() - last > patience:
                raise
            if str(error) != told:
                tell(told := str(error))
            pause, new = min(max(1.0, pause * 2), LONGEST_PAUSE), True
        if (not new and not watch) or (stop is not None and stop(not new)):
            return
        if pause or not new:
            wait(pause or PERIOD)


class _Run:
    """How far one run is.

    Attributes:
        ended: Whether its training has ended, or its process is gone.
        gone: Whether it was deleted, here or there.
        again: Whether records were passed over that are to be sent after all, as it was restored.
        converting: Models that are on their way to their safe form: child run and name.
    """

    def __init__(self, source: FileSource, folder: Path) -> None:
        self.ended = self.gone = self.again = False
        self.converting: set[tuple[str, str]] = set()
        self._source = source
        self._folder = folder
        self._id = folder.name
        self._tails: dict[str, JournalTail] = {}
        self._copy: RemoteRun | None = None
        self._begin: Begin | None = None
        self._start = 0.0
        self._told = 0
        self._stones: dict[str, tuple[float, str, int, bool]] = {}  # by child run: who removed or restored it last
        self._passed_over: set[str] = set()  # child runs

    def anew(self) -> _Run:
        """The same run, as if nothing had been sent. Who removed or restored what is known beforehand."""
        run = _Run(self._source, self._folder)
        run._stones = self._stones
        return run

    def begin(self) -> Begin | None:
        """Its first record, once it is there."""
        if self._begin is None:
            for name in self._writers():
                first = JournalTail(self._folder / "journal" / name, self._id).read(1 << 12)[:1]
                if first and isinstance(first[0].record, Begin) and not first[0].record.c:
                    self._begin, self._start = first[0].record, first[0].time
                    self._tail(name)  # first of all: what it began is known before others add to it
        return self._begin

    def _writers(self) -> list[str]:
        try:
            return sorted(path.name for path in (self._folder / "journal").iterdir() if path.suffix == ".jsonl")
        except OSError:
            return []

    def _tail(self, name: str) -> JournalTail:
        return self._tails.setdefault(name, JournalTail(self._folder / "journal" / name, self._id))

    def send(self, remote: Remote, problems: list[str]) -> int:
        """Send what is new, and what is due when nothing is; the number of records."""
        alive, here = is_alive(self._folder / "alive")  # before reading: an end in between is not missed
        copy = self._open(remote)
        sent = 0
        for tail, entries in self._new():
            for part in _parts(self._kept(entries)):
                new = sum(copy.missing(entry) for entry in part)
                copy.write(tail.writer, part)
                sent += new
        sent += self._remove(copy)
        problems += copy.problems[self._told :]
        self._told = len(copy.problems)
        self.gone = self.gone or copy.removed or self._is_removed("")
        if not self.ended and alive is False and here:
            copy.lost(self._last_sign())
            self.ended = True
        if self.ended and not sent and not self.gone:
            self._keep_journals(copy)
        return sent

    def count(self, remote: Remote) -> int:
        """The number of records that the server does not have."""
        copy = self._open(remote)
        return sum(copy.missing(entry) for _, entries in self._new() for entry in self._kept(entries))

    def _is_removed(self, child: str) -> bool:
        """By the newest word of all writers."""
        return child in self._stones and self._stones[child][-1]

    def _kept(self, entries: list[Entry]) -> list[Entry]:
        """Those of runs that are not removed. What is removed before it was ever sent is not sent."""
        removed = {child for child in self._stones if self._is_removed(child)}
        self._passed_over |= removed
        return [entry for entry in entries if not removed & {"", entry.record.c}] if removed else entries

    def _remove(self, copy: RemoteRun) -> int:
        """Delete, or restore, what is to be; the number of copies that changed."""
        if self._is_removed(""):  # with all its children
            return copy.remove("")
        changed = 0
        for child in sorted(self._stones):
            if self._is_removed(child):
                changed += copy.remove(child)
            else:
                restored = copy.restore(child)
                changed += restored
                self.again = self.again or restored or child in self._passed_over
        return changed

    def _open(self, remote: Remote) -> RemoteRun:
        if self._copy is None:
            assert self._begin is not None
            self._copy = remote.run(LocalRun(self._id, self._begin, self._start, self._open_file, self._describe))
            # A run in the trash is of interest only where it is to be deleted there as well.
            self.gone = self._copy.removed or (self._folder.parent.name == TRASH and not self._copy.exists)
        return self._copy

    def _open_file(self, path: str) -> BinaryIO:
        return self._source.open(self._id, path)

    def _describe(self, model: Model) -> dict[str, bytes]:
        try:
            return plugins.describe_model(model, lambda: self._open_file(model.path))
        except (OSError, ArtifactPathError):  # its file is gone
            return {}

    def _new(self) -> Iterator[tuple[JournalTail, list[Entry]]]:
        for name in self._writers():
            self._tail(name)
        for tail in list(self._tails.values()):
            while not self.gone and (entries := tail.read()):
                self._look(entries)
                yield tail, entries

    def _look(self, entries: list[Entry]) -> None:
        for entry in entries:
            record = entry.record
            if isinstance(record, Removed | Restored):
                stone = (*entry[:3], isinstance(record, Removed))
                self._stones[record.c] = max(stone, self._stones.get(record.c, stone))
            if isinstance(record, Model):
                change = self.converting.add if record.becomes else self.converting.discard
                change((record.c, record.name))
            elif not record.c and isinstance(record, End | Resumed):
                self.ended = isinstance(record, End)

    def _last_sign(self) -> float:
        try:
            return (self._folder / "alive").stat().st_mtime
        except OSError:
            return time.time()

    def _keep_journals(self, copy: RemoteRun) -> None:
        new = [tail for tail in self._tails.values() if tail.offset and copy.journals.get(tail.writer) != tail.offset]
        if new:
            self._keep_head(copy)  # first: it counts once the journals that it is of are there
        for tail in new:
            try:
                file = open_plain_file(tail.path)
            except OSError:  # it was moved away
                continue
            with file:
                copy.keep_journal(tail.writer, file, tail.offset)

    def _keep_head(self, copy: RemoteRun) -> None:
        run = RunFiles(self._id)
        if run.refresh(str(self._folder / "journal")):
            sizes = {mark.name.removesuffix(".jsonl"): mark.offset for mark in run.marks}
            copy.keep_head(encode_head(run.state, sizes))


def _parts(entries: list[Entry]) -> Iterator[list[Entry]]:
    """Entries in parts that end with a large file, so that it is sent once."""
    part: list[Entry] = []
    for entry in entries:
        part.append(entry)
        if isinstance(entry.record, Artifact | Model) and entry.record.size >= LARGE_FILE:
            yield part
            part = []
    if part:
        yield part

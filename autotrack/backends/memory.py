"""A store in memory: for tests, and as the shortest example of a backend."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from autotrack.backends.base import Entry, RunLog, RunSource, StoredFile, by_time, safe_path
from autotrack.backends.memory_registry import MemoryRegistry
from autotrack.errors import RunNotFound
from autotrack.records import Begin, Record, decode, encode

__all__ = ["MemoryBackend"]


class MemoryBackend(RunSource):
    """Keeps encoded lines, so that what is read back is what a file would give. Gone with the process."""

    def __init__(self) -> None:
        self._runs: dict[str, _MemoryRun] = {}
        self._registry = MemoryRegistry()
        self._lock = threading.Lock()

    def open_run(self, run_id: str, begin: Begin) -> _MemoryRun:
        """Start a run."""
        with self._lock:
            if run_id in self._runs:
                raise FileExistsError(run_id)
            run = self._runs[run_id] = _MemoryRun(run_id)
        run.write([begin])
        return run

    def source(self) -> RunSource:
        """The reading half is the same object."""
        return self

    def registry(self) -> MemoryRegistry:
        """The registered models."""
        return self._registry

    def close(self) -> None:
        """Nothing to force to disk."""

    def run_ids(self) -> list[str]:
        """All runs, oldest first."""
        return sorted(self._runs)

    def read(self, run_id: str) -> RunLog:
        """Everything about one run."""
        run = self._run(run_id)
        log = RunLog(run_id, alive=not run.closed, here=True)
        for number, line in enumerate(list(run.lines), 1):
            record = decode(line)
            if record is None:
                log.unknown += 1
            else:
                log.entries.append(Entry(run.start + record.t / 1e6, run.writer, number, record))
        log.entries = by_time(log.entries)
        return log

    def edit(self, run_id: str, records: Sequence[Record]) -> None:
        """Add records; see the contract."""
        run = self._run(run_id)
        for record in records:
            record.t = run.elapsed()
        run.write(records)

    def open(self, run_id: str, path: str) -> BinaryIO:
        """A stored file."""
        try:
            return io.BytesIO(self._run(run_id).files[str(safe_path(path))])
        except KeyError:
            raise FileNotFoundError(path) from None

    def _run(self, run_id: str) -> _MemoryRun:
        try:
            return self._runs[run_id]
        except KeyError:
            raise RunNotFound(f"there is no run {run_id!r} in this memory store") from None


class _MemoryRun:
    """The writer of one run."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.start = time.time()
        self.dropped = 0
        self.writer = os.urandom(8).hex()
        self.lines: list[bytes] = []
        self.files: dict[str, bytes] = {}
        self.closed = False
        self._zero = time.monotonic_ns()

    def elapsed(self) -> int:
        """Whole microseconds since the start."""
        return (time.monotonic_ns() - self._zero) // 1000

    def write(self, records: Sequence[Record]) -> None:
        """Append records."""
        self.lines.extend([encode(record) for record in records])

    def put_file(self, path: PurePosixPath, source: bytes | os.PathLike[str]) -> StoredFile:
        """Keep a file's content."""
        import hashlib  # noqa: PLC0415

        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        self.files[str(safe_path(path))] = data
        return StoredFile(str(path), len(data), hashlib.sha256(data).hexdigest())

    def close(self) -> None:
        """The run has ended."""
        self.closed = True

    def resume(self) -> None:
        """The run goes on."""
        self.closed = False

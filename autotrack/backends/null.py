"""The store of ``mode="off"``: takes everything, keeps nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePosixPath

from autotrack.backends.base import StoredFile
from autotrack.records import Begin, Record

__all__ = ["NullBackend", "NullRun"]


class NullBackend:
    """Opens runs that go nowhere."""

    def open_run(self, run_id: str, begin: Begin) -> NullRun:
        """A run that keeps nothing."""
        return NullRun()

    def registry(self) -> None:
        """There is none."""

    def close(self) -> None:
        """Nothing to do."""


class NullRun:
    """The writer of a run that goes nowhere."""

    run_id = "off"
    start = 0.0
    dropped = 0

    def elapsed(self) -> int:
        """Time stands still."""
        return 0

    def write(self, records: Sequence[Record]) -> None:
        """Nothing is kept."""

    def put_file(self, path: PurePosixPath, source: bytes | os.PathLike[str]) -> StoredFile:
        """Nothing is kept."""
        return StoredFile(str(path), 0, "")

    def close(self) -> None:
        """Nothing to do."""

    def resume(self) -> None:
        """Nothing to do."""

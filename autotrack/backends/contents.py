"""Equal content lies on disk once: the runs of one process have their code in common.

A second file of the same content becomes a second name (a hard link) of the first. Files of a store are never
written to a second time, so neither run can spoil the other's; deleting one leaves the other.
"""

from __future__ import annotations

import os
from pathlib import Path

from autotrack.backends.base import StoredFile

__all__ = ["Contents"]

_MAX_BYTES = 4_000_000  # models are seldom equal, and hashing them twice would cost
_MAX_FILES = 16


class Contents:
    """Where this process stored what, for the last few files."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Path, int, str]] = {}  # by size: path, time of change, sha256

    def remember(self, path: Path, stored: StoredFile) -> None:
        """This content lies there now."""
        if stored.size <= _MAX_BYTES:
            self._known.pop(stored.size, None)
            self._known[stored.size] = (path, path.stat().st_mtime_ns, stored.sha256)
            while len(self._known) > _MAX_FILES:
                self._known.pop(next(iter(self._known)), None)

    def link(self, content: bytes, target: Path) -> tuple[int, str] | None:
        """Make ``target`` a second name of this content: (size, sha256), or None where that cannot be."""
        known = self._known.get(len(content))
        if known is None:
            return None
        import hashlib  # noqa: PLC0415  loads OpenSSL

        path, changed, digest = known
        if hashlib.sha256(content).hexdigest() != digest:
            return None
        try:
            os.link(path, target, follow_symlinks=False)
            found = target.stat()
            if (found.st_size, found.st_mtime_ns) == (len(content), changed):
                return len(content), digest
            target.unlink()  # somebody changed it by hand
        except OSError:  # no hard links here, too many of them, or the run was deleted
            pass
        return None

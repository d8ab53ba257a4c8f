"""The reading half of the file store. Everything in a store is untrusted input."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from pathlib import Path
from typing import Any, BinaryIO

from autotrack.backends.base import RunLog, RunSource, by_time, safe_path
from autotrack.backends.journal import read_journal
from autotrack.backends.liveness import is_alive
from autotrack.errors import ArtifactPathError, RunNotFound, StoreError, StoreVersionError
from autotrack.records import FORMAT_VERSION

__all__ = ["FileSource", "open_plain_file", "read_description"]

_RUN_ID = re.compile(r"[0-9]{8}T[0-9]{9}-[0-9a-f]{10}")


class FileSource(RunSource):
    """Reads a store while others write to it. Everything in it is untrusted input."""

    def __init__(self, root: Path) -> None:
        self.root = root
        description = read_description(root)
        if description is not None and description.get("min_reader", 1) > FORMAT_VERSION:
            raise StoreVersionError(
                f"{root} needs a reader of format {description['min_reader']}; this autotrack reads up to "
                f"{FORMAT_VERSION}. Upgrade autotrack-ml."
            )

    def run_ids(self) -> list[str]:
        """All runs, oldest first."""
        try:
            names = os.listdir(self.root / "runs")
        except FileNotFoundError:
            return []
        return sorted(name for name in names if _RUN_ID.fullmatch(name))

    def read(self, run_id: str) -> RunLog:
        """Everything about one run; see the contract."""
        folder = self.root / "runs" / run_id
        if not _RUN_ID.fullmatch(run_id) or not folder.is_dir():
            raise RunNotFound(f"there is no run {run_id!r} in {self.root}; `autotrack ls` lists the runs")
        log = RunLog(run_id)
        # First whether the writer lives, then what it wrote: a run that ends in between is not taken for killed.
        log.alive, log.here = is_alive(folder / "alive")
        try:
            names = sorted(os.listdir(folder / "journal"))
        except OSError as error:
            log.damage.append(f"journal: {error.strerror}")
            names = []
        for name in names:
            if name.endswith(".jsonl"):
                try:
                    with open_plain_file(folder / "journal" / name) as file:
                        data = file.read()
                except OSError as error:
                    log.damage.append(f"{name}: {error.strerror}")
                    continue
                entries, damage, unknown = read_journal(name, data, run_id)
                log.entries += entries
                log.damage += damage
                log.unknown += unknown
        log.entries = by_time(log.entries)
        return log

    def open(self, run_id: str, path: str) -> BinaryIO:
        """A stored file; see the contract."""
        if not _RUN_ID.fullmatch(run_id):
            raise RunNotFound(f"{run_id!r} is no run id")
        folder = (self.root / "runs" / run_id).resolve()
        target = folder / safe_path(path)
        if not target.parent.resolve().is_relative_to(folder):
            raise ArtifactPathError(f"{path!r} leads out of the run's folder")
        try:
            return open_plain_file(target)
        except NotADirectoryError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None


def open_plain_file(path: Path) -> BinaryIO:
    """A plain file; a folder, a pipe or the like counts as none."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileNotFoundError(errno.ENOENT, "is no plain file", str(path))
    return os.fdopen(fd, "rb")


def read_description(root: Path) -> dict[str, Any] | None:
    """store.json, or None where there is none yet.

    Raises:
        StoreError: It is no description of a store.
    """
    try:
        description = json.loads((root / "store.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError):
        description = None
    if not isinstance(description, dict) or not isinstance(description.get("min_reader", 1), int):
        raise StoreError(f"{root / 'store.json'} is damaged; restore it, or move the folder away to start a new store")
    return description

"""All journal files of one folder, as one log."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from autotrack.backends.base import RunLog, by_time
from autotrack.backends.journal import read_journal

__all__ = ["open_plain_file", "read_folder"]


def read_folder(folder: Path, log: RunLog) -> None:
    """Read the journal files of ``folder`` into ``log``."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        log.damage.append(f"journal: {error.strerror}")
        names = []
    for name in names:
        if name.endswith(".jsonl"):
            try:
                with open_plain_file(folder / name) as file:
                    data = file.read()
            except OSError as error:
                log.damage.append(f"{name}: {error.strerror}")
                continue
            entries, damage, unknown = read_journal(name, data, log.run_id)
            log.entries += entries
            log.damage += damage
            log.unknown += unknown
    log.entries = by_time(log.entries)


def open_plain_file(path: Path) -> BinaryIO:
    """A plain file; a folder, a pipe or the like counts as none."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileNotFoundError(errno.ENOENT, "is no plain file", str(path))
    return os.fdopen(fd, "rb")

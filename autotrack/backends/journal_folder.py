"""All journal files of one folder, as one log."""

from __future__ import annotations

import errno
import os
import re
import stat
from functools import partial
from pathlib import Path
from typing import BinaryIO

from autotrack.backends.base import RunLog, StoredJournal, by_time
from autotrack.backends.journal import add_journal

__all__ = ["journals_in", "open_plain_file", "read_folder"]

_NAME = re.compile(r"([0-9a-f]{16})\.jsonl")


def read_folder(folder: Path, log: RunLog, points: bool = True) -> None:
    """Read the journal files of ``folder`` into ``log``; without ``points``: see ``read_journal``."""
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
            add_journal(log, name, data, points)
    log.entries = by_time(log.entries)


def journals_in(folder: Path) -> dict[str, StoredJournal]:
    """The journal of each writer in ``folder``; none where there is no such folder."""
    found = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = _NAME.fullmatch(entry.name)
                if name is not None and entry.is_file(follow_symlinks=False):
                    found[name[1]] = StoredJournal(entry.stat().st_size, partial(open_plain_file, folder / entry.name))
    except OSError:  # it was removed meanwhile
        pass
    return found


def open_plain_file(path: Path) -> BinaryIO:
    """A plain file; a folder, a pipe or the like counts as none."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileNotFoundError(errno.ENOENT, "is no plain file", str(path))
    return os.fdopen(fd, "rb")

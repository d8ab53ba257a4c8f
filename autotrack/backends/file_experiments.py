"""What was said of experiments, in ``experiments/<folder>/journal``. Made when something is said: runs need none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from autotrack.backends.base import RunLog
from autotrack.backends.edits import append_edit, is_folder, last_edit
from autotrack.backends.journal_folder import read_folder
from autotrack.records import Begin, Record

__all__ = ["append", "folder_name", "read_all"]

EXPERIMENTS = "experiments"
_LONGEST = 120


def folder_name(name: str) -> str:
    """Name of an experiment's folder: the experiment's where that can be one, else its sha256."""
    data = name.encode(errors="surrogatepass")
    quoted = quote(data, safe="").replace("~", "%7E")
    if quoted.startswith(".") or not 0 < len(quoted) <= _LONGEST:
        import hashlib  # noqa: PLC0415  loads OpenSSL

        return "=" + hashlib.sha256(data).hexdigest()
    return quoted


def read_all(root: Path) -> list[RunLog]:
    """The log of each experiment of which something was said."""
    top = root / EXPERIMENTS
    if not is_folder(top):
        return []
    logs = []
    for name in sorted(os.listdir(top)):
        if not name.startswith(".") and is_folder(top / name):
            log = RunLog(name)
            read_folder(top / name / "journal", log)
            logs.append(log)
    return logs


def append(root: Path, name: str, records: Sequence[Record], folder_mode: int) -> None:
    """Say something of the experiment with this first name.

    Raises:
        OSError: It cannot be written.
    """
    folder = root / EXPERIMENTS / folder_name(name)
    journal = folder / "journal"
    for part in (folder.parent, folder, journal):
        if not is_folder(part):
            try:
                part.mkdir(folder_mode & 0o777)
            except FileExistsError:
                if not is_folder(part):  # a link, perhaps out of the store
                    raise
            else:
                if folder_mode != 0o700:
                    part.chmod(folder_mode)
    log = RunLog(folder.name)
    read_folder(journal, log)
    append_edit(journal, folder.name, [Begin(name=name), *records], last_edit(log.entries), folder_mode & 0o666)

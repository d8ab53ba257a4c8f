"""What is said later, by somebody who did not write the run: each edit is a journal file of its own."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from autotrack.backends.base import Entry
from autotrack.backends.journal import FARTHEST, JournalWriter
from autotrack.records import Begin, Change, Model, Note, Record, Removed, Restored, Tags, encode

__all__ = ["append_edit", "is_folder", "last_edit"]

_ORDERED = (Begin, Change, Model, Note, Removed, Restored, Tags)


def last_edit(entries: Iterable[Entry]) -> float:
    """Unix time of the last record that an edit must come after."""
    return max((entry.time for entry in entries if isinstance(entry.record, _ORDERED)), default=0.0)


def append_edit(folder: Path, run: str, records: Sequence[Record], after: float, mode: int) -> None:
    """Write records to a new file in the journal ``folder``, and force it to disk.

    Args:
        folder: The journal's folder.
        run: What its files have as ``run`` in their heads.
        records: What is said; their ``t`` is set.
        after: Unix time that they come after, whatever our own clock says.
        mode: Of the file.

    Raises:
        OSError: They could not be written.
    """
    journal = JournalWriter(folder, run, mode)
    late = int((after - journal.start) * 1e6) + 1000  # a millisecond: a double has no finer ones a century ahead
    for record in records:
        record.t = min(max(journal.elapsed(), late), FARTHEST)
    journal.append(b"".join([encode(record) for record in records]))
    journal.seal()
    journal.sync()
    journal.release()


def is_folder(path: Path) -> bool:
    """Whether a folder lies there: not a link to one, which may lead out of the store."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False

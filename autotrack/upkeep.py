"""What a store takes, whether it is whole, and clearing away what nobody needs."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from autotrack.backends.base import RunSource
from autotrack.backends.file_source import FileSource
from autotrack.backends.waste import Waste, find_waste
from autotrack.errors import RunNotFound, StoreError
from autotrack.lookup import source_of
from autotrack.reader import RunRecord, read_run
from autotrack.records import Artifact, Model
from autotrack.references import find_run

__all__ = ["Checked", "Usage", "usage", "verify", "waste"]

_BLOCK = 1 << 20


def _files_of(store: str | os.PathLike[str] | None) -> FileSource:
    source = source_of(store)
    if not isinstance(source, FileSource):
        raise StoreError("this is no store in a folder: there is nothing on disk to look after")
    return source


def waste(*, keep: float, store: str | os.PathLike[str] | None = None) -> Iterator[Waste]:
    """What can be thrown away; removed runs stay in the trash for ``keep`` seconds.

    Raises:
        StoreError: The store is no folder.
    """
    return find_waste(_files_of(store), keep)


# ---- what it takes -------------------------------------------------------------------------------------------------


@dataclass
class Usage:
    """Bytes that a store takes; a file with several names counts once.

    Attributes:
        store: Its folder.
        parts: By part: journals, models, artifacts, other files of runs, trash, and the other folders of the store.
        runs: By run id.
    """

    store: Path
    parts: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)


def usage(*, store: str | os.PathLike[str] | None = None) -> Usage:
    """What a store takes on disk.

    Raises:
        StoreError: The store is no folder.
    """
    source = _files_of(store)
    root = source.root
    found = Usage(root)
    seen: set[tuple[int, int]] = set()
    for parent, _, files in os.walk(root):
        where = Path(parent).relative_to(root).parts
        for name in files:
            try:
                stat = Path(parent, name).lstat()
            except OSError:  # gone meanwhile
                continue
            if (stat.st_dev, stat.st_ino) in seen:
                continue
            seen.add((stat.st_dev, stat.st_ino))
            found.parts[_part(where)] += stat.st_size
            if where[:1] == ("runs",) and len(where) > 1:
                found.runs[where[1]] += stat.st_size
    return found


def _part(where: tuple[str, ...]) -> str:
    """What a file in this folder of the store belongs to."""
    if where[:1] != ("runs",):
        return where[0] if where else "store"
    inner = where[2:] if where[2:3] != ("children",) else where[4:]
    kind = inner[0] if inner else ""
    return {"journal": "journals", "models": "models", "artifacts": "artifacts"}.get(kind, "other files of runs")


# ---- whether it is whole -------------------------------------------------------------------------------------------


class Checked(NamedTuple):
    """A run that was looked at, the number of its files and their bytes, and what is damaged, in words."""

    run: RunRecord
    files: int
    size: int
    damage: list[str]


def verify(refs: Sequence[str] = (), *, store: str | os.PathLike[str] | None = None) -> Iterator[Checked]:
    """Read runs whole (without ``refs`` all), and compare their files with the size and sha256 on record.

    Raises:
        RunNotFound: A reference means none.
        AmbiguousReference: It means several.
    """
    source = source_of(store)
    ids = [find_run(source, ref).id.partition(".")[0] for ref in refs] if refs else source.run_ids()
    return (checked for run_id in dict.fromkeys(ids) if (checked := _check(source, run_id)) is not None)


def _check(source: RunSource, run_id: str) -> Checked | None:
    try:
        log = source.read(run_id)
        run = read_run(source, run_id)
    except RunNotFound:  # removed meanwhile
        return None
    live = run.status == "running"
    damage = [what for what in log.damage if not (live and "torn last line" in what)]
    files = size = 0
    waiting = [run]
    while waiting:
        one = waiting.pop()
        waiting += one.children
        records: list[Artifact | Model] = [*one.artifacts.values(), *one.models.values()]
        for record in records:
            what, read = _compare(one, record.path, record.size, record.sha256)
            files, size = files + 1, size + read
            if what and not (live and isinstance(record, Model) and record.becomes):  # it is just being replaced
                damage.append(f"{record.path} {what}")
    return Checked(run, files, size, damage)


def _compare(run: RunRecord, path: str, size: int, sha256: str) -> tuple[str, int]:
    """(what is wrong with a file, bytes read)."""
    digest = hashlib.sha256()
    read = 0
    try:
        with run._open(path) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                read += len(block)
    except (OSError, ValueError) as error:  # the latter: a path that leads out of the run
        return f"cannot be read: {getattr(error, 'strerror', None) or error}", read
    if read != size:
        return f"has {read:,} bytes, and had {size:,} when it was written", read
    return ("" if digest.hexdigest() == sha256 else "is not what was written: its sha256 differs"), read

"""What a file store holds that nobody needs: found here, and thrown away."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from autotrack.backends import trash
from autotrack.backends.base import RunLog
from autotrack.backends.edits import is_folder
from autotrack.backends.file_source import FileSource
from autotrack.backends.heads import Query
from autotrack.backends.stored_files import BESIDE, TEMPORARY, files_below, named_files
from autotrack.records import Model

__all__ = ["LEFT_ALONE", "Waste", "find_waste", "waste_at"]

LEFT_ALONE = 24 * 3600.0
"""Seconds that a file must not have been touched before it counts as left behind by somebody who died."""


class Waste(NamedTuple):
    """Something that can go.

    Attributes:
        kind: ``removed run`` (in the trash for long enough), ``half deleted run``, ``run on its way to the trash``,
            ``temporary file``, ``file without a record``, ``empty run`` or ``spare model``.
        path: Where it lies, below the store.
        size: Bytes.
        age: Seconds since it was removed, or touched last.
        clear: Throws it away; nothing happens where it is gone already.
    """

    kind: str
    path: str
    size: int
    age: float
    clear: Callable[[], None]


def find_waste(source: FileSource, keep: float) -> Iterator[Waste]:
    """All waste of a store. ``keep`` is how many seconds a removed run stays in the trash."""
    root = source.root
    yield from _in_trash(root, keep)
    for head in list(source.heads(Query())):
        folder = root / "runs" / head.id
        if head.removed and is_folder(folder) and head.status != "running":
            yield waste_at("run on its way to the trash", root, folder, _throwing(root, head.id))
    for name in ("runs", "registry", "experiments"):
        yield from _temporaries(root, root / name)
    for run_id in source.run_ids():
        yield from _in_run(source, run_id)


def _in_trash(root: Path, keep: float) -> Iterator[Waste]:
    for folder in trash.half_deleted(root):
        yield waste_at("half deleted run", root, folder, _deleting(folder))
    for run_id in FileSource(root, trash.TRASH).run_ids():
        folder = root / trash.TRASH / run_id
        journal = folder / "journal"  # touched when the tombstone was written
        waste = waste_at("removed run", root, folder, _purging(root, run_id), journal if is_folder(journal) else folder)
        if waste.age >= keep:
            yield waste


def _temporaries(root: Path, top: Path) -> Iterator[Waste]:
    if not is_folder(top):
        return
    for parent, folders, files in os.walk(top):
        for name in [*folders, *files]:
            if TEMPORARY.fullmatch(name):
                path = Path(parent, name)
                waste = waste_at("temporary file", root, path, _deleting(path))
                if waste.age >= LEFT_ALONE:
                    yield waste
        folders[:] = [name for name in folders if not TEMPORARY.fullmatch(name)]


def _in_run(source: FileSource, run_id: str) -> Iterator[Waste]:
    folder = source.root / "runs" / run_id
    if not is_folder(folder):
        return
    log = source.read(run_id)
    if log.alive:
        return
    if not log.entries:
        waste = waste_at("empty run", source.root, folder, _dropping(folder))
        if waste.age >= LEFT_ALONE and not files_below(folder):
            yield waste
    elif not log.damage and not log.unknown:  # else a record that names the file may be what cannot be read
        named = _named(log)
        for path in files_below(folder):
            below = path.relative_to(folder)
            kinds = {below.parts[0], below.parts[2] if below.parts[0] == "children" and len(below.parts) > 2 else ""}
            if kinds & {"artifacts", "models"} and str(below) not in named and path.name not in BESIDE:
                waste = waste_at("file without a record", source.root, path, _deleting(path))
                if waste.age >= LEFT_ALONE and not TEMPORARY.fullmatch(path.name):
                    yield waste


def _named(log: RunLog) -> set[str]:
    """Paths of the files that a run's records name."""
    named = set()
    for entry in log.entries:
        if isinstance(entry.record, Model) and entry.record.gone:
            named.discard(entry.record.path)
        else:
            named.update(named_files(entry.record))
    return named


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if is_folder(path):
        return sum(_bytes(Path(parent, name)) for parent, _, files in os.walk(path) for name in files)
    return _bytes(path)


def _bytes(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # gone meanwhile
        return 0


def waste_at(kind: str, root: Path, path: Path, clear: Callable[[], None], touched: Path | None = None) -> Waste:
    """What lies at ``path``; its age is that of ``touched`` where that is given."""
    try:
        age = time.time() - (touched or path).lstat().st_mtime
    except OSError:
        age = 0.0
    return Waste(kind, path.relative_to(root).as_posix(), _size(path), age, clear)


def _deleting(path: Path) -> Callable[[], None]:
    def clear() -> None:
        if is_folder(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    return clear


def _purging(root: Path, run_id: str) -> Callable[[], None]:
    return lambda: trash.delete(root, run_id)


def _throwing(root: Path, run_id: str) -> Callable[[], None]:
    return lambda: trash.throw_away(root, run_id)


def _dropping(folder: Path) -> Callable[[], None]:
    def clear() -> None:
        (folder / "alive").unlink(missing_ok=True)
        for part in (folder / "journal", folder):
            try:
                part.rmdir()
            except OSError:  # not empty after all: it stays
                return

    return clear

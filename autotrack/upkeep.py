"""What a store takes, and clearing away what nobody needs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autotrack.backends.file_source import FileSource
from autotrack.backends.waste import Waste, find_waste
from autotrack.errors import StoreError
from autotrack.filter import parse_order
from autotrack.lookup import source_of
from autotrack.spare_models import spare_models

__all__ = ["Usage", "old_models", "usage", "waste"]


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


def old_models(
    keep: int, order_by: Sequence[str] = (), *, store: str | os.PathLike[str] | None = None
) -> Iterator[Waste]:
    """Models of all runs but ``keep`` of each experiment: the first ones in this order, by default the newest.

    Raises:
        StoreError: The store is no folder.
        FilterError: The order is not understood.
    """
    return spare_models(_files_of(store), keep, [parse_order(text) for text in order_by])


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

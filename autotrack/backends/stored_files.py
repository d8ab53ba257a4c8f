"""The files of a run beside its journals: which ones lie there, and which ones a record names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autotrack.records import Artifact, Model, Params, Record

__all__ = ["BESIDE", "TEMPORARY", "files_below", "named_files"]

TEMPORARY = re.compile(r"\.[0-9a-f]{12,16}\.tmp|\.probe-[0-9a-f]{8}")
"""Names of files that are being written, and of probes."""

BESIDE = ("requirements.txt", "input_example.json")
"""Files that may lie beside a model, and have no record."""


def files_below(folder: Path) -> list[Path]:
    """All files of a run but its journals and ``alive``; links are not followed."""
    found = []
    for parent, folders, files in os.walk(folder):
        if Path(parent) == folder:
            folders[:] = [name for name in folders if name != "journal"]
            files = [name for name in files if name != "alive"]
        found += [Path(parent, name) for name in files]
    return found


def named_files(record: Record) -> Iterator[str]:
    """Paths below the run's folder of the files that a record names."""
    if isinstance(record, (Artifact, Model)):
        yield record.path
    elif isinstance(record, Params):
        yield from _cut_files(record.p)


def _cut_files(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("file"), str):
            yield value["file"]
        for item in value.values():
            yield from _cut_files(item)
    elif isinstance(value, list):
        for item in value:
            yield from _cut_files(item)

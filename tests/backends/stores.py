"""Runs of a file store, made and read without a training."""

import sqlite3
import time
from pathlib import Path

from autotrack import reader
from autotrack.backends.base import new_run_id
from autotrack.records import Begin
from autotrack.run import Run

_last = 0  # milliseconds


def next_id() -> str:
    """An id of a later millisecond than those before it: ids have no finer order."""
    global _last
    _last = max(int(time.time() * 1000), _last + 1)
    return new_run_id((_last + 0.5) / 1000)


def open_run(backend, name="r"):
    return Run(backend.open_run(next_id(), Begin(name=name, experiment="e")), name, "e")


def read(backend, run):
    return reader.read_run(backend.source(), run.id)


def tree(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


def sql(file: Path, statement: str) -> None:
    """Do something to a database, and close it."""
    connection = sqlite3.connect(file)
    connection.execute(statement)
    connection.commit()
    connection.close()

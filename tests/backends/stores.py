"""Runs of a file store, made and read without a training."""

import time

from autotrack import reader
from autotrack.backends.base import new_run_id
from autotrack.records import Begin
from autotrack.run import Run


def open_run(backend, name="r"):
    run_id = new_run_id(time.time())
    return Run(backend.open_run(run_id, Begin(name=name, experiment="e")), name, "e")


def read(backend, run):
    return reader.read_run(backend.source(), run.id)


def tree(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))

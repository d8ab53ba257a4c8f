"""Whether a store is whole: the seals of its records, and size and sha256 of its files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import BinaryIO, NamedTuple

from autotrack.backends.base import RunSource
from autotrack.backends.file_source import FileSource
from autotrack.backends.registry import Registry
from autotrack.errors import ModelNotFound, RunNotFound
from autotrack.experiment import first_name
from autotrack.lookup import source_of
from autotrack.model_lookup import SCHEME, registry_of
from autotrack.reader import read_run
from autotrack.records import Artifact, Model
from autotrack.references import find_run

__all__ = ["Checked", "verify"]

_BLOCK = 1 << 20


class Checked(NamedTuple):
    """What was looked at.

    Attributes:
        kind: ``run``, ``model`` (a registered one, with all its versions) or ``experiment``.
        ref: Id of the run, ``models:/<name>``, or name of the experiment.
        name: Its name.
        files: Number of its files.
        size: Their bytes.
        damage: What is damaged, in words.
    """

    kind: str
    ref: str
    name: str
    files: int
    size: int
    damage: list[str]


def verify(refs: Sequence[str] = (), *, store: str | os.PathLike[str] | None = None) -> Iterator[Checked]:
    """Read runs whole, and compare their files with the size and sha256 on record.

    Without ``refs`` all runs, and all registered models and what was said of experiments as well.

    Raises:
        RunNotFound: A reference means none.
        AmbiguousReference: It means several.
    """
    source = source_of(store)
    ids = [find_run(source, ref).id.partition(".")[0] for ref in refs] if refs else source.run_ids()
    return _checked(source, ids, registry_of(store) if isinstance(source, FileSource) and not refs else None)


def _checked(source: RunSource, run_ids: Sequence[str], registry: Registry | None) -> Iterator[Checked]:
    for run_id in dict.fromkeys(run_ids):
        try:
            yield _check_run(source, run_id)
        except RunNotFound:  # removed meanwhile
            continue
    if registry is not None:
        yield from (_check_model(registry, name) for name in registry.names())
        for log in source.experiments():
            yield Checked("experiment", first_name(log) or log.run_id, first_name(log) or "?", 0, 0, log.damage)


def _check_run(source: RunSource, run_id: str) -> Checked:
    log = source.read(run_id)
    run = read_run(source, run_id)
    live = run.status == "running"
    damage = [what for what in log.damage if not (live and "torn last line" in what)]
    files = size = 0
    waiting = [run]
    while waiting:
        one = waiting.pop()
        waiting += one.children
        models = [model for model in one.models.values() if not model.gone]
        records: list[Artifact | Model] = [*one.artifacts.values(), *models]
        for record in records:
            what, read = _compare(partial(one._open, record.path), record)
            files, size = files + 1, size + read
            if what and not (live and isinstance(record, Model) and record.becomes):  # it is just being replaced
                damage.append(f"{record.path} {what}")
    return Checked("run", run.id, run.name, files, size, damage)


def _check_model(registry: Registry, name: str) -> Checked:
    model = registry.read(name)
    damage = list(model.problems)
    files = size = 0
    for number, version in model.versions.items():
        for record in version.version.files:
            what, read = _compare(partial(registry.open, name, number, record.path), record)
            files, size = files + 1, size + read
            if what:
                damage.append(f"version {number}: {record.path} {what}")
    return Checked("model", SCHEME + name, name, files, size, damage)


def _compare(opens: Callable[[], BinaryIO], record: Artifact | Model) -> tuple[str, int]:
    """(what is wrong with a file, bytes read)."""
    digest = hashlib.sha256()
    read = 0
    try:
        with opens() as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                read += len(block)
    except ModelNotFound:
        return "is gone", read
    except (OSError, ValueError) as error:  # the latter: a path that leads out
        return f"cannot be read: {getattr(error, 'strerror', None) or error}", read
    if read != record.size:
        return f"has {read:,} bytes, and had {record.size:,} when it was written", read
    return ("" if digest.hexdigest() == record.sha256 else "is not what was written: its sha256 differs"), read

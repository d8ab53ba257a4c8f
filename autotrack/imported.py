"""Runs that other tools recorded, into a file store. What is there stays as it is: a second time adds nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from autotrack.backends import trash
from autotrack.backends.base import safe_path
from autotrack.backends.edits import is_folder
from autotrack.backends.file import FileBackend
from autotrack.backends.file_run import FileRunWriter
from autotrack.backends.journal import FARTHEST
from autotrack.errors import ArtifactPathError, StoreError
from autotrack.forward import Progress
from autotrack.records import Artifact, Begin, End, Note, Record, Tags
from autotrack.remote import ForeignRun

__all__ = ["FOREIGN_ID", "import_runs"]

FOREIGN_ID = "imported_from"
"""Tag of an imported run: the id that it had."""

SILENT = 24 * 3600.0
"""Seconds without a sign after which a run that was never ended is taken for dead."""

_AT_ONCE = 1000


def import_runs(experiments: Iterable[list[ForeignRun]], root: Path) -> tuple[Progress, list[str]]:
    """Write runs that are not there yet, with their children, into the store ``root``.

    Each appears whole or not at all, whoever is stopped in between. Those that go on are left out.

    Returns:
        What was done, and the ids of runs that go on.

    Raises:
        StoreError: The store cannot be written, or the runs cannot be read. A later call does the rest.
    """
    backend = FileBackend(root)
    progress, going_on = Progress(), []
    stage = root / "runs" / f".{os.urandom(6).hex()}.tmp"  # gc clears it away where we are killed
    try:
        backend._prepare()
        inner = FileBackend(stage)
        inner.create(shared=backend._folder_mode != 0o700)
        for runs in experiments:
            for tree in _trees(runs):
                run_id = _id_of(tree[0][1])
                if is_folder(root / "runs" / run_id) or is_folder(root / trash.TRASH / run_id):
                    continue
                if any(not run.status and time.time() - run.alive < SILENT for _, run in tree):
                    going_on.append(tree[0][1].id)
                    continue
                _write(inner, run_id, tree, progress)
                try:
                    (stage / "runs" / run_id).rename(root / "runs" / run_id)
                except OSError:
                    if not is_folder(root / "runs" / run_id):  # else another process was first
                        raise
                    shutil.rmtree(stage / "runs" / run_id)
        inner.close()
    except OSError as error:
        raise StoreError(f"{root} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return progress, going_on


def _id_of(run: ForeignRun) -> str:
    """The id that it has with us: always the same."""
    milliseconds = round(run.start * 1000)
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(milliseconds // 1000))
    return f"{stamp}{milliseconds % 1000:03d}-{hashlib.sha256(run.id.encode()).hexdigest()[:10]}"


def _trees(runs: list[ForeignRun]) -> Iterable[list[tuple[str, ForeignRun]]]:
    """Each run that has no parent among them, with all below it, under the names that children have with us."""
    ids = {run.id for run in runs}
    below: defaultdict[str, list[ForeignRun]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.start, run.id)):
        below[run.parent if run.parent in ids and run.parent != run.id else ""].append(run)
    for top in below.pop("", []):
        tree = [("", top)]
        for child, run in tree:  # it grows meanwhile
            prefix = f"{child}." if child else ""
            tree += [(f"{prefix}{number}", inner) for number, inner in enumerate(below.pop(run.id, ()), 1)]
        yield tree


def _write(backend: FileBackend, run_id: str, tree: list[tuple[str, ForeignRun]], progress: Progress) -> None:
    top = tree[0][1]
    writer = backend.open_run(run_id, Begin(name=top.name, experiment=top.experiment, by="import"), start=top.start)
    records = 1
    for child, run in tree:
        batch: list[Record] = []
        for record in _records(writer, child, run):
            record.c = child
            batch.append(record)
            if len(batch) == _AT_ONCE:
                writer.write(batch)
                records, batch = records + len(batch), []
        writer.write(batch)
        records += len(batch)
        progress.problems += [f"run {run.id}: {problem}" for problem in run.problems]
    writer.close()
    writer.tidy()
    if writer.dropped:
        raise StoreError(f"run {top.id} could not be written whole, and was left out")
    progress.runs.add(run_id)
    progress.records += records


def _records(writer: FileRunWriter, child: str, run: ForeignRun) -> Iterator[Record]:
    def at(moment: float) -> int:
        return max(-FARTHEST, min(FARTHEST, round((moment - writer.start) * 1e6)))

    if child:
        yield Begin(at(run.start), name=run.name, by="import")
    yield Tags(at(run.start), g={FOREIGN_ID: run.id})
    for moment, record in run.records():
        record.t = at(moment)
        yield record
    end = run.alive if run.end is None else run.end
    folder = PurePosixPath("children", child, "artifacts") if child else PurePosixPath("artifacts")
    for path, opens in run.files():
        try:
            with opens() as file:
                stored = writer.put_file(safe_path(str(folder / path)), file)
        except (ArtifactPathError, OSError) as error:
            run.problems.append(f"file {path}: {error}")
            continue
        if stored is None:
            raise StoreError(f"run {run.id} is left out: its files cannot be stored")
        yield Artifact(at(end), path=stored.path, size=stored.size, sha256=stored.sha256)
    for problem in run.problems:
        yield Note(at(end), text=problem, level="warning")
    if run.status:
        yield End(at(end), status=run.status, duration=max(0.0, end - run.start))

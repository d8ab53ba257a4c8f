"""The reading half of the file store. Everything in a store is untrusted input."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from autotrack.backends import file_experiments, trash
from autotrack.backends.base import RUN_ID, RunLog, RunSource, StoredJournal, safe_path
from autotrack.backends.edits import append_edit, is_folder, last_edit
from autotrack.backends.journal_folder import journals_in, open_plain_file, read_folder
from autotrack.backends.liveness import is_alive
from autotrack.backends.stored_files import TEMPORARY, files_below
from autotrack.errors import ArtifactPathError, RunNotFound, StoreError, StoreVersionError
from autotrack.records import FORMAT_VERSION, Record, Removed, Restored

if TYPE_CHECKING:
    from autotrack.backends.heads import HeadState, Query, RunHead
    from autotrack.backends.history import History
    from autotrack.backends.index import Index

__all__ = ["FileSource", "read_description"]


class FileSource(RunSource):
    """Reads a store while others write to it. Everything in it is untrusted input."""

    def __init__(self, root: Path, folder: str = "runs") -> None:
        self.root = root
        self._runs = root / folder
        description = read_description(root)
        self._store = str((description or {}).get("store", ""))  # its id
        if description is not None and description.get("min_reader", 1) > FORMAT_VERSION:
            raise StoreVersionError(
                f"{root} needs a reader of format {description['min_reader']}; this autotrack reads up to "
                f"{FORMAT_VERSION}. Upgrade autotrack-ml."
            )

    def run_ids(self) -> list[str]:
        """All runs, oldest first."""
        found = self._names(self._runs)
        removed = self._names(self.root / trash.TRASH) if self._runs.name != trash.TRASH else set()
        return sorted(found - removed)  # copies of removed runs may have come back

    def _names(self, folder: Path) -> set[str]:
        try:
            return {name for name in os.listdir(folder) if RUN_ID.fullmatch(name)}
        except FileNotFoundError:
            return set()

    def heads(self, query: Query) -> Iterator[RunHead]:
        """Heads of all runs, by the index; see the contract."""
        index = self._index()
        index.refresh(self.run_ids)
        wanted = query.keys("params"), query.keys("metrics")
        return (self._head(run_id, state, *wanted) for run_id, state in index.states(query))

    def head(self, run_id: str) -> RunHead:
        """Whole head of a run, by the index; see the contract."""
        self._folder(run_id)
        index = self._index()
        index.refresh_run(run_id)
        for _, state in index.states_of([run_id]):
            return self._head(run_id, state)
        raise self._no_run(run_id)  # removed meanwhile

    def heads_of(self, run_ids: Sequence[str]) -> dict[str, RunHead]:
        """Whole heads of these runs, as they were when they were listed last; see the contract."""
        found = {run_id: self._head(run_id, state) for run_id, state in self._index().states_of(run_ids)}
        missing = [run_id for run_id in run_ids if run_id not in found]
        return found | super().heads_of(missing) if missing else found

    def history(self, run_id: str, key: str) -> History:
        """All points of a metric, by the cache of histories; see the contract."""
        from autotrack.backends.histories import read_history  # noqa: PLC0415  a training needs no SQLite
        from autotrack.backends.index import cache_folder  # noqa: PLC0415

        folder = self._folder(run_id.partition(".")[0])
        cache = cache_folder(self.root, self._store)
        try:
            return read_history(str(folder / "journal"), run_id, key, cache and cache / "histories.sqlite")
        except OSError:  # no journal: nothing was logged
            return super().history(run_id, key)

    def _index(self) -> Index:
        from autotrack.backends.index import index_of  # noqa: PLC0415  a training needs no SQLite

        return index_of(self.root, self._runs.name, self._store)

    def _head(self, run_id: str, state: HeadState, *wanted: Collection[str]) -> RunHead:
        """Whether a process lives is asked now: nobody remembers that."""
        from autotrack.backends.heads import derived_status, head_of  # noqa: PLC0415

        if state.status not in ("", "idle"):
            return head_of(run_id, state, state.status, *wanted)
        alive, here = is_alive(self._runs / run_id / "alive")
        if alive is None and not state.status:  # a run that ends in between is not taken for lost
            self._index().refresh_run(run_id)
            state = dict(self._index().states_of([run_id])).get(run_id, state)
        return head_of(run_id, state, derived_status(state.status, alive, here), *wanted)

    def read(self, run_id: str) -> RunLog:
        """Everything about one run; see the contract."""
        return self._read(run_id)

    def outline(self, run_id: str) -> RunLog:
        """Without points of the run's own metrics; see the contract."""
        return self._read(run_id, points=False)

    def _read(self, run_id: str, points: bool = True) -> RunLog:
        folder = self._folder(run_id)
        log = RunLog(run_id)
        # First whether the writer lives, then what it wrote: a run that ends in between is not taken for killed.
        log.alive, log.here = is_alive(folder / "alive")
        read_folder(folder / "journal", log, points)
        return log

    def _folder(self, run_id: str) -> Path:
        """The folder of a run.

        Raises:
            RunNotFound: There is no such run.
        """
        folder = self._runs / run_id
        if not RUN_ID.fullmatch(run_id) or not folder.is_dir():
            raise self._no_run(run_id)
        return folder

    def _no_run(self, run_id: str) -> RunNotFound:
        return RunNotFound(f"there is no run {run_id!r} in {self.root}; `autotrack ls` lists the runs")

    def open(self, run_id: str, path: str) -> BinaryIO:
        """A stored file; see the contract."""
        try:
            return open_plain_file(self.path(run_id, path))
        except NotADirectoryError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None

    def path(self, run_id: str, path: str) -> Path:
        """Where a stored file lies, if it is there; errors as for ``open``."""
        if not RUN_ID.fullmatch(run_id):
            raise RunNotFound(f"{run_id!r} is no run id")
        folder = (self._runs / run_id).resolve()
        target = folder / safe_path(path)
        if not target.parent.resolve().is_relative_to(folder):
            raise ArtifactPathError(f"{path!r} leads out of the run's folder")
        return target

    def journals(self, run_id: str) -> dict[str, StoredJournal]:
        """The journal of each writer; see the contract."""
        return journals_in(self._runs / run_id / "journal")

    def files(self, run_id: str) -> dict[str, int]:
        """Bytes of the stored files; see the contract."""
        folder, found = self._runs / run_id, {}
        for path in files_below(folder):
            try:
                about = path.lstat()
            except OSError:  # gone meanwhile
                continue
            if stat.S_ISREG(about.st_mode) and not TEMPORARY.fullmatch(path.name):
                found[path.relative_to(folder).as_posix()] = about.st_size
        return found

    def edit(self, run_id: str, records: Sequence[Record]) -> None:
        """Add records; see the contract."""
        after = last_edit(self.outline(run_id).entries)
        folder = self._runs / run_id
        try:
            if not is_folder(folder) or not is_folder(folder / "journal"):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            append_edit(folder / "journal", run_id, records, after, self._mode & 0o666)
        except OSError as error:
            raise StoreError(f"run {run_id} cannot be changed: {error.strerror}") from None

    @property
    def _mode(self) -> int:
        """Of the store's folders."""
        return 0o2770 if (read_description(self.root) or {}).get("shared") else 0o700

    def remove(self, run_id: str) -> None:
        """Tombstone, then trash; see the contract."""
        if is_alive(self._runs / run_id / "alive")[0]:
            raise StoreError(f"run {run_id} goes on: end it first, then remove it")
        self.edit(run_id, [Removed()])
        try:
            trash.throw_away(self.root, run_id, self._mode)
        except OSError as error:  # it is removed all the same
            raise StoreError(f"run {run_id} cannot be moved to the trash: {error.strerror}") from None

    def restore(self, run_id: str) -> None:
        """Out of the trash, then the tombstone is taken back; see the contract."""
        try:
            trash.take_back(self.root, run_id)
        except FileExistsError:
            raise StoreError(
                f"run {run_id} is also in {self.root / 'runs'}, as a copy that came back: move one of the two away"
            ) from None
        except OSError as error:
            raise StoreError(f"run {run_id} cannot be moved out of the trash: {error.strerror}") from None
        self.edit(run_id, [Restored()])

    def removed(self) -> FileSource:
        """The trash."""
        return FileSource(self.root, trash.TRASH)

    def experiments(self) -> list[RunLog]:
        """What was said of experiments; see the contract."""
        return file_experiments.read_all(self.root)

    def edit_experiment(self, name: str, records: Sequence[Record]) -> None:
        """Say something of an experiment; see the contract."""
        try:
            file_experiments.append(self.root, name, records, self._mode)
        except OSError as error:
            raise StoreError(f"experiment {name!r} cannot be changed: {error.strerror}") from None


def read_description(root: Path) -> dict[str, Any] | None:
    """store.json, or None where there is none yet.

    Raises:
        StoreError: It is no description of a store.
    """
    try:
        description = json.loads((root / "store.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError):
        description = None
    if not isinstance(description, dict) or not isinstance(description.get("min_reader", 1), int):
        raise StoreError(f"{root / 'store.json'} is damaged; restore it, or move the folder away to start a new store")
    return description

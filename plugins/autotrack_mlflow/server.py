"""The MLflow tracking server as a remote: what one run's records change there, in requests that may come twice."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, BinaryIO

from autotrack.errors import RemoteError
from autotrack.remote import Entry, LocalRun
from autotrack_mlflow import names
from autotrack_mlflow.answers import Done, RunAnswer
from autotrack_mlflow.artifacts import Artifacts
from autotrack_mlflow.client import Client, Rejected
from autotrack_mlflow.copies import CURSOR, HEAD, JOURNAL, Copies, Copy, Experiments
from autotrack_mlflow.mapping import OWN, Changes, changes
from autotrack_mlflow.models import RunModels

__all__ = ["MlflowRemote", "MlflowRun"]

METRICS = 1000
"""Points in one request, the most that a server takes."""
OTHERS = 100
"""Params, or tags, in one request."""


class MlflowRemote:
    """A stock MLflow tracking server.

    Raises:
        ConfigError: The address makes no sense.
    """

    def __init__(self, uri: str) -> None:
        self._client = Client(uri)
        self._experiments = Experiments(self._client)

    def run(self, local: LocalRun) -> MlflowRun:
        """The copy of a run; see the contract."""
        return MlflowRun(self._client, self._experiments, local)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class MlflowRun:
    """The copies of a run and its children; see the contract."""

    def __init__(self, client: Client, experiments: Experiments, local: LocalRun) -> None:
        self._client = client
        self._local = local
        self._artifacts = Artifacts(client)
        self._models = RunModels(client, self._artifacts, local)
        self._active = Copy("", "", "")  # that is being changed
        self._head: dict[str, str] = {}  # tag that is to be set
        self.problems = self._artifacts.problems
        self._copies = Copies(client, local.id, experiments, local.begin.experiment)
        self.exists = self._copies.get("") is not None

    @property
    def removed(self) -> bool:
        """Whether somebody deleted it there."""
        top = self._copies.get("")
        return top is not None and top.deleted and not top.by_us

    def _takes_any(self) -> bool:
        top = self._copies.get("")
        return top is None or not top.deleted

    @property
    def journals(self) -> Mapping[str, int]:
        """Bytes of each writer's journal that the server keeps."""
        top = self._copies.get("")
        return {} if top is None else top.journals

    def missing(self, entry: Entry) -> bool:
        """Whether a record is not on the server yet."""
        copy = self._copies.get(entry.record.c)
        return copy is None or (not copy.deleted and entry.line > copy.cursors.get(entry.writer, 0))

    def write(self, writer: str, entries: Sequence[Entry]) -> None:
        """Take the next records of one writer; see the contract."""
        self._models.look(entries)
        new = [entry for entry in entries if self.missing(entry)]
        if not new or not self._takes_any():
            return
        last = {entry.record.c: entry.line for entry in new}
        for child, change in changes(new).items():
            if child in last or self._copies.get(child) is None:
                self._apply(child, change, writer, last.get(child, 0))

    def _apply(self, child: str, change: Changes, writer: str, line: int) -> None:
        copy = self._copies.get(child) or self._make(child, change)
        self._active = copy
        if change.name:
            self._post("update", {"run_name": names.shortened(names.clean(change.name), 250)})
        self._params(change)
        self._in_parts("metrics", change.metrics, METRICS, lambda point: f"metric {point['key']!r}")
        if change.datasets:
            self._in_parts("datasets", change.datasets, OTHERS, lambda one: f"dataset {one['dataset']['name']!r}")
        for path, target in change.files.items():
            self._artifacts.put(copy.artifacts, target, partial(self._local.open, path))
        for record in change.models.values():
            self._models.put(self._copies.experiment, copy, record)
        for target, content in change.texts.items():
            self._artifacts.put_bytes(copy.artifacts, target, content)
        if change.status is not None:
            status, end = change.status
            self._post("update", {"status": status} if end is None else {"status": status, "end_time": end})
            copy.status = status
        self._tags(change.tags, {f"{CURSOR}{writer}": str(line)} if line else {})
        copy.cursors[writer] = line

    def _make(self, child: str, change: Changes) -> Copy:
        begin, start = change.begin or (None, int(self._local.start * 1000))
        if begin is None and not child:
            begin = self._local.begin
        return self._copies.make(child, begin.name if begin else child, start)

    def _params(self, change: Changes) -> None:
        """A param is what it was first, there; what it is now stands in a tag."""
        first: dict[str, str] = {}
        for name, value in change.params:
            if first.setdefault(name, value) != value:
                change.tag(f"{OWN}param.{name}", value)
        items = [{"key": name, "value": value} for name, value in first.items()]

        def taken_otherwise(item: dict[str, Any]) -> None:
            change.tags.setdefault(names.key(f"{OWN}param.{item['key']}"), names.shortened(item["value"], 5000))

        self._in_parts("params", items, OTHERS, otherwise=taken_otherwise)

    def _tags(self, tags: Mapping[str, str | None], cursor: Mapping[str, str]) -> None:
        """The cursor comes last: all else is there then."""
        items = [{"key": name, "value": value} for name, value in tags.items() if value is not None]
        for name, value in tags.items():
            if value is None:
                try:
                    self._post("delete-tag", {"key": name})
                except Rejected:  # it is not there
                    continue
        whole = len(items) - len(items) % OTHERS
        self._in_parts("tags", items[:whole], OTHERS, lambda tag: f"tag {tag['key']!r}")
        rest = items[whole:] + [{"key": name, "value": value} for name, value in cursor.items()]
        self._in_parts("tags", rest, OTHERS, lambda tag: f"tag {tag['key']!r}")

    def _in_parts(
        self,
        kind: str,
        items: Sequence[dict[str, Any]],
        size: int,
        name: Callable[[dict[str, Any]], str] = str,
        otherwise: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """Send items in parts of a size that the server takes. Of a part that it refuses each half is tried."""
        for at in range(0, len(items), size):
            part = items[at : at + size]
            try:
                self._post("log-inputs" if kind == "datasets" else "log-batch", {kind: part})
            except Rejected as error:
                self._check_active(error)
                if len(part) > 1:
                    self._in_parts(kind, part, (len(part) + 1) // 2, name, otherwise)
                elif otherwise is not None:
                    otherwise(part[0])
                else:
                    self.problems.append(f"{name(part[0])}: {error}")

    def _check_active(self, rejected: Rejected) -> None:
        """Whether the run itself is what was refused: another process, or a person, deleted it meanwhile."""
        try:
            run = self._client.get("mlflow/runs/get", {"run_id": self._active.id}, RunAnswer).run
        except Rejected:
            raise RemoteError(str(rejected)) from None
        if run.info.lifecycle_stage != "active":
            raise RemoteError(f"run {self._active.id} was deleted on the server")

    def _post(self, what: str, content: dict[str, Any]) -> None:
        self._client.post(f"mlflow/runs/{what}", {"run_id": self._active.id, **content}, Done)

    def remove(self, child: str) -> bool:
        """Delete copies; see the contract."""
        return self._copies.delete(child)

    def restore(self, child: str) -> bool:
        """Bring copies back; see the contract."""
        return self._copies.restore(child)

    def keep_journal(self, writer: str, journal: BinaryIO, size: int) -> None:
        """Keep a journal, compressed, as an artifact; see the contract."""
        top = self._copies.get("")
        if top is None or top.deleted:
            return
        self._active = top
        whole = size
        with tempfile.TemporaryFile() as file:
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6, mtime=0) as packed:
                while size > 0 and (block := journal.read(min(size, 1 << 20))):
                    packed.write(block)
                    size -= len(block)
            file.seek(0)
            kept = self._artifacts.put(top.artifacts, f"autotrack/journal/{writer}.jsonl.gz", lambda: file)
        if kept:
            self._tags({**self._head, f"{JOURNAL}{writer}": str(whole)}, {})
            self._head = {}
        top.journals[writer] = whole

    def keep_head(self, head: bytes) -> None:
        """Keep what a list shows of the run; see the contract. One that is too long for a tag is not kept."""
        self._head = {HEAD: names.packed(head)}  # goes with the first journal

    def lost(self, time: float) -> None:
        """The process is gone without having ended the run; see the contract."""
        for copy in self._copies:
            if copy.status == "RUNNING":
                self._active = copy
                self._post("update", {"status": "KILLED", "end_time": int(time * 1000)})
                self._tags({f"{OWN}status": "killed"}, {})
                copy.status = "KILLED"

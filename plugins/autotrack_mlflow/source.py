"""Reading our runs back from an MLflow server: exactly, from the journals it keeps; else from what MLflow holds."""

from __future__ import annotations

import gzip
import itertools
import re
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import BinaryIO

from autotrack.errors import RemoteError, RunNotFound
from autotrack.records import Begin, End, Metrics, Params, Record, Tags, number_to_json
from autotrack.remote import (
    RUN_ID,
    Entry,
    RunLog,
    RunSource,
    StoredJournal,
    add_journal,
    by_time,
    run_start,
    safe_path,
)
from autotrack.remote_reading import Query, RunHead, decode_head, derived_status, head_in, head_of
from autotrack_mlflow import names
from autotrack_mlflow.answers import Experiments, Found, History, Run
from autotrack_mlflow.artifacts import fetch
from autotrack_mlflow.client import Client
from autotrack_mlflow.copies import HEAD, ID, JOURNAL, RUN, numbers
from autotrack_mlflow.mapping import OWN, STATUS
from autotrack_mlflow.models import find_models

__all__ = ["MlflowSource"]

_WRITER = re.compile(r"[0-9a-f]{16}")
_ID_LENGTH = 29
_SLACK = 60_000
"""Milliseconds between the time in a run's id and that of its first record, at most."""

_FIRST_PAGE = 40
"""Runs in the first answer: most people look at the newest."""

_PAGE = 200
"""Runs in one answer: each is some kilobytes, with many params some hundred."""

JOURNAL_LIMIT = 512 << 20
"""Bytes of a journal beyond which it is not unpacked."""


class MlflowSource(RunSource):
    """The runs of ours that are on a server. Each is asked for anew whenever it is read."""

    def __init__(self, uri: str) -> None:
        self._client = Client(uri)
        self._experiments: dict[str, str] = {}  # names by id

    def run_ids(self) -> list[str]:
        """All runs, oldest first."""
        return sorted({run_id for run_id, _ in self._list()})

    def heads(self, query: Query) -> Iterator[RunHead]:
        """Heads of all runs, newest first; see the contract."""
        return (self._head(run_id, run) for run_id, run in self._list())

    def heads_of(self, run_ids: Sequence[str]) -> dict[str, RunHead]:
        """Whole heads of these runs; see the contract. Asked for by the time in which they began."""
        times = [int(run_start(run_id) * 1000) for run_id in run_ids]
        first, last = min(times, default=0) - _SLACK, max(times, default=0) + _SLACK
        between = f" and attributes.start_time >= {first} and attributes.start_time <= {last}"
        wanted, oldest = set(run_ids), min(run_ids, default="~")
        listed = itertools.takewhile(lambda item: item[0] >= oldest, self._list(between))
        found = {run_id: self._head(run_id, run) for run_id, run in listed if run_id in wanted}
        return found | super().heads_of([run_id for run_id in run_ids if run_id not in found])

    def _list(self, more: str = "") -> Iterator[tuple[str, Run]]:
        """Top-level runs, newest first; each once."""
        last = ""
        for run in self._search(f"tags.`{ID}` LIKE '{'_' * _ID_LENGTH}'{more}", [f"tags.`{ID}` DESC"]):
            run_id = run.tags().get(ID, "")
            if RUN_ID.fullmatch(run_id) and run_id != last:
                yield run_id, run
                last = run_id

    def _search(self, query: str, order: list[str]) -> Iterator[Run]:
        self._experiments = self._find_experiments()
        ids = list(self._experiments)
        if not ids:
            return
        content = {"experiment_ids": ids, "filter": query, "order_by": order, "max_results": _FIRST_PAGE}
        page = self._client.post("mlflow/runs/search", content, Found)
        yield from page.runs
        if page.next_page_token:
            content |= {"max_results": _PAGE, "page_token": page.next_page_token}
            for page in self._client.pages("mlflow/runs/search", content, Found):
                yield from page.runs

    def _head(self, run_id: str, run: Run) -> RunHead:
        """As the journals that the server keeps make it; from all that is there where it is not kept itself."""
        tags = run.tags()
        state = decode_head(names.unpacked(tags.get(HEAD, "")), numbers(tags, JOURNAL))
        if state is None:
            return head_in(self.read(run_id))
        return head_of(run_id, state, derived_status(state.status, *_alive(run)))

    def read(self, run_id: str) -> RunLog:
        """Everything about one run; see the contract."""
        copies = self._copies(run_id)
        top = copies[""]
        log = RunLog(run_id)
        log.alive, log.here = _alive(top)
        for writer, journal in sorted(self._journals(top).items()):
            try:
                with journal.open() as file:
                    add_journal(log, f"{writer}.jsonl", file.read())
            except OSError as error:
                log.damage.append(f"{writer}.jsonl: {error}")
        if not any(isinstance(entry.record, Begin) for entry in log.entries):
            for child, run in copies.items():
                log.entries += self._entries(child, run)
        log.entries = by_time(log.entries)
        return log

    def open(self, run_id: str, path: str) -> BinaryIO:
        """A stored file; see the contract."""
        parts = safe_path(path).parts
        child, below = (parts[1], parts[2:]) if parts[0] == "children" and len(parts) > 3 else ("", parts)
        run = self._copies(run_id).get(child)
        if run is None:
            raise FileNotFoundError(path)
        if below[0] == "models" and len(below) > 2:
            for model in find_models(self._client, run.info.experiment_id, ID, run.tags()[ID]) or ():
                if model.info.name == names.model_name(below[1]):
                    return fetch(self._client, model.info.artifact_uri, "/".join(below[2:]))
        below = ("autotrack", *below) if below[0] == "params" else below[below[0] == "artifacts" :]
        return fetch(self._client, run.info.artifact_uri, "/".join(below))

    def _copies(self, run_id: str) -> dict[str, Run]:
        """The copies of a run and its children, by child run; of several the one with the smallest id."""
        copies: dict[str, Run] = {}
        if RUN_ID.fullmatch(run_id):
            for run in self._search(f"tags.`{RUN}` = '{run_id}'", []):
                top, _, child = run.tags().get(ID, "").partition(".")
                if top == run_id and (child not in copies or run.info.run_id < copies[child].info.run_id):
                    copies[child] = run
        if "" not in copies:
            raise RunNotFound(f"there is no run {run_id!r} on {self._client.address}")
        return copies

    def _find_experiments(self) -> dict[str, str]:
        pages = self._client.pages("mlflow/experiments/search", {"max_results": 1000}, Experiments)
        return {one.experiment_id: one.name for page in pages for one in page.experiments}

    def journals(self, run_id: str) -> dict[str, StoredJournal]:
        """The journals that were uploaded; see the contract."""
        return self._journals(self._copies(run_id)[""])

    def _journals(self, top: Run) -> dict[str, StoredJournal]:
        return {
            writer: StoredJournal(size, partial(self._open_journal, top, writer, size))
            for writer, size in numbers(top.tags(), JOURNAL).items()
            if _WRITER.fullmatch(writer) and size <= JOURNAL_LIMIT
        }

    def _open_journal(self, top: Run, writer: str, size: int) -> BinaryIO:
        """A journal, unpacked; at most ``size`` bytes of it.

        Raises:
            OSError: It is not there, or spoilt.
        """
        file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115  the caller closes it
        try:
            with (
                fetch(self._client, top.info.artifact_uri, f"autotrack/journal/{writer}.jsonl.gz") as packed,
                gzip.GzipFile(fileobj=packed) as data,
            ):
                while size > 0 and (block := data.read(min(size, 1 << 20))):
                    file.write(block)
                    size -= len(block)
        except (EOFError, zlib.error) as error:
            file.close()
            raise OSError(str(error)) from None
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return file

    def _entries(self, child: str, run: Run) -> list[Entry]:
        """A run whose journal is not there (yet), of what MLflow holds of it."""
        info, tags, start = run.info, run.tags(), run.info.start_time / 1000
        own = {key: value for key, value in tags.items() if not key.startswith((OWN, "mlflow."))}
        begin = Begin(
            name=info.run_name, experiment=self._experiments.get(info.experiment_id, ""),
            session=tags.get(f"{OWN}session", ""), by=tags.get(f"{OWN}by", ""),
        )  # fmt: skip
        found: list[tuple[float, Record]] = [(start, begin)]
        if run.data.params:
            found.append((start, Params(p={item.key: item.value for item in run.data.params})))
        if own:
            found.append((start, Tags(g=dict(own))))
        for key in sorted({metric.key for metric in run.data.metrics}):
            found += self._history(info.run_id, key)
        if info.status not in ("RUNNING", "SCHEDULED"):
            by_status = {name: status for status, name in reversed(STATUS.items())}
            status = tags.get(f"{OWN}status") or by_status.get(info.status, "finished")
            end = info.end_time / 1000 if info.end_time else start
            found.append((end, End(status=status, duration=end - start)))
        for _, record in found:
            record.c = child
        return [Entry(time, info.run_id, line, record) for line, (time, record) in enumerate(found, 1)]

    def _history(self, run_id: str, key: str) -> Iterator[tuple[float, Record]]:
        query = {"run_id": run_id, "metric_key": key, "max_results": "10000"}
        for page in self._client.pages("mlflow/metrics/get-history", query, History, method="GET"):
            for point in page.metrics:
                try:
                    value = float(point.value)
                except ValueError:
                    raise RemoteError(f"{self._client.address}: {point.value!r} is no value of a metric") from None
                yield point.timestamp / 1000, Metrics(m={key: number_to_json(value)}, s=point.step)


def _alive(run: Run) -> tuple[bool | None, bool]:
    """Whether the process of a run works, as far as the server was told; and whether that is for certain."""
    if run.info.status == "RUNNING":
        return True, False
    return (False, True) if run.tags().get(f"{OWN}status") == "killed" else (None, False)

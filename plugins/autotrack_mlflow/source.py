"""Reading our runs back from an MLflow server: exactly, from the journals it keeps; else from what MLflow holds."""

from __future__ import annotations

import gzip
import re
import tempfile
import urllib.parse
import zlib
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

from autotrack.errors import RemoteError, RunNotFound
from autotrack.records import Begin, End, Metrics, Params, Record, Tags, number_to_json
from autotrack.remote import Entry, RunLog, RunSource, StoredJournal, add_journal, by_time, safe_path
from autotrack_mlflow.answers import Experiments, Found, History, Run
from autotrack_mlflow.artifacts import PROXY, folder_of
from autotrack_mlflow.client import Client, Rejected
from autotrack_mlflow.copies import ID, JOURNAL, RUN, numbers
from autotrack_mlflow.mapping import OWN, STATUS

__all__ = ["MlflowSource"]

_WRITER = re.compile(r"[0-9a-f]{16}")
_RUN_ID = re.compile(r"[0-9]{8}T[0-9]{9}-[0-9a-f]{10}")

JOURNAL_LIMIT = 512 << 20
"""Bytes of a journal beyond which it is not unpacked."""

FILE_LIMIT = 50 << 30
"""Bytes of a file beyond which it is not fetched."""


class MlflowSource(RunSource):
    """The runs of ours that are on a server."""

    def __init__(self, uri: str) -> None:
        self._client = Client(uri)
        self._experiments: dict[str, str] = {}  # names by id
        self._runs: dict[str, dict[str, Run]] | None = None  # by run, then by child run

    def run_ids(self) -> list[str]:
        """All runs, oldest first."""
        self._runs = {}
        self._experiments = self._find_experiments()
        ids = list(self._experiments)
        for at in range(0, len(ids), 100):
            query = {
                "experiment_ids": ids[at : at + 100], "filter": f"tags.`{RUN}` LIKE '%'", "max_results": 1000
            }  # fmt: skip
            for page in self._client.pages("mlflow/runs/search", query, Found):
                for run in page.runs:
                    self._keep(run)
        return sorted(run_id for run_id, copies in self._runs.items() if "" in copies)

    def read(self, run_id: str) -> RunLog:
        """Everything about one run; see the contract."""
        copies = self._copies(run_id)
        top = copies[""]
        log = RunLog(run_id)
        log.alive = top.info.status == "RUNNING" or None  # as far as the server knows
        for writer, journal in sorted(self.journals(run_id).items()):
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
        copies, child = self._copies(run_id), ""
        if parts[0] == "children" and len(parts) > 2:
            child, parts = parts[1], parts[2:]
        if child not in copies:
            raise FileNotFoundError(path)
        parts = ("autotrack", *parts) if parts[0] == "params" else parts[parts[0] == "artifacts" :]
        return self._fetch(copies[child], "/".join(parts))

    def _copies(self, run_id: str) -> dict[str, Run]:
        if self._runs is None:
            self.run_ids()
        assert self._runs is not None
        copies = self._runs.get(run_id, {})
        if "" not in copies:
            raise RunNotFound(f"there is no run {run_id!r} on {self._client.address}")
        return copies

    def _keep(self, run: Run) -> None:
        tags = run.tags()
        top, full = tags.get(RUN, ""), tags.get(ID, "")
        if _RUN_ID.fullmatch(top) and full.partition(".")[0] == top:
            assert self._runs is not None
            copies = self._runs.setdefault(top, {})
            child = full.removeprefix(top).removeprefix(".")
            if child not in copies or run.info.run_id < copies[child].info.run_id:
                copies[child] = run

    def _find_experiments(self) -> dict[str, str]:
        pages = self._client.pages("mlflow/experiments/search", {"max_results": 1000}, Experiments)
        return {one.experiment_id: one.name for page in pages for one in page.experiments}

    def journals(self, run_id: str) -> dict[str, StoredJournal]:
        """The journals that were uploaded; see the contract."""
        top = self._copies(run_id)[""]
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
                self._fetch(top, f"autotrack/journal/{writer}.jsonl.gz") as packed,
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

    def _fetch(self, run: Run, path: str) -> BinaryIO:
        folder = folder_of(run.info.artifact_uri)
        if folder is None:
            raise FileNotFoundError(f"the server keeps its files at {run.info.artifact_uri[:200]}")
        file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115  the caller closes it
        try:
            self._client.fetch(f"{PROXY}/{urllib.parse.quote(f'{folder}/{path}')}", file, FILE_LIMIT)
        except Rejected as error:
            file.close()
            raise FileNotFoundError(f"{path}: {error}") from None
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

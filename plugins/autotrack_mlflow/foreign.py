"""Runs that others wrote to an MLflow server, for the import into a folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import BinaryIO

from autotrack.errors import RemoteError
from autotrack.records import Change, Facts, Params, Points, Record, Tags, number_to_json
from autotrack.remote import ForeignRun
from autotrack_mlflow.answers import Experiments, Files, Found, History, Run
from autotrack_mlflow.artifacts import PROXY, fetch, folder_of
from autotrack_mlflow.client import Client
from autotrack_mlflow.copies import ID

__all__ = ["Point", "file_problem", "foreign_runs", "logged", "status_of"]

Point = tuple[int, float, int]
"""Unix time in milliseconds, value, step."""

AT_ONCE = 1000
"""Points in one record."""

MOST_FILES = 100_000
"""Files of a run beyond which no more are listed."""

DEEPEST = 50
"""Levels of folders below which nothing is listed."""

_STATUS = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "interrupted"}


def status_of(status: str) -> str:
    """Ours for MLflow's; empty where the run has not ended."""
    return _STATUS.get(status, "")


def foreign_runs(uri: str) -> Iterator[list[ForeignRun]]:
    """The runs of a server that are not copies of ours, an experiment at a time."""
    client = Client(uri)
    try:
        for page in client.pages("mlflow/experiments/search", {"max_results": 1000}, Experiments):
            for experiment in page.experiments:
                query = {"experiment_ids": [experiment.experiment_id], "max_results": 1000}
                found = [run for page in client.pages("mlflow/runs/search", query, Found) for run in page.runs]
                runs = [_foreign(client, experiment.name, run) for run in found if ID not in run.tags()]
                if runs:
                    yield runs
    finally:
        client.close()


def _foreign(client: Client, experiment: str, run: Run) -> ForeignRun:
    info, tags = run.info, run.tags()
    params = {item.key: item.value for item in run.data.params}
    last = max([info.start_time, *(metric.timestamp for metric in run.data.metrics)])
    metrics = [
        (key, partial(_points, client, info.run_id, key)) for key in sorted({one.key for one in run.data.metrics})
    ]
    result = ForeignRun(
        info.run_id, tags.get("mlflow.parentRunId", ""), info.run_name or info.run_id, experiment,
        info.start_time / 1000, None if info.end_time is None else info.end_time / 1000, status_of(info.status),
        last / 1000, lambda: logged(info.start_time, params, tags, metrics),
        lambda: _files(client, info.artifact_uri, result),
    )  # fmt: skip
    return result


def logged(
    start: int,
    params: Mapping[str, str],
    tags: Mapping[str, str],
    metrics: Iterable[tuple[str, Callable[[], list[Point]]]],
) -> Iterator[tuple[float, Record]]:
    """What MLflow holds of a run as records with their times; ``start`` in Unix milliseconds."""
    began = start / 1000
    if params:
        yield began, Params(p=dict(params))
    own = {key: value for key, value in tags.items() if key not in _ELSEWHERE}
    if own:
        yield began, Tags(g=dict(own))
    facts: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for tag, (section, name) in _FACTS.items():
        if tags.get(tag):
            facts[section][name] = tags[tag]
    if facts:
        yield began, Facts(f=dict(facts))
    if tags.get("mlflow.note.content"):
        yield began, Change(description=tags["mlflow.note.content"])
    for key, read in metrics:
        points = read()
        for at in range(0, len(points), AT_ONCE):
            part = points[at : at + AT_ONCE]
            first = part[0][0]
            steps, values = [step for _, _, step in part], [number_to_json(value) for _, value, _ in part]
            yield first / 1000, Points(key=key, s=steps, v=values, dt=[(time - first) * 1000 for time, _, _ in part])


_FACTS = {
    "mlflow.user": ("environment", "user"),
    "mlflow.source.name": ("environment", "script"),
    "mlflow.source.git.commit": ("git", "commit"),
    "mlflow.source.git.branch": ("git", "branch"),
    "mlflow.source.git.repoURL": ("git", "remote"),
}

_ELSEWHERE = {*_FACTS, "mlflow.note.content", "mlflow.runName", "mlflow.parentRunId", "mlflow.source.type"}
"""Tags that are no tags with us."""


def _points(client: Client, run_id: str, key: str) -> list[Point]:
    query = {"run_id": run_id, "metric_key": key, "max_results": "10000"}
    found = []
    for page in client.pages("mlflow/metrics/get-history", query, History, method="GET"):
        for point in page.metrics:
            try:
                found.append((point.timestamp, float(point.value), point.step))
            except ValueError:
                raise RemoteError(f"{client.address}: {point.value!r} is no value of a metric") from None
    return sorted(found, key=lambda point: (point[0], point[2]))


def file_problem(place: str) -> str:
    """Why files cannot be had."""
    return f"files are left out: they are kept at {place[:200]}"


def _files(client: Client, root: str, run: ForeignRun) -> Iterator[tuple[str, Callable[[], BinaryIO]]]:
    """The files of a run, folder by folder."""
    top = folder_of(root)
    if top is None:
        run.problems.append(file_problem(root))
        return
    waiting, count = [""], 0
    while waiting:
        folder = waiting.pop()
        for file in client.get(PROXY, {"path": f"{top}/{folder}".rstrip("/")}, Files).files:
            path = f"{folder}/{file.path}".lstrip("/")
            count += 1
            if file.path in ("", ".", "..") or "/" in file.path or path.count("/") > DEEPEST:
                run.problems.append(f"file {path[:200]!r} is left out: that is no name of one")
            elif count > MOST_FILES:
                run.problems.append(f"of its files only {MOST_FILES} are brought")
                return
            elif file.is_dir:
                waiting.append(path)
            else:
                yield path, partial(fetch, client, root, path)

"""Records of a journal as what changes in MLflow's runs. Pure: docs/remote.md has the same as a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from autotrack.records import (
    Artifact,
    Begin,
    Change,
    End,
    Facts,
    Metrics,
    Model,
    Params,
    Points,
    Record,
    Resumed,
    Tags,
)
from autotrack.remote import Entry, named_files
from autotrack_mlflow import names

__all__ = ["OWN", "Changes", "changes"]

OWN = "autotrack."
"""Beginning of the tags that are ours."""

STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED", "idle": "RUNNING"}


@dataclass
class Changes:
    """What some records change in one run of MLflow's.

    Attributes:
        begin: The record that begins it, and its time in milliseconds.
        name: Its new name.
        params: Values of params as text, in order, also of one that comes twice.
        metrics: Points in the form of ``log-batch``.
        tags: Tags to set; None removes one.
        datasets: Inputs in the form of ``log-inputs``.
        files: Stored files: path below the run's folder, path among MLflow's artifacts.
        models: Saved models, the last one of each name.
        texts: Artifacts made of long values: path among MLflow's artifacts, content.
        status: New status and, where it has ended, the end in milliseconds.
    """

    begin: tuple[Begin, int] | None = None
    name: str = ""
    params: list[tuple[str, str]] = field(default_factory=list)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    tags: dict[str, str | None] = field(default_factory=dict)
    datasets: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    status: tuple[str, int | None] | None = None

    def tag(self, name: str, value: str) -> None:
        """Set a tag; a long value is cut, and is whole among the artifacts."""
        text = names.clean(value)
        if len(text) > names.TAG_LENGTH:
            self.texts[f"autotrack/tags/{names.key(name)}.txt"] = text.encode()
        self.tags[names.key(name)] = names.shortened(text, names.TAG_LENGTH)


def changes(entries: Iterable[Entry]) -> dict[str, Changes]:
    """What records of a run change, by child run; the run itself is ``""`` and comes first."""
    result: dict[str, Changes] = {"": Changes()}
    for time, _, _, record in entries:
        if (handler := _HANDLERS.get(type(record))) is not None:
            handler(result.setdefault(record.c, Changes()), _milliseconds(time), record)
    return result


def _milliseconds(time: float) -> int:
    return max(0, round(time * 1000))


def _begin(run: Changes, now: int, record: Begin) -> None:
    run.begin = record, now
    if record.by:
        run.tag(f"{OWN}by", record.by)
    if record.session:
        run.tag(f"{OWN}session", record.session)


def _change(run: Changes, now: int, record: Change) -> None:
    if record.name is not None:
        run.name = record.name
    if record.description is not None:
        run.tag("mlflow.note.content", record.description)
    if record.experiment is not None:  # MLflow cannot move a run
        run.tag(f"{OWN}experiment", record.experiment)


def _params(run: Changes, now: int, record: Params) -> None:
    for name, value in record.p.items():
        text = names.param_text(value)
        if len(text) > names.VALUE_LENGTH:
            run.texts[f"autotrack/params/{names.key(name)}.txt"] = text.encode()
        run.params.append((names.key(name), names.shortened(text, names.VALUE_LENGTH)))
    for path in named_files(record):  # texts that were too long for the journal
        run.files[path] = "autotrack/" + path.removeprefix(f"children/{record.c}/")


def _metrics(run: Changes, now: int, record: Metrics) -> None:
    for name, value in record.m.items():
        _point(run, name, value, now, record.s)


def _points(run: Changes, now: int, record: Points) -> None:
    for index, (step, value) in enumerate(zip(record.s, record.v, strict=False)):
        later = record.dt[index] // 1000 if index < len(record.dt) else 0
        _point(run, record.key, value, now + later, step)


def _point(run: Changes, name: str, value: float | str, now: int, step: int | None) -> None:
    try:
        number = names.metric_value(value)
    except ValueError:  # damage, that the reader names as well
        return
    run.metrics.append({"key": names.key(name), "value": number, "timestamp": now, "step": names.step(step)})


def _tags(run: Changes, now: int, record: Tags) -> None:
    for name, value in record.g.items():
        if value is None:
            run.tags[names.key(name)] = None
        else:
            run.tag(name, value)


def _end(run: Changes, now: int, record: End) -> None:
    run.status = STATUS.get(record.status, "FINISHED"), None if record.status == "idle" else now
    run.tag(f"{OWN}status", record.status)
    if record.error is not None:
        run.tag(f"{OWN}error", f"{record.error.type}: {record.error.message}")


def _resumed(run: Changes, now: int, record: Resumed) -> None:
    run.status = "RUNNING", None
    run.tag(f"{OWN}status", "running")


def _artifact(run: Changes, now: int, record: Artifact) -> None:
    folder = f"children/{record.c}/artifacts/" if record.c else "artifacts/"
    run.files[record.path] = record.path.removeprefix(folder)


def _model(run: Changes, now: int, record: Model) -> None:
    run.models[record.name] = record


def _facts(run: Changes, now: int, record: Facts) -> None:
    git, environment, data = (_mapping(record.f.get(name)) for name in ("git", "environment", "data"))
    for name, value in (
        ("mlflow.source.git.commit", git.get("commit")),
        ("mlflow.source.git.branch", git.get("branch")),
        ("mlflow.source.git.repoURL", git.get("remote")),
        ("mlflow.source.name", environment.get("script")),
        ("mlflow.source.type", "LOCAL" if environment.get("script") else None),
        ("mlflow.user", environment.get("user")),
    ):
        if isinstance(value, str) and value:
            run.tag(name, value)
    run.datasets += [_dataset(name, _mapping(about)) for name, about in data.items() if "hash" in _mapping(about)]


def _dataset(name: str, about: dict[str, Any]) -> dict[str, Any]:
    """Data that a training was given, as an input of the run."""
    columns, dtypes = about.get("columns"), about.get("dtypes")
    dataset = {
        "name": names.shortened(names.clean(name), 500),
        "digest": names.shortened(names.clean(str(about["hash"])), 36),
        "source_type": "code",
        "source": "{}",
        "profile": json.dumps({"type": about.get("type"), "shape": about.get("shape")}),
    }
    if isinstance(columns, list) and isinstance(dtypes, list) and len(columns) == len(dtypes):
        schema = [
            {"type": _TYPES.get(str(kind), "string"), "name": str(column), "required": True}
            for column, kind in zip(columns, dtypes, strict=True)
        ]
        dataset["schema"] = json.dumps({"mlflow_colspec": schema})
    return {"tags": [{"key": "mlflow.data.context", "value": "train"}], "dataset": dataset}


_TYPES = {
    "float64": "double", "float32": "float", "int64": "long", "int32": "integer", "bool": "boolean",
    "datetime64[ns]": "datetime",
}  # fmt: skip


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


_HANDLERS: dict[type[Record], Callable[[Changes, int, Any], None]] = {
    Begin: _begin, Change: _change, Params: _params, Metrics: _metrics, Points: _points, Tags: _tags, Facts: _facts,
    Artifact: _artifact, Model: _model, End: _end, Resumed: _resumed,
}  # fmt: skip

"""Logged models: what MLflow 3 shows of a run's models. Each has a folder of artifacts of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from autotrack.errors import ArtifactPathError
from autotrack.records import Model, model_number
from autotrack.remote import Entry, LocalRun
from autotrack_mlflow import names
from autotrack_mlflow.answers import Done, LoggedModel, LoggedModelAnswer, LoggedModels
from autotrack_mlflow.artifacts import Artifacts
from autotrack_mlflow.client import Client, Rejected
from autotrack_mlflow.copies import ID, RUN, Copy

__all__ = ["RunModels", "find_models", "make_model", "model_ready"]

_LOGGED = "mlflow/logged-models"


def find_models(client: Client, experiment: str, tag: str, value: str) -> list[LoggedModel] | None:
    """The logged models of an experiment with a tag of ours, by id; None where the server knows none at all."""
    query = {"experiment_ids": [experiment], "filter": f"tags.`{tag}` = '{value}'"}
    try:
        found = [model for page in client.pages(f"{_LOGGED}/search", query, LoggedModels) for model in page.models]
    except Rejected as error:
        if error.status == 404:  # before MLflow 3
            return None
        raise
    tagged = [model for model in found if any((one.key, one.value) == (tag, value) for one in model.info.tags)]
    return sorted(tagged, key=lambda model: model.info.model_id)


def make_model(client: Client, experiment: str, name: str, run: str, kind: str, tags: Mapping[str, str]) -> LoggedModel:
    """A new logged model, without files yet; ``run`` is the id that the run has there, or empty."""
    content = {
        "experiment_id": experiment, "name": names.model_name(name), "model_type": kind,
        "tags": [{"key": key, "value": value} for key, value in tags.items()],
    }  # fmt: skip
    if run:
        content["source_run_id"] = run
    return client.post(_LOGGED, content, LoggedModelAnswer, again=False).model


def model_ready(client: Client, model: LoggedModel) -> None:
    """Its files are there."""
    content = {"model_id": model.info.model_id, "status": "LOGGED_MODEL_READY"}
    client.post(f"{_LOGGED}/{model.info.model_id}", content, Done, method="PATCH")


class RunModels:
    """The models of one run of ours and its children: a logged model for each name.

    Two processes may make the same one at the same time. It is found again by its tags, of several the one with the
    smallest id counts, and the others are deleted by whoever has it whole.
    """

    def __init__(self, client: Client, artifacts: Artifacts, local: LocalRun) -> None:
        self._client = client
        self._artifacts = artifacts
        self._local = local
        self._newest: dict[tuple[str, str], int] = {}  # of each child run and name the model that was saved last

    def look(self, entries: Sequence[Entry]) -> None:
        """Records that are there, or come soon."""
        for record in (entry.record for entry in entries):
            if isinstance(record, Model):
                key, number = (record.c, record.name), model_number(record)
                self._newest[key] = max(number, self._newest.get(key, 0))

    def put(self, experiment: str, run: Copy, record: Model) -> None:
        """Send a model: its file and those beside it, and what MLflow needs to open it."""
        if model_number(record) < self._newest.get((record.c, record.name), 0):  # the helper may say it late
            return
        try:
            self._local.open(record.path).close()
        except FileNotFoundError:  # a pickle that was turned into its safe form: its record comes later
            return
        except (OSError, ArtifactPathError) as error:
            self._artifacts.problem(f"model {record.name!r}: {error}")
            return
        full = f"{self._local.id}.{record.c}" if record.c else self._local.id
        found = find_models(self._client, experiment, ID, full)
        if found is None:
            folder = record.path.rpartition("/")[0].removeprefix(f"children/{record.c}/")
            self._put_files(run.artifacts, f"{folder}/", record)
            return
        same = self._same(found, record)
        if not same:
            tags = {ID: full, RUN: self._local.id}
            kind = record.cls.rpartition(".")[2]
            made = make_model(self._client, experiment, record.name, run.id, kind, tags)
            same = self._same(find_models(self._client, experiment, ID, full), record) or [made]
        model, *others = same
        self._put_files(model.info.artifact_uri, "", record)
        model_ready(self._client, model)
        try:
            outputs = [{"model_id": model.info.model_id, "step": 0}]
            self._client.post("mlflow/runs/outputs", {"run_id": run.id, "models": outputs}, Done)
        except Rejected:  # it is an output already
            pass
        for other in others:
            self._client.post(f"{_LOGGED}/{other.info.model_id}", {}, Done, method="DELETE")

    def _same(self, models: list[LoggedModel] | None, record: Model) -> list[LoggedModel]:
        return [model for model in models or () if model.info.name == names.model_name(record.name)]

    def _put_files(self, root: str, folder: str, record: Model) -> None:
        beside, _, name = record.path.rpartition("/")
        for file in (name, "requirements.txt", "input_example.json"):
            self._artifacts.put(root, folder + file, partial(self._local.open, f"{beside}/{file}"))
        for path, content in self._local.describe(record).items():
            self._artifacts.put_bytes(root, folder + path, content)

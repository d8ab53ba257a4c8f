"""What of MLflow's answers is used, and its types: an answer of another shape is refused where it is decoded."""

from __future__ import annotations

import msgspec

__all__ = [
    "Done", "Experiment", "ExperimentId", "Experiments", "Files", "Found", "History", "LoggedModel",
    "LoggedModelAnswer", "LoggedModels", "ModelVersion", "ModelVersionAnswer", "ModelVersions", "Place",
    "RegisteredModelAnswer", "Run", "RunAnswer",
]  # fmt: skip


class Done(msgspec.Struct):
    """An answer that says no more than that it was done."""


class _Experiment(msgspec.Struct):
    experiment_id: str
    name: str = ""
    lifecycle_stage: str = "active"


class Experiment(msgspec.Struct):
    """``experiments/get-by-name``."""

    experiment: _Experiment


class Experiments(msgspec.Struct):
    """``experiments/search``."""

    experiments: list[_Experiment] = []
    next_page_token: str = ""


class ExperimentId(msgspec.Struct):
    """``experiments/create``."""

    experiment_id: str


class _Tag(msgspec.Struct):
    key: str
    value: str = ""


class _Info(msgspec.Struct):
    run_id: str
    run_name: str = ""
    experiment_id: str = ""
    start_time: int = 0
    end_time: int | None = None
    artifact_uri: str = ""
    status: str = "RUNNING"
    lifecycle_stage: str = "active"


class _Point(msgspec.Struct):
    key: str
    value: float | str = 0.0
    timestamp: int = 0
    step: int = 0


class _Data(msgspec.Struct):
    tags: list[_Tag] = []
    params: list[_Tag] = []
    metrics: list[_Point] = []


class Run(msgspec.Struct):
    """A run with its tags."""

    info: _Info
    data: _Data = msgspec.field(default_factory=_Data)

    def tags(self) -> dict[str, str]:
        """Its tags by name."""
        return {tag.key: tag.value for tag in self.data.tags}


class RunAnswer(msgspec.Struct):
    """``runs/create`` and ``runs/get``."""

    run: Run


class Found(msgspec.Struct):
    """``runs/search``."""

    runs: list[Run] = []
    next_page_token: str = ""


class History(msgspec.Struct):
    """``metrics/get-history``."""

    metrics: list[_Point] = []
    next_page_token: str = ""


class _File(msgspec.Struct):
    path: str
    is_dir: bool = False
    file_size: int = -1


class Files(msgspec.Struct):
    """``mlflow-artifacts/artifacts?path=``."""

    files: list[_File] = []


class _LoggedModelInfo(msgspec.Struct):
    model_id: str
    name: str = ""
    artifact_uri: str = ""
    tags: list[_Tag] = []


class LoggedModel(msgspec.Struct):
    """A model of a run, with files of its own."""

    info: _LoggedModelInfo


class LoggedModelAnswer(msgspec.Struct):
    """``logged-models``, and what is under it by an id."""

    model: LoggedModel


class LoggedModels(msgspec.Struct):
    """``logged-models/search``."""

    models: list[LoggedModel] = []
    next_page_token: str = ""


class _Alias(msgspec.Struct):
    alias: str = ""
    version: str = ""


class _RegisteredModel(msgspec.Struct):
    description: str = ""
    tags: list[_Tag] = []
    aliases: list[_Alias] = []


class RegisteredModelAnswer(msgspec.Struct):
    """``registered-models/get``."""

    registered_model: _RegisteredModel


class ModelVersion(msgspec.Struct):
    """A version of a registered model."""

    name: str
    version: str
    description: str = ""
    source: str = ""
    tags: list[_Tag] = []


class ModelVersionAnswer(msgspec.Struct):
    """``model-versions/create``."""

    model_version: ModelVersion


class ModelVersions(msgspec.Struct):
    """``model-versions/search``."""

    model_versions: list[ModelVersion] = []
    next_page_token: str = ""


class Place(msgspec.Struct):
    """``model-versions/get-download-uri``."""

    artifact_uri: str = ""

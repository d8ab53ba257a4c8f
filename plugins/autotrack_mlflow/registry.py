"""Registered models on an MLflow server. A version is a logged model of its own, which outlives its run.

What a version is, exactly, stands in its file ``version.json``, and compressed in a tag where that is long enough.
Versions that others made there, with MLflow itself, have a number but are not ours to open: they are problems.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from autotrack.errors import ModelNotFound, RemoteError, StoreError
from autotrack.records import Artifact, RegistryChange, Version, decode, encode
from autotrack.remote import safe_path
from autotrack.remote_reading import (
    ModelVersion,
    RegisteredModel,
    check_change,
    check_content,
    check_registered_name,
    is_registered_name,
    place_aliases,
)
from autotrack_mlflow import answers, names
from autotrack_mlflow.artifacts import Artifacts, fetch
from autotrack_mlflow.client import Client, Rejected
from autotrack_mlflow.copies import ID, Experiments, find_run
from autotrack_mlflow.mapping import OWN
from autotrack_mlflow.models import make_model, model_ready

__all__ = ["MlflowRegistry"]

VERSION = f"{OWN}version"
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_VERSION_LIMIT = 16 << 20
"""Bytes of a version.json beyond which it is not read."""
_TRIES = 5
"""How often a version is asked for where others register at the same moment."""


class MlflowRegistry:
    """The registered models of a server; see the contract."""

    def __init__(self, uri: str) -> None:
        self._client = Client(uri)
        self._experiments = Experiments(self._client)

    def names(self) -> list[str]:
        """Names of all registered models that have a version of ours, sorted."""
        found = self._versions(f"tags.`{VERSION}` LIKE '%'")
        return sorted({one.name for one in found if is_registered_name(one.name) and VERSION in _tags(one)})

    def read(self, name: str) -> RegisteredModel:
        """One registered model; see the contract. MLflow keeps no history of changes."""
        found = list(self._versions(f"name = '{name}'")) if is_registered_name(name) else []
        model = RegisteredModel(name)
        for one in sorted(found, key=lambda one: one.version.zfill(9)):
            if _NUMBER.fullmatch(one.version):
                self._take(model, int(one.version), one)
        if not model.versions:
            known = ", ".join(self.names()) or "none"
            raise ModelNotFound(
                f"there is no registered model {name!r} of ours on {self._client.address}; there are: {known}"
            )
        query = {"name": name}
        about = self._client.get("mlflow/registered-models/get", query, answers.RegisteredModelAnswer).registered_model
        model.tags, model.description = _own(about), about.description
        model.aliases = {one.alias: int(one.version) for one in about.aliases if _NUMBER.fullmatch(one.version)}
        place_aliases(model)
        return model

    def _take(self, model: RegisteredModel, number: int, found: answers.ModelVersion) -> None:
        tags = _tags(found)
        if VERSION not in tags:
            model.problems.append(f"version {number} was not registered by autotrack: open it with MLflow")
            return
        try:
            content = names.unpacked(tags[VERSION])
            if not content:
                with self.open(model.name, number, "version.json") as file:
                    content = file.read(_VERSION_LIMIT)
            version = decode(content)
            if not isinstance(version, Version):
                raise ValueError("it is described by something else")
        except (ValueError, LookupError) as error:
            model.problems.append(f"version {number} cannot be read: {error}")
            return
        version.n = number
        model.versions[number] = ModelVersion(model.name, version, [], _own(found), found.description)

    def add(self, name: str, version: Version, files: Mapping[str, bytes | os.PathLike[str]]) -> int:
        """Make a new version; see the contract."""
        check_registered_name(name)
        places = {str(safe_path(path)): source for path, source in files.items()}
        version = msgspec.structs.replace(version, n=0, files=[_measured(*item) for item in places.items()])
        check_content(version, version.files)
        experiment, run = self._whence(version)
        tags = {ID: f"{name}@{version.run}"}  # not the run's: it would be deleted with it
        kind = version.model.cls.rpartition(".")[2]
        try:
            model = make_model(self._client, experiment, name, run, kind, tags)
        except Rejected as error:
            raise StoreError(f"models are registered on a server of MLflow 3 or later: {error}") from None
        artifacts = Artifacts(self._client)
        for path, source in {**places, "version.json": encode(version)}.items():
            if not artifacts.put(model.info.artifact_uri, path, partial(_open, source)):
                raise StoreError(f"the model cannot be registered: {'; '.join(artifacts.problems)}")
        model_ready(self._client, model)
        return self._number(name, model.info.model_id, run, version)

    def _whence(self, version: Version) -> tuple[str, str]:
        """Id of the experiment that the version's run is in, and of the run, where it has been copied there."""
        name = names.experiment_name(str(version.lineage.get("experiment") or "Default"))
        experiment = self._experiments.find(name) or self._experiments.make(name)
        return experiment, find_run(self._client, experiment, version.run)

    def _number(self, name: str, model_id: str, run: str, version: Version) -> int:
        """Give a model whose files are there the next number; once, also where the answer is lost."""
        self._make_registered(name)
        content = {
            "name": name, "source": f"models:/{model_id}", "model_id": model_id,
            "tags": [{"key": VERSION, "value": names.packed(encode(version))}],
        }  # fmt: skip
        if run:
            content["run_id"] = run
        for left in reversed(range(_TRIES)):
            try:
                path = "mlflow/model-versions/create"
                made = self._client.post(path, content, answers.ModelVersionAnswer, again=False).model_version.version
            except RemoteError as error:
                found = self._versions(f"name = '{name}'")
                made = next((one.version for one in found if one.source == content["source"]), "")
                if not made and (isinstance(error, Rejected) or not left):
                    raise
            if _NUMBER.fullmatch(made):
                return int(made)
        raise RemoteError(f"{self._client.address} gives no number to a version of {name!r}")

    def _make_registered(self, name: str) -> None:
        try:
            self._client.post("mlflow/registered-models/create", {"name": name}, answers.Done)
        except Rejected as error:
            if error.code != "RESOURCE_ALREADY_EXISTS":
                raise

    def change(self, name: str, change: RegistryChange) -> None:
        """Make a change; see the contract. One after another: each part of it is there at once, or not."""
        check_change(self.read(name), change)
        for alias, number in change.aliases.items():
            if number is None:
                self._send("registered-models/alias", {"name": name, "alias": alias}, "DELETE")
            else:
                self._send("registered-models/alias", {"name": name, "alias": alias, "version": str(number)})
        what, of = ("model-versions", {"name": name, "version": str(change.n)}) if change.n else (
            "registered-models", {"name": name}
        )  # fmt: skip
        for key, value in change.tags.items():
            key = names.key(key)
            if value is None:
                self._send(f"{what}/delete-tag", {**of, "key": key}, "DELETE")
            else:
                self._send(f"{what}/set-tag", {**of, "key": key, "value": names.shortened(names.clean(value), 5000)})
        if change.description is not None:
            self._send(f"{what}/update", {**of, "description": names.clean(change.description)}, "PATCH")

    def _send(self, what: str, content: dict[str, Any], method: str = "POST") -> None:
        self._client.post(f"mlflow/{what}", content, answers.Done, method=method)

    def open(self, name: str, number: int, path: str) -> BinaryIO:
        """A file of a version; see the contract."""
        below = str(safe_path(path))
        try:
            query = {"name": name, "version": str(number)}
            root = self._client.get("mlflow/model-versions/get-download-uri", query, answers.Place).artifact_uri
            return fetch(self._client, root, below)
        except (Rejected, FileNotFoundError):
            raise ModelNotFound(f"version {number} of registered model {name!r} has no file {path!r}") from None

    def _versions(self, query: str) -> Iterator[answers.ModelVersion]:
        pages = self._client.pages(
            "mlflow/model-versions/search", {"filter": query, "max_results": "200"}, answers.ModelVersions, method="GET"
        )
        return (version for page in pages for version in page.model_versions)


def _tags(found: answers.ModelVersion) -> dict[str, str]:
    return {tag.key: tag.value for tag in found.tags}


def _own(found: Any) -> dict[str, str]:
    """The tags of people."""
    return {tag.key: tag.value for tag in found.tags if not tag.key.startswith((OWN, "mlflow."))}


def _open(source: bytes | os.PathLike[str]) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb")


def _measured(path: str, source: bytes | os.PathLike[str]) -> Artifact:
    try:
        with _open(source) as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            return Artifact(path=path, size=file.tell(), sha256=digest.hexdigest())
    except OSError as error:
        raise StoreError(f"the model cannot be registered: {error}") from error

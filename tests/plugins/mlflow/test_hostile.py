"""What a hostile server says of runs, models and versions: bounded, named, and nothing of it is followed elsewhere."""

import base64
import itertools
import json
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from autotrack_mlflow import names
from autotrack_mlflow.registry import MlflowRegistry
from autotrack_mlflow.source import MlflowSource

from autotrack.errors import AutotrackError, ModelNotFound, RemoteError
from autotrack.records import Model, Version, encode
from autotrack.run_list import list_runs
from tests.plugins.mlflow.test_client import answering, saying

RUN = "20261122T193015123-9f8e7d6c5b"
OUTSIDE = ["mlflow-artifacts:/../../etc", "file:///etc", "s3://bucket/a", "http://other.invalid/x", "..", ""]


class Server:
    """Answers by the end of the path; whatever it was not told is ``{}``."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {"experiments/search": {"experiments": [{"experiment_id": "1", "name": "e"}]}}
        self.asked: list[str] = []

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        path = request.path.partition("?")[0].removeprefix("/api/2.0/mlflow/")
        self.asked.append(request.path)
        content = self.answers.get(path, {})
        saying(200, content if isinstance(content, bytes) else json.dumps(content).encode())(request)


@pytest.fixture
def hostile() -> Iterator[tuple[Server, str]]:
    server = Server()
    with answering(server) as (address, _):
        yield server, address


def run(**tags: str) -> dict[str, Any]:
    given = {"autotrack.id": RUN, "autotrack.run": RUN, **tags}
    return {
        "info": {"run_id": "r", "experiment_id": "1", "artifact_uri": "mlflow-artifacts:/1/r", "status": "FINISHED"},
        "data": {"tags": [{"key": key, "value": value} for key, value in given.items()]},
    }


def version(number: Any = "1", **tags: str) -> dict[str, Any]:
    model = Model(name="m", format="skops", path="m.skops", size=1, sha256="0" * 64)
    known = names.packed(encode(Version(n=7, at=1, model=model)))
    given = [{"key": key, "value": value} for key, value in {"autotrack.version": known, **tags}.items()]
    return {"name": "a", "version": number, "tags": given, "source": "models:/../x"}


def test_a_head_that_is_none_is_not_believed(hostile: tuple[Server, str]):
    server, address = hostile
    bomb = base64.b64encode(zlib.compress(b" " * 50_000_000, 9)).decode()
    for head in ("", "no base64 ü", "AAAA", bomb, names.packed(b"{}\n{}\n{}\n{}\n{}")[:-8], "[" * 9999):
        server.answers["runs/search"] = {"runs": [run(**{"autotrack.head": head})]}
        (listed,) = list_runs(MlflowSource(address))
        assert (listed.id, listed.status, listed.experiment) == (RUN, "finished", "e")


def test_what_a_tag_unpacks_to_is_bounded():
    assert names.unpacked(names.packed(b"some text")) == b"some text"
    assert names.unpacked(base64.b64encode(zlib.compress(b" " * 1_000_001)).decode()) == b""


@pytest.mark.parametrize("uri", OUTSIDE)
def test_files_are_fetched_from_the_server_alone(uri: str, hostile: tuple[Server, str]):
    server, address = hostile
    found = run()
    found["info"]["artifact_uri"] = uri
    logged = {"info": {"model_id": "m-1", "name": "m", "artifact_uri": uri, "tags": found["data"]["tags"]}}
    server.answers |= {
        "runs/search": {"runs": [found]}, "logged-models/search": {"models": [logged]},
        "model-versions/search": {"model_versions": [version()]},
        "model-versions/get-download-uri": {"artifact_uri": uri},
    }  # fmt: skip
    with pytest.raises(FileNotFoundError):
        MlflowSource(address).open(RUN, "models/m/m.skops")
    with pytest.raises(ModelNotFound):
        MlflowRegistry(address).open("a", 1, "m.skops")
    assert not any("mlflow-artifacts" in path for path in server.asked)


def test_what_is_no_version_is_named_and_costs_no_other(hostile: tuple[Server, str]):
    server, address = hostile
    odd = [version(number) for number in ("0", "-1", "x", "9" * 30, "1.5", "")]
    spoilt = [version("2", **{"autotrack.version": "AAAA"}), version("3", **{"autotrack.version": names.packed(b"{}")})]
    aliases = [
        {"alias": "../up", "version": "1"},
        {"alias": "good", "version": "1"},
        {"alias": "far", "version": "9" * 30},
    ]
    server.answers |= {
        "model-versions/search": {"model_versions": [*odd, version("1", team="a"), *spoilt]},
        "registered-models/get": {"registered_model": {"aliases": [*aliases, {"alias": "gone", "version": "8"}]}},
    }
    model = MlflowRegistry(address).read("a")
    assert {number: one.version.n for number, one in model.versions.items()} == {1: 1}
    assert (model.versions[1].aliases, model.versions[1].tags) == (["good"], {"team": "a"})
    assert len(model.problems) == 4
    assert MlflowRegistry(address).names() == ["a"]


@pytest.mark.parametrize("content", [b"[]", b"<html>", b'{"model_versions": 7}', b'{"model_versions": [{"name": 1}]}'])
def test_answers_of_other_shapes_are_errors(content: bytes, hostile: tuple[Server, str]):
    server, address = hostile
    server.answers["model-versions/search"] = content
    with pytest.raises(RemoteError, match="does not answer as an MLflow server does"):
        MlflowRegistry(address).names()


def test_an_endless_list_of_versions_ends(monkeypatch: pytest.MonkeyPatch):
    server, tokens = Server(), itertools.count()
    monkeypatch.setattr("autotrack_mlflow.client.LISTING_LIMIT", 100_000)

    def endless(request: BaseHTTPRequestHandler) -> None:
        server.answers["model-versions/search"] = {"model_versions": [version()], "next_page_token": str(next(tokens))}
        server(request)

    with answering(endless) as (address, _), pytest.raises(RemoteError, match="without an end"):
        MlflowRegistry(address).names()
    assert next(tokens) < 1000


@pytest.mark.parametrize("name", ["x' or name != '", "../../up", "a/b", "", "a\nb"], ids=ascii)
def test_a_name_that_cannot_be_is_never_sent(name: str, hostile: tuple[Server, str]):
    server, address = hostile
    with pytest.raises(AutotrackError):
        MlflowRegistry(address).read(name)
    assert [path.rpartition("filter=")[2][:4] for path in server.asked] == ["tags"]  # what there is, for the message

"""Registered models with a real MLflow server: who gives the numbers, and what is there once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from autotrack_mlflow.registry import MlflowRegistry
from click.testing import CliRunner

import autotrack
from autotrack.cli.main import group
from autotrack.records import Version
from tests.models.toy import log_toy
from tests.plugins.mlflow.copying import client, copy
from tests.plugins.mlflow.proxy import Proxy

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotrack_mlflow.client.PAUSE", 0.01)


@pytest.fixture
def copied(tracked: Path, server: str) -> Callable[..., str]:
    """Makes a run with a model of one number, and copies it to the server; its id."""

    def log(slope: float, **params: Any) -> str:
        run_id = log_toy(slope, **params)
        copy(tracked, server)
        return run_id

    return log


def command(*arguments: str) -> str:
    done = CliRunner().invoke(group, arguments, prog_name="autotrack", catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_by_hand_and_on_the_command_line(copied, server: str, tmp_path: Path):
    first, second = copied(1.0, rate=0.1), copied(2.0, rate=float("inf"))
    store = ["--store", server]
    assert autotrack.register_model(first, "slopes", alias="champion", store=server) == 1
    told = command("models", "register", second, "slopes", "--tag", "a=b", "--description", "steep", *store)
    assert told == "models:/slopes/2\n"
    for ref, slope in {"@champion": 1.0, "/1": 1.0, "/2": 2.0, "/latest": 2.0}.items():
        assert autotrack.load_model(f"models:/slopes{ref}", store=server).slope == slope
    command("models", "alias", "slopes", "champion", "2", *store)
    assert autotrack.load_model("models:/slopes@champion", store=server).slope == 2.0
    model = autotrack.get_registered_model("slopes", store=server)
    assert (model.aliases, model.versions[2].tags, model.versions[2].description) == (
        {"champion": 2},
        {"a": "b"},
        "steep",
    )
    assert model.history == []
    assert model.versions[2].version.lineage == {
        **autotrack.get_model(second).lineage, "params": {"rate": {"$float": "inf"}},
    }  # fmt: skip
    assert autotrack.get_model("models:/slopes/2", store=server).lineage == autotrack.get_model(second).lineage
    (listed,) = [one for one in json.loads(command("models", "ls", "--json", *store)) if one["name"] == "slopes"]
    assert [one["version"] for one in listed["versions"]] == [1, 2]
    assert "champion" in command("models", "ls", "slopes", *store)
    differing = json.loads(command("models", "diff", "models:/slopes/1", "models:/slopes@champion", "--json", *store))
    assert differing["params.rate"] == [0.1, float("inf")]
    command("models", "export", "models:/slopes@champion", str(tmp_path / "out"), *store)
    assert (tmp_path / "out/model.toy").read_text() == "2.0"
    command("models", "alias", "slopes", "champion", "--remove", *store)
    assert autotrack.get_registered_model("slopes", store=server).aliases == {}
    with pytest.raises(autotrack.ModelNotFound, match="slopes"):
        autotrack.load_model("models:/nobody/1", store=server)


def test_the_server_gives_the_numbers_of_a_session_that_copies_to_it(tmp_path, server, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOTRACK_EXIT_WAIT", "0")
    autotrack.enable(store=server, experiment="numbers")
    try:
        assert autotrack.register_model(log_toy(3.0), "numbered") == 1
        assert autotrack.register_model("@last", "numbered", alias="now") == 2
        assert autotrack.load_model("models:/numbered@now").slope == 3.0
        assert [model.name for model in autotrack.registered_models() if model.name == "numbered"] == ["numbered"]
        assert not (tmp_path / ".autotrack/registry").exists()
        autotrack.enable(store=server, mode="offline")
        with pytest.raises(autotrack.StoreError, match="offline"):
            autotrack.register_model(log_toy(4.0), "numbered")
    finally:
        autotrack.enable(store="memory://")
        autotrack.disable()


@pytest.mark.parametrize("fault", ["lost", "reset", "503"])
def test_a_version_is_there_once_whatever_gets_lost(fault: str, copied, server: str, proxy: Proxy):
    asked: set[str] = set()

    def first_time(method: str, path: str, number: int) -> str:
        what = f"{method} {path}"
        if what in asked or path.endswith("/mlflow/logged-models"):  # one without a version is nobody's
            return ""
        asked.add(what)
        return fault

    run_id = copied(1.0)
    proxy.fault = first_time
    name = f"once {fault}"
    assert autotrack.register_model(run_id, name, alias="a", tags={"x": "y"}, store=proxy.address) == 1
    assert autotrack.register_model(run_id, name, store=proxy.address) == 2
    assert [found.version for found in client(server).search_model_versions(f"name = '{name}'")] == ["2", "1"]
    assert autotrack.load_model(f"models:/{name}@a", store=server).slope == 1.0


def test_a_server_out_of_reach_is_an_error_and_nothing_is_registered(copied, server: str, proxy: Proxy):
    run_id = copied(1.0)
    proxy.fault = lambda method, path, number: "reset"
    with pytest.raises(autotrack.StoreError, match="cannot be reached"):
        autotrack.register_model(run_id, "unreached", store=proxy.address)
    assert client(server).search_registered_models("name = 'unreached'") == []


def test_a_long_lineage_is_read_from_the_file(copied, server: str):
    import os

    texts = {f"p{i}": os.urandom(40).hex() for i in range(200)}
    autotrack.register_model(copied(1.0, **texts), "long", store=server)
    assert client(server).get_model_version("long", "1").tags["autotrack.version"] == ""
    assert autotrack.get_model("models:/long/1", store=server).lineage["params"] == texts


def test_versions_of_others_keep_their_numbers_and_are_not_ours(copied, server: str):
    api = client(server)
    run_id = copied(1.0)
    autotrack.register_model(run_id, "shared", store=server)
    experiment = api.get_experiment_by_name("test").experiment_id
    theirs = api.create_run(experiment)
    api.create_model_version("shared", f"runs:/{theirs.info.run_id}/model", theirs.info.run_id)
    assert autotrack.register_model(run_id, "shared", store=server) == 3
    api.set_registered_model_alias("shared", "theirs", "2")
    model = autotrack.get_registered_model("shared", store=server)
    assert list(model.versions) == [1, 3]
    assert len(model.problems) == 2
    assert "version 2 was not registered by autotrack" in model.problems[0]
    with pytest.raises(autotrack.ModelNotFound):
        autotrack.load_model("models:/shared@theirs", store=server)
    api.delete_model_version("shared", "3")
    assert autotrack.register_model(run_id, "shared", store=server) == 4  # a number means one version, for ever
    assert list(autotrack.get_registered_model("shared", store=server).versions) == [1, 4]
    api.create_registered_model("only theirs")
    assert "only theirs" not in MlflowRegistry(server).names()


def test_a_version_that_was_changed_there_is_not_opened(copied, server: str):
    autotrack.register_model(copied(1.0), "changed", store=server)
    registry = MlflowRegistry(server)
    with registry.open("changed", 1, "model.toy") as file:
        assert file.read() == b"1.0"
    api = client(server)
    api.set_model_version_tag("changed", "1", "autotrack.version", "no such thing")
    assert isinstance(registry.read("changed").versions[1].version, Version)  # by its file
    source = api.get_model_version("changed", "1").source.rpartition("/")[2]
    other = Path("model.toy")
    other.write_text("2.0")
    api.log_model_artifact(source, str(other))
    with pytest.raises(autotrack.ModelError, match="sha256 differs"):
        autotrack.load_model("models:/changed/1", store=server)

"""Models of copied runs, as MLflow's own functions open them; nothing of a model is loaded to get it there."""

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
from autotrack_mlflow.artifacts import fetch
from autotrack_mlflow.client import Client

import autotrack
from tests.plugins.mlflow.copying import client, copy, on_server
from tests.plugins.mlflow.proxy import Proxy

pytest.importorskip("sklearn")
from autotrack_sklearn.formats import SkopsFormat
from sklearn.datasets import load_iris
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

pytestmark = pytest.mark.slow

BY_MLFLOW = """
import json, sys
sys.modules["autotrack"] = None  # as if it were not installed
import mlflow, numpy
from sklearn.datasets import load_iris
address, *uris = sys.argv[1:]
mlflow.set_tracking_uri(address)
frame = load_iris(as_frame=True).data
found = {}
for uri in uris:
    kind, _, uri = uri.partition(" ")
    if kind == "sklearn":
        found[uri] = mlflow.sklearn.load_model(uri).predict(frame).tolist()
        continue
    model = mlflow.pyfunc.load_model(uri)
    data = frame if kind == "frame" else frame.to_numpy("float32")
    found[uri] = numpy.asarray(model.predict(data)).tolist()
    if kind == "frame":
        try:
            model.predict(frame.iloc[:, :2])
        except mlflow.exceptions.MlflowException as error:
            assert "missing inputs" in str(error), error
        else:
            raise AssertionError("the signature is not enforced")
print(json.dumps(found))
"""

X, y = load_iris(return_X_y=True, as_frame=True)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models get their safe form on the spot, without the helper process."""
    monkeypatch.setattr(SkopsFormat, "save", lambda self, model: self.convert(pickle.dumps(model)))


def by_mlflow(address: str, *uris: str) -> dict[str, Any]:
    """What models predict that MLflow opens."""
    done = subprocess.run(
        [sys.executable, "-c", BY_MLFLOW, address, *uris], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def models_of(address: str, run: Any) -> dict[str, Any]:
    """Logged models of a run by name; each once."""
    found = client(address).search_logged_models([run.info.experiment_id])
    mine = [model for model in found if model.source_run_id == run.info.run_id]
    by_name = {model.name: model for model in mine}
    assert len(by_name) == len(mine), "a model is there twice"
    return by_name


def files_of(address: str, model: Any) -> set[str]:
    return {file.path for file in client(address).list_logged_model_artifacts(model.model_id)}


def test_mlflow_opens_models_and_predicts_the_same(tracked: Path, server: str, at_once: None):
    torch = pytest.importorskip("torch")
    experiment = {"experiment": "opens"}
    with autotrack.start_run("pipe", **experiment):
        pipe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(X, y)
    net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
    with autotrack.start_run("net", **experiment) as run:
        run.log_model(net, "odd.name")
        with autotrack.start_run("child") as child:
            child.log_model(net)
    copy(tracked, server)
    by_name = {found.info.run_name: found for found in on_server(server, "opens").values()}
    ids = {name: found.info.run_id for name, found in by_name.items()}
    models = {name: models_of(server, found) for name, found in by_name.items()}
    assert [list(models[name]) for name in ("pipe", "child")] == [["model"], ["model"]]
    assert {(model.status.value, model.model_type) for model in models["pipe"].values()} == {("READY", "Pipeline")}
    (odd,) = models["net"].values()
    for name, found in by_name.items():
        assert {one.model_id for one in found.outputs.model_outputs} == {one.model_id for one in models[name].values()}
    predicted = by_mlflow(
        server, f"sklearn runs:/{ids['pipe']}/model", f"frame models:/{models['pipe']['model'].model_id}",
        f"array runs:/{ids['net']}/{odd.name}", f"array runs:/{ids['child']}/model",
    )  # fmt: skip
    by_pipe, by_frame, by_net, by_child = predicted.values()
    assert by_pipe == by_frame == pipe.predict(X).tolist()
    with torch.no_grad():
        expected = net(torch.tensor(X.to_numpy("float32"))).tolist()
    assert numpy.allclose(by_net, expected)
    assert by_child == by_net


def test_nothing_is_loaded_to_describe_a_model(tracked: Path, server: str, at_once: None):
    with autotrack.start_run(experiment="light"):
        LogisticRegression(max_iter=500).fit(X, y)
    code = (
        "import sys; from pathlib import Path; from tests.plugins.mlflow.copying import copy\n"
        "copy(Path(sys.argv[1]), sys.argv[2])\n"
        "print(sorted({'sklearn', 'skops', 'torch', 'numpy', 'mlflow'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code, tracked, server], cwd=root, capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
    (run,) = on_server(server, "light").values()
    assert "MLmodel" in files_of(server, models_of(server, run)["model"])


class Mine(LogisticRegression):
    """A class that nobody has vouched for."""


def test_what_somebody_would_have_to_vouch_for_gets_no_description(tracked: Path, server: str, at_once: None):
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 3)

    with autotrack.start_run("own", experiment="vouched") as run:
        run.log_model(make_pipeline(SelectKBest(k=2), LogisticRegression(max_iter=500)).fit(X, y), "function")
        run.log_model(Net(), "module")
        run.log_model(LogisticRegression(max_iter=500).fit(X, y), "plain")
    copy(tracked, server)
    found = on_server(server, "vouched")[run.id]
    described = {name: "MLmodel" in files_of(server, model) for name, model in models_of(server, found).items()}
    assert (described["function"], described["module"], described["plain"]) == (False, False, True)
    stored = autotrack.get_model(f"{run.id}/function", store=server)
    assert stored.load(stored.needs()).predict(X).shape == (150,)


def test_a_model_that_is_saved_again_is_the_newest_one(tracked: Path, server: str, at_once: None):
    with autotrack.start_run(experiment="again") as run:
        run.log_model(LogisticRegression(C=0.5, max_iter=500).fit(X, y), "mine")
        copy(tracked, server)
        run.log_model(LogisticRegression(C=2.0, max_iter=500).fit(X, y), "mine")
        copy(tracked, server)
    copy(tracked, server)
    found = on_server(server, "again")[run.id]
    model = models_of(server, found)["mine"]
    assert {"mine.skops", "mine-2.skops", "MLmodel", "requirements.txt"} == files_of(server, model)
    with fetch(Client(server), model.artifact_location, "MLmodel") as file:
        assert json.load(file)["flavors"]["sklearn"]["pickled_model"] == "mine-2.skops"
    assert autotrack.load_model(f"{run.id}/mine", store=server).C == 2.0


@pytest.mark.parametrize("fault", ["lost", "reset", "503"])
def test_a_model_is_there_once_whatever_gets_lost(
    fault: str, tracked: Path, server: str, proxy: Proxy, at_once: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("autotrack_mlflow.client.PAUSE", 0.01)
    with autotrack.start_run(experiment=f"once {fault}"):
        LogisticRegression(max_iter=500).fit(X, y)
    asked: set[str] = set()

    def first_time(method: str, path: str, number: int) -> str:
        what = f"{method} {path}"
        if what in asked or not ("/logged-models" in path or "/outputs" in path or "/models/" in path):
            return ""
        asked.add(what)
        return fault

    proxy.fault = first_time
    copy(tracked, proxy.address)
    (run,) = on_server(server, f"once {fault}").values()
    model = models_of(server, run)["model"]
    assert [one.model_id for one in run.outputs.model_outputs] == [model.model_id]
    assert (model.status.value, "MLmodel" in files_of(server, model)) == ("READY", True)


def test_a_server_before_mlflow_3(tracked: Path, server: str, proxy: Proxy, at_once: None):
    """It knows no logged models: they are artifacts of their run."""
    with autotrack.start_run(experiment="before 3") as run:
        fitted = LogisticRegression(max_iter=500).fit(X, y)
    proxy.fault = lambda method, path, number: "404" if "/logged-models" in path else ""
    copy(tracked, proxy.address)
    (found,) = on_server(server, "before 3").values()
    assert models_of(server, found) == {}
    uri = f"runs:/{found.info.run_id}/models/model"
    assert by_mlflow(server, f"sklearn {uri}") == {uri: fitted.predict(X).tolist()}
    assert (autotrack.load_model(run.id, store=proxy.address).coef_ == fitted.coef_).all()
    with pytest.raises(autotrack.StoreError, match="MLflow 3"):
        autotrack.register_model(run.id, "too old", store=proxy.address)


def test_registered_models_outlive_their_run(tracked: Path, server: str, at_once: None):
    with autotrack.start_run("gone", experiment="gone"):
        fitted = LogisticRegression(max_iter=500).fit(X, y)
    copy(tracked, server)
    autotrack.register_model("gone", "outlives", store=server)
    autotrack.get_run("gone").remove()
    copy(tracked, server)
    assert on_server(server, "gone") == {}
    assert (autotrack.load_model("models:/outlives/latest", store=server).coef_ == fitted.coef_).all()

"""Exported folders: what is in them, and that they open where autotrack is not, also by MLflow's own loader."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

import autotrack
from autotrack.models.export import mlflow_schema
from autotrack.records import Model
from tests.models.toy import log_toy

pytest.importorskip("sklearn")
import joblib
from autotrack_sklearn.formats import SkopsFormat
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline

X, y = load_iris(return_X_y=True)

WITHOUT = """
import runpy, sys
sys.modules["autotrack"] = None  # as if it were not installed
for folder in sys.argv[1:]:
    model = runpy.run_path(folder + "/load.py")["load"](folder)
    print(type(model).__name__)
"""

BY_MLFLOW = """
import json, sys, warnings
sys.modules["autotrack"] = None  # where it is installed as others are
import numpy, pandas, mlflow
from sklearn.datasets import load_iris
X = load_iris().data
frame = load_iris(as_frame=True).data
found = {}
for folder in sys.argv[1:]:
    model = mlflow.pyfunc.load_model(folder)
    data = frame if folder.endswith("frame") else X.astype("float32") if "torch" in folder else X
    found[folder] = numpy.asarray(model.predict(data)).tolist()
    named = folder.endswith("frame")
    short, words = (frame.iloc[:, :2], "missing inputs") if named else (data[:, :2], "does not match")
    if folder.endswith(("frame", "one")):
        try:
            model.predict(short)
        except mlflow.exceptions.MlflowException as error:
            assert words in str(error), error
        else:
            raise AssertionError("the signature is not enforced")
    if folder.endswith("frame"):
        assert mlflow.sklearn.load_model(folder).predict(frame).tolist() == found[folder]
print(json.dumps(found))
"""


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch):
    """Models get their safe form on the spot, without the helper process."""
    monkeypatch.setattr(SkopsFormat, "save", lambda self, model: self.convert(pickle.dumps(model)))


def python(code: str, *arguments: object, folder: Path) -> str:
    """In a Python that knows the installed packages alone: no checkout, and nothing that a .pth file names."""
    installed = os.pathsep.join(path for path in sys.path if path.endswith("-packages"))
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": installed},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def logged(model: object, **more: object) -> autotrack.StoredModel:
    with autotrack.start_run() as run:
        run.log_model(model, **more)
    return autotrack.get_model(run.id)


def test_a_folder_tells_all_and_opens_without_autotrack(tracked, at_once, tmp_path):
    LogisticRegression(max_iter=500).fit(X, y)
    stored = autotrack.get_model("@last")
    stored.export(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "MLmodel", "load.py", "model.json", "model.skops", "requirements.txt",
    ]  # fmt: skip
    facts = json.loads((tmp_path / "out/model.json").read_text())
    assert (facts["sha256"], facts["cls"], facts["signature"]) == (stored.sha256, stored.cls, stored.signature)
    assert facts["lineage"]["params"]["max_iter"] == 500
    assert "scikit-learn==" in (tmp_path / "out/requirements.txt").read_text()
    assert len((tmp_path / "out/load.py").read_text().splitlines()) < 20
    assert python(WITHOUT, tmp_path / "out", folder=tmp_path).split() == ["LogisticRegression"]
    with pytest.raises(autotrack.ModelError, match="new or empty"):
        stored.export(tmp_path / "out")


def test_whoever_exports_vouches_for_what_is_in_it(tracked, at_once, tmp_path):
    make_pipeline(SelectKBest(k=2), LogisticRegression(max_iter=500)).fit(X, y)
    stored = autotrack.get_model("@last")
    function = "sklearn.feature_selection._univariate_selection.f_classif"
    with pytest.raises(autotrack.ModelNotTrusted, match="f_classif"):
        stored.export(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    stored.export(tmp_path / "out", trusted=[function])
    flavors = json.loads((tmp_path / "out/MLmodel").read_text())["flavors"]
    assert flavors["sklearn"]["skops_trusted_types"] == [function]
    assert python(WITHOUT, tmp_path / "out", folder=tmp_path).split() == ["Pipeline"]


class Mine(LinearRegression):
    """As of a script: see below."""


def test_a_pickle_is_exported_by_ones_word_alone(tracked, tmp_path, monkeypatch):
    monkeypatch.setattr(Mine, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "Mine", Mine, raising=False)
    Mine().fit([[0.0], [1.0]], [0.0, 1.0])
    stored = autotrack.get_model("@last")
    assert (stored.format, stored.needs()) == ("pickle", ["pickle"])
    with pytest.raises(autotrack.ModelNotTrusted, match="pickle"):
        stored.export(tmp_path / "out")
    stored.export(tmp_path / "out", trusted=True)
    code = "import sys\nfrom sklearn.linear_model import LinearRegression\nclass Mine(LinearRegression): pass\n"
    assert python(code + WITHOUT, tmp_path / "out", folder=tmp_path).split() == ["Mine"]


def test_a_format_says_itself_how_it_is_exported(tracked, tmp_path):
    log_toy(2.5)
    autotrack.get_model("@last").export(tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["load.py", "model.json", "model.toy", "requirements.txt"]  # no MLmodel: MLflow cannot load it
    assert python(WITHOUT, tmp_path / "out", folder=tmp_path).split() == ["float"]


@pytest.mark.parametrize(
    ("half", "expected"),
    [
        ({"shape": [None, 4], "dtype": "float64"}, [{"dtype": "float64", "shape": [-1, 4]}]),
        ({"shape": [None, 2], "columns": ["a", "b"], "dtypes": ["int64", "object"]}, [("a", "long"), ("b", "string")]),
        ({"shape": [None, 1], "columns": ["a"], "dtypes": ["category"]}, None),
        ({"shape": [None, 1], "columns": [0], "dtypes": ["int64"]}, None),
        ({"shape": [None], "dtype": "object"}, None),
        ({}, None),
        (None, None),
    ],
    ids=["array", "frame", "category", "a number as a name", "objects", "empty", "none"],
)
def test_signatures_as_mlflow_writes_them(half, expected):
    schema = mlflow_schema(half)
    found = schema and [one.get("tensor-spec") or (one["name"], one["type"]) for one in json.loads(schema)]
    assert found == expected


@pytest.mark.slow
def test_mlflow_opens_them_and_predicts_the_same(tracked, at_once, tmp_path):
    pytest.importorskip("mlflow")
    torch = pytest.importorskip("torch")
    frame = load_iris(as_frame=True).data
    expected = {}

    def export(name, stored, prediction, trusted=None):
        stored.export(tmp_path / name, trusted)
        expected[str(tmp_path / name)] = numpy.asarray(prediction).tolist()

    linear = LogisticRegression(max_iter=500).fit(frame, y)
    export("frame", autotrack.get_model("@last"), linear.predict(frame))
    forest = RandomForestClassifier(5).fit(X, y)
    export("forest", autotrack.get_model("@last"), forest.predict(X))
    selected = make_pipeline(SelectKBest(k=2), LogisticRegression(max_iter=500)).fit(X, y)
    stored = autotrack.get_model("@last")
    export("selected", stored, selected.predict(X), stored.needs())
    for name, width in (("torch one", 3), ("torch two", 5)):
        module = torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.BatchNorm1d(width), torch.nn.Dropout())
        with torch.no_grad():
            prediction = module.eval()(torch.tensor(X, dtype=torch.float32))
        export(name, logged(module.train(), example=X.astype("float32")), prediction)
    joblib.dump(forest, tmp_path / "forest.joblib")
    export("from joblib", logged(tmp_path / "forest.joblib"), forest.predict(X), trusted=True)
    (tmp_path / "empty").mkdir()
    found = json.loads(python(BY_MLFLOW, *expected, folder=tmp_path / "empty").splitlines()[-1])
    assert found.keys() == expected.keys()
    for name, prediction in expected.items():
        assert numpy.allclose(found[name], prediction), name


@pytest.mark.slow
def test_modules_of_ones_own_tied_and_in_bfloat16(tracked, tmp_path):
    torch = pytest.importorskip("torch")
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "class Tied(torch.nn.Module):\n"
        "    def __init__(self, width=3):\n"
        "        super().__init__()\n"
        "        self.width = width\n"
        "        self.one, self.two = torch.nn.Linear(width, width), torch.nn.Linear(width, width)\n"
        "        self.two.weight = self.one.weight\n"
        "        self.register_buffer('kept', torch.arange(3))\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        module = __import__("mine").Tied(4).to(torch.bfloat16)
    finally:
        sys.path.remove(str(tmp_path))
    stored = logged(module)
    with pytest.raises(autotrack.ModelNotTrusted, match=r"mine\.Tied"):
        stored.export(tmp_path / "out")
    stored.export(tmp_path / "out", trusted=["mine.Tied"])
    code = """
import runpy, sys, torch
sys.modules["autotrack"] = None
sys.path.insert(0, "..")
model = runpy.run_path(sys.argv[1] + "/load.py")["load"]()
assert model.one.weight is model.two.weight
print(model.width, model.one.weight.dtype, model.kept.tolist(), float(model.one.weight.detach().sum()))
"""
    (tmp_path / "empty").mkdir()
    total = float(module.one.weight.detach().sum())
    assert python(code, tmp_path / "out", folder=tmp_path / "empty").strip() == f"4 torch.bfloat16 [0, 1, 2] {total}"


def test_facts_of_a_model_are_json():
    record = Model(name="m", format="toy", path="models/m/m.toy", size=1, sha256="ab", signature={"inputs": {}})
    stored = autotrack.StoredModel("r/m", "m", record, "r", lambda path: None, lambda: record, dict)
    assert json.loads(json.dumps(stored.as_json()))["path"] == "models/m/m.toy"

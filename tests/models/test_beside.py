"""What lies beside a model: requirements that pip takes, a signature, and rows of the data only when asked."""

import json
import subprocess
import sys

import numpy
import pandas
import pytest
import scipy.sparse
from click.testing import CliRunner
from packaging.requirements import Requirement
from sklearn.cluster import DBSCAN, KMeans
from sklearn.linear_model import LinearRegression, LogisticRegression

import autotrack
from autotrack.backends.housekeeping import housekeeper
from autotrack.cli.main import group
from autotrack.models import Saved, requirements

X = numpy.arange(24.0).reshape(8, 3) % 7
y = numpy.array([0, 1] * 4)
FRAME = pandas.DataFrame({"age": [1, 2, 3, 4], "height": [1.5, 2.5, 3.5, 4.0]})


def beside(store, name: str) -> bytes | None:
    assert housekeeper.wait_idle(60)
    path = store / "runs" / autotrack.last_run().id / "models" / "model" / name
    return path.read_bytes() if path.exists() else None


# ---- requirements ----------------------------------------------------------------------------------------------------


def test_requirements_name_what_the_model_needs(tracked):
    import sklearn

    LogisticRegression().fit(X, y)
    text = beside(tracked, "requirements.txt").decode()
    needed = [Requirement(line) for line in text.splitlines() if not line.startswith("#")]
    assert {each.name for each in needed} == {"scikit-learn", "skops"}
    (exact,) = [each for each in needed if each.name == "scikit-learn"]
    assert str(exact.specifier) == f"=={sklearn.__version__}"
    assert text.startswith(f"# Python {sys.version_info[0]}.{sys.version_info[1]}\n")


def test_pip_reads_the_requirements(tracked, tmp_path):
    """It finds the packages installed, or says that there is no index; it does not complain of the file."""
    LogisticRegression().fit(X, y)
    path = tmp_path / "requirements.txt"
    path.write_bytes(beside(tracked, "requirements.txt"))
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--no-index", "-r"]
    done = subprocess.run([*pip, path], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 or "No matching distribution" in done.stderr, done.stderr
    path.write_text("scikit-learn=1.0\n")
    bad = subprocess.run([*pip, path], capture_output=True, text=True, timeout=300)
    assert "Invalid requirement" in bad.stderr  # so pip does look


def test_versions_that_no_index_knows_are_cut():
    text = requirements(Saved(b"", ".pt", "torch", {"torch": "2.13.0+cpu", "b": "1.0rc1"})).decode()
    lines = text.splitlines()[1:]
    assert lines == ["b==1.0rc1", "torch==2.13.0"]
    assert [Requirement(line).name for line in lines] == ["b", "torch"]


# ---- signature -------------------------------------------------------------------------------------------------------

TABLE = {"shape": [None, 3], "dtype": "float64"}


def column(dtype: str) -> dict:
    return {"shape": [None], "dtype": dtype}


SIGNATURES = {
    "numpy": (lambda: LogisticRegression().fit(X, y), TABLE, column("int64")),
    "pandas": (
        lambda: LinearRegression().fit(FRAME, pandas.Series([1.0, 2.0, 3.0, 4.0], name="t")),
        {"shape": [None, 2], "columns": ["age", "height"], "dtypes": ["int64", "float64"]},
        column("float64"),
    ),
    "sparse": (
        lambda: LogisticRegression().fit(scipy.sparse.csr_matrix(X.astype("float32")), y),
        {"shape": [None, 3], "dtype": "float32"},
        column("int64"),
    ),
    "several outputs": (
        lambda: LinearRegression().fit(X, X[:, :2]),
        TABLE,
        {"shape": [None, 2], "dtype": "float64"},
    ),
    "clusters": (lambda: KMeans(2, n_init=1).fit(X), TABLE, column("int32")),
    "clusters by fit_predict": (lambda: DBSCAN().fit_predict(X), TABLE, column("int64")),
}


@pytest.mark.parametrize("what", SIGNATURES)
def test_the_signature_in_the_record_and_in_json(tracked, what):
    fit, inputs, outputs = SIGNATURES[what]
    fit()
    for _ in range(2):  # as a pickle, and when the helper has turned it
        record = autotrack.get_run("@last")
        signature = record.models["model"].signature
        assert {key: signature["inputs"][key] for key in inputs} == inputs
        assert {key: signature["outputs"][key] for key in outputs} == outputs
        shown = CliRunner().invoke(group, ["show", record.id, "--json", "--store", str(tracked)])
        assert json.loads(shown.stdout)["models"]["model"]["signature"] == signature
        autotrack.load_model("@last", trusted=["sklearn.cluster._dbscan.DBSCAN"])
    assert record.models["model"].format == "skops"


# ---- input example ---------------------------------------------------------------------------------------------------


def test_no_row_of_the_data_is_kept_unasked(tracked):
    LogisticRegression().fit(X, y)
    assert beside(tracked, "requirements.txt") is not None
    assert beside(tracked, "input_example.json") is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (X, {"rows": X[:5].tolist()}),
        (FRAME, {"columns": ["age", "height"], "rows": FRAME.head(5).to_numpy().tolist()}),
        (X.tolist(), {"rows": X[:5].tolist()}),
    ],
)
def test_the_first_rows_when_asked(tracked, monkeypatch, data, expected):
    monkeypatch.setenv("AUTOTRACK_INPUT_EXAMPLE", "1")
    autotrack.enable(store=tracked)
    LinearRegression().fit(data, numpy.arange(len(data)))
    assert json.loads(beside(tracked, "input_example.json")) == expected

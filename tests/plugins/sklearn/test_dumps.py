"""``joblib.dump`` is noted in the run of the model, and nothing is copied."""

import hashlib
import io

import joblib
from autotrack_sklearn import dumps
from joblib import dump
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB

import autotrack

X, y = load_iris(return_X_y=True)


def test_a_dump_is_noted_where_it_lies(tracked, tmp_path):
    model = GaussianNB().fit(X, y)
    GaussianNB(var_smoothing=1.0).fit(X, y)
    assert dump(model, "model.joblib") == ["model.joblib"]
    other, run = autotrack.runs()
    content = (tmp_path / "model.joblib").read_bytes()
    assert run.facts["files"] == {
        str(tmp_path / "model.joblib"): {
            "by": "joblib.dump", "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(),
        }
    }  # fmt: skip
    assert "files" not in other.facts
    assert not any(name.endswith(".joblib") for name in run.artifacts)
    assert joblib.load("model.joblib").predict(X).tolist() == model.predict(X).tolist()


def test_within_a_mapping_and_as_the_best_of_a_search(tracked, tmp_path):
    search = GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, 1.0]}, cv=2).fit(X, y)
    joblib.dump({"model": search.best_estimator_, "columns": ["a"]}, tmp_path / "a.joblib")
    joblib.dump([search], str(tmp_path / "b.joblib"), compress=3)
    (run,) = autotrack.runs()
    assert list(run.facts["files"]) == [str(tmp_path / "a.joblib"), str(tmp_path / "b.joblib")]


def test_what_is_not_noted(tracked, tmp_path):
    joblib.dump(GaussianNB(), tmp_path / "unknown.joblib")
    model = GaussianNB().fit(X, y)
    joblib.dump(model, io.BytesIO())
    joblib.dump(X, tmp_path / "data.joblib")
    (run,) = autotrack.runs()
    assert "files" not in run.facts


def test_a_large_file_is_not_read(tracked, tmp_path, monkeypatch):
    monkeypatch.setattr(dumps, "HASHED", 10)
    joblib.dump(GaussianNB().fit(X, y), tmp_path / "large.joblib")
    (run,) = autotrack.runs()
    (facts,) = run.facts["files"].values()
    assert list(facts) == ["by", "bytes"]

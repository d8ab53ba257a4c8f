"""Fits in joblib's workers belong to the training that started them, whatever the backend."""

import joblib
import joblib.parallel
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

import autotrack

X, y = load_iris(return_X_y=True)


PATCHED = [
    (joblib.parallel.Parallel, "__call__"),
    (joblib.parallel.Parallel, "dispatch_one_batch"),
    (joblib.parallel.BatchedCalls, "__init__"),
    (joblib.parallel.BatchedCalls, "__call__"),
]


def test_everything_is_put_back(tracked):
    """The suite for integrations wants runs; this one makes none."""
    autotrack.disable()
    before = [vars(owner)[name] for owner, name in PATCHED]
    autotrack.enable(store=tracked)
    assert all(vars(owner)[name] is not raw for (owner, name), raw in zip(PATCHED, before, strict=True))
    autotrack.disable()
    assert all(vars(owner)[name] is raw for (owner, name), raw in zip(PATCHED, before, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["threading", "loky", "multiprocessing", "sequential"])
def test_a_parallel_search_is_one_run(tracked, backend):
    voting = VotingClassifier([("a", LogisticRegression(max_iter=300)), ("b", LogisticRegression(max_iter=200))])
    with joblib.parallel_config(backend, n_jobs=2):
        search = GridSearchCV(voting, {"a__C": [1.0, 2.0]}, cv=2).fit(X, y)
    (run,) = autotrack.runs()
    assert run.status == "finished"
    assert run.metrics["best_score"] == search.best_score_


def test_what_runs_in_threads_outside_a_training_is_its_own_run(tracked):
    models = [LogisticRegression(C=c, max_iter=300) for c in (1.0, 2.0, 3.0)]
    joblib.Parallel(2, backend="threading")(joblib.delayed(model.fit)(X, y) for model in models)
    assert sorted(run.params["C"] for run in autotrack.runs()) == [1.0, 2.0, 3.0]


def test_without_the_plugin_threads_would_be_taken_for_outer_ones(tracked):
    """Shows that the tests above test something."""
    autotrack.enable(store=tracked, integrations=["sklearn"])
    with joblib.parallel_config("threading", n_jobs=2):
        GridSearchCV(LogisticRegression(max_iter=300), {"C": [1.0, 2.0]}, cv=2).fit(X, y)
    assert len(autotrack.runs()) > 1

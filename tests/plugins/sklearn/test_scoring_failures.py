"""A scorer that fails within a search or a cross-validation: the score is NaN, and the run says why."""

import warnings

import joblib
import numpy
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.naive_bayes import GaussianNB

import autotrack

X, y = load_iris(return_X_y=True)


def broken(model, X, y):
    raise ValueError("no such\n  score")


SCORINGS = {"one": broken, "several": {"good": "accuracy", "bad": broken}}


def notes(run) -> list[str]:
    return [text for level, text in run.notes if level == "warning"]


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky"])
@pytest.mark.parametrize("scoring", SCORINGS)
def test_the_run_says_why_once(tracked, scoring, backend):
    with joblib.parallel_config(backend, n_jobs=2), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        scores = cross_validate(GaussianNB(), X, y, cv=4, scoring=SCORINGS[scoring])
    assert numpy.isnan(scores["test_bad" if scoring == "several" else "test_score"]).all()
    (run,) = autotrack.runs()
    assert run.status == "finished"
    assert set(notes(run)) == {"scoring failed: ValueError: no such\n  score"}
    assert len(notes(run)) <= 2  # one for each worker process
    if backend == "sequential":
        assert len(notes(run)) == 1
        assert len([warning for warning in warned if "Scoring failed" in str(warning.message)]) == 4


def test_of_a_search(tracked):
    search = GridSearchCV(GaussianNB(), {"var_smoothing": [0.1, 1.0]}, cv=2, scoring=broken, refit=False)
    with pytest.warns(UserWarning, match="Scoring failed|non-finite"):
        search.fit(X, y)
    (run,) = autotrack.runs()
    assert notes(run) == ["scoring failed: ValueError: no such\n  score"]
    assert [child.status for child in run.children] == ["finished", "finished"]


def test_a_fit_that_fails_is_told_of_as_such(tracked):
    with pytest.warns(match="fits failed"):
        cross_validate(LogisticRegression(), X, y, cv=[([*range(50, 150)], [0]), ([*range(50)], [0])])  # one class
    (run,) = autotrack.runs()
    assert [text.partition(":")[0] for text in notes(run)] == ["fit 1 failed"]


def test_many_messages_are_few_notes(tracked):
    count = iter(range(100))

    def differs(model, X, y):
        raise ValueError(f"number {next(count)}")

    with pytest.warns(UserWarning, match="Scoring failed"):
        cross_validate(GaussianNB(), X, y, cv=10, scoring=differs)
    (run,) = autotrack.runs()
    assert notes(run) == [f"scoring failed: ValueError: number {number}" for number in range(5)]

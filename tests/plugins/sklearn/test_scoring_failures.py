"""A scorer that fails within a search or a cross-validation: the score is NaN, and the run says why."""

import warnings

import joblib
import numpy
import pytest
from sklearn.datasets import load_iris
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

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


def picky(model, X, y):
    if model.var_smoothing == 1.0:
        broken(model, X, y)
    return model.score(X, y)


def children(run):
    return sorted(run.children, key=lambda child: int(child.id.rpartition(".")[2]))


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky", "multiprocessing"])
@pytest.mark.parametrize("scoring", [picky, {"good": "accuracy", "bad": picky}], ids=["one", "several"])
def test_the_candidate_has_failed_with_its_message(tracked, scoring, backend):
    refit = "good" if isinstance(scoring, dict) else False
    search = GridSearchCV(GaussianNB(), {"var_smoothing": [0.1, 1.0, 10.0]}, cv=3, scoring=scoring, refit=refit)
    with joblib.parallel_config(backend, n_jobs=2), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(X, y)
    (run,) = autotrack.runs()
    assert run.status == "finished"
    assert [child.status for child in children(run)] == ["finished", "failed", "finished"]
    failed = children(run)[1]
    assert (failed.error.type, failed.error.message) == ("ValueError", "scoring failed: no such\n  score")
    assert "in broken" in failed.error.traceback
    key = "test_bad" if refit else "test_score"
    assert numpy.isnan(failed.metrics[f"mean_{key}"])
    for index, child in enumerate(children(run)):
        assert child.metrics[f"rank_{key}"] == search.cv_results_[f"rank_{key}"][index]
        if refit:
            assert child.metrics["mean_test_good"] == search.cv_results_["mean_test_good"][index]
    assert set(notes(run)) == {"scoring failed: ValueError: no such\n  score"}


@pytest.mark.parametrize("backend", ["sequential", "loky"])
def test_in_each_round_of_halving(tracked, backend):
    def on_many_rows(model, X, y):
        if len(X) > 30 and model.var_smoothing == 0.1:
            raise ValueError("too many rows")
        return 1.0 - model.var_smoothing

    search = HalvingGridSearchCV(
        GaussianNB(), {"var_smoothing": [0.1, 0.5, 0.75]}, cv=2, factor=2, min_resources=60, random_state=0,
        scoring=on_many_rows, refit=False,
    )  # fmt: skip
    with joblib.parallel_config(backend, n_jobs=2), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(X, y)
    (run,) = autotrack.runs()
    found = {(child.metrics["iter"], child.params["var_smoothing"]): child.status for child in run.children}
    first = {(0, value): "finished" for value in (0.1, 0.5, 0.75)}
    assert found == {**first, (1, 0.1): "failed", (1, 0.5): "finished"}


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky"])
def test_what_fails_in_a_search_within_a_fold_is_no_candidates(tracked, backend):
    inner = GridSearchCV(GaussianNB(), {"var_smoothing": [1.0, 0.1]}, cv=2, scoring=picky)
    outer = GridSearchCV(make_pipeline(inner), {"gridsearchcv__cv": [2, 3]}, cv=2, scoring="accuracy")
    with joblib.parallel_config(backend, n_jobs=2), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outer.fit(X, y)
    (run,) = autotrack.runs()
    assert [child.status for child in children(run)] == ["finished", "finished"]


def test_a_score_that_is_no_number_and_was_not_raised_is_no_failure(tracked):
    search = GridSearchCV(GaussianNB(), {"var_smoothing": [0.1]}, cv=2, scoring=lambda *_: numpy.nan, refit=False)
    with pytest.warns(UserWarning, match="non-finite"):
        search.fit(X, y)
    (run,) = autotrack.runs()
    assert [child.status for child in run.children] == ["finished"]


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

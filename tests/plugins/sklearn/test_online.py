"""Estimators that are trained call by call: one run an object, a step a call."""

import gc
import os
import warnings

import numpy
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier

import autotrack

X, y = load_iris(return_X_y=True)


@pytest.fixture(autouse=True)
def no_convergence_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def only():
    (run,) = autotrack.runs()
    return run


def network(**params):
    return MLPClassifier(max_iter=3, warm_start=True, random_state=0, **params)


def test_warm_starts_are_steps_of_one_run(tracked):
    model = network()
    for _ in range(3):
        model.fit(X, y)
    run = only()
    assert run.status == "finished"
    assert [point.step for point in run.history("fit_time")] == [0, 1, 2]
    assert [point.value for point in run.history("loss")] == model.loss_curve_
    assert [point.step for point in run.history("loss")] == list(range(len(model.loss_curve_)))
    assert len(model.loss_curve_) > 3


def test_a_history_that_begins_anew_goes_on_in_steps(tracked):
    model = GradientBoostingClassifier(n_estimators=3, warm_start=True, random_state=0).fit(X, y)
    model.set_params(n_estimators=5).fit(X, y)
    run = only()
    assert run.params["n_estimators"] == 5
    assert [point.value for point in run.history("train_score")] == model.train_score_.tolist()
    assert [point.step for point in run.history("train_score")] == list(range(5))


def test_the_model_is_kept_as_it_is_in_the_end(tracked):
    model = RandomForestClassifier(2, warm_start=True, random_state=0).fit(X, y)
    model.set_params(n_estimators=4).fit(X, y)
    autotrack.disable()
    loaded = autotrack.load_model("@last")
    assert len(loaded.estimators_) == 4
    assert numpy.array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert len(only().models) == 1


def test_a_model_that_is_gone_is_kept_as_its_first_fit_left_it(tracked):
    model = RandomForestClassifier(2, warm_start=True, random_state=0).fit(X, y)
    model.set_params(n_estimators=4).fit(X, y)
    del model
    gc.collect()
    assert any("as it was in the end" in text for _, text in only().notes)
    assert len(autotrack.load_model("@last").estimators_) == 2


def test_a_fit_that_is_not_warm_is_a_run_of_its_own(tracked):
    model = network().fit(X, y)
    model.fit(X, y)
    model.set_params(warm_start=False).fit(X, y)
    newer, older = autotrack.runs()
    assert [len(run.history("fit_time")) for run in (older, newer)] == [2, 1]
    autotrack.disable()
    kept = autotrack.load_model(older.id)
    assert len(kept.loss_curve_) == len(older.history("loss"))


def test_another_run_opened_by_hand_takes_the_next_start(tracked):
    model = network()
    for name in ("first", "second"):
        with autotrack.start_run(name=name):
            model.fit(X, y)
    assert [run.name for run in autotrack.runs()] == ["second", "first"]
    assert all(len(run.history("fit_time")) == 1 for run in autotrack.runs())


def test_a_start_that_raises_is_noted(tracked):
    model = network().fit(X, y)
    with pytest.raises(ValueError, match="features"):
        model.fit(X[:, :2], y)
    run = only()
    assert run.status == "finished"
    assert any("ValueError" in text for _, text in run.notes)


def test_scores_between_starts_have_their_steps(tracked):
    model = network()
    values = [model.fit(X, y).score(X, y) for _ in range(3)]
    assert [(point.step, point.value) for point in only().history("score_on_X")] == list(enumerate(values))


def test_many_estimators_need_few_open_files(tracked):
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else pytest.skip("no /proc")
    models = [GaussianNB() for _ in range(90)]
    for _ in range(2):
        for model in models:
            model.partial_fit(X, y, classes=[0, 1, 2])
    assert len(os.listdir("/proc/self/fd")) - before < 75
    assert [len(run.history("fit_time")) for run in autotrack.runs()] == [2] * 90


def test_a_model_saved_twice_under_one_name_is_the_second(tracked):
    """Whatever the helper is at: the file of the first is not that of the second."""
    GaussianNB().fit(X, y)
    second = SGDClassifier(random_state=0)
    autotrack.disable()
    autotrack.log_model(second.fit(X, y))  # to the run that ended last: beside what was saved by itself
    assert type(autotrack.load_model("@last")) is SGDClassifier
    assert list(only().models) == ["model"]

"""An estimator that is trained by partial_fit is one run, a step a call."""

import gc

import numpy
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import Ridge, SGDClassifier
from sklearn.naive_bayes import GaussianNB

import autotrack
from tests.plugins.sklearn.made import X, batches, few, only, recorded, y


def test_partial_fit_is_one_run_an_object_and_a_step_a_call(tracked):
    estimator = batches(GaussianNB())
    run = only()
    assert run.status == "running"
    assert [point.step for point in run.history("fit_time")] == [0, 1, 2]
    assert [point.value for point in run.history("rows")] == [40.0, 40.0, 40.0]
    other = batches(GaussianNB(), 1)
    assert [len(run.history("fit_time")) for run in recorded()] == [3, 1]
    assert estimator is not other


def test_it_ends_when_the_object_dies(tracked):
    estimator = batches(GaussianNB())
    del estimator
    gc.collect()
    assert only().status == "finished"


def test_it_ends_when_the_object_is_fitted_anew_and_its_model_is_kept(tracked):
    estimator = batches(GaussianNB())
    expected = estimator.theta_.copy()
    estimator.fit(X[few], y[few])
    first, second = recorded()
    assert (first.status, second.status) == ("finished", "finished")
    assert numpy.array_equal(autotrack.load_model(first.id).theta_, expected)
    assert numpy.array_equal(autotrack.load_model(second.id).theta_, estimator.theta_)


def test_it_ends_at_disable_with_its_model(tracked):
    estimator = batches(GaussianNB())
    autotrack.disable()
    run = only()
    assert run.status == "finished"
    assert numpy.array_equal(autotrack.load_model(run.id).theta_, estimator.theta_)


def test_it_ends_at_exit(script, tmp_path):
    script(
        """
        import autotrack
        from sklearn.datasets import load_iris
        from sklearn.linear_model import SGDClassifier
        autotrack.enable(store="store")
        X, y = load_iris(return_X_y=True)
        model = SGDClassifier()
        for _ in range(4):
            model.partial_fit(X, y, classes=[0, 1, 2])
        """
    )
    run = autotrack.get_run("@last", store=tmp_path / "store")
    assert run.status == "finished"
    assert len(run.history("fit_time")) == 4
    assert run.problems == []
    assert list(run.models) == ["model"]


def test_an_error_in_partial_fit_ends_its_run(tracked):
    estimator = batches(GaussianNB())
    with pytest.raises(ValueError, match="features"):
        estimator.partial_fit(X[:, :2], y)
    run = only()
    assert (run.status, run.error.type) == ("failed", "ValueError")
    estimator.partial_fit(X, y)
    assert [run.status for run in recorded()] == ["failed", "running"]


def test_partial_fit_inside_a_training_makes_no_run(tracked):
    class Batched(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.model_ = batches(SGDClassifier())
            return self

    Batched().fit(X, y)
    assert only().name.startswith("Batched-")


def test_a_fit_between_batches_of_another_object_is_a_run_of_its_own(tracked):
    online = batches(GaussianNB(), 1)
    Ridge().fit(X, y)
    batches(online, 1)
    first, second = recorded()
    assert len(first.history("fit_time")) == 2
    assert second.name.startswith("Ridge-")


def test_batches_inside_a_run_of_a_persons(tracked):
    with autotrack.start_run(name="mine"):
        estimator = batches(GaussianNB())
    record = only()
    assert record.name == "mine"
    assert len(record.history("fit_time")) == 3
    assert estimator.theta_.shape == (3, 4)

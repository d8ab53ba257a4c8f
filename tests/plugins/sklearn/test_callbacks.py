"""scikit-learn's callbacks: heard for the length of a fit, and never seen by anybody."""

import copy
import pickle

import numpy
import pytest
from autotrack_sklearn import callbacks
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import autotrack

pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 has callbacks")

X, y = load_iris(return_X_y=True)


@pytest.fixture(autouse=True)
def large(monkeypatch):
    """These data count as large ones."""
    monkeypatch.setattr(callbacks, "_LARGE", X[:100].size)


class Spy:
    """A callback of the user's, which looks at the estimator in the middle of its fit."""

    def __init__(self):
        self.seen = []
        self.pickles = []

    def __reduce__(self):
        return (Spy, ())

    def setup(self, estimator, context): ...
    def teardown(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context):
        self.seen.append(context.task_name)
        made = [copy.copy(estimator._skl_callbacks), copy.deepcopy(estimator)._skl_callbacks]
        made.append(pickle.loads(pickle.dumps(estimator._skl_callbacks)))
        self.pickles.append([[type(callback) for callback in callbacks] for callbacks in made])


def model(**params):
    return LogisticRegression(**{"max_iter": 200, **params})


def test_every_iteration_has_its_duration(tracked):
    estimator = model().fit(X, y)
    run = autotrack.get_run("@last")
    points = run.history("iteration_time")
    assert [point.step for point in points] == list(range(estimator.n_iter_[0]))
    assert all(point.value > 0 for point in points)
    assert sum(point.value for point in points) <= run.metrics["fit_time"]


def test_the_fit_is_the_same_and_nothing_stays(tracked):
    recorded = model().fit(X, y)
    autotrack.disable()
    plain = model().fit(X, y)
    assert numpy.array_equal(recorded.coef_, plain.coef_)
    assert list(vars(recorded)) == list(vars(plain))
    assert pickle.dumps(recorded) == pickle.dumps(plain)
    assert "_skl_callbacks" not in vars(clone(recorded))


def test_nothing_stays_after_an_error(tracked):
    estimator = model()
    with pytest.raises(ValueError, match="inconsistent"):
        estimator.fit(X, y[:5])
    assert "_skl_callbacks" not in vars(estimator)


def test_the_users_callbacks_stay_and_never_meet_ours_in_a_copy(tracked):
    spy = Spy()
    estimator = model().set_callbacks(spy)
    before = estimator._skl_callbacks
    estimator.fit(X, y)
    assert estimator._skl_callbacks is before
    assert before == [spy]
    assert spy.seen.count("lbfgs-iter") >= estimator.n_iter_[0]
    assert all(kinds == [[Spy]] * 3 for kinds in spy.pickles)
    assert len(autotrack.get_run("@last").history("iteration_time")) == estimator.n_iter_[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_pipeline(StandardScaler(), model()),
        lambda: GridSearchCV(model(), {"C": [0.1, 1.0]}, cv=2, n_jobs=2),
        lambda: model(solver="liblinear"),
    ],
    ids=["pipeline", "search", "a solver that calls none"],
)
def test_where_it_is_not_worth_it_nobody_is_called(make, tracked, recwarn):
    estimator = make().fit(X[:100], y[:100])
    assert "iteration_time" not in autotrack.get_run("@last").metrics
    for part in (estimator, getattr(estimator, "best_estimator_", estimator)):
        assert "_skl_callbacks" not in vars(part)
    assert not [warning for warning in recwarn if "callback" in str(warning.message)]


def test_with_little_data_nobody_is_called(tracked):
    model().fit(X[:99], y[:99])
    assert "iteration_time" not in autotrack.get_run("@last").metrics

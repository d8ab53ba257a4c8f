"""A training is bit for bit the same with and without recording, whatever is trained."""

import warnings

import numpy
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.utils import all_estimators
from threadpoolctl import threadpool_limits

import autotrack
from tests.transparency import estimators
from tests.transparency.observe import compare, observe, surroundings
from tests.transparency.states import differences, state

# Of each kind one: compiled parts, curves, random draws, transformers, meta-estimators, inner fits, warnings.
QUICK = [
    "AdaBoostClassifier", "Binarizer", "BisectingKMeans", "CalibratedClassifierCV", "ColumnTransformer",
    "CountVectorizer", "DBSCAN", "DummyClassifier", "FeatureUnion", "FrozenEstimator", "GaussianMixture",
    "GaussianProcessRegressor",
    "GradientBoostingClassifier", "GridSearchCV", "IsotonicRegression", "KBinsDiscretizer", "KMeans", "LabelEncoder",
    "LogisticRegressionCV", "MLPClassifier", "OneVsRestClassifier", "PCA", "Pipeline", "RANSACRegressor", "RFE",
    "RandomForestClassifier", "SGDClassifier", "SelfTrainingClassifier", "StackingClassifier", "VotingRegressor",
]  # fmt: skip

# Two unrecorded runs of these do not agree, so nothing can be said of them.
UNSTABLE: set[str] = set()


@pytest.fixture(autouse=True)
def one_thread():
    """scikit-learn's own threads leave the warnings filters changed at times, each putting back what it found.

    HistGradientBoostingClassifier takes as many as OpenMP has, whatever ``n_jobs`` says.
    """
    with threadpool_limits(1, user_api="openmp"):
        yield


def check(name: str, store) -> list[str]:
    """What recording changes for one estimator; ``["unstable"]`` where two unrecorded runs differ already."""
    case = estimators.case(name)
    assert case is not None, f"{name} is fitted on none of our data"
    autotrack.disable()
    observe(case)  # caches and lazy imports
    first = observe(case)
    if compare(first, observe(case)):
        return ["unstable"]
    autotrack.enable(store=store, experiment="test", models="auto")
    return compare(first, observe(case))


@pytest.mark.parametrize("name", QUICK)
def test_recording_changes_nothing(name, tracked):
    if name not in dict(all_estimators()):
        pytest.skip("not in this version")
    assert check(name, tracked) == []


@pytest.mark.slow
def test_recording_changes_nothing_for_any_estimator(tracked):
    found = {name: changed for name in estimators.names() if (changed := check(name, tracked))}
    assert {name for name, changed in found.items() if changed == ["unstable"]} == UNSTABLE
    assert {name: changed for name, changed in found.items() if changed != ["unstable"]} == {}
    made = len(autotrack.runs(limit=1000))
    assert made > 100  # they were recorded


def test_enabling_and_disabling_moves_nothing(tmp_path):
    before = surroundings()
    autotrack.enable(store=tmp_path / "store")
    assert compare(before, surroundings()) == []
    autotrack.disable()
    assert compare(before, surroundings()) == []


def test_the_observation_sees_what_a_bad_recorder_would_do(monkeypatch):
    """Each of these is a thing that other trackers do."""
    case = estimators.case("LogisticRegression")
    honest = observe(case)
    assert compare(honest, observe(case)) == []
    original = LogisticRegression.fit

    def changed(after):
        def fit(self, X, y):
            original(self, X, y)
            after(self, X, y)
            return self

        with monkeypatch.context() as patch:
            patch.setattr(LogisticRegression, "fit", fit)
            return " ".join(compare(honest, observe(case)))

    assert "numpy's generator" in changed(lambda self, X, y: numpy.random.rand())
    assert "data" in changed(lambda self, X, y: X.__setitem__((0, 0), 7.0))
    assert "fitted: .run_id" in changed(lambda self, X, y: setattr(self, "run_id", 1))
    assert "fitted: .coef_" in changed(
        lambda self, X, y: self.coef_.__setitem__((0, 0), numpy.nextafter(self.coef_[0, 0], 9))
    )
    assert "warnings: " in changed(lambda self, X, y: warnings.warn("told you", stacklevel=1))
    assert "warnings filters" in changed(lambda self, X, y: warnings.simplefilter("ignore", ImportWarning))


def test_states_tell_apart_what_differs():
    first = {"a": numpy.array([1.0, numpy.nan]), "b": [1, (2.0, "x")]}
    assert state(first) == state({"a": numpy.array([1.0, numpy.nan]), "b": [1, (2.0, "x")]})
    for other in (
        {"a": numpy.array([1.0, -numpy.nan]), "b": [1, (2.0, "x")]},
        {"a": numpy.array([1.0, numpy.nan]), "b": [1, (2, "x")]},
        {"a": numpy.array([1.0, numpy.nan], "float32"), "b": [1, (2.0, "x")]},
        {"a": numpy.array([1.0, numpy.nan]), "b": [1, [2.0, "x"]]},
    ):
        assert differences(state(first), state(other))

"""Which searches make children: the outermost ones. Others leave a summary in the run that they are part of."""

import joblib
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_iris
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import autotrack

X, y = load_iris(return_X_y=True)


def search(**settings):
    return GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, 1e-3, 1.0]}, cv=2, **settings)


def only():
    (run,) = autotrack.runs()
    return run


class Own(ClassifierMixin, BaseEstimator):
    """Somebody's own class that searches within its fit, and fits something else before."""

    def fit(self, X, y):
        GaussianNB().fit(X, y)
        self.search_ = search().fit(X, y)
        self.classes_ = self.search_.classes_
        return self

    def predict(self, X):
        return self.search_.predict(X)


OUTERMOST = {
    "alone": search,
    "pipeline": lambda: make_pipeline(StandardScaler(), search()),
    "pipeline in a pipeline": lambda: make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), search())),
    "own class": Own,
    "own class in a pipeline": lambda: make_pipeline(StandardScaler(), Own()),
}


@pytest.mark.parametrize("what", OUTERMOST)
def test_the_outermost_search_makes_children(what, tracked):
    OUTERMOST[what]().fit(X, y)
    run = only()
    assert sorted(child.params["var_smoothing"] for child in run.children) == [1e-9, 1e-3, 1.0]
    assert all(len(child.history("test_score")) == 2 for child in run.children)
    assert run.facts["search"]["candidates"] == 3
    assert "searches" not in run.facts
    assert "cv_results.csv" in run.artifacts
    assert "best_score" in run.metrics


def test_a_search_over_a_transformed_target(tracked):
    inner = GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=2)
    TransformedTargetRegressor(inner, transformer=StandardScaler()).fit(X, y.astype(float))
    assert len(only().children) == 2


INNER = {
    "stacking": (lambda: StackingClassifier([("a", search()), ("b", GaussianNB())], cv=2), 3),  # and two folds
    "voting": (lambda: VotingClassifier([("a", search()), ("b", search())]), 2),
    "bagging": (lambda: BaggingClassifier(search(), 3), 3),
    "boosting": (lambda: AdaBoostClassifier(TreeSearch(), n_estimators=2), 2),
    "calibrated": (lambda: CalibratedClassifierCV(search(), cv=2), 2),
    "one against the rest": (lambda: OneVsRestClassifier(search()), 3),
    "ensemble in a pipeline": (lambda: make_pipeline(StandardScaler(), BaggingClassifier(search(), 2)), 2),
    "ensemble in an own class": (lambda: Wrapping(BaggingClassifier(search(), 2)), 2),
}


class TreeSearch(GridSearchCV):
    """One that boosting can use: it takes weights."""

    def __init__(self):
        super().__init__(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2]}, cv=2)

    def fit(self, X, y, sample_weight=None):
        return super().fit(X, y, sample_weight=sample_weight)

    @classmethod
    def _get_param_names(cls):
        return []


class Wrapping(ClassifierMixin, BaseEstimator):
    def __init__(self, model=None):
        self.model = model

    def fit(self, X, y):
        self.model_ = self.model.fit(X, y)
        self.classes_ = self.model_.classes_
        return self


@pytest.mark.filterwarnings("ignore:The SAMME.R algorithm:FutureWarning")  # of AdaBoost's in scikit-learn 1.5
@pytest.mark.parametrize("what", INNER)
def test_a_search_in_an_ensemble_leaves_a_summary(what, tracked):
    make, count = INNER[what]
    make().fit(X, y)
    run = only()
    assert run.children == []
    assert "search" not in run.facts
    assert len(run.facts["searches"]) == count
    for summary in run.facts["searches"].values():
        assert summary["best_score"] > 0
        assert len(summary["best_params"]) == 1
        assert summary["splits"] == 2


@pytest.mark.parametrize("backend", ["sequential", "threading"])
def test_a_search_in_the_folds_of_another(tracked, backend):
    outer = GridSearchCV(make_pipeline(StandardScaler(), search()), {"standardscaler__with_mean": [True, False]}, cv=2)
    with joblib.parallel_config(backend, n_jobs=2):
        outer.fit(X, y)
    run = only()
    assert [list(child.params) for child in run.children] == [["standardscaler__with_mean"]] * 2
    assert run.facts["search"]["candidates"] == 2
    assert len(run.facts["searches"]) == 5  # four folds, and the refit
    assert run.metrics["best_score"] == outer.best_score_


@pytest.mark.parametrize("backend", ["sequential", "threading"])
def test_a_search_in_the_folds_of_a_cross_validation(tracked, backend):
    with joblib.parallel_config(backend, n_jobs=2):
        cross_val_score(make_pipeline(StandardScaler(), search()), X, y, cv=3)
    run = only()
    assert run.children == []
    assert len(run.facts["searches"]) == 3
    assert len(run.history("test_score")) == 3


def test_of_two_searches_in_one_training_the_first_makes_the_children(tracked):
    make_pipeline(SelectFromModel(LogisticRegression(max_iter=500)), search()).fit(X, y)
    assert len(only().children) == 3

    class Twice(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            search().fit(X, y)
            GridSearchCV(GaussianNB(), {"priors": [None]}, cv=2).fit(X, y)
            return self

    Twice().fit(X, y)
    run = autotrack.runs()[0]
    assert [list(child.params) for child in run.children] == [["var_smoothing"]] * 3
    assert list(run.facts["searches"]) == ["1"]


def test_in_a_run_opened_by_hand(tracked):
    with autotrack.start_run("by hand"):
        search().fit(X, y)
        search().fit(X, y)
    run = only()
    first, second = run.children[:3], run.children[3:]
    assert [child.id for child in first] == [f"{run.id}.{number}" for number in (1, 2, 3)]
    (other,) = second
    assert [child.id for child in other.children] == [f"{run.id}.4.{number}" for number in (1, 2, 3)]
    assert other.facts["search"]["best_child"].startswith(f"{run.id}.4.")

"""Histories that fits leave behind equal the fitted attributes; nothing else is taken for one."""

import warnings

import numpy
import pytest
from autotrack_sklearn import curves
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.covariance import GraphicalLasso
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import AdaBoostRegressor, GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import ElasticNetCV, LassoCV, LinearRegression, LogisticRegressionCV
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import autotrack

X, y = load_iris(return_X_y=True)


def run_of(estimator, *data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(*(data or (X, y)))
    return autotrack.get_run("@last")


def values(run, key):
    return [point.value for point in run.history(key)]


def test_the_path_of_a_lasso_is_the_mean_over_its_folds(tracked):
    model = LassoCV(cv=3, n_jobs=1)
    run = run_of(model, *load_diabetes(return_X_y=True))
    assert values(run, "mse_path") == model.mse_path_.mean(axis=1).tolist()
    assert min(values(run, "mse_path")) == model.mse_path_.mean(axis=1)[list(model.alphas_).index(model.alpha_)]


def test_a_path_for_each_ratio(tracked):
    model = ElasticNetCV(l1_ratio=[0.2, 0.9], cv=3)
    run = run_of(model, *load_diabetes(return_X_y=True))
    for index, ratio in enumerate([0.2, 0.9]):
        assert values(run, f"mse_path_{ratio}") == model.mse_path_[index].mean(axis=1).tolist()


def test_scores_of_a_cross_validating_classifier(tracked):
    model = LogisticRegressionCV(Cs=4, cv=3, max_iter=50)
    run = run_of(model, X[:100], y[:100])
    kept = model.scores_
    (folds,) = kept.values() if isinstance(kept, dict) else [kept]
    if numpy.ndim(folds) == 2:
        assert values(run, "cv_score") == folds.mean(axis=0).tolist()


def test_costs_of_a_graphical_lasso(tracked):
    model = GraphicalLasso(alpha=0.05)
    metrics = curves.of(model.fit(X))
    assert metrics["cost"] == [float(cost) for cost, _ in model.costs_]
    assert metrics["dual_gap"] == [float(gap) for _, gap in model.costs_]


def test_the_history_of_the_last_step_and_of_the_best_model(tracked):
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(max_iter=4, random_state=0))
    assert values(run_of(pipeline), "loss") == pipeline[-1].loss_curve_
    search = GridSearchCV(MLPClassifier(max_iter=4, random_state=0), {"alpha": [0.1]}, cv=2)
    assert values(run_of(search), "loss") == search.best_estimator_.loss_curve_


class Own(RegressorMixin, BaseEstimator):
    def __init__(self, **attributes):
        vars(self).update(attributes)

    def get_params(self, deep=True):
        return {}

    def fit(self, X, y=None):
        return self


RULE = {
    "as many as iterations": ({"deltas_": numpy.arange(4.0), "n_iter_": 4}, "deltas"),
    "a list that says so": ({"losses_": [3.0, 2.0, 1.0]}, "losses"),
    "by feature": ({"means_": numpy.arange(4.0), "n_iter_": 4, "n_features_in_": 4}, ""),
    "by feature, yet it says so": ({"loss_path_": numpy.arange(4.0), "n_iter_": 4, "n_features_in_": 4}, "loss_path"),
    "by class": ({"means_": numpy.arange(3.0), "n_iter_": 3, "classes_": numpy.arange(3)}, ""),
    "whole numbers": ({"labels_": numpy.arange(4), "n_iter_": 4}, ""),
    "another length": ({"deltas_": numpy.arange(5.0), "n_iter_": 4}, ""),
    "a matrix": ({"loss_": numpy.ones((4, 2)), "n_iter_": 4}, ""),
    "text": ({"losses_": ["a", "b"]}, ""),
    "one number": ({"losses_": [1.0]}, ""),
    "coefficients": ({"coef_": numpy.arange(4.0), "n_iter_": 4}, ""),
    "private": ({"_losses_": [1.0, 2.0]}, ""),
}


@pytest.mark.parametrize("what", RULE)
def test_the_rule_for_attributes_that_no_table_names(what, tracked):
    attributes, expected = RULE[what]
    found = curves.of(Own(**attributes))
    assert list(found) == ([expected] if expected else [])
    if expected:
        assert found[expected] == [float(value) for value in attributes[f"{expected}_"]]


@pytest.mark.parametrize(
    "estimator", [LinearRegression(), RandomForestClassifier(4), AdaBoostRegressor(n_estimators=4)], ids=repr
)
def test_no_importance_and_no_coefficient_is_a_history(estimator, tracked):
    estimator.fit(X, y)  # four features, four members
    assert set(curves.of(estimator)) <= {"estimator_error", "estimator_weight"}


EVALUATIONS = {
    "xgboost": (
        {"evals_result_": {"validation_0": {"logloss": [0.5, 0.25]}, "validation_1": {"logloss": [0.75]}}},
        {"validation_0/logloss": [0.5, 0.25], "validation_1/logloss": [0.75]},
    ),
    "keras": ({"history_": {"loss": [3.0, 2.0], "names": ["a", "b"]}}, {"loss": [3.0, 2.0]}),
    "rows": (
        {"history_": [{"epoch": 1, "train_loss": 2.0, "best": True}, {"epoch": 2, "train_loss": 1.0, "best": False}]},
        {"train_loss": [2.0, 1.0]},
    ),
    "nothing": ({"history_": [], "evals_result_": {}}, {}),
}


@pytest.mark.parametrize("what", EVALUATIONS)
def test_evaluations_of_other_libraries(what):
    attributes, expected = EVALUATIONS[what]
    assert curves.of(Own(**attributes)) == expected


def test_what_is_new_of_a_history_that_grows():
    growing = curves.Growing()
    assert growing.new({"loss": [3.0, 2.0]}) == {"loss": (0, [3.0, 2.0])}
    assert growing.new({"loss": [3.0, 2.0, 1.0]}) == {"loss": (2, [1.0])}
    assert growing.new({"loss": [3.0, 2.0, 1.0]}) == {}
    assert growing.new({"loss": [9.0], "other": [1.0]}) == {"loss": (3, [9.0]), "other": (0, [1.0])}


def test_boosting_has_a_value_a_stage(tracked):
    model = GradientBoostingClassifier(n_estimators=5, subsample=0.5, random_state=0)
    run = run_of(model)
    assert values(run, "train_score") == model.train_score_.tolist()
    assert values(run, "oob_improvement") == model.oob_improvement_.tolist()
    assert [point.step for point in run.history("train_score")] == [0, 1, 2, 3, 4]

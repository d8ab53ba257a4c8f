"""Figures as data: the numbers are scikit-learn's own, and files are few."""

import json
import time

import numpy
import pytest
from autotrack_sklearn import figures
from sklearn.calibration import calibration_curve
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    mean_squared_error,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import autotrack

X, y = load_breast_cancer(return_X_y=True)


def drawn(name, wait=60.0):
    """A figure of the last run; it is written off the training's thread."""
    deadline = time.monotonic() + wait
    while f"figures/{name}.json" not in (run := autotrack.get_run("@last")).artifacts:
        assert time.monotonic() < deadline, f"no figure {name}; there are {list(run.artifacts)}"
        time.sleep(0.02)
    with run.open(f"figures/{name}.json") as file:
        return json.load(file)


@pytest.fixture
def scored(tracked):
    """A model whose probabilities were scored."""
    model = GaussianNB().fit(X[:300], y[:300])
    X_test, truth = X[300:], y[300:]
    probabilities = model.predict_proba(X_test)
    roc_auc_score(truth, probabilities[:, 1])
    return truth, probabilities[:, 1]


def test_a_confusion_matrix(tracked):
    model = GaussianNB().fit(X, y)
    predicted = model.predict(X)
    accuracy_score(y, predicted)
    figure = drawn("confusion_matrix_on_X")
    assert figure == {"labels": [0, 1], "true_by_predicted": confusion_matrix(y, predicted).tolist()}


LABELS = {
    "text": ["cat", "dog", "eel"],
    "numbers with gaps": [3, 7, 41],
    "negative numbers": [-1, 0, 5],
    "large numbers": [10, 1000, 99999],
    "truth values": [False, True, True],
}


@pytest.mark.parametrize("what", LABELS)
def test_labels_of_all_kinds(what):
    draw = numpy.random.default_rng(0).choice
    truth, predicted = draw(LABELS[what], 60), draw(LABELS[what], 60)
    figure = figures.of_scored(truth, predicted, "predict")["confusion_matrix"]
    assert figure["labels"] == numpy.unique([truth, predicted]).tolist()
    assert figure["true_by_predicted"] == confusion_matrix(truth, predicted).tolist()


def test_points_of_a_roc_curve(scored):
    truth, score = scored
    figure = drawn("roc_on_X_test")
    fallout, recall, thresholds = roc_curve(truth, score, drop_intermediate=False)
    theirs = {point[0]: point[1:] for point in zip(thresholds, fallout, recall, strict=True)}
    ours = zip(figure["threshold"], figure["false_positive_rate"], figure["true_positive_rate"], strict=True)
    for threshold, *rates in ours:
        assert rates == pytest.approx(theirs[threshold])
    assert (figure["true_positive_rate"][-1], figure["false_positive_rate"][-1], figure["positive"]) == (1, 1, 1)


def test_points_of_precision_and_recall(scored):
    truth, score = scored
    figure = drawn("precision_recall_on_X_test")
    precision, recall, thresholds = precision_recall_curve(truth, score)
    theirs = {point[0]: point[1:] for point in zip(thresholds, precision, recall, strict=False)}
    for threshold, *values in zip(figure["threshold"], figure["precision"], figure["recall"], strict=True):
        assert values == pytest.approx(theirs[threshold])


def test_calibration(scored):
    truth, score = scored
    figure = drawn("calibration_on_X_test")
    fraction, mean = calibration_curve(truth, score, n_bins=10)
    assert figure["mean_predicted"] == pytest.approx(mean)
    assert figure["fraction_of_positives"] == pytest.approx(fraction)
    assert sum(figure["count"]) == len(truth)


def test_residuals(tracked):
    X, y = load_diabetes(return_X_y=True)
    model = LinearRegression().fit(X, y)
    predicted = model.predict(X)
    mean_squared_error(y, predicted)
    figure = drawn("residuals_on_X")
    assert figure == {"true": y.tolist(), "predicted": predicted.tolist(), "rows": 442, "every": 1}


def test_of_many_rows_some_are_kept():
    figure = figures.of_scored(numpy.arange(2500.0), numpy.arange(2500.0), "predict")["residuals"]
    assert (figure["rows"], figure["every"], figure["true"]) == (2500, 3, list(range(0, 2500, 3)))


ODD = {
    "lengths differ": ([0, 1, 1], numpy.array([0, 1]), "predict"),
    "several outputs": (numpy.zeros((3, 2)), numpy.zeros((3, 2)), "predict"),
    "three classes of probabilities": ([0, 1, 2], numpy.ones((3, 3)) / 3, "predict_proba"),
    "infinite scores": ([0, 1, 1], numpy.array([0.0, numpy.inf, 1.0]), "decision_function"),
    "one class": ([1, 1, 1], numpy.array([0.5, 0.25, 1.0]), "decision_function"),
    "objects": (numpy.array([None, 1], dtype=object), numpy.array([0, 1]), "predict"),
    "many classes": (numpy.arange(100), numpy.arange(100), "predict"),
    "no array": ("ab", numpy.array([0, 1]), "predict"),
}


@pytest.mark.parametrize("what", ODD)
def test_what_cannot_be_drawn_is_left_out(what):
    assert figures.of_scored(*ODD[what]) == {}


def test_a_prediction_is_drawn_once_and_a_loop_of_them_seldom(tracked):
    model = GaussianNB().fit(X, y)
    for _ in range(20):
        predicted = model.predict(X)
        accuracy_score(y, predicted)
        f1_score(y, predicted)
    drawn("confusion_matrix_on_X")
    files = list(tracked.rglob("confusion_matrix*"))
    assert len(files) == 1


TREES = {
    "tree": lambda: DecisionTreeClassifier(random_state=0),
    "forest": lambda: RandomForestClassifier(7, random_state=0),
    "stumps and leaves": lambda: RandomForestClassifier(7, random_state=0, min_samples_leaf=80),
    "extra trees": lambda: ExtraTreesRegressor(5, random_state=0),
    "a pipeline": lambda: make_pipeline(StandardScaler(), RandomForestClassifier(3, random_state=0)),
}


@pytest.mark.parametrize("what", TREES)
def test_importances_of_trees_equal_scikit_learns(what, tracked):
    X, y = load_digits(return_X_y=True)
    model = TREES[what]().fit(X[:400], y[:400])
    figure = drawn("feature_importances")
    assert figure["kind"] == "impurity"
    assert figure["values"] == pytest.approx(getattr(model, "steps", [(0, model)])[-1][1].feature_importances_)


def test_coefficients_have_the_names_of_their_features(tracked):
    pandas = pytest.importorskip("pandas")
    X, y = load_digits(return_X_y=True)
    frame = pandas.DataFrame(X, columns=[f"pixel {number}" for number in range(64)])
    model = LogisticRegression(max_iter=20, tol=1.0).fit(frame, y)
    figure = drawn("feature_importances")
    assert figure == {"kind": "coefficient", "values": model.coef_.tolist(), "features": list(frame.columns)}


def test_few_coefficients_are_among_the_facts(tracked):
    LinearRegression().fit(X, y)
    run = autotrack.get_run("@last")
    assert len(run.facts["fitted"]["coef_"]) == X.shape[1]
    assert figures.importances(LinearRegression().fit(X, y)) == {}

"""Metrics on the training data: their values, and that computing them changes nothing."""

import copy
import random
import warnings

import numpy
import pandas
import pytest
import scipy.sparse
from autotrack_sklearn import training_metrics
from sklearn import metrics
from sklearn.cluster import KMeans
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.utils import all_estimators

import autotrack
from tests.transparency import estimators
from tests.transparency.states import differences, state

X, y = load_iris(return_X_y=True)


@pytest.fixture
def wanted(tracked):
    autotrack.enable(store=tracked, experiment="test", models="never", training_metrics=True)
    return tracked


def found():
    """Metrics of the only run that begin with training, without the prefix; its notes."""
    (run,) = autotrack.runs()
    values = {k.removeprefix("training_"): v for k, v in run.metrics.items() if k.startswith("training_")}
    return values, [text for _, text in run.notes if "training data" in text]


# ---- values ---------------------------------------------------------------------------------------------------------


def test_nothing_is_computed_unasked(tracked):
    GaussianNB().fit(X, y)
    assert found() == ({}, [])


def test_of_a_classifier(wanted):
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
    (run,) = autotrack.runs()
    assert {name for name in run.metrics if not name.startswith("training_")} == {"fit_time", "n_iter"} & {*run.metrics}
    guess, chances = model.predict(X), model.predict_proba(X)
    assert found()[0] == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(y, guess),
            "precision": metrics.precision_score(y, guess, average="weighted"),
            "recall": metrics.recall_score(y, guess, average="weighted"),
            "f1": metrics.f1_score(y, guess, average="weighted"),
            "log_loss": metrics.log_loss(y, chances),
        },
        abs=0,
    )


def test_of_two_classes(wanted):
    names = numpy.where(y == 1, "yes", "no")
    model = GaussianNB().fit(X, names)
    assert found()[0]["roc_auc"] == metrics.roc_auc_score(names, model.predict_proba(X)[:, 1])


def test_of_a_regressor(wanted):
    data, target = load_diabetes(return_X_y=True)
    guess = Ridge().fit(data, target).predict(data)
    squared = metrics.mean_squared_error(target, guess)
    assert found()[0] == {
        "r2": metrics.r2_score(target, guess),
        "mean_squared_error": squared,
        "root_mean_squared_error": squared**0.5,
        "mean_absolute_error": metrics.mean_absolute_error(target, guess),
    }


def test_of_a_search(wanted):
    model = GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, 0.5]}, cv=3).fit(X, y)
    assert found()[0]["accuracy"] == metrics.accuracy_score(y, model.predict(X))


def test_at_most_a_thousand_rows_evenly_spread(wanted):
    data = numpy.arange(5000.0)[:, None]
    target = numpy.sin(data[:, 0] / 700)
    model = LinearRegression().fit(data, target)
    at = [index * 4999 // 999 for index in range(1000)]
    assert at[-1] == 4999
    assert found()[0]["r2"] == metrics.r2_score(target[at], model.predict(data[at]))
    (run,) = autotrack.runs()
    assert run.facts["training_metrics"] == {"rows": 1000, "of": 5000}


def test_the_rows_are_those_before_the_fit(wanted):
    data, target = load_diabetes(return_X_y=True)
    data = numpy.asfortranarray(data * 100 + 7)
    before = data.copy()
    model = LinearRegression(copy_X=False).fit(data, target)
    assert not numpy.array_equal(before, data)
    assert found()[0]["r2"] == metrics.r2_score(target, model.predict(before))


TABLE = pandas.DataFrame({"a": numpy.tile([1.0, 2.0, 3.0], 20), "b": numpy.tile(["x", "y", "z"], 20)})
LABELS = pandas.Series(numpy.tile([0, 1, 1], 20), index=range(100, 160))


@pytest.mark.parametrize(
    ("make", "data"),
    [
        (GaussianNB, lambda: (X.tolist(), y.tolist())),
        (LogisticRegression, lambda: (scipy.sparse.csr_matrix(X > 2), y)),
        (GaussianNB, lambda: (pandas.DataFrame(X), pandas.Series(y, index=range(7, 157)))),
        (
            lambda: make_pipeline(TfidfVectorizer(), LogisticRegression()),
            lambda: (["red", "blue"] * 9, [0, 1] * 9),
        ),
        (
            lambda: make_pipeline(
                make_column_transformer((StandardScaler(), ["a"]), (OneHotEncoder(), ["b"])), LogisticRegression()
            ),
            lambda: (TABLE.astype({"b": object}), LABELS),
        ),
        (
            lambda: make_pipeline(
                make_column_transformer((StandardScaler(), make_column_selector(dtype_include=float))),
                SelectKBest(k=1),
                LogisticRegression(random_state=numpy.random.RandomState(0)),
            ),
            lambda: (TABLE, LABELS),
        ),
    ],
    ids=["lists", "sparse", "frame", "texts", "columns", "selection"],
)
def test_kinds_of_data(make, data, wanted):
    data, target = data()
    model = make().fit(data, target)
    values, notes = found()
    assert notes == []
    assert values["accuracy"] == metrics.accuracy_score(target, model.predict(data))


# ---- where it is not done -------------------------------------------------------------------------------------------


class Mine(GaussianNB):
    """Not scikit-learn's own class."""

    __module__ = "sklearn.naive_bayes"

    def predict(self, X):
        raise AssertionError("nobody asked")

    predict_proba = predict


def distance(first, second):
    assert wanted_by_fit, "nobody asked for a prediction"
    return abs(first - second).sum()


wanted_by_fit = False


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (Mine, "data: Mine is not"),
        (lambda: DummyClassifier(strategy="stratified"), "data: DummyClassifier is not"),
        (lambda: KNeighborsClassifier(metric=distance, algorithm="brute"), "distance (metric of KNeighborsClassifier)"),
        (lambda: SVC(kernel=lambda first, second: first @ second.T), "<lambda> (kernel of SVC)"),
        (
            lambda: make_pipeline(FunctionTransformer(numpy.log1p), GaussianNB()),
            "FunctionTransformer (steps of Pipeline)",
        ),
        (lambda: make_pipeline(StandardScaler(), Mine()), "Mine (steps of Pipeline)"),
        (lambda: VotingClassifier([("a", GaussianNB()), ("b", Mine())]), "Mine (estimators of VotingClassifier)"),
        (
            lambda: GridSearchCV(make_pipeline(GaussianNB()), {"gaussiannb": [Mine()]}, cv=2, scoring=lambda *_: 1.0),
            "Mine (steps of Pipeline)",
        ),
    ],
    ids=["own class", "draws", "metric", "kernel", "function", "own step", "own member", "own candidate"],
)
def test_what_may_do_anything_is_left_alone(make, part, wanted):
    make().fit(X, y)
    values, notes = found()
    assert values == {}
    assert len(notes) == 1
    assert part in notes[0]


def test_a_method_put_on_the_object_is_not_called(wanted):
    model = GaussianNB()
    model.predict = Mine().predict
    model.fit(X, y)
    assert found()[0] == {}


class Rows(numpy.ndarray):
    pass


@pytest.mark.parametrize(
    ("model", "data", "why"),
    [
        (GaussianNB(), lambda: (X.view(Rows), y), "not Rows"),
        (Ridge(), lambda: (X, numpy.column_stack([y, y])), "several columns"),
        (GridSearchCV(GaussianNB(), {}, cv=2, refit=False), lambda: (X, y), "cannot predict"),
        (KMeans(2, n_init=1), lambda: (X,), "KMeans is not among what is known to change nothing"),
    ],
    ids=["subclass", "columns", "no refit", "no target"],
)
def test_there_is_a_note_where_there_are_none(model, data, why, wanted):
    model.fit(*data())
    values, notes = found()
    assert values == {}
    assert why in notes[0]


def test_objects_in_the_data_are_not_touched(wanted):
    cells = numpy.array([[1.0], [2.0], [numpy.float64(3.0)]], dtype=object)
    LinearRegression().fit(cells, [1.0, 2.0, 3.0])
    assert "objects" in found()[1][0]


# ---- it changes nothing ---------------------------------------------------------------------------------------------


def listed(lists):
    return {name for names in lists.values() for name in names}


def uses(model, data):
    """What the model says of the data afterwards."""
    names = ("predict", "predict_proba", "decision_function", "score_samples", "transform")
    return {name: state(getattr(model, name)(data)) for name in names if hasattr(model, name)}


def leaves_as_it_was(name):
    """Attributes, predictions, random states, data, warnings: all bit for bit. Whether there were metrics."""
    case = estimators.case(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = case.make().fit(*case.data())
    untouched = copy.deepcopy(model)
    arguments = dict(zip(("X", "y"), case.data(), strict=False))
    before = state(model), state(numpy.random.get_state()), random.getstate(), state(arguments)
    sample, why = training_metrics.take_sample(model, arguments)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        values, why = training_metrics.compute(model, sample) if sample else ({}, why)
    assert differences(before[0], state(model)) == []
    assert before[1:] == (state(numpy.random.get_state()), random.getstate(), state(arguments))
    assert [str(warning.message) for warning in caught] == []
    assert uses(model, case.data()[0]) == uses(untouched, case.data()[0])
    assert bool(values) != bool(why)
    return bool(values)


PREDICTORS = sorted(listed(training_metrics.PREDICTORS) & set(dict(all_estimators())))
QUICK = ("BaggingClassifier", "ElasticNet", "KNeighborsClassifier", "MLPClassifier", "RandomForestRegressor", "SVC")


@pytest.mark.parametrize("name", QUICK)
def test_it_leaves_a_predictor_as_it_was(name):
    assert leaves_as_it_was(name)


@pytest.mark.slow
def test_it_leaves_every_listed_predictor_as_it_was():
    assert [name for name in PREDICTORS if not leaves_as_it_was(name)] == []


def test_every_listed_transformer_stays_as_it_was():
    for name in sorted(listed(training_metrics.TRANSFORMERS)):
        case = estimators.case(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = case.make().fit(*case.data())
        data = case.data()[0]
        before = state(model), state(numpy.random.get_state()), random.getstate()
        first = state(model.transform(data))
        assert differences(before[0], state(model)) == [], name
        assert before[1:] == (state(numpy.random.get_state()), random.getstate()), name
        assert state(model.transform(case.data()[0])) == first, name
        assert training_metrics._listed(model, training_metrics.TRANSFORMERS), name


def test_a_fit_is_the_same_with_and_without(wanted):
    plain = MLPRegressor(hidden_layer_sizes=(3,), max_iter=5, random_state=numpy.random.RandomState(1))
    recorded = MLPRegressor(hidden_layer_sizes=(3,), max_iter=5, random_state=numpy.random.RandomState(1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recorded.fit(X, y)
        autotrack.disable()
        plain.fit(X, y)
    assert differences(state(plain), state(recorded)) == []
    autotrack.enable(store=wanted)
    assert "r2" in found()[0]

"""Scores computed after a fit: their values, their names, and the run that they go to."""

import _thread
import threading
import time
import warnings

import numpy
import pytest
import sklearn.metrics
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.metrics import (
    accuracy_score,
    auc,
    classification_report,
    f1_score,
    get_scorer,
    log_loss,
    make_scorer,
    mean_squared_error,
    precision_recall_fscore_support,
    r2_score,
    roc_auc_score,
    roc_curve,
    silhouette_score,
)
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score, cross_validate, train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import autotrack

X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
IN_A_DICT = {"accuracy": accuracy_score}  # before anything is enabled


def last():
    return autotrack.get_run("@last")


def scores(run=None):
    """All metrics but what the fit itself left."""
    return {name: value for name, value in (run or last()).metrics.items() if name not in ("fit_time", "n_iter")}


def points(name, run=None):
    return [point.value for point in (run or last()).history(name)]


def fitted():
    return GaussianNB().fit(X_train, y_train)


# ---- by identity -----------------------------------------------------------------------------------------------------


def test_a_score_goes_to_the_run_of_the_model_that_predicted(tracked):
    first, second = GaussianNB(), LinearRegression()
    first.fit(X_train, y_train)
    second.fit(X_train, y_train)
    of_first, of_second = first.predict(X_test), second.predict(X_test)
    expected = accuracy_score(y_test, of_first)
    error = mean_squared_error(y_test, of_second)
    newer, older = autotrack.runs()
    assert scores(older) == {"accuracy_on_X_test": expected}
    assert scores(newer) == {"mean_squared_error_on_X_test": error}
    assert older.status == newer.status == "finished"
    assert older.facts.get("inferred") is None


def test_names_bound_before_enabling_are_reached_also_in_containers(tracked):
    model = fitted()
    value = IN_A_DICT["accuracy"](y_test, model.predict(X_test))
    assert scores() == {"accuracy_on_X_test": value}


def test_views_of_a_prediction_are_the_prediction(tracked):
    first = LogisticRegression(max_iter=5000).fit(X_train, y_train)
    GaussianNB().fit(X_train, y_train)
    probabilities = first.predict_proba(X_test)
    value = roc_auc_score(y_test, probabilities[:, 1])
    loss = log_loss(y_test, probabilities)
    run = autotrack.runs()[1]
    assert scores(run) == {"roc_auc_on_X_test": value, "log_loss_on_X_test": loss}
    assert "inferred" not in run.facts


def test_train_and_test_keep_apart_in_a_function_of_the_users(tracked):
    def evaluate(model, X, y):
        return accuracy_score(y, model.predict(X))

    model = fitted()
    on_train, on_test = evaluate(model, X_train, y_train), evaluate(model, X=X_test, y=y_test)
    assert scores() == {"accuracy_on_X_train": on_train, "accuracy_on_X_test": on_test}


def test_training_data_is_called_as_at_the_training(tracked):
    model = fitted()
    for given, truth in ((X_train, y_train), (X_test, y_test)):
        model.score(given, truth)
    assert set(scores()) == {"score_on_X_train", "score_on_given"}


def test_the_order_of_calls_is_no_part_of_a_name(tracked):
    for order in ((X_test, X_train), (X_train, X_test)):
        model = fitted()
        for data in order:
            sklearn.metrics.accuracy_score(y_test if data is X_test else y_train, model.predict(data))
        accuracy_score(y_test, model.predict(X_test))
    newer, older = autotrack.runs()
    assert set(scores(newer)) == set(scores(older)) == {"accuracy_on_data", "accuracy_on_X_train", "accuracy_on_X_test"}


def test_a_search_and_the_parts_that_people_take_out_of_it(tracked):
    search = GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {}, cv=2).fit(X_train, y_train)
    best = search.best_estimator_
    values = [
        search.score(X_test, y_test),
        best.score(X_test, y_test),
        best[-1].score(best[0].transform(X_test), y_test),
        accuracy_score(y_test, search.predict(X_test)),
    ]
    run = last()
    assert points("score_on_X_test", run) == values[:3]
    assert points("accuracy_on_X_test", run) == values[3:]
    assert len(autotrack.runs()) == 1


def test_clusterings_are_scored_by_their_labels(tracked):
    model = KMeans(3, n_init=1, random_state=0).fit(X_test)
    other = KMeans(2, n_init=1, random_state=0)
    labels = other.fit_predict(X_test)
    first = silhouette_score(X_test, model.labels_)
    second = silhouette_score(X_test, labels)
    newer, older = autotrack.runs()
    assert points("silhouette_on_X_test", older) == [first]
    assert points("silhouette_on_X_test", newer) == [second]


def test_the_area_under_a_curve_made_of_a_prediction(tracked):
    model = fitted()
    LinearRegression().fit(X_train, y_train)
    x, height, _ = roc_curve(y_test, model.predict_proba(X_test)[:, 1])
    value = auc(x, height)
    older = autotrack.runs()[1]
    assert scores(older) == {"auc_on_X_test": value}


# ---- guesses ---------------------------------------------------------------------------------------------------------


def test_a_derived_array_is_matched_by_its_length_and_marked(tracked):
    model = fitted()
    LinearRegression().fit(X_train, y_train)  # the last one, and it predicted nothing of this length
    labels = (model.predict_proba(X_test)[:, 1] > 0.3).astype(int).tolist()
    value = f1_score(y_test, labels)
    run = autotrack.runs()[1]
    assert scores(run) == {"f1_on_X_test": value}
    assert "recent prediction" in run.facts["inferred"]["f1_on_X_test"]


def test_anything_else_goes_to_the_last_run_here_and_is_marked(tracked):
    fitted()
    value = accuracy_score(y_test[:7], numpy.zeros(7))
    assert scores() == {"accuracy": value}
    (reason,) = last().facts["inferred"].values()
    assert "last run" in reason


def test_nothing_is_guessed_across_threads(tracked):
    model = fitted()
    model.predict(X_test)
    thread = threading.Thread(target=lambda: accuracy_score(y_test, list(y_test)))
    thread.start()
    thread.join(60)
    assert scores() == {}


def test_identity_holds_across_threads(tracked):
    model = fitted()
    predicted = model.predict(X_test)
    thread = threading.Thread(target=lambda: accuracy_score(y_test, predicted))
    thread.start()
    thread.join(60)
    assert set(scores()) == {"accuracy_on_X_test"}


def test_a_model_that_no_run_recorded_is_not_scored_for_another(tracked):
    autotrack.disable()
    unknown = GaussianNB().fit(X_train, y_train)
    autotrack.enable(store=tracked, experiment="test")
    model = fitted()
    model.predict(X_test)
    accuracy_score(y_test, unknown.predict(X_test))
    accuracy_score(y_test, unknown.predict_proba(X_test).argmax(1))
    unknown.score(X_test, y_test)
    assert scores() == {}


def test_a_score_in_a_run_opened_by_hand_is_kept_there(tracked):
    autotrack.disable()
    unknown = GaussianNB().fit(X_train, y_train)
    autotrack.enable(store=tracked, experiment="test")
    with autotrack.start_run(name="mine"):
        value = accuracy_score(y_test, unknown.predict(X_test))
    assert scores() == {"accuracy": value}
    assert last().facts["inferred"]


def test_values_logged_by_hand_win(tracked):
    with autotrack.start_run() as run:
        model = fitted()
        run.log_metrics({"score_on_X_test": -1.0})
        model.score(X_test, y_test)
    assert points("score_on_X_test") == [-1.0]


# ---- what is recorded once, or not at all ----------------------------------------------------------------------------


def test_a_score_is_recorded_once_and_not_the_metrics_inside_it(tracked):
    class Own(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.inner_ = GaussianNB().fit(X, y)
            accuracy_score(y, self.inner_.predict(X))
            return self

        def predict(self, X):
            return self.inner_.predict(X)

        def score(self, X, y):
            return f1_score(y, self.predict(X)) + accuracy_score(y, self.predict(X))

    model = Own().fit(X_train, y_train)
    assert scores() == {}
    value = model.score(X_test, y_test)
    assert scores() == {"score_on_X_test": value}


def test_what_scikit_learn_scores_for_itself_is_nobodys_score(tracked):
    model = fitted()
    permutation_importance(model, X_test[:, :3].repeat(10, axis=1), y_test, n_repeats=1)
    permutation_importance(model, X_test, y_test, n_repeats=1, scoring="f1")
    assert scores() == {}


def test_arrays_and_failures_are_no_scores(tracked):
    model = fitted()
    predicted = model.predict(X_test)
    f1_score(y_test, predicted, average=None)
    sklearn.metrics.confusion_matrix(y_test, predicted)
    with pytest.raises(ValueError, match="inconsistent"):
        accuracy_score(y_test[:3], predicted)
    assert scores() == {}


def test_a_clone_is_another_model(tracked):
    model = fitted()
    assert clone(model).fit(X_train, y_train).score(X_test, y_test)
    newer, older = autotrack.runs()
    assert scores(older) == {}
    assert set(scores(newer)) == {"score_on_X_test"}


def test_nothing_is_kept_alive(tracked):
    import gc
    import weakref

    model = fitted()
    predicted = model.predict(X_test)
    accuracy_score(y_test, predicted)
    watched = [weakref.ref(model), weakref.ref(predicted)]
    del model, predicted
    gc.collect()
    assert [reference() for reference in watched] == [None, None]


def test_scores_of_batches_have_the_batches_steps(tracked):
    model = SGDClassifier(random_state=0)
    for _ in range(4):
        model.partial_fit(X_train, y_train, classes=[0, 1])
    model.score(X_test, y_test)
    model.partial_fit(X_train, y_train)
    model.score(X_test, y_test)
    assert [point.step for point in last().history("score_on_X_test")] == [3, 4]


# ---- names and values ------------------------------------------------------------------------------------------------


def test_several_numbers_at_once(tracked):
    predicted = fitted().predict(X_test)
    report = classification_report(y_test, predicted, output_dict=True)
    assert scores() == {
        "accuracy_on_X_test": report["accuracy"],
        **{
            f"{name.replace('f1-score', 'f1')}{suffix}_on_X_test": report[row][name]
            for row, suffix in (("macro avg", "_macro"), ("weighted avg", "_weighted"), ("0", "_of_0"), ("1", "_of_1"))
            for name in ("precision", "recall", "f1-score")
        },
    }
    precision, recall, f1, _ = precision_recall_fscore_support(y_test, predicted, average="micro")
    values = scores()
    assert [values[f"{name}_micro_on_X_test"] for name in ("precision", "recall", "f1")] == [precision, recall, f1]


SCORERS = [
    "accuracy", "balanced_accuracy", "f1_macro", "f1_weighted", "roc_auc", "average_precision", "neg_log_loss",
    "neg_mean_squared_error", "r2", "matthews_corrcoef", "roc_auc_ovr_weighted", "jaccard",
]  # fmt: skip


@pytest.mark.parametrize("name", SCORERS)
def test_scorers_are_called_as_scikit_learn_calls_them(name, tracked):
    value = get_scorer(name)(fitted(), X_test, y_test)
    assert scores() == {f"{name}_on_X_test": value}


def test_scorers_of_ones_own(tracked):
    def cost(truth, predicted, weight=1.0):
        return weight * accuracy_score(truth, predicted)

    value = make_scorer(cost, greater_is_better=False, weight=2.5)(fitted(), X_test, y_test)
    assert scores() == {"neg_cost_weight_2.5_on_X_test": value}


def test_several_scorers_at_once(tracked):
    found = sklearn.metrics.check_scoring(fitted(), scoring=["accuracy", "f1"])(fitted(), X_test, y_test)
    assert scores() == {f"{name}_on_X_test": value for name, value in found.items()}


def test_every_scalar_of_scikit_learn(tracked):
    """Each function that takes (truth, prediction) and returns a number is recorded with that number."""
    X, y = load_diabetes(return_X_y=True)
    model = LinearRegression().fit(X, y)
    predicted = numpy.abs(model.predict(X))
    seen = []
    for name in sklearn.metrics.__all__:
        function = getattr(sklearn.metrics, name)
        if getattr(function, "__module__", "").endswith("_regression"):
            value = function(y, predicted)
            assert points(f"{name.removesuffix('_score')}_on_X") == [value]
            seen.append(name)
    assert len(seen) > 12


def test_warnings_point_where_they_would_without_us(tracked):
    def warned():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            f1_score([1, 0], [0, 0])
            roc_curve([1, 1], [0.5, 0.6])
            r2_score([1.0], [1.0])
            Warning_().predict(X)
            Warning_().score(X, y)  # warns at scikit-learn's own line
        return [(str(warning.message), warning.filename, warning.lineno) for warning in caught]

    recorded = warned()
    autotrack.disable()
    assert recorded == warned()
    assert [where for text, where, _ in recorded if text == "mine"] == [__file__, sklearn.base.__file__]


class Warning_(ClassifierMixin, BaseEstimator):
    def predict(self, X):
        warnings.warn("mine", UserWarning, stacklevel=2)
        return numpy.zeros(len(X))


def test_cross_validated_predictions_are_scored_for_their_run(tracked):
    predicted = cross_val_predict(GaussianNB(), X, y, cv=3)
    fitted()
    value = accuracy_score(y, predicted)
    newer, older = autotrack.runs()
    assert points("accuracy_on_X", older) == [value]
    assert "accuracy_on_X" not in newer.metrics


def test_what_a_cross_validation_scores_is_its_own(tracked):
    found = cross_validate(GaussianNB(), X, y, cv=3, scoring=["accuracy", "f1"])
    values = cross_val_score(GaussianNB(), X, y, cv=3)
    for run in autotrack.runs():
        assert not [name for name in run.metrics if "_on_" in name or name in ("accuracy", "f1", "score")]
    assert len(found["test_f1"]) == len(values) == 3


def test_a_thread_may_be_started_with_the_method_itself(tracked):
    model = fitted()
    for function, arguments in (
        (model.predict, (X_test,)),
        (model.score, (X_test, y_test)),
        (accuracy_score, (y_test, model.predict(X_test))),
    ):
        _thread.start_new_thread(function, arguments)
    deadline = time.monotonic() + 30
    while set(scores()) != {"score", "accuracy_on_X_test"}:
        assert time.monotonic() < deadline, scores()
        time.sleep(0.02)

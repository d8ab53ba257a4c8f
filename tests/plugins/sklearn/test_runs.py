"""Which run a training belongs to."""

import threading
import traceback

import autotrack_sklearn
import numpy
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import DBSCAN, KMeans
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    BaggingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import RFECV
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KernelDensity, LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import autotrack
from tests.plugins.sklearn.made import X, few, model, only, recorded, y

# ---- one run per outermost fit -------------------------------------------------------------------------------------


WHOLES = {
    "pipeline": lambda: make_pipeline(StandardScaler(), PCA(2), model()),
    "voting": lambda: VotingClassifier([("a", model()), ("b", GaussianNB())]),
    "stacking": lambda: StackingClassifier([("a", model()), ("b", GaussianNB())], cv=2),
    "calibrated": lambda: CalibratedClassifierCV(GaussianNB(), cv=2),
    "one against the rest": lambda: OneVsRestClassifier(model()),
    "search": lambda: GridSearchCV(model(), {"C": [0.1, 1.0]}, cv=2),
    "search over a pipeline": lambda: GridSearchCV(make_pipeline(StandardScaler(), GaussianNB()), {}, cv=2),
    "pipeline with a search": lambda: make_pipeline(StandardScaler(), GridSearchCV(model(), {"C": [1.0]}, cv=2)),
    "bagging": lambda: BaggingClassifier(GaussianNB(), n_estimators=3),
    "forest": lambda: RandomForestClassifier(3),
    "elimination": lambda: RFECV(model(), cv=2, step=2),
    "target": lambda: TransformedTargetRegressor(LinearRegression(), transformer=MinMaxScaler()),
}


@pytest.mark.parametrize("what", WHOLES)
def test_whatever_is_inside_it_is_one_run(what, tracked):
    estimator = WHOLES[what]()
    assert estimator.fit(X[few], y[few]) is estimator
    run = only()
    assert (run.status, run.by) == ("finished", "sklearn")
    assert bool(run.children) == ("search" in what)  # its candidates
    assert run.facts["estimator"]["class"].endswith("." + type(estimator).__name__)
    assert run.name.startswith(type(estimator).__name__ + "-")
    assert run.experiment == "test"
    assert run.incomplete is False
    assert list(run.models) == ["model"]
    assert run.metrics["fit_time"] >= 0
    assert run.duration >= run.metrics["fit_time"]


def test_several_outputs_are_one_run(tracked):
    MultiOutputRegressor(Ridge()).fit(X, numpy.column_stack([y, y]))
    assert only().facts["data"]["y"]["shape"] == [150, 2]


def test_a_loop_makes_a_run_each_in_order(tracked):
    for strength in (0.1, 1.0, 10.0):
        model(C=strength).fit(X, y)
    runs = recorded()
    assert [run.params["C"] for run in runs] == [0.1, 1.0, 10.0]
    assert len({run.id for run in runs}) == 3
    assert len({run.session for run in runs}) == 1


def test_the_same_object_fitted_twice_makes_two_runs(tracked):
    estimator = GaussianNB()
    estimator.fit(X, y)
    estimator.fit(X[few], y[few])
    assert [run.facts["data"]["X"]["shape"] for run in recorded()] == [[150, 4], [30, 4]]


def test_the_clone_of_a_recorded_estimator_is_recorded_too(tracked):
    clone(GaussianNB().fit(X, y)).fit(X, y)
    assert len(recorded()) == 2


def test_fit_predict_of_clusterings_and_outlier_detectors(tracked):
    labels = KMeans(3, n_init=1, random_state=0).fit_predict(X)
    assert only().facts["estimator"]["class"] == "sklearn.cluster._kmeans.KMeans"
    assert numpy.array_equal(labels, KMeans(3, n_init=1, random_state=0).fit(X).labels_)
    DBSCAN().fit_predict(X)
    LocalOutlierFactor(5).fit_predict(X)
    runs = recorded()
    assert [run.name.partition("-")[0] for run in runs] == ["KMeans", "KMeans", "DBSCAN", "LocalOutlierFactor"]
    assert all(run.metrics["fit_time"] > 0 for run in runs)


def test_a_density_is_a_model(tracked):
    KernelDensity().fit(X)
    assert only().name.startswith("KernelDensity-")


def test_a_pipeline_fitted_by_fit_predict_is_one_run(tracked):
    make_pipeline(StandardScaler(), KMeans(3, n_init=1)).fit_predict(X)
    assert only().name.startswith("Pipeline-")


def test_nothing_is_recorded_when_disabled(tracked):
    autotrack.disable()
    GaussianNB().fit(X, y)
    assert recorded() == []
    autotrack.enable(store=tracked, experiment="test")
    GaussianNB().fit(X, y)
    assert len(recorded()) == 1


# ---- errors --------------------------------------------------------------------------------------------------------


class Failing(ClassifierMixin, BaseEstimator):
    def __init__(self, error=None):
        self.error = error

    def fit(self, X, y=None):
        raise self.error


def test_an_error_reaches_the_user_and_the_record(tracked):
    error = ValueError("the fit went wrong")
    with pytest.raises(ValueError, match="went wrong") as raised:
        Failing(error).fit(X, y)
    assert raised.value is error
    places = (*autotrack.__path__, *autotrack_sklearn.__path__, "<autotrack")
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    assert len([name for name in files if name.startswith(places)]) <= 1
    assert error.__context__ is None
    assert error.__cause__ is None
    run = only()
    assert (run.status, run.models) == ("failed", {})
    assert (run.error.type, run.error.message) == ("ValueError", "the fit went wrong")
    assert "raise self.error" in run.error.traceback
    assert run.facts["data"]["X"]["shape"] == [150, 4]
    GaussianNB().fit(X, y)  # and the next one is whole
    assert [run.status for run in recorded()] == ["failed", "finished"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (SystemExit(0), "finished"),
        (SystemExit(3), "failed"),
        (MemoryError(), "failed"),
        (GeneratorExit(), "interrupted"),
        (StopIteration("x"), "failed"),
    ],
    ids=lambda value: repr(value),
)
def test_how_an_ending_is_called(error, status, tracked):
    with pytest.raises(type(error)) as raised:
        Failing(error).fit(X, y)
    assert raised.value is error
    assert only().status == status
    assert not autotrack.in_training()


def test_an_error_of_scikit_learn_is_kept_with_its_text(tracked):
    with pytest.raises(ValueError, match="inconsistent") as raised:
        GaussianNB().fit(X, y[:10])
    assert only().error.message == str(raised.value)


def test_arguments_that_do_not_fit_fail_as_ever(tracked):
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        LinearRegression().fit(X)
    with pytest.raises(TypeError, match="unexpected keyword"):
        LinearRegression().fit(X, y, nonsense=1)
    assert [run.status for run in recorded()] == ["failed", "failed"]


def test_an_inner_error_that_the_outer_one_survives_leaves_one_finished_run(tracked):
    search = GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, -1.0]}, cv=2, error_score=0.0)
    with pytest.warns(Warning, match="fits failed"):
        search.fit(X, y)
    assert only().status == "finished"


# ---- inside a run that a person opened -----------------------------------------------------------------------------


def test_the_first_training_is_adopted_and_further_ones_are_children(tracked):
    with autotrack.start_run(name="mine") as run:
        model(C=0.5).fit(X, y)
        GaussianNB().fit(X, y)
        Ridge().fit(X, y)
    record = only()
    assert (record.id, record.name, record.status) == (run.id, "mine", "finished")
    assert record.params["C"] == 0.5
    assert [child.name.partition("-")[0] for child in record.children] == ["GaussianNB", "Ridge"]
    assert all(child.status == "finished" for child in record.children)
    assert record.children[0].facts["estimator"]["class"] == "sklearn.naive_bayes.GaussianNB"
    assert set(record.models) == {"model"}
    assert set(record.children[0].models) == {"model"}
    assert type(autotrack.load_model(record.children[0].id)) is GaussianNB


def test_values_logged_by_hand_win(tracked):
    with autotrack.start_run() as run:
        run.log_params({"C": "mine"})
        run.log_metrics({"fit_time": -1.0})
        model(C=0.5).fit(X, y)
    record = only()
    assert record.params["C"] == "mine"
    assert record.params["max_iter"] == 500
    assert [point.value for point in record.history("fit_time")] == [-1.0]


def test_a_curve_is_not_mixed_with_what_was_logged_by_hand(tracked):
    from sklearn.mixture import GaussianMixture

    with autotrack.start_run() as run:
        run.log_metrics({"lower_bound": 7.0})
        GaussianMixture(3).fit(X)
    assert [point.value for point in only().history("lower_bound")] == [7.0]


def test_values_logged_by_hand_afterwards_win_too(tracked):
    with autotrack.start_run():
        model(C=0.5).fit(X, y)
        autotrack.log_params({"C": "mine"})
    assert only().params["C"] == "mine"


def test_an_error_in_an_adopted_training_that_is_caught_leaves_the_run_open(tracked):
    with autotrack.start_run() as run:
        with pytest.raises(ValueError, match="x"):
            Failing(ValueError("x")).fit(X, y)
        assert not run.ended
    record = only()
    assert record.status == "finished"
    assert any("ValueError: x" in text for _, text in record.notes)


def test_logging_after_the_fit_goes_to_its_run(tracked):
    GaussianNB().fit(X, y)
    autotrack.log_metrics({"accuracy": 0.75})
    assert only().metrics["accuracy"] == 0.75
    assert only().status == "finished"


# ---- threads -------------------------------------------------------------------------------------------------------


def test_two_threads_have_a_whole_run_each(tracked):
    """Each training waits for the other to have begun, so they overlap."""
    barrier = threading.Barrier(2, timeout=30)

    class Meeting(RegressorMixin, BaseEstimator):
        def __init__(self, number=0):
            self.number = number

        def fit(self, X, y=None):
            barrier.wait()
            self.inner_ = LinearRegression().fit(X, y)
            barrier.wait()
            self.loss_ = float(self.number)
            return self

    threads = [threading.Thread(target=Meeting(number).fit, args=(X * number, y)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    runs = recorded()
    assert sorted(run.params["number"] for run in runs) == [1, 2]
    for run in runs:
        number = run.params["number"]
        assert run.metrics["loss"] == number
        assert run.status == "finished"
        assert run.facts["data"]["X"]["hash"] == autotrack.describe_data(X * number)["hash"]


def test_threads_of_a_training_open_no_run_of_their_own_where_the_context_is_carried(tracked):
    import contextvars

    class Threaded(RegressorMixin, BaseEstimator):
        def fit(self, X, y=None):
            context = contextvars.copy_context()
            thread = threading.Thread(target=context.run, args=(LinearRegression().fit, X, y))
            thread.start()
            thread.join(30)
            return self

    Threaded().fit(X, y)
    assert only().name.startswith("Threaded-")

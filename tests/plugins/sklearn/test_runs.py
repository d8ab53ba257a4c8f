"""Which fits make runs, what belongs to which run, and how runs end."""

import gc
import threading
import traceback

import numpy
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import DBSCAN, KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    BaggingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import RFECV
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.manifold import TSNE
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KernelDensity, LocalOutlierFactor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import LabelEncoder, MinMaxScaler, StandardScaler

import autotrack

X, y = load_iris(return_X_y=True)
few = slice(None, None, 5)


def model(**params):
    return LogisticRegression(max_iter=500, **params)


def recorded():
    """All top-level runs, oldest first."""
    return list(autotrack.runs())[::-1]


def only():
    (run,) = recorded()
    return run


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
    assert (run.status, run.children, run.by) == ("finished", [], "sklearn")
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


# ---- transformers --------------------------------------------------------------------------------------------------

TRANSFORMERS = {
    "scaler": StandardScaler,
    "pca": PCA,
    "columns": lambda: ColumnTransformer([("a", StandardScaler(), [0])]),
    "union": lambda: FeatureUnion([("a", StandardScaler()), ("b", PCA(1))]),
    "pipeline": lambda: make_pipeline(StandardScaler(), PCA(2)),
    "embedding": lambda: TSNE(perplexity=5, max_iter=250),
}


@pytest.mark.parametrize("what", TRANSFORMERS)
def test_a_transformer_makes_no_run(what, tracked):
    TRANSFORMERS[what]().fit_transform(X[few], y[few])
    if what != "embedding":
        TRANSFORMERS[what]().fit(X[few], y[few]).transform(X[few])
    assert recorded() == []


def test_a_label_encoder_makes_no_run(tracked):
    LabelEncoder().fit_transform(["a", "b"])
    assert recorded() == []


@pytest.mark.parametrize("what", ["scaler", "pca", "columns", "union", "pipeline"])
def test_a_transformer_is_lineage_of_the_model_trained_on_its_output(what, tracked):
    transformer = TRANSFORMERS[what]()
    GaussianNB().fit(transformer.fit_transform(X), y)
    origin = only().facts["lineage"]["X"]
    assert origin["class"].endswith("." + type(transformer).__name__)
    assert origin["data"]["shape"] == [150, 4]
    assert origin["data"]["hash"] == autotrack.describe_data(X)["hash"]


def test_lineage_by_fit_and_transform_apart(tracked):
    scaler = StandardScaler(with_mean=False).fit(X[:100])
    train, test = scaler.transform(X[:100]), scaler.transform(X[100:])
    GaussianNB().fit(train, y[:100])
    GaussianNB().fit(test, y[100:])
    first, second = (run.facts["lineage"]["X"] for run in recorded())
    assert first == second
    assert first["changed"] == {"with_mean": False}
    assert first["data"]["shape"] == [100, 4]


def test_lineage_through_views_and_chains(tracked):
    scaled = StandardScaler().fit_transform(X)
    reduced = PCA(3).fit_transform(scaled)
    GaussianNB().fit(reduced[::2, :2], y[::2])
    origin = only().facts["lineage"]["X"]
    assert origin["class"].endswith(".PCA")
    assert origin["changed"] == {"n_components": 3}
    assert origin["from"]["X"]["class"].endswith(".StandardScaler")


def test_lineage_of_the_target(tracked):
    encoder = LabelEncoder()
    GaussianNB().fit(X, encoder.fit_transform([str(label) for label in y]))
    lineage = only().facts["lineage"]
    assert set(lineage) == {"y"}
    assert lineage["y"]["class"].endswith(".LabelEncoder")


def test_no_lineage_where_the_data_is_somebody_elses(tracked):
    StandardScaler().fit_transform(X)
    GaussianNB().fit(X, y)
    GaussianNB().fit(StandardScaler().fit_transform(X) + 0.0, y)  # another array: nothing is guessed
    assert ["lineage" in run.facts for run in recorded()] == [False, False]


def test_lineage_of_a_frame(tracked):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    scaler = StandardScaler().set_output(transform="pandas")
    GaussianNB().fit(scaler.fit_transform(frame), y)
    run = only()
    assert run.facts["lineage"]["X"]["class"].endswith(".StandardScaler")
    assert run.facts["data"]["X"]["columns"] == list("abcd")


def test_lineage_keeps_no_data_alive(tracked):
    import weakref

    scaler = StandardScaler()
    output = scaler.fit_transform(X)
    watch, watched = weakref.ref(output), weakref.ref(scaler)
    del output, scaler
    gc.collect()
    assert (watch(), watched()) == (None, None)


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
    ours = [frame.filename for frame in traceback.extract_tb(error.__traceback__) if "autotrack" in frame.filename]
    assert len(ours) <= 1
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
        (GeneratorExit(), "failed"),
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


# ---- partial_fit ---------------------------------------------------------------------------------------------------


def batches(estimator, count=3, size=40):
    for index in range(count):
        part = slice(index * size, (index + 1) * size)
        estimator.partial_fit(X[part], y[part], classes=[0, 1, 2])
    return estimator


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


# ---- users' own estimators -----------------------------------------------------------------------------------------


class Before(RegressorMixin, BaseEstimator):
    """Made before anything is enabled."""

    def __init__(self, factor=2.0, other=None):
        self.factor = factor
        self.other = other

    def fit(self, X, y=None, **options):
        self.mean_ = float(numpy.mean(X)) * self.factor
        return self

    def predict(self, X):
        return numpy.full(len(X), self.mean_)


def test_a_class_made_before_and_one_made_after(tracked):
    class After(Before):
        def fit(self, X, y=None):
            super().fit(X, y)
            return self

    class Inheriting(Before):
        pass

    Before(3.0).fit(X)
    After(4.0).fit(X)
    Inheriting(5.0).fit(X)
    runs = recorded()
    assert [run.name.partition("-")[0] for run in runs] == ["Before", "After", "Inheriting"]
    assert [run.params["factor"] for run in runs] == [3.0, 4.0, 5.0]
    assert [run.changed for run in runs] == [["factor"]] * 3
    assert runs[0].facts["fitted"]["mean_"] == X.mean() * 3.0


def test_an_estimator_with_fit_transform_and_predict_is_a_model(tracked):
    class Both(TransformerMixin, BaseEstimator):
        def fit(self, X, y=None):
            return self

        def transform(self, X):
            return X

        def predict(self, X):
            return X

    Both().fit_transform(X)
    assert only().name.startswith("Both-")


def test_a_fit_with_positional_keyword_and_odd_arguments(tracked):
    Before().fit(X=X, y=y, depth=3)
    Before().fit(X, y)

    class Odd(BaseEstimator):
        def fit(self, *parts, **named):
            return self

        def predict(self, X):
            return X

    Odd().fit(X, y, named=1)
    assert [run.status for run in recorded()] == ["finished"] * 3


def test_a_fit_that_returns_something_else_returns_it(tracked):
    answer = object()

    class Answering(BaseEstimator):
        def fit(self, X):
            return answer

        def predict(self, X):
            return X

    assert Answering().fit(X) is answer
    assert only().status == "finished"


class Hostile(RegressorMixin, BaseEstimator):
    """Whatever a recorder may ask of it raises."""

    def __init__(self, a=1):
        self.a = a

    def get_params(self, deep=True):
        raise RuntimeError("no parameters for you")

    def __repr__(self):
        raise RuntimeError("no repr for you")

    def __getstate__(self):
        raise RuntimeError("no state for you")

    @property
    def score_(self):
        raise RuntimeError("no score for you")

    def fit(self, X, y=None):
        self.loss_ = 0.5
        return self


def test_an_estimator_that_answers_nothing_is_trained_and_recorded_as_far_as_can_be(tracked):
    estimator = Hostile()
    assert estimator.fit(X) is estimator
    run = only()
    assert run.status == "finished"
    assert run.metrics["loss"] == 0.5
    assert run.facts["data"]["X"]["shape"] == [150, 4]
    notes = " ".join(text for _, text in run.notes)
    assert "no parameters for you" in notes
    assert "no state for you" in notes


def test_huge_and_odd_params(tracked):
    class Silent:
        def __repr__(self):
            raise RuntimeError("never ask")

    loop = []
    loop.append(loop)
    values = {
        "text": "x" * 10_000,
        "array": numpy.zeros((1000, 1000)),
        "silent": Silent(),
        "loop": loop,
        "mapping": {1: "one", (2, 3): "pair"},
        "surrogate": "\udcff",
        "big": 2**200,
        "function": numpy.mean,
        "lambda": lambda: 1,
        "cls": Before,
        "nan": float("nan"),
    }
    for value in values.values():
        Before(other=value).fit(X)
    runs = dict(zip(values, recorded(), strict=True))
    assert all(run.status == "finished" for run in runs.values())
    params = {name: run.params["other"] for name, run in runs.items()}
    assert params["text"].startswith("xxx")
    assert len(params["text"]) < 5_000
    assert params["array"].startswith("<array")
    assert "Silent" in params["silent"]
    assert params["mapping"] == {1: "one", (2, 3): "pair"}
    assert params["surrogate"] == "\udcff"
    assert params["big"] == 2**200
    assert params["function"] == "numpy.mean"
    assert params["cls"].endswith("Before")
    assert numpy.isnan(params["nan"])
    assert all(run.changed == ["other"] for run in runs.values())


class Counting(RegressorMixin, BaseEstimator):
    """Counts what is called of it."""

    calls: list[str] = []

    def fit(self, X, y=None):
        self.calls.append("fit")
        self.best_score_ = 0.5
        return self

    def predict(self, X):
        self.calls.append("predict")
        return numpy.zeros(len(X))

    def transform(self, X):
        self.calls.append("transform")
        return X

    def score(self, X, y=None):
        self.calls.append("score")
        return 0.0

    def predict_proba(self, X):
        self.calls.append("predict_proba")
        return X


def test_nothing_of_the_users_is_called_but_the_fit_that_they_called(tracked):
    Counting.calls.clear()
    Counting().fit(X, y)
    assert Counting.calls == ["fit"]
    make_pipeline(StandardScaler(), Counting()).fit(X, y)
    assert Counting.calls == ["fit", "fit"]
    assert [run.metrics.get("best_score") for run in recorded()] == [0.5, None]

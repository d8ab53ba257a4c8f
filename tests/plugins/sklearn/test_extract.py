"""What is read from estimators equals what the estimators say of themselves."""

import warnings

import numpy
import pytest
from autotrack_sklearn import extract
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.datasets import load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.impute import SimpleImputer
from sklearn.linear_model import BayesianRidge, LinearRegression, LogisticRegression, Ridge
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import autotrack
from tests.transparency import estimators

X, y = load_iris(return_X_y=True)


def run_of(estimator, *data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(*(data or (X, y)))
    return autotrack.get_run("@last")


# ---- parameters ------------------------------------------------------------------------------------------------------


def test_parameters_keep_their_types(tracked):
    estimator = LogisticRegression(C=10, max_iter=500, class_weight={0: 1.0, 1: 2.5, 2: 1}, tol=1e-3, warm_start=True)
    run = run_of(estimator)
    assert run.params == estimator.get_params()
    assert {name: type(value) for name, value in run.params.items()} == {
        name: type(value) for name, value in estimator.get_params().items()
    }
    assert sorted(run.changed) == ["C", "class_weight", "max_iter", "tol", "warm_start"]


@pytest.mark.parametrize(
    "name", ["Ridge", "SVC", "KMeans", "MLPClassifier", "RandomForestRegressor", "GaussianMixture"]
)
def test_of_a_fresh_estimator_nothing_is_changed(name):
    cls = dict(estimators.all_estimators())[name]
    params, changed, why = extract.params(cls())
    assert (changed, why) == ([], "")
    assert set(params) == set(cls().get_params())


def test_of_every_estimator_the_names_are_those_of_get_params():
    for name in estimators.names():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            estimator = estimators.make(name)
        params, changed, why = extract.params(estimator)
        assert why == ""
        assert set(params) == set(estimator.get_params())
        assert set(changed) <= set(params)


def test_nested_parameters(tracked):
    inner = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(with_std=False), Ridge(alpha=3.0))
    search = GridSearchCV(inner, {"ridge__alpha": [1.0, 2.0]}, cv=KFold(2))
    run = run_of(search)
    given = search.get_params()
    assert set(run.params) == {*given, "best_ridge__alpha"}
    for name, value in given.items():
        if isinstance(value, (bool, int, float, str, type(None))) and value == value:
            assert run.params[name] == value, name
    assert numpy.isnan(run.params["estimator__simpleimputer__missing_values"])
    assert run.params["param_grid"] == {"ridge__alpha": [1.0, 2.0]}
    assert run.params["cv"] == "KFold(n_splits=2, random_state=None, shuffle=False)"
    assert "Ridge" in run.params["estimator__ridge"]
    assert {
        "cv",
        "estimator__ridge__alpha",
        "estimator__simpleimputer__strategy",
        "estimator__standardscaler__with_std",
    } <= set(run.changed)
    assert "estimator__simpleimputer__missing_values" not in run.changed  # NaN is its default
    assert "estimator__ridge__fit_intercept" not in run.changed


def test_values_that_are_no_json(tracked):
    run = run_of(
        make_pipeline(
            FunctionTransformer(numpy.log1p, kw_args={"where": True}),
            GaussianProcessRegressor(RBF(2.0), optimizer=None, random_state=numpy.random.RandomState(0)),
        )
    )
    assert run.params["functiontransformer__func"] == "<ufunc 'log1p'>"
    assert run.params["functiontransformer__kw_args"] == {"where": True}
    assert run.params["gaussianprocessregressor__kernel"] == "RBF(length_scale=2)"
    assert "RandomState" in run.params["gaussianprocessregressor__random_state"]
    assert "gaussianprocessregressor__optimizer" in run.changed
    assert run_of(FunctionTransformedModel(numpy.mean)).params["func"] == "numpy.mean"


class FunctionTransformedModel(BaseEstimator):
    def __init__(self, func=None):
        self.func = func

    def fit(self, X, y=None):
        return self

    def predict(self, X):
        return X


def test_numbers_of_numpy_become_pythons(tracked):
    run = run_of(Ridge(alpha=numpy.float64(2.5), max_iter=numpy.int64(7), positive=numpy.bool_(False)))
    assert (run.params["alpha"], run.params["max_iter"], run.params["positive"]) == (2.5, 7, False)
    assert run_of(GaussianNB(priors=numpy.array([0.5, 0.25, 0.25]))).params["priors"] == [0.5, 0.25, 0.25]


def test_parameters_are_those_before_the_fit(tracked):
    class Changing(FunctionTransformedModel):
        def fit(self, X, y=None):
            self.func = "changed by fit"
            return self

    assert run_of(Changing("given")).params["func"] == "given"


def test_get_params_that_raises_deep_but_not_shallow_is_read_shallow():
    """Pipeline([("pca", PCA)]): a class instead of an instance. Its error is for scikit-learn to raise."""
    params, changed, why = extract.params(make_pipeline(PCA, Ridge()))
    assert {"steps", "memory", "verbose"} <= set(params)
    assert "get_params raised TypeError" in why
    assert changed == []


def test_steps_with_names_that_are_no_text():
    from sklearn.pipeline import Pipeline

    params, _, why = extract.params(Pipeline([(1, StandardScaler()), (2, Ridge())]))
    assert why == ""
    assert {"1", "2", "2__alpha"} <= set(params)


def test_a_class_and_its_version_are_named(tracked):
    import sklearn

    facts = run_of(Ridge()).facts["estimator"]
    assert facts == {"class": "sklearn.linear_model._ridge.Ridge", "scikit-learn": sklearn.__version__}


# ---- free metrics and curves ---------------------------------------------------------------------------------------


FREE = {
    "search": (lambda: GridSearchCV(Ridge(), {"alpha": [0.1, 10.0]}, cv=2), {"best_score": "best_score_"}),
    "forest": (lambda: RandomForestClassifier(20, oob_score=True), {"oob_score": "oob_score_"}),
    "clusters": (lambda: KMeans(3, n_init=2), {"inertia": "inertia_", "n_iter": "n_iter_"}),
    "network": (lambda: MLPClassifier(max_iter=5), {"loss": "loss_", "best_loss": "best_loss_", "n_iter": "n_iter_"}),
    "mixture": (lambda: GaussianMixture(2), {"lower_bound": "lower_bound_", "n_iter": "n_iter_"}),
    "process": (
        lambda: GaussianProcessRegressor(optimizer=None, alpha=1.0),
        {"log_marginal_likelihood": "log_marginal_likelihood_value_"},
    ),
}


@pytest.mark.parametrize("what", FREE)
def test_free_metrics_equal_the_fitted_attributes(what, tracked):
    make, names = FREE[what]
    estimator = make()
    run = run_of(estimator)
    for metric, attribute in names.items():
        if metric == "loss" and what == "network":
            assert run.metrics[metric] == estimator.loss_curve_[-1] == estimator.loss_
        else:
            assert run.metrics[metric] == getattr(estimator, attribute), metric


CURVES = {
    "network": (lambda: MLPClassifier(max_iter=7, early_stopping=True), {
        "loss": "loss_curve_", "validation_score": "validation_scores_",
    }),
    "boosting": (lambda: GradientBoostingClassifier(n_estimators=6, subsample=0.8), {
        "train_score": "train_score_", "oob_score": "oob_scores_",
    }),
    "histograms": (lambda: HistGradientBoostingClassifier(max_iter=5, early_stopping=True), {
        "train_score": "train_score_", "validation_score": "validation_score_",
    }),
    "adaboost": (lambda: AdaBoostClassifier(n_estimators=4), {"estimator_error": "estimator_errors_"}),
    "mixture": (lambda: GaussianMixture(3, tol=1e-9), {"lower_bound": "lower_bounds_"}),
    "bayes": (lambda: BayesianRidge(compute_score=True), {"score": "scores_"}),
}  # fmt: skip


@pytest.mark.parametrize("what", CURVES)
def test_curves_equal_the_fitted_attributes(what, tracked):
    make, names = CURVES[what]
    estimator = make()
    run = run_of(estimator)
    for metric, attribute in names.items():
        if not hasattr(estimator, attribute):
            pytest.skip("not in this version")
        expected = [float(value) for value in getattr(estimator, attribute)]
        assert len(expected) > 1
        points = run.history(metric)[: len(expected)]
        assert [point.value for point in points] == expected, metric
        assert [point.step for point in points] == list(range(len(expected)))
        assert len(run.history(metric)) == len(expected), f"{metric} has points of something else"


def test_no_curve_where_the_fit_left_none(tracked):
    run = run_of(HistGradientBoostingClassifier(max_iter=3))
    assert "train_score" not in run.metrics


def test_the_duration_is_that_of_the_fit(tracked):
    import time

    class Slow(FunctionTransformedModel):
        def fit(self, X, y=None):
            time.sleep(0.05)
            return self

    assert 0.05 <= run_of(Slow()).metrics["fit_time"] < 20  # seconds, not milliseconds


def test_fitted_facts(tracked):
    estimator = LinearRegression()
    fitted = run_of(estimator, X, X @ [1.0, 2.0, 3.0, 4.0] + 5.0).facts["fitted"]
    assert numpy.array_equal(fitted["coef_"], estimator.coef_)
    assert fitted["intercept_"] == estimator.intercept_
    assert fitted["rank_"] == estimator.rank_
    assert fitted["n_features_in_"] == 4


def test_the_names_of_features_and_classes_are_facts(tracked):
    frame = pytest.importorskip("pandas").DataFrame(X, columns=list("abcd"))
    fitted = run_of(GaussianNB(), frame, numpy.array(["u", "v", "w"])[y]).facts["fitted"]
    assert fitted["feature_names_in_"] == list("abcd")
    assert fitted["classes_"] == ["u", "v", "w"]


def test_large_attributes_are_named_by_shape(tracked):
    wide = numpy.random.default_rng(0).normal(size=(20, 100))
    fitted = run_of(LinearRegression(), wide, wide[:, 0]).facts["fitted"]
    assert fitted["coef_"] == {"shape": [100], "dtype": "float64"}


def test_properties_are_not_asked(tracked):
    class Asking(FunctionTransformedModel):
        @property
        def best_score_(self):
            raise RuntimeError("do not ask")

        @property
        def loss_curve_(self):
            raise RuntimeError("do not ask")

    assert run_of(Asking()).status == "finished"


def test_odd_fitted_attributes_cost_nothing(tracked):
    class Odd(FunctionTransformedModel):
        def fit(self, X, y=None):
            self.loss_ = float("nan")
            self.inertia_ = numpy.float32(numpy.inf)
            self.n_iter_ = numpy.array([3, 4])
            self.best_score_ = "very good"
            self.loss_curve_ = [1.0, "two", 3.0]
            self.train_score_ = numpy.zeros((3, 3))
            self.table_ = {"a": 1, "b": None, 3: "c"}
            self.objects_ = numpy.array([object(), None], dtype=object)
            self.complex_ = 1 + 2j
            return self

    run = run_of(Odd())
    assert run.status == "finished"
    assert run.incomplete is False
    assert numpy.isnan(run.metrics["loss"])
    assert run.metrics["inertia"] == numpy.inf
    assert set(run.metrics) == {"loss", "inertia", "fit_time"}


def test_the_users_data_is_as_it_was(tracked):
    ours, target = X.copy(order="F"), y.copy()
    before = ours.tobytes(order="A"), target.tobytes(), ours.flags.f_contiguous, ours.flags.writeable
    Ridge().fit(ours, target)
    assert (ours.tobytes(order="A"), target.tobytes(), ours.flags.f_contiguous, ours.flags.writeable) == before


def test_data_of_the_run_is_the_data_before_the_fit(tracked):
    ours = load_diabetes().data.copy()
    expected = autotrack.describe_data(ours)
    LinearRegression(copy_X=False).fit(ours, ours[:, 0].copy())
    assert autotrack.describe_data(ours) != expected  # the fit centred it in place
    run = autotrack.get_run("@last")
    assert run.facts["data"]["X"]["hash"] == expected["hash"]
    assert run.facts["data"]["X"]["features"]["mean"] == pytest.approx(expected["features"]["mean"])


def test_weights_are_described(tracked):
    Ridge().fit(X, y, sample_weight=numpy.arange(150.0))
    facts = autotrack.get_run("@last").facts["data"]
    assert set(facts) == {"X", "y", "sample_weight"}
    assert facts["sample_weight"]["features"]["max"] == [149.0]

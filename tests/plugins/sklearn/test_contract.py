"""Our plugin for scikit-learn keeps the patch contract; and what is special to scikit-learn's classes."""

import copy
import gc
import inspect
import pickle
import weakref

import cloudpickle
import pytest
import sklearn
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin, clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import autotrack
from autotrack.patching import is_ours
from autotrack.testing.integration_suite import IntegrationSuite


class TestContract(IntegrationSuite):
    integration = "sklearn"
    modules = (
        "sklearn.linear_model",
        "sklearn.neural_network",
        "sklearn.pipeline",
        "sklearn.cluster",
        "sklearn.decomposition",
    )
    patched = (
        "sklearn.cluster:DBSCAN.fit_predict",
        "sklearn.decomposition:PCA.fit_transform",
        "sklearn.linear_model:LinearRegression.fit",
        "sklearn.linear_model._stochastic_gradient:BaseSGDRegressor.partial_fit",
        "sklearn.linear_model._stochastic_gradient:BaseSGDRegressor.fit",
        "sklearn.preprocessing:StandardScaler.fit",
        "sklearn.preprocessing:StandardScaler.partial_fit",
        "sklearn.preprocessing:StandardScaler.transform",
        "sklearn.cluster:KMeans.fit",
        "sklearn.pipeline:Pipeline.fit",
        "sklearn.pipeline:Pipeline.fit_transform.fn",
        "sklearn.neural_network:MLPRegressor.partial_fit.fn",
        "sklearn.metrics:mean_squared_error",
    )
    by_name = ("sklearn.metrics:mean_squared_error",)
    source = """
        import numpy
        import sklearn.metrics
        from sklearn.cluster import DBSCAN, KMeans
        from sklearn.decomposition import PCA
        from sklearn.linear_model import LinearRegression, SGDRegressor
        from sklearn.neural_network import MLPRegressor
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import FunctionTransformer, StandardScaler

        def train():
            X = numpy.arange(24.0).reshape(12, 2) % 7
            y = X @ [1.0, 2.0]
            pipeline = make_pipeline(StandardScaler(), LinearRegression()).fit(X, y)
            scaled = make_pipeline(StandardScaler(), FunctionTransformer()).fit_transform(X)
            online = SGDRegressor().partial_fit(X, y).fit(X, y)
            network = MLPRegressor(hidden_layer_sizes=(3,)).partial_fit(X, y)
            groups = KMeans(2, n_init=1).fit_predict(X)
            density = DBSCAN().fit_predict(X)
            flat = PCA(1).fit_transform(X)
            return [
                pipeline.predict(X).tolist(), scaled.tolist(), online.coef_.tolist(), network.loss_, groups.tolist(),
                density.tolist(), flat.tolist(),
                sklearn.metrics.mean_squared_error(y, pipeline.predict(X)), numpy.random.rand(),
            ]

        def instances():
            X = numpy.arange(24.0).reshape(12, 2) % 7
            return [
                LinearRegression(), LinearRegression().fit(X, X[:, 0]), StandardScaler(), SGDRegressor(), KMeans(),
                make_pipeline(StandardScaler(), LinearRegression()).fit(X, X[:, 0]),
                MLPRegressor(hidden_layer_sizes=(3,)).partial_fit(X, X[:, 0]),
            ]
    """
    by_value = """
        from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin

        class Scaled(TransformerMixin, BaseEstimator):
            def fit(self, X, y=None):
                self.scale_ = max(max(row) for row in X)
                return self

            def transform(self, X):
                return [[value / self.scale_ for value in row] for row in X]

        class Mean(RegressorMixin, BaseEstimator):
            def fit(self, X, y):
                X = Scaled().fit_transform(X)
                self.mean_ = sum(y) / len(y) + X[0][0]
                return self

            def predict(self, X):
                return [self.mean_] * len(X)

        def use():
            return Mean().fit([[1.0], [2.0]], [2.0, 4.0]).predict([[0.0]])
    """


X, y = load_iris(return_X_y=True)
METHODS = ("fit", "fit_transform", "fit_predict", "partial_fit", "transform")


def layers(cls):
    return {name: vars(cls)[name] for name in METHODS if name in vars(cls)}


def test_methods_that_are_there_only_at_times_keep_their_descriptor(tracked):
    raw = vars(MLPClassifier)["partial_fit"]
    assert type(raw).__name__ == "_AvailableIfDescriptor"
    assert is_ours(raw.fn)
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")
    network = MLPClassifier((3,), random_state=0).partial_fit(X, y, classes=[0, 1, 2])
    assert autotrack.runs()[0].metrics["loss"] == network.loss_
    fit_transform = vars(Pipeline)["fit_transform"].fn
    autotrack.disable()
    assert vars(MLPClassifier)["partial_fit"] is raw
    assert not is_ours(raw.fn)
    assert vars(Pipeline)["fit_transform"].fn is fit_transform.__wrapped__


def test_metadata_routing_sees_the_original_signature(tracked):
    with sklearn.config_context(enable_metadata_routing=True):
        for model in (LogisticRegression(), SGDClassifier()):
            model.set_fit_request(sample_weight=True)
            assert model.get_metadata_routing().fit.requests["sample_weight"] is True
        weighted = (
            LogisticRegression(max_iter=500).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        )
        search = GridSearchCV(weighted, {"C": [1.0]}, cv=2).fit(X, y, sample_weight=y + 1.0)
        assert search.best_score_ > 0.9
    assert "sample_weight" in inspect.signature(LogisticRegression.fit).parameters
    assert inspect.isfunction(LogisticRegression.fit)


def make_class(base=BaseEstimator, name="Made"):
    class Made(TransformerMixin, base):
        def fit(self, X, y=None):
            self.fitted_ = __class__  # a closure that leads back to the class
            return self

        def transform(self, X):
            return X

        def get_feature_names_out(self, input_features=None):
            return ["a", "b", "c", "d"]

    Made.__name__ = Made.__qualname__ = name
    return Made


def test_transformers_made_while_enabled_are_left_as_they_would_be(tracked):
    """_SetOutputMixin wraps ``transform`` in __init_subclass__; patched too early, ours would lie below its wrapper."""
    during = make_class()
    assert all(is_ours(value) for name, value in layers(during).items())
    assert list(during().set_output(transform="pandas").fit_transform(X).columns) == ["a", "b", "c", "d"]
    autotrack.disable()
    plain = make_class()
    assert layers(during).keys() == layers(plain).keys()
    for name, value in layers(plain).items():
        chains = [[layer.__code__ for layer in unwrapped(function)] for function in (value, layers(during)[name])]
        assert chains[0] == chains[1], name


def unwrapped(function):
    while function is not None:
        yield function
        function = getattr(function, "__wrapped__", None)


def test_a_class_that_cannot_be_made_does_not_stop_later_ones(tracked):
    class Base(BaseEstimator):
        def __init_subclass__(cls, **kwargs):
            super().__init_subclass__(**kwargs)

    for _ in range(3):
        with pytest.raises(TypeError):

            class Bad(TransformerMixin, BaseEstimator, unknown=1):
                def fit(self, X, y=None):
                    return self

        with pytest.raises(TypeError):

            class AlsoBad(Base, unknown=1):
                pass

    good = make_class()
    assert is_ours(vars(good)["fit"])


def test_classes_defined_before_and_after_enable_are_recorded(tmp_path, monkeypatch):
    class Before(RegressorMixin, BaseEstimator):
        def fit(self, X, y):
            return self

        def predict(self, X):
            return X[:, 0]

    raw = vars(Before)["fit"]
    autotrack.enable(store=tmp_path / "store")

    class After(Before):
        def fit(self, X, y):
            return super().fit(X, y)

    try:
        for cls in (Before, After):
            assert is_ours(vars(cls)["fit"])
            cls().fit(X, y)
        assert [run.name.rpartition("-")[0] for run in autotrack.runs()] == ["After", "Before"]
    finally:
        autotrack.disable()
    assert vars(Before)["fit"] is raw
    assert not is_ours(vars(After)["fit"])


def test_class_factories_do_not_leak(tracked):
    made = []
    for _ in range(20):
        cls = make_class()
        cls().fit(X).transform(X)
        make_pipeline(cls(), LinearRegression()).fit(X, y)
        made.append(weakref.ref(cls))
    del cls
    gc.collect()
    assert sum(reference() is not None for reference in made) <= 1  # scikit-learn keeps the last one it looked at


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_search_over_a_class_of_main(script, n_jobs):
    done = script(
        f"""
        import autotrack
        autotrack.enable(store="store", models="never")
        from sklearn.base import BaseEstimator, RegressorMixin
        from sklearn.datasets import load_iris
        from sklearn.model_selection import GridSearchCV

        class Mean(RegressorMixin, BaseEstimator):
            def __init__(self, shift=0.0):
                self.shift = shift

            def fit(self, X, y):
                self.mean_ = y.mean() + self.shift
                return self

            def predict(self, X):
                return [self.mean_] * len(X)

        X, y = load_iris(return_X_y=True)
        search = GridSearchCV(Mean(), {{"shift": [0.0, 1.0, 5.0]}}, cv=3, n_jobs={n_jobs}).fit(X, y)
        print(search.best_params_, [run.name.rpartition("-")[0] for run in autotrack.runs()])
        """
    )
    assert done.stdout == "{'shift': 0.0} ['GridSearchCV']\n"
    assert done.stderr == ""


def test_warnings_point_at_the_users_line(script):
    """With the filter ``default`` a warning is shown once per line: two places give two."""
    code = """
        import sys, warnings
        import autotrack
        if sys.argv[1] == "on":
            autotrack.enable(store="store", models="never")
        from sklearn.base import BaseEstimator

        class Loud(BaseEstimator):
            def fit(self, X, y=None):
                warnings.warn("mind this", UserWarning, stacklevel=2)
                return self

        warnings.simplefilter("default")
        for _ in range(2):
            Loud().fit([[1]])
            Loud().fit([[2]])
    """
    plain, recorded = (script(code, mode).stderr for mode in ("off", "on"))
    assert recorded == plain
    assert plain.count("UserWarning: mind this") == 2


@pytest.mark.parametrize("make", [clone, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_fitted_estimators_clone_and_pickle(tracked, make):
    model = make_pipeline(StandardScaler(), LogisticRegression(C=2.0)).fit(X, y)
    plain = pickle.dumps(model)
    again = make(model)
    assert again.get_params()["logisticregression__C"] == 2.0
    assert b"autotrack" not in plain
    autotrack.disable()
    assert pickle.dumps(model) == plain
    assert len(autotrack.runs(store=tracked)) == 1


def test_by_value_pickles_carry_nothing_that_does_not_pickle(tracked):
    cls = make_class()
    cls.__module__ = "__main__"
    for function in layers(cls).values():
        function.__module__ = "__main__"
    loaded = cloudpickle.loads(cloudpickle.dumps(cls))
    assert loaded().fit(X).transform(X) is X


def test_patched_but_disabled_is_what_it_was(tracked):
    patched = {cls: layers(cls) for cls in (LogisticRegression, StandardScaler, KMeans, Pipeline, GridSearchCV)}
    assert all(is_ours(value) for found in patched.values() for value in found.values() if inspect.isfunction(value))
    autotrack.disable()
    for cls, found in patched.items():
        for name, value in found.items():
            assert vars(cls)[name] is (value.__wrapped__ if inspect.isfunction(value) else value)
    autotrack.enable(store=tracked)
    autotrack.disable()
    assert all(not is_ours(value) for cls in patched for value in layers(cls).values())

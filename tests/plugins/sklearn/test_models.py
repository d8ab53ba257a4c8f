"""Every model is kept, loads without a word where that is safe, and predicts the same."""

import contextlib
import hashlib
import importlib
import warnings
from functools import partial

import numpy
import pytest
from autotrack_sklearn.formats import SkopsFormat
from autotrack_sklearn.trusted import TRUSTED
from sklearn.cluster import Birch, KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import GaussianProcessRegressor, kernels
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import autotrack
from tests.plugins.sklearn.kept import X, model_file, wait_for_helper, wait_until, y
from tests.transparency import estimators
from tests.transparency.states import state

skops_io = importlib.import_module("skops.io")

# Estimators whose files name a function, or which skops cannot keep: what load_model asks the caller to vouch for.
NEED_A_WORD = {
    "BisectingKMeans": ["sklearn.cluster._kmeans._kmeans_single_lloyd"],
    "FeatureAgglomeration": ["numpy.mean"],
    "GenericUnivariateSelect": ["sklearn.feature_selection._univariate_selection.f_classif"],
    "SelectFdr": ["sklearn.feature_selection._univariate_selection.f_classif"],
    "SelectFpr": ["sklearn.feature_selection._univariate_selection.f_classif"],
    "SelectFwe": ["sklearn.feature_selection._univariate_selection.f_classif"],
    "SelectKBest": ["sklearn.feature_selection._univariate_selection.f_classif"],
    "SelectPercentile": ["sklearn.feature_selection._univariate_selection.f_classif"],
    # holds an array namespace's function, besides a class
    "SplineTransformer": [
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "scipy.interpolate._bsplines.BSpline",
        "scipy.interpolate._bsplines._BSpline",
    ],
    # holds a scorer, which is made for the function in it
    "TunedThresholdClassifierCV": [
        "sklearn.metrics._classification.balanced_accuracy_score",
        "sklearn.metrics._scorer._CurveScorer",
        "sklearn.metrics._scorer._Scorer",
    ],
}
CANNOT_BE_KEPT = {"Birch"}  # skops says so of it by name

VARIANTS = {
    "a search with its own splitter": GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=KFold(2, shuffle=True)),
    "a ball tree": KNeighborsClassifier(algorithm="ball_tree", metric="manhattan"),
    "a kd tree": KNeighborsClassifier(algorithm="kd_tree", p=3),
    "sgd": MLPRegressor(hidden_layer_sizes=(2,), solver="sgd", max_iter=500, tol=1.0),
    "kernels": GaussianProcessRegressor(
        kernels.Matern() * kernels.DotProduct() + kernels.RationalQuadratic() ** 2 + kernels.WhiteKernel(),
        optimizer=None,
    ),
    "a kernel by name": GaussianProcessRegressor(
        kernels.ExpSineSquared() + kernels.PairwiseKernel(metric="rbf"), alpha=100.0, optimizer=None
    ),
    "a pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
}


# ---- the list ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(TRUSTED))
def test_every_trusted_name_is_exactly_one_class_of_a_scientific_package(name):
    module, _, attribute = name.rpartition(".")
    entry = getattr(importlib.import_module(module), attribute)
    assert isinstance(entry, type)
    assert f"{entry.__module__}.{entry.__qualname__}" == name
    assert module.split(".")[0] in ("numpy", "scipy", "sklearn")
    assert not issubclass(entry, partial)


def test_nothing_on_the_list_calls_what_it_is_given():
    """Made with a function in the place of every argument, and of every attribute: the function is not called."""
    called = []

    def trap(*args, **kwargs):
        called.append(args)

    for name in sorted(TRUSTED):
        module, _, attribute = name.rpartition(".")
        cls = getattr(importlib.import_module(module), attribute)
        for count in range(5):
            for arguments in ((trap,) * count, ([trap],) * count, ({"a": trap},) * count):
                with warnings.catch_warnings(), contextlib.suppress(Exception):
                    warnings.simplefilter("ignore")
                    cls(*arguments)
    assert called == []


@pytest.fixture(scope="module")
def every_file():
    """The skops file of every estimator that can be fitted, through our own pickles."""
    form = SkopsFormat()
    files, refused = {}, {}
    for name, model in estimators.fitted():
        try:
            files[name] = (model, form.convert(form.save(model).data).data)
        except autotrack.ModelError as error:
            refused[name] = str(error)
    return files, refused


@pytest.mark.slow
def test_every_estimator_is_kept_or_says_why_not(every_file):
    files, refused = every_file
    assert set(refused) == CANNOT_BE_KEPT
    assert "UnsupportedTypeException" in refused["Birch"]
    assert len(files) + len(refused) == len(estimators.names())


def fitted_state(model):
    """Without the generators: some estimators hold numpy's global one, which everybody moves."""
    return {path: leaf for path, leaf in state(model).items() if "random_state" not in path and "rng" not in path}


def test_every_kept_estimator_loads_without_a_word_or_is_known_to_need_one(every_file):
    files, _ = every_file
    form = SkopsFormat()
    asks = {name: needed for name, (_, data) in files.items() if (needed := form.untrusted(data))}
    assert set(asks) == set(NEED_A_WORD)
    for name, needed in asks.items():  # older versions have fewer, and some of them in other modules
        assert {word.rpartition(".")[2] for word in needed} <= {word.rpartition(".")[2] for word in NEED_A_WORD[name]}
    for name, (model, data) in files.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of a class that is deprecated
            loaded = form.load(data, asks.get(name, []))
        assert fitted_state(loaded) == fitted_state(model), name


@pytest.mark.parametrize("what", VARIANTS)
def test_variants_load_without_a_word_and_predict_the_same(what):
    model = VARIANTS[what].fit(X[::3], y[::3])
    form = SkopsFormat()
    data = form.convert(form.save(model).data).data
    assert form.untrusted(data) == []
    assert numpy.array_equal(form.load(data, []).predict(X), model.predict(X))


# ---- through a run ---------------------------------------------------------------------------------------------------


def test_a_loaded_model_predicts_what_the_original_did(tracked):
    model = LogisticRegression(max_iter=500).fit(X, y)
    loaded = autotrack.load_model("@last")
    assert type(loaded) is LogisticRegression
    assert loaded is not model
    assert numpy.array_equal(loaded.predict_proba(X), model.predict_proba(X))
    record = autotrack.get_run("@last")
    assert record.models["model"].format == "skops"
    assert record.models["model"].cls == "sklearn.linear_model._logistic.LogisticRegression"
    path = model_file(tracked, record)
    assert path.suffix == ".skops"
    wait_until(lambda: [file.name for file in path.parent.glob("model.*")] == [path.name])  # the pickle has gone
    assert path.stat().st_mode & 0o777 == 0o600
    assert hashlib.sha256(path.read_bytes()).hexdigest() == record.models["model"].sha256


def test_a_forest_becomes_skops_too(tracked):
    model = RandomForestClassifier(20).fit(X, y)
    loaded = autotrack.load_model("@last")
    assert numpy.array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_a_model_that_was_changed_after_the_fit_is_recorded_as_it_was_trained(tracked):
    model = LogisticRegression(max_iter=500).fit(X, y)
    expected = model.predict_proba(X)
    model.coef_[:] = 0.0
    assert numpy.array_equal(autotrack.load_model("@last").predict_proba(X), expected)


def test_a_model_that_skops_cannot_keep_says_why(tracked):
    Birch(n_clusters=3).fit(X)
    record = wait_for_helper()
    assert record.models["model"].format == "pickle"
    assert "Birch" in record.models["model"].stays
    with pytest.raises(autotrack.ModelNotTrusted, match="trusted=True"):
        autotrack.load_model("@last")
    assert type(autotrack.load_model("@last", trusted=True)) is Birch


def test_a_model_with_a_function_in_it_names_what_it_needs(tracked):
    model = make_pipeline(SelectKBest(k=2), LogisticRegression()).fit(X, y)
    with pytest.raises(autotrack.ModelNotTrusted, match="f_classif") as raised:
        autotrack.load_model("@last")
    assert raised.value.untrusted == ("sklearn.feature_selection._univariate_selection.f_classif",)
    loaded = autotrack.load_model("@last", trusted=list(raised.value.untrusted))
    assert numpy.array_equal(loaded.predict(X), model.predict(X))


def test_an_untrusted_name_is_not_covered_by_vouching_for_another(tracked):
    make_pipeline(SelectKBest(k=2), LogisticRegression()).fit(X, y)
    with pytest.raises(autotrack.ModelNotTrusted, match="f_classif"):
        autotrack.load_model("@last", trusted=["sklearn.feature_selection", "sklearn", "f_classif", "*"])


def test_several_models_and_none_named(tracked):
    with autotrack.start_run(name="two") as run:
        model = LogisticRegression(max_iter=500).fit(X, y)
        run.log_model(KMeans(2, n_init=1).fit(X), "clusters")
    with pytest.raises(autotrack.ModelError, match=f"{run.id}/model, {run.id}/clusters"):
        autotrack.load_model("two")
    assert type(autotrack.load_model("two/clusters")) is KMeans
    assert numpy.array_equal(autotrack.load_model("two/model").predict(X), model.predict(X))
    with pytest.raises(autotrack.ModelError, match="'nothing'"):
        autotrack.load_model("two/nothing")


def test_no_model_says_why(tracked):
    autotrack.enable(store=tracked, models="never")
    LogisticRegression(max_iter=500).fit(X, y)
    with pytest.raises(autotrack.ModelError, match="has no model"):
        autotrack.load_model("@last")


def test_a_model_above_its_budget_is_noted_with_the_line_that_saves_it(tracked):
    model = KMeans(1, n_init=1, max_iter=1).fit(numpy.zeros((4, 2)))
    model.huge_ = numpy.zeros(210_000_000, "int8")
    run = autotrack.last_run()
    run.capture_model(model, "big", 0.0)
    notes = [text for _, text in autotrack.get_run(run.id).notes]
    assert any("210 MB are more than 200 MB" in text and "log_model" in text for text in notes)
    assert "big" not in autotrack.get_run(run.id).models


def test_a_model_of_a_main_class_stays_a_pickle_and_says_so(script, tmp_path):
    script(
        """
        import autotrack
        from sklearn.base import BaseEstimator
        autotrack.enable(store="store")

        class Mine(BaseEstimator):
            def fit(self, X, y=None):
                self.mean_ = sum(X) / len(X)
                return self
            def predict(self, X):
                return [self.mean_ for _ in X]

        Mine().fit([1.0, 2.0])
        assert autotrack.load_model("@last", trusted=True).mean_ == 1.5
        try:
            autotrack.load_model("@last")
        except autotrack.ModelNotTrusted:
            pass
        else:
            raise AssertionError("a pickle was opened")
        """
    )
    model = autotrack.get_run("@last", store=tmp_path / "store").models["model"]
    assert model.format == "pickle"
    assert "__main__" in model.stays

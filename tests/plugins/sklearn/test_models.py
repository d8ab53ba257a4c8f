"""Models: saved by themselves, turned into skops by the helper, loaded without running anybody's code."""

import contextlib
import hashlib
import importlib
import io
import json
import pickle
import signal
import subprocess
import sys
import time
import warnings
import zipfile
from functools import partial
from pathlib import Path

import numpy
import pytest
from autotrack_sklearn.formats import SkopsFormat
from autotrack_sklearn.trusted import TRUSTED
from sklearn.cluster import Birch, KMeans
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import GaussianProcessRegressor, kernels
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import autotrack
from tests.transparency import estimators
from tests.transparency.states import state

X, y = load_iris(return_X_y=True)
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
    ],
    # holds a scorer, which is made for the function in it
    "TunedThresholdClassifierCV": [
        "sklearn.metrics._classification.balanced_accuracy_score",
        "sklearn.metrics._scorer._CurveScorer",
        "sklearn.metrics._scorer._Scorer",
        "sklearn.utils._metadata_requests.MetadataRequest",
        "sklearn.utils._metadata_requests.MethodMetadataRequest",
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


def wait_for_helper(deadline=60.0):
    """Until the helper has done the jobs that this process gave it."""
    end = time.monotonic() + deadline
    run = autotrack.last_run()
    while time.monotonic() < end:
        record = autotrack.get_run(run.id)
        if all(model.format != "pickle" or model.stays for model in record.models.values()):
            return record
        time.sleep(0.05)
    raise AssertionError(f"still pickles: {record.models}")


def model_file(store: Path, record, name="model") -> Path:
    return store / "runs" / record.id / record.models[name].path


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
    assert asks == NEED_A_WORD
    for name, (model, data) in files.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of a class that is deprecated
            loaded = form.load(data, NEED_A_WORD.get(name, []))
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


# ---- files that somebody else made ---------------------------------------------------------------------------------


class Bomb:
    """A pickle of this makes a file when it is opened."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def plant(store: Path, record, data: bytes, *, form: str | None = None, name="model"):
    """Put other bytes in a model's place, with a record that names them, as somebody with write access could."""
    path = model_file(store, record, name)
    path.write_bytes(data)
    journal = next(iter((store / "runs" / record.id / "journal").glob("*.jsonl")))
    line = {
        "k": "model",
        "t": 10**12,
        "name": name,
        "format": form or record.models[name].format,
        "path": record.models[name].path,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    with journal.open("ab") as file:
        file.write(json.dumps(line).encode() + b"\n")


@pytest.fixture
def recorded(tracked):
    """A run with a model in its safe form."""
    LogisticRegression(max_iter=500).fit(X, y)
    return wait_for_helper()


def test_a_pickle_is_not_opened_without_a_word(tracked, recorded, tmp_path):
    target = tmp_path / "exploded"
    plant(tracked, recorded, pickle.dumps(Bomb(target)), form="pickle")
    for trusted in (None, False, [], ["pickle"], ["builtins.open", "io.open"]):
        with pytest.raises(autotrack.ModelNotTrusted, match="pickle"):
            autotrack.load_model(recorded.id, trusted=trusted)
    assert not target.exists()
    autotrack.load_model(recorded.id, trusted=True).close()
    assert target.exists()  # the bomb was live


def test_a_pickle_that_calls_itself_skops_is_not_opened(tracked, recorded, tmp_path):
    target = tmp_path / "exploded"
    plant(tracked, recorded, pickle.dumps(Bomb(target)), form="skops")
    for trusted in (None, True):
        with pytest.raises(autotrack.ModelError, match="skops"):
            autotrack.load_model(recorded.id, trusted=trusted)
    assert not target.exists()


def test_a_skops_file_that_calls_itself_a_pickle_is_not_opened(tracked, recorded):
    plant(tracked, recorded, model_file(tracked, recorded).read_bytes(), form="pickle")
    with pytest.raises(autotrack.ModelNotTrusted):
        autotrack.load_model(recorded.id)


def test_an_unknown_format_is_named(tracked, recorded):
    plant(tracked, recorded, b"abc", form="onnx")
    with pytest.raises(autotrack.ModelError, match="'onnx'"):
        autotrack.load_model(recorded.id)


def test_a_changed_file_is_refused(tracked, recorded):
    path = model_file(tracked, recorded)
    path.write_bytes(path.read_bytes() + b"\0")
    for trusted in (None, True):
        with pytest.raises(autotrack.ModelError, match="sha256"):
            autotrack.load_model(recorded.id, trusted=trusted)


def test_a_file_that_has_gone_is_named(tracked, recorded):
    model_file(tracked, recorded).unlink()
    with pytest.raises(autotrack.ModelError, match="is gone"):
        autotrack.load_model(recorded.id)


def node(module: str, name: str, loader: str, **fields) -> dict:
    return {"__module__": module, "__class__": name, "__loader__": loader, **fields}


def text(value: str) -> dict:
    return node("builtins", "str", "JsonNode", content=json.dumps(value))


def skops_file(tree: dict) -> bytes:
    """A skops file with a tree written by hand."""
    good = io.BytesIO(skops_io.dumps(1))
    with zipfile.ZipFile(good) as archive:
        head = json.loads(archive.read("schema.json"))
    known = {key: head[key] for key in ("protocol", "_skops_version") if key in head}
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("schema.json", json.dumps({**tree, **known}))
    return target.getvalue()


def calls(module: str, name: str, *arguments: dict) -> dict:
    """A node that calls anything importable with arguments from the file."""
    content = node("builtins", "tuple", "TupleNode", content=list(arguments))
    return node(module, name, "ConstructorFromReduceNode", content=content)


def test_a_file_of_numpy_testing_functions_is_refused_and_would_have_run_code(tracked, recorded, tmp_path):
    """numpy.testing's runstring is exec by another name: trusting "numpy." would run a shell command."""
    target = tmp_path / "exploded"
    code = f"import os; os.system('touch {target}')"
    empty = node("builtins", "dict", "DictNode", content={}, key_types=node("builtins", "list", "ListNode", content=[]))
    data = skops_file(calls("numpy.testing", "runstring", text(code), empty))
    plant(tracked, recorded, data)
    for trusted in (None, [], ["numpy"], ["numpy.testing"], ["numpy.*"], sorted(TRUSTED)):
        with pytest.raises(autotrack.ModelNotTrusted, match=r"numpy\.testing\.runstring") as raised:
            autotrack.load_model(recorded.id, trusted=trusted)
        assert raised.value.untrusted == ("numpy.testing.runstring",)
    assert not target.exists()
    autotrack.load_model(recorded.id, trusted=["numpy.testing.runstring"])
    assert target.exists()  # the file was live


def test_functions_partials_methods_and_types_in_a_file_are_refused(tracked, recorded):
    function = node("numpy.testing", "runstring", "FunctionNode")
    nothing = node("builtins", "tuple", "TupleNode", content=[])
    none = node("builtins", "str", "JsonNode", content="null")
    files = {
        "numpy.testing.runstring": function,
        "functools.partial": node(
            "functools", "partial", "PartialNode",
            content={"func": function, "args": nothing, "kwds": none, "namespace": none},
        ),
        "numpy.testing.suppress_warnings": node("numpy.testing", "suppress_warnings", "TypeNode"),
        "operator.attrgetter": node("operator", "attrgetter", "OperatorFuncNode", attrs=nothing),
    }  # fmt: skip
    for name, tree in files.items():
        plant(tracked, recorded, skops_file(tree))
        with pytest.raises(autotrack.ModelNotTrusted) as raised:
            autotrack.load_model(recorded.id)
        assert name in raised.value.untrusted


def test_a_method_of_a_trusted_class_is_no_trusted_name(tracked, recorded):
    owner = node("sklearn.utils._bunch", "Bunch", "ObjectNode", content=None)
    tree = node("sklearn.utils._bunch", "Bunch", "MethodNode", content={"func": "pop", "obj": owner})
    plant(tracked, recorded, skops_file(tree))
    with pytest.raises(autotrack.ModelNotTrusted, match=r"Bunch\.pop"):
        autotrack.load_model(recorded.id)


# ---- the helper process --------------------------------------------------------------------------------------------


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


TRAIN = """
import sys, time
import autotrack
from autotrack.models import conversion
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
autotrack.enable(store="store")
LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True))
while conversion._helper is None:
    time.sleep(0.01)
print(conversion._helper.pid, flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_nothing_is_left_running_after_the_script_and_the_model_is_safe(script, tmp_path):
    pid = int(script(TRAIN).stdout)
    wait_until(lambda: not alive(pid))
    record = autotrack.get_run("@last", store=tmp_path / "store")
    assert record.models["model"].format == "skops"
    assert record.status == "finished"
    assert type(autotrack.load_model("@last", store=tmp_path / "store")) is LogisticRegression


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_the_helper_ends_when_the_training_is_killed(tmp_path):
    train = subprocess.Popen(
        [sys.executable, "-c", TRAIN + "time.sleep(100)"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    with train:
        pid = int(train.stdout.readline())
        assert alive(pid)
        train.send_signal(signal.SIGKILL)
        train.wait(30)
    wait_until(lambda: not alive(pid))
    record = autotrack.get_run("@last", store=tmp_path / "store")
    assert record.models["model"].format == "skops"


def test_the_helper_opens_no_file_but_the_one_it_was_given(tracked, tmp_path):
    """Between the fit and the conversion somebody puts another pickle in its place."""
    from autotrack import helper

    target = tmp_path / "exploded"
    LogisticRegression(max_iter=500).fit(X, y)
    record = autotrack.get_run("@last")
    folder = tracked / "runs" / record.id
    bomb = folder / "models" / "bomb.pickle"
    bomb.write_bytes(pickle.dumps(Bomb(target)))
    job = {"folder": str(folder), "run": record.id, "child": "", "name": "bomb", "cls": "", "to": "skops"}
    helper.convert({**job, "path": "models/bomb.pickle", "sha256": "0" * 64}, SkopsFormat())
    assert not target.exists()
    assert bomb.exists()
    assert "not the one that was saved" in autotrack.get_run(record.id).models["bomb"].stays


def test_only_a_model_that_is_being_turned_is_waited_for(tracked, recorded):
    """The helper is at work, but has nothing to do with this pickle."""
    plant(tracked, recorded, pickle.dumps(1), form="pickle")
    LogisticRegression(max_iter=500).fit(X, y)
    started = time.monotonic()
    with pytest.raises(autotrack.ModelNotTrusted):
        autotrack.load_model(recorded.id)
    assert time.monotonic() - started < 5


def test_a_model_that_cannot_be_pickled_is_noted_and_costs_nothing_else(tracked):
    make_pipeline(FunctionTransformer(lambda X: X), LogisticRegression(max_iter=500)).fit(X, y)
    record = autotrack.get_run("@last")
    assert (record.status, record.incomplete, record.models) == ("finished", False, {})
    assert any("cannot be pickled" in text and "lambda" in text for _, text in record.notes)
    with pytest.raises(autotrack.ModelError, match="cannot be pickled"):
        autotrack.load_model("@last")

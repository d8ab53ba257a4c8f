"""What saving models by themselves may cost: predicted against measured, and every limit with its note."""

import time
import warnings

import numpy
import pytest
from autotrack_sklearn.formats import SkopsFormat
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KernelDensity, KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler

import autotrack
from autotrack.models.budget import MEASURE_SECONDS, Allowance
from tests.timing import least, seconds

X, y = make_classification(1000, 20, random_state=0)
BIG = numpy.random.default_rng(0).random((100_000, 20))
WORDS = [" ".join(f"w{number}" for number in range(start, start + 400)) for start in range(0, 20_000, 100)]
LABELS = numpy.array([[f"c{index}", f"d{index % 7}"] for index in range(20_000)], dtype=object)

MODELS = {
    "a forest of 10": lambda: RandomForestClassifier(10).fit(X, y),
    "a forest of 150": lambda: RandomForestClassifier(150).fit(X, y),
    "a forest of 500 stumps": lambda: ExtraTreesRegressor(500, max_depth=1).fit(X[:200], y[:200]),
    "gradient boosting": lambda: GradientBoostingClassifier(n_estimators=300, max_depth=1).fit(X[:300], y[:300]),
    "histogram boosting": lambda: HistGradientBoostingClassifier(max_iter=40).fit(X, y),
    "adaboost": lambda: AdaBoostClassifier(n_estimators=200).fit(X[:200], y[:200]),
    "a wide network": lambda: MLPClassifier((1000, 1000), max_iter=1).fit(X[:100], y[:100]),
    "neighbours of much data": lambda: KNeighborsClassifier(algorithm="brute").fit(BIG, BIG[:, 0] > 0.5),
    "a k-d tree": lambda: KNeighborsClassifier(algorithm="kd_tree").fit(BIG, BIG[:, 0] > 0.5),
    "a density that holds a tree only": lambda: KernelDensity().fit(BIG),
    "a pipeline": lambda: make_pipeline(StandardScaler(), PolynomialFeatures(), RandomForestClassifier(30)).fit(X, y),
    "a search": lambda: GridSearchCV(RandomForestClassifier(30), {"max_depth": [2, 8]}, cv=2).fit(X, y),
    "a wide search": lambda: GridSearchCV(GaussianNB(), {"var_smoothing": numpy.logspace(-9, 0, 60)}, cv=2).fit(X, y),
    "a vocabulary": lambda: make_pipeline(CountVectorizer(), MultinomialNB()).fit(WORDS, numpy.arange(len(WORDS)) % 2),
    "categories": lambda: make_pipeline(OneHotEncoder(), MultinomialNB()).fit(LABELS, numpy.arange(20_000) % 2),
    "a bag of neighbours": lambda: BaggingClassifier(KNeighborsClassifier(), 20).fit(X, y),
    "outputs that share their data": lambda: MultiOutputRegressor(KNeighborsRegressor(algorithm="brute")).fit(
        BIG[:20_000], numpy.zeros((20_000, 150))
    ),
    "a kernel matrix": lambda: GaussianProcessRegressor(optimizer=None, alpha=1.0).fit(X, y),
    "a vote": lambda: VotingClassifier([("a", RandomForestClassifier(50)), ("b", GaussianNB())]).fit(X, y),
    "a small one": lambda: LogisticRegression().fit(X, y),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("what", MODELS)
def test_the_predicted_cost_is_near_the_measured_one(what: str, tmp_path):
    """Pickling, hashing and writing; the least of some repeats, since other processes work here too."""
    import hashlib

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one iteration of a network is no convergence
        model = MODELS[what]()
    form = SkopsFormat()
    predicted, size = form.cost(model)
    data = form.save(model).data

    def save() -> None:
        data = form.save(model).data
        hashlib.sha256(data).hexdigest()
        (tmp_path / "model").write_bytes(data)

    measured = least(lambda: seconds(save), 1.5 * predicted, tries=8)
    assert size <= 2 * len(data) + 1000
    assert len(data) <= 2.5 * size + 5000
    if measured > 0.005:  # the prediction knows nothing of how quick a machine is
        assert measured / 10 < predicted < measured * 10
    if measured < 0.002:
        assert predicted < 0.0125, "a cheap one is not refused"


def test_predicting_is_itself_cheap():
    model = RandomForestClassifier(500, max_depth=1).fit(X[:100], y[:100])
    form = SkopsFormat()
    assert least(lambda: seconds(lambda: form.cost(model)), 0.008) < 0.008


def test_predicting_does_not_walk_through_all_of_a_huge_container():
    model = LogisticRegression()
    model.extra_ = {f"w{number}": float(number) for number in range(1_000_000)}
    cost = SkopsFormat().cost
    assert least(lambda: seconds(lambda: cost(model)), 0.05) < 0.05
    predicted, size = cost(model)
    assert predicted > 0.1
    assert size > 5e6


# ---- where the policy comes from -----------------------------------------------------------------------------------

TRAIN = """
    import autotrack, sys
    from sklearn.linear_model import LinearRegression
    autotrack.enable(store="store", models={argument!r})
    LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    print(sorted(autotrack.get_run("@last").models))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argument", "variable", "file", "saved"),
    [
        (None, "", "", True),
        ("never", "always", "always", False),
        (None, "never", "always", False),
        (None, "", "never", False),
        ("always", "never", "never", True),
    ],
)
def test_the_policy_by_argument_environment_and_pyproject(script, tmp_path, argument, variable, file, saved):
    if file:
        (tmp_path / "pyproject.toml").write_text(f"[tool.autotrack]\nmodels = '{file}'\n")
    done = script(TRAIN.format(argument=argument), env={"AUTOTRACK_MODELS": variable})
    assert done.stdout == ("['model']\n" if saved else "[]\n")


# ---- limits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["model_max_mb", "session_max_gb", "store_max_gb"])
def test_a_limit_is_noted_by_name_with_the_line_that_saves(tracked, monkeypatch, limit):
    monkeypatch.setenv(f"AUTOTRACK_{limit.upper()}", "0.00001")
    autotrack.enable(store=tracked)
    KNeighborsClassifier(algorithm="brute").fit(X[:700], y[:700])  # 114 kB
    record = autotrack.get_run("@last")
    assert record.models == {}
    (note,) = [text for _, text in record.notes if "not saved" in text]
    assert limit in note
    assert "autotrack.log_model(model)" in note
    assert record.status == "finished"
    assert not record.incomplete


def test_log_model_saves_whatever_the_limits_and_the_policy(tracked, monkeypatch):
    for name in ("MODEL_MAX_MB", "SESSION_MAX_GB", "STORE_MAX_GB"):
        monkeypatch.setenv(f"AUTOTRACK_{name}", "0")
    for policy in ("auto", "never"):
        autotrack.enable(store=tracked, models=policy)
        model = KNeighborsClassifier().fit(X, y)
        assert autotrack.get_run("@last").models == {}
        autotrack.log_model(model)
        assert list(autotrack.get_run("@last").models) == ["model"]


def test_always_keeps_to_no_limit(tracked, monkeypatch):
    monkeypatch.setenv("AUTOTRACK_MODEL_MAX_MB", "0")
    autotrack.enable(store=tracked, models="always")
    KNeighborsClassifier().fit(X, y)
    assert list(autotrack.get_run("@last").models) == ["model"]


def saved(store) -> list[bool]:
    return [bool(run.models) for run in reversed(autotrack.runs(store=store))]


def test_a_session_saves_up_to_its_cap_also_when_enabled_anew(tracked, monkeypatch):
    monkeypatch.setenv("AUTOTRACK_SESSION_MAX_GB", "0.0003")  # two of 114 kB
    for number in range(4):
        autotrack.enable(store=tracked, experiment=f"number {number}")
        KNeighborsClassifier(algorithm="brute").fit(X[:700], y[:700])
    assert sum(saved(tracked)) <= 2


@pytest.mark.slow
def test_the_first_model_of_a_process_knows_what_the_store_holds(script, tmp_path):
    code = """
        import autotrack, numpy
        from sklearn.neighbors import KNeighborsRegressor
        autotrack.enable(store="store")
        X = numpy.random.default_rng().random((2000, 20))
        KNeighborsRegressor(algorithm="brute").fit(X, X[:, 0])
    """  # 336 kB, and noise: nothing that skops makes smaller
    for _ in range(4):
        script(code, env={"AUTOTRACK_STORE_MAX_GB": "0.0008"})
    store = tmp_path / "store"
    assert saved(store)[0]
    assert not saved(store)[3]
    held = sum(file.stat().st_size for file in store.rglob("model.*"))
    assert held < 0.8e6
    (note,) = [text for _, text in autotrack.runs(store=store)[0].notes if "not saved" in text]
    assert "store_max_gb" in note


def test_a_large_store_is_measured_in_part(tmp_path):
    """On the training's way an estimate will do; off it the sum is exact."""
    from autotrack.backends.base import new_run_id
    from autotrack.backends.file import FileBackend

    backend = FileBackend(tmp_path)
    for number in range(3000):
        folder = tmp_path / "runs" / new_run_id(number)
        if number % 10:
            folder.mkdir(parents=True)
        else:
            model = folder / ("children/1/models/model" if number % 20 else "models/model")
            model.mkdir(parents=True)
            (model / "model.skops").write_bytes(b"x" * 100)
    assert backend.model_bytes() == 30_000
    assert least(lambda: seconds(lambda: backend.model_bytes(MEASURE_SECONDS)), 0.05) < 0.05
    assert least(lambda: abs(backend.model_bytes(MEASURE_SECONDS) - 30_000), 20_000) < 60_000
    assert FileBackend(tmp_path / "none").model_bytes() == 0


def test_time_is_a_limit_too_and_a_long_training_allows_more():
    class Slow:
        def cost(self, model):
            return 0.2, 10

    auto = Allowance()
    assert "200 ms are more than the 25 ms" in auto.refuses(None, Slow(), 0.1)
    assert "200 ms are more than the 100 ms" in auto.refuses(None, Slow(), 1.0)
    assert auto.refuses(None, Slow(), 2.5) == ""
    assert Allowance("always").refuses(None, Slow(), 0.0) == ""
    assert Allowance("never").refuses(None, Slow(), 9.0)


# ---- the forest that the issue names ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_forest_of_500_trees_is_saved_quickly_and_ends_as_skops(tracked):
    data, target = make_classification(5000, 20, random_state=0)
    untouched = RandomForestClassifier.fit.__wrapped__
    added, plain = [], []
    for _ in range(6):
        model = RandomForestClassifier(500, n_jobs=2, random_state=0)
        fitted = RandomForestClassifier(500, n_jobs=2, random_state=0)
        started = time.perf_counter()
        autotrack.disable()
        untouched(fitted, data, target)
        plain.append(time.perf_counter() - started)
        autotrack.enable(store=tracked)
        started = time.perf_counter()
        model.fit(data, target)
        whole = time.perf_counter() - started
        added.append(whole - autotrack.get_run("@last").metrics["fit_time"])  # what is ours of the very same fit
        if min(added) <= max(0.025, 0.1 * min(plain)):
            break
    assert min(added) <= max(0.025, 0.1 * min(plain))
    started = time.perf_counter()
    loaded = autotrack.load_model("@last")
    converted = time.perf_counter() - started
    saved = autotrack.get_run("@last").models["model"]
    assert saved.format == "skops"
    assert numpy.array_equal(loaded.predict_proba(data[:100]), model.predict_proba(data[:100]))
    print(
        f"fit {min(plain):.2f} s, added {min(added) * 1e3:.0f} ms, skops {saved.size / 1e6:.1f} MB in {converted:.1f} s"
    )

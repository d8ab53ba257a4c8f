"""Searches: their candidates are child runs with the scores, times and ranks that scikit-learn itself reports."""

import csv
import io
import json

import joblib
import numpy
import pytest
from autotrack_sklearn import search as search_module
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    ParameterGrid,
    RandomizedSearchCV,
    ShuffleSplit,
)
from sklearn.model_selection._search import BaseSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import autotrack

# scikit-learn 1.5 casts memory that nobody wrote to when parameters are whole numbers.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")

X, y = load_iris(return_X_y=True)


def only():
    (run,) = autotrack.runs()
    return run


def by_index(run):
    """Children in the order of ``cv_results_``."""
    return sorted(run.children, key=lambda child: int(child.id.rpartition(".")[2]))


def values(child, key):
    return [point.value for point in sorted(child.history(key), key=lambda point: point.step)]


class Picky(ClassifierMixin, BaseEstimator):
    """Fails as its parameter says."""

    def __init__(self, how="well"):
        self.how = how

    def fit(self, X, y):
        if self.how == "always" or (self.how == "sometimes" and X[0, 3] != 0.2):
            raise ValueError(f"{self.how} fails\n  in two lines")
        if self.how == "interrupt":
            raise KeyboardInterrupt
        self.classes_ = numpy.unique(y)
        return self

    def predict(self, X):
        return numpy.zeros(len(X), int)


def check_children(run, search):
    """Every child is what ``cv_results_`` says."""
    results = search.cv_results_
    children = by_index(run)
    assert len(children) == len(results["params"])
    columns = [key for key in results if key.startswith(("mean_", "std_", "rank_")) or key in ("iter", "n_resources")]
    for index, child in enumerate(children):
        assert child.params == results["params"][index]
        assert child.changed == list(child.params)
        assert child.status == "finished"
        assert child.parent == run.id
        assert child.experiment == run.experiment
        for key in columns:
            assert child.metrics[key] == results[key][index], (index, key)
        for key in child.metrics:
            if f"split0_{key}" in results:
                splits = [results[f"split{split}_{key}"][index] for split in range(search.n_splits_)]
                assert values(child, key) == splits
                assert [point.step for point in child.history(key)] == list(range(search.n_splits_))
        for time in ("fit_time", "score_time"):
            assert numpy.mean(values(child, time)) == pytest.approx(results[f"mean_{time}"][index])
    return children


SEARCHES = {
    "grid": lambda model: GridSearchCV(
        model, {"var_smoothing": [0.1, 1.0, 10.0], "priors": [None, [0.2, 0.3, 0.5]]}, cv=3
    ),
    "random": lambda model: RandomizedSearchCV(
        model, {"var_smoothing": [0.1, 1.0, 10.0, 100.0]}, n_iter=3, cv=2, random_state=0
    ),
    "train scores": lambda model: GridSearchCV(model, {"var_smoothing": [0.1, 1.0]}, cv=2, return_train_score=True),
    "several metrics": lambda model: GridSearchCV(
        model,
        {"var_smoothing": [0.1, 1.0]},
        cv=2,
        scoring=["accuracy", "f1_macro"],
        refit="f1_macro",
        return_train_score=True,
    ),
    "halving grid": lambda model: HalvingGridSearchCV(
        model, {"var_smoothing": [0.1, 1.0, 10.0]}, cv=2, factor=2, random_state=0
    ),
    "halving random": lambda model: HalvingRandomSearchCV(
        model, {"var_smoothing": [0.1, 1.0, 10.0, 100.0]}, n_candidates=4, cv=2, factor=2, random_state=0
    ),
    "no parameters": lambda model: GridSearchCV(model, {}, cv=2),
    "ten folds": lambda model: GridSearchCV(
        model, {"var_smoothing": [0.1, 1.0]}, cv=10
    ),  # numpy sums eight and more differently
}


@pytest.mark.parametrize("what", SEARCHES)
def test_each_candidate_is_a_child_with_its_scores(what, tracked):
    search = SEARCHES[what](GaussianNB()).fit(X, y)
    run = only()
    check_children(run, search)
    assert run.metrics["best_score"] == search.best_score_
    assert run.metrics["refit_time"] == search.refit_time_
    assert run.facts["search"]["best_params"] == search.best_params_
    assert {name: run.params[f"best_{name}"] for name in search.best_params_} == search.best_params_
    assert "searches" not in run.facts
    assert len(run.history("best_score")) == 1
    assert run.facts["search"]["candidates"] == len(search.cv_results_["params"])
    assert run.facts["search"]["splits"] == search.n_splits_
    best = autotrack.get_run(run.facts["search"]["best_child"])
    assert best.params == search.best_params_
    assert list(run.models) == ["model"]
    assert autotrack.load_model(run.id, trusted=True).best_params_ == search.best_params_


def test_cv_results_are_a_table_beside_the_run(tracked):
    search = GridSearchCV(
        Pipeline([("scale", StandardScaler()), ("model", GaussianNB())]),
        [{"scale": [None, StandardScaler()]}, {"model__var_smoothing": [1e-9, 1e-3]}],
        cv=2,
    ).fit(X, y)
    run = only()
    with run.open("cv_results.csv") as file:
        rows = list(csv.DictReader(io.StringIO(file.read().decode())))
    assert [float(row["mean_test_score"]) for row in rows] == search.cv_results_["mean_test_score"].tolist()
    assert [int(row["rank_test_score"]) for row in rows] == search.cv_results_["rank_test_score"].tolist()
    assert [row["param_model__var_smoothing"] for row in rows] == ["", "", "1e-09", "0.001"]
    assert json.loads(rows[1]["param_scale"]) == {"$type": "sklearn.preprocessing._data.StandardScaler"}
    assert [child.name for child in by_index(run)] == [
        "scale=None", "scale=StandardScaler", "model__var_smoothing=1e-09", "model__var_smoothing=0.001",
    ]  # fmt: skip


def test_halving_says_iteration_and_resources(tracked):
    search = HalvingGridSearchCV(
        RandomForestClassifier(random_state=0), {"max_depth": [1, 2, 3]}, cv=2, factor=3, resource="n_estimators",
        max_resources=6, min_resources=2, random_state=0,
    ).fit(X, y)  # fmt: skip
    children = check_children(only(), search)
    assert [child.metrics["iter"] for child in children] == [0, 0, 0, 1]
    assert [child.metrics["n_resources"] for child in children] == [2, 2, 2, 6]
    assert [child.params["n_estimators"] for child in children] == [2, 2, 2, 6]
    assert children[0].name == "max_depth=1, n_estimators=2 (iteration 0)"


class Climbing(BaseSearchCV):
    """A search of somebody's own: looks at results before it asks for more."""

    def __init__(self, estimator, **settings):
        super().__init__(estimator, **settings)

    def _run_search(self, evaluate_candidates):
        results = evaluate_candidates(ParameterGrid({"max_depth": [1, 2]}))
        best = results["params"][results["rank_test_score"].argmin()]
        evaluate_candidates([{**best, "criterion": "entropy"}])


def test_a_search_of_another_kind_that_asks_several_times(tracked):
    search = Climbing(DecisionTreeClassifier(random_state=0), cv=3).fit(X, y)
    children = check_children(only(), search)
    assert [child.params.get("criterion") for child in children] == [None, None, "entropy"]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sequential", "threading", "loky", "multiprocessing"])
def test_the_same_children_on_every_backend(tracked, backend):
    with joblib.parallel_config(backend, n_jobs=2):
        search = GridSearchCV(GaussianNB(), {"var_smoothing": list(numpy.logspace(-9, 0, 20))}, cv=5).fit(X, y)
    run = only()
    children = check_children(run, search)
    assert len(children) == 20
    assert sum(len(child.history("test_score")) for child in children) == 100
    assert all(child.duration == pytest.approx(sum(values(child, "fit_time") + values(child, "score_time")), abs=1e-5)
               for child in children)  # fmt: skip
    assert len(list((tracked / "runs").iterdir())) == 1


class Looks(ClassifierMixin, BaseEstimator):
    """Notes how many children there are on record while it is fitted."""

    def __init__(self, number=0, folder=""):
        self.number = number
        self.folder = folder

    def fit(self, X, y):
        import os
        import time

        time.sleep(0.15)
        with open(os.path.join(self.folder, f"{self.number}-{os.urandom(4).hex()}"), "w") as file:
            source = autotrack.runs(store=os.path.join(self.folder, "..", ".autotrack"))
            file.write(str(len(source[0].children)))
        self.classes_ = numpy.unique(y)
        return self

    def predict(self, X):
        return numpy.zeros(len(X), int)


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky"])
def test_children_appear_while_the_search_runs(tracked, tmp_path, backend):
    (tmp_path / "seen").mkdir()
    with joblib.parallel_config(backend, n_jobs=2):
        GridSearchCV(Looks(folder=str(tmp_path / "seen")), {"number": [1, 2, 3, 4, 5]}, cv=2, refit=False).fit(X, y)
    seen = sorted(int(path.read_text()) for path in (tmp_path / "seen").iterdir())
    assert len(seen) == 10
    assert seen[0] == 0
    assert seen[-1] >= 1  # more where the workers take their turns; one of them may be slow to start


# ---- what goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["sequential", "loky"])
def test_candidates_that_fail_say_why(tracked, backend):
    with joblib.parallel_config(backend, n_jobs=2), pytest.warns(match="fits failed|non-finite"):
        GridSearchCV(Picky(), {"how": ["well", "always", "sometimes"]}, cv=3).fit(X, y)
    well, always, sometimes = by_index(only())
    assert [child.status for child in (well, always, sometimes)] == ["finished", "failed", "failed"]
    assert always.error.type == "ValueError"
    assert always.error.message == "always fails\n  in two lines"
    assert "raise ValueError" in always.error.traceback
    assert numpy.isnan(values(always, "test_score")).all()
    assert sometimes.error.message.startswith("sometimes fails")
    assert well.error is None


def test_an_error_score_that_is_a_number(tracked):
    with pytest.warns(match="fits failed"):
        GridSearchCV(Picky(), {"how": ["well", "always"]}, cv=3, error_score=-1.0).fit(X, y)
    assert values(by_index(only())[1], "test_score") == [-1.0] * 3


@pytest.mark.parametrize("every", [0.0, 1e9], ids=["at once", "late"])
def test_a_callable_of_several_metrics_with_a_failing_candidate(tracked, monkeypatch, every):
    monkeypatch.setattr(search_module, "WRITE_EVERY", every)

    def scores(model, X, y):
        return {"first": 0.25, "second": 0.5}

    grid = {"how": ["always", "well"]}
    with pytest.warns(match="fits failed|non-finite"):
        search = GridSearchCV(Picky(), grid, cv=2, scoring=scores, refit="first", error_score=0.125).fit(X, y)
    always, well = by_index(only())
    assert values(well, "test_second") == [0.5, 0.5]
    assert values(always, "test_second") == [0.125, 0.125]
    assert set(always.metrics) == set(well.metrics)
    assert always.metrics["rank_test_first"] == search.cv_results_["rank_test_first"][0]


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky"])
def test_a_search_that_raises_keeps_what_was_done(tracked, backend):
    with joblib.parallel_config(backend, n_jobs=2), pytest.raises(ValueError, match=r"^always fails") as caught:
        GridSearchCV(Picky(), {"how": ["well", "well", "always", "well"]}, cv=3, error_score="raise", n_jobs=2).fit(
            X, y
        )
    run = only()
    assert (run.status, run.error.message) == ("failed", "always fails\n  in two lines")
    assert caught.value.args == ("always fails\n  in two lines",)
    if backend == "sequential":
        assert [child.status for child in by_index(run)] == ["finished", "finished", "failed"]
        assert by_index(run)[2].error.message == "always fails\n  in two lines"
    assert all(child.status != "running" for child in run.children)


def test_all_candidates_fail(tracked):
    with pytest.raises(ValueError, match="All the 4 fits failed"):
        GridSearchCV(Picky(), {"how": ["always", "always"]}, cv=2).fit(X, y)
    run = only()
    assert run.status == "failed"
    assert [child.status for child in run.children] == ["failed", "failed"]


def test_ctrl_c_in_a_candidate(tracked):
    with pytest.raises(KeyboardInterrupt):
        GridSearchCV(Picky(), {"how": ["well", "interrupt", "well"]}, cv=2).fit(X, y)
    run = only()
    assert run.status == "interrupted"
    assert [child.status for child in by_index(run)] == ["finished", "interrupted"]


# ---- how many -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["0", "3", "50"])
def test_a_limit_keeps_the_best(tracked, monkeypatch, limit):
    monkeypatch.setenv("AUTOTRACK_MAX_CHILDREN", limit)
    autotrack.enable(store=tracked)
    search = GridSearchCV(Ridge(), {"alpha": [3.0, 1000.0, 0.1, 1.0, 1e6]}, cv=ShuffleSplit(3, random_state=0)).fit(
        X, y
    )
    run = only()
    order = numpy.argsort(search.cv_results_["rank_test_score"], kind="stable")
    kept = sorted(order[: int(limit)].tolist())
    assert [child.params["alpha"] for child in by_index(run)] == [
        search.cv_results_["params"][i]["alpha"] for i in kept
    ]
    assert [child.metrics["rank_test_score"] for child in by_index(run)] == [
        search.cv_results_["rank_test_score"][i] for i in kept
    ]
    assert run.facts["search"]["candidates"] == 5
    with run.open("cv_results.csv") as file:
        assert file.read().count(b"\n") == 6

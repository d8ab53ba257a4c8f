"""Cross-validation: one run each, with the points that scikit-learn's own results name."""

import joblib
import numpy
import pytest
from sklearn import model_selection
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import (
    KFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    validation_curve,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import autotrack

X, y = load_iris(return_X_y=True)


def only():
    (run,) = autotrack.runs()
    return run


def points(run, key):
    return [(point.step, point.value) for point in sorted(run.history(key), key=lambda point: point.step)]


def numbered(values):
    return list(enumerate(values))


class Picky(ClassifierMixin, BaseEstimator):
    """Cannot be fitted on data that begins with the first flower."""

    def fit(self, X, y):
        if X[0, 3] == 0.2 and X[0, 0] == 5.1:
            raise ValueError("not this one")
        self.classes_ = numpy.unique(y)
        return self

    def predict(self, X):
        return numpy.zeros(len(X), int)


@pytest.mark.parametrize("backend", ["sequential", "threading", "loky"])
def test_cross_validate(tracked, backend):
    with joblib.parallel_config(backend, n_jobs=2):
        result = cross_validate(
            GaussianNB(var_smoothing=1e-3), X, y, cv=4, scoring=["accuracy", "f1_macro"], return_train_score=True
        )
    run = only()
    assert (run.status, run.by, run.children, dict(run.models)) == ("finished", "sklearn", [], {})
    assert run.name.startswith("GaussianNB-")
    assert run.params["var_smoothing"] == 1e-3
    assert run.changed == ["var_smoothing"]
    assert run.facts["data"]["X"]["shape"] == [150, 4]
    for key, values in result.items():
        assert points(run, key) == numbered(values), key
        assert run.metrics[f"mean_{key}"] == values.mean()
        assert run.metrics[f"std_{key}"] == values.std()
    about = run.facts["cross_validation"]
    assert (about["function"], about["cv"], about["folds"]) == ("cross_validate", 4, 4)
    assert about["scoring"] == ["accuracy", "f1_macro"]


@pytest.mark.parametrize("name", ["early", "late"])
def test_cross_val_score_by_any_name(tracked, name):
    function = cross_val_score if name == "early" else model_selection.cross_val_score
    scores = function(make_pipeline(StandardScaler(), GaussianNB()), X, y, cv=KFold(3, shuffle=True, random_state=0))
    run = only()
    assert points(run, "test_score") == numbered(scores)
    assert run.metrics["mean_test_score"] == scores.mean()
    assert len(run.history("fit_time")) == len(run.history("score_time")) == 3
    assert run.facts["cross_validation"]["cv"] == "KFold(n_splits=3, random_state=0, shuffle=True)"
    assert "gaussiannb__var_smoothing" in run.params


def test_imported_after_enable(script, tmp_path):
    script("""
        import autotrack
        autotrack.enable(store=".autotrack")
        from sklearn.datasets import load_iris
        from sklearn.model_selection import cross_val_score
        from sklearn.naive_bayes import GaussianNB
        print(cross_val_score(GaussianNB(), *load_iris(return_X_y=True), cv=3).tolist())
    """)
    (run,) = autotrack.runs(store=tmp_path / ".autotrack")
    assert len(run.history("test_score")) == 3


def test_cross_val_predict(tracked):
    predicted = cross_val_predict(GaussianNB(), X, y, cv=3)
    run = only()
    assert (predicted == y).mean() > 0.9
    assert run.facts["cross_validation"] == {"function": "cross_val_predict", "cv": 3, "fits": 3}


def test_learning_curve(tracked):
    sizes, train, test, fit_times, score_times = learning_curve(
        GaussianNB(), X, y, cv=3, train_sizes=[0.3, 0.6, 1.0], shuffle=True, random_state=0, return_times=True
    )
    run = only()
    for key, table in (
        ("train_score", train), ("test_score", test), ("fit_time", fit_times), ("score_time", score_times),
    ):  # fmt: skip
        assert points(run, key) == [(size, value) for size, row in zip(sizes, table, strict=True) for value in row]
        assert points(run, f"mean_{key}") == [(size, row.mean()) for size, row in zip(sizes, table, strict=True)]
        assert points(run, f"std_{key}") == [(size, row.std()) for size, row in zip(sizes, table, strict=True)]
    about = run.facts["cross_validation"]
    assert (about["train_sizes"], about["folds"], about["fits"]) == (sizes.tolist(), 3, 9)


def test_learning_curve_that_learns_on(tracked):
    _, _, test = learning_curve(
        SGDClassifier(random_state=0),
        X,
        y,
        cv=2,
        train_sizes=[0.5, 1.0],
        exploit_incremental_learning=True,
        shuffle=True,
    )
    assert [value for _, value in points(only(), "test_score")] == test.reshape(-1).tolist()


def test_validation_curve(tracked):
    train, test = validation_curve(GaussianNB(), X, y, param_name="var_smoothing", param_range=[1e-9, 1e-3, 1.0], cv=3)
    run = only()
    assert points(run, "test_score") == [(step, value) for step, row in enumerate(test) for value in row]
    assert points(run, "mean_train_score") == [(step, row.mean()) for step, row in enumerate(train)]
    about = run.facts["cross_validation"]
    assert (about["param_name"], about["param_range"]) == ("var_smoothing", [1e-9, 1e-3, 1.0])


def test_permutation_test_score(tracked):
    model = RandomForestClassifier(2, random_state=0)  # has parallel tasks of its own
    score, permuted, pvalue = permutation_test_score(model, X, y, cv=2, n_permutations=3, random_state=0)
    run = only()
    assert (run.metrics["score"], run.metrics["pvalue"]) == (score, pvalue)
    assert points(run, "permutation_score") == numbered(permuted)
    assert run.facts["cross_validation"]["fits"] == 3


# ---- what goes wrong ------------------------------------------------------------------------------------------------


def test_folds_that_fail_are_noted(tracked):
    with pytest.warns(match="fits failed"):
        result = cross_validate(Picky(), X, y, cv=KFold(3))
    run = only()
    assert run.status == "finished"
    assert [numpy.isnan(value) for _, value in points(run, "test_score")] == numpy.isnan(result["test_score"]).tolist()
    assert ("warning", "fit 1 failed: ValueError: not this one") in run.notes
    assert numpy.isnan(run.metrics["mean_test_score"])


def test_a_fold_that_raises_ends_the_run_with_the_users_error(tracked):
    with pytest.raises(ValueError, match=r"^not this one$"):
        cross_validate(Picky(), X, y, cv=KFold(3), error_score="raise")
    run = only()
    assert (run.status, run.error.message) == ("failed", "not this one")
    assert [step for step, _ in points(run, "test_score")] == [0]


def test_arguments_that_do_not_fit(tracked):
    with pytest.raises(TypeError, match="missing"):
        cross_validate(GaussianNB())
    with pytest.raises(TypeError, match="nothing_like_it"):
        cross_validate(GaussianNB(), X, y, nothing_like_it=1)
    with pytest.raises(ValueError, match="estimator"):
        cross_validate("no estimator", X, y)
    assert all(run.status == "failed" for run in autotrack.runs())


def test_in_a_run_opened_by_hand(tracked):
    with autotrack.start_run("by hand"):
        cross_val_score(GaussianNB(), X, y, cv=3)
        cross_val_score(GaussianNB(), X, y, cv=3)
        model = GaussianNB().fit(X, y)
    run = only()
    assert len(run.history("test_score")) == 3
    assert [child.name.partition("-")[0] for child in run.children] == ["GaussianNB", "GaussianNB"]
    assert len(run.children[0].history("test_score")) == 3
    assert model.classes_.tolist() == [0, 1, 2]


def test_the_functions_are_put_back(tracked):
    code = cross_val_score.__code__
    autotrack.disable()
    assert cross_val_score.__code__ is not code
    cross_val_score(GaussianNB(), X, y, cv=2)
    assert len(autotrack.runs()) == 0

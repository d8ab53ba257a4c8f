"""Estimators that users write, the odd ones too."""

import numpy
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.plugins.sklearn.made import X, only, recorded, y


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
    assert [run.metrics.get("best_score") for run in recorded()] == [0.5, 0.5]

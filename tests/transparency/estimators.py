"""Every public estimator of scikit-learn with small data that it can be fitted on.

Nothing sets ``random_state``: estimators draw from numpy's global generator, so a recorder that moved it
would change their results.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy
from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  all_estimators() knows them once this is imported
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.utils import all_estimators

# What classes need that have no default for everything.
_REQUIRED: dict[str, Callable[[], dict[str, Any]]] = {
    "ColumnTransformer": lambda: {"transformers": [("scale", StandardScaler(), [0, 1])]},
    "FeatureUnion": lambda: {"transformer_list": [("scale", StandardScaler()), ("pca", PCA(2))]},
    "Pipeline": lambda: {"steps": [("scale", StandardScaler()), ("model", LogisticRegression())]},
    "GridSearchCV": lambda: {"estimator": LogisticRegression(), "param_grid": {"C": [0.1, 1.0]}, "cv": 2},
    "RandomizedSearchCV": lambda: {
        "estimator": LogisticRegression(), "param_distributions": {"C": [0.1, 1.0]}, "n_iter": 2, "cv": 2,
    },
    "HalvingGridSearchCV": lambda: {"estimator": LogisticRegression(), "param_grid": {"C": [0.1, 1.0]}, "cv": 2},
    "HalvingRandomSearchCV": lambda: {
        "estimator": LogisticRegression(), "param_distributions": {"C": [0.1, 1.0]}, "n_candidates": 2, "cv": 2,
    },
    "GaussianRandomProjection": lambda: {"n_components": 2},
    "SparseRandomProjection": lambda: {"n_components": 2},
    "OrthogonalMatchingPursuitCV": lambda: {"cv": 2, "max_iter": 3},
    "SelfTrainingClassifier": lambda: {"estimator": LogisticRegression(), "max_iter": 2},
    "TSNE": lambda: {"perplexity": 5.0, "max_iter": 250},
    "SparseCoder": lambda: {"dictionary": numpy.eye(4)},
    "FrozenEstimator": lambda: {"estimator": LogisticRegression().fit(*_datasets()["classes"]())},
}  # fmt: skip

# Small enough to be quick; a warning about convergence is welcome, since it has to come out the same.
_SMALL = {"n_estimators": 4, "max_iter": 30, "cv": 2, "n_init": 1, "n_jobs": None, "max_trees": 4}


class Case(NamedTuple):
    """An estimator class, how to make one, and what its ``fit`` takes."""

    name: str
    make: Callable[[], BaseEstimator]
    data: Callable[[], tuple[Any, ...]]


@functools.cache
def _datasets() -> dict[str, Callable[[], tuple[Any, ...]]]:
    """Makers of fresh arguments for ``fit``, the most usual first."""
    X, labels = load_iris(return_X_y=True)
    X, labels = X[::3], labels[::3]
    numbers = X @ [1.0, -2.0, 0.5, 3.0] + 1.0
    texts = ["a cat sat", "a dog ran", "the cat ran far", "one more dog"] * 3
    return {
        "classes": lambda: (X.copy(), labels.copy()),
        "numbers": lambda: (X.copy(), numbers.copy()),
        "positive numbers": lambda: (X.copy(), numpy.exp(0.1 * numbers)),
        "two numbers": lambda: (X.copy(), numpy.column_stack([numbers, numbers[::-1]])),
        "two classes": lambda: (X.copy(), (labels > 0).astype(int)),
        "two labels": lambda: (X.copy(), numpy.column_stack([labels > 0, labels > 1]).astype(int)),
        "one column": lambda: (X[:, 0].copy(), numbers.copy()),
        "kernel": lambda: (X @ X.T,),
        "texts": lambda: (list(texts),),
        "mappings": lambda: ([{"a": 1.0, "b": float(i)} for i in range(8)],),
        "labels": lambda: (labels.copy(),),
        "sets": lambda: ([{1, 2}, {2}, {3, 1}],),
        "images": lambda: (numpy.arange(3 * 8 * 8, dtype=float).reshape(3, 8, 8),),
    }


def make(name: str) -> BaseEstimator:
    """A fresh estimator of a class, small enough to be fitted quickly."""
    cls = dict(all_estimators())[name]
    parameters = inspect.signature(cls.__init__).parameters
    inner = "estimator" if "estimator" in parameters else "base_estimator"  # as older versions call it
    if name in _REQUIRED:
        return cls(**{inner if key == "estimator" else key: value for key, value in _REQUIRED[name]().items()})
    chosen = {key: value for key, value in _SMALL.items() if key in parameters}
    if "estimators" in parameters:
        regressor = name.endswith("Regressor")
        members = [Ridge(), Ridge(2.0)] if regressor else [LogisticRegression(), LogisticRegression(C=0.1)]
        chosen["estimators"] = [("one", members[0]), ("two", members[1])]
    elif inner in parameters and parameters[inner].default is inspect.Parameter.empty:
        chosen[inner] = Ridge() if name.endswith("Regressor") else LogisticRegression()
    return cls(**chosen)


@functools.cache
def case(name: str) -> Case | None:
    """The case of one class, with the first data that it can be fitted on; None where it is fitted on none."""
    fresh = functools.partial(make, name)
    state = numpy.random.get_state()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for data in _datasets().values():
                try:
                    numpy.random.seed(0)
                    fresh().fit(*data())
                except Exception:  # other data may do
                    continue
                return Case(name, fresh, data)
    finally:
        numpy.random.set_state(state)
    return None


def names() -> list[str]:
    """Names of all public estimators."""
    return [name for name, _ in all_estimators()]


def fitted() -> Iterator[tuple[str, BaseEstimator]]:
    """Every estimator that can be fitted, fitted."""
    for name in names():
        found = case(name)
        if found is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield name, found.make().fit(*found.data())

"""Data, a model, and the runs that were made."""

from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

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


def batches(estimator, count=3, size=40):
    for index in range(count):
        part = slice(index * size, (index + 1) * size)
        estimator.partial_fit(X[part], y[part], classes=[0, 1, 2])
    return estimator

"""A run to read; nothing is left of other tests."""

import pytest
from autotrack_sklearn import predictions
from sklearn.linear_model import LogisticRegression

from tests.plugins.sklearn.kept import X, wait_for_helper, y


@pytest.fixture
def recorded(tracked):
    """A run with a model in its safe form."""
    LogisticRegression(max_iter=500).fit(X, y)
    return wait_for_helper()


@pytest.fixture(autouse=True)
def nothing_predicted():
    """All tests of a process share a context: a prediction of another one is no candidate for a guess."""
    predictions._recent.set(None)

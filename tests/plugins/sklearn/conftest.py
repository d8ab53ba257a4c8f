"""A run to read."""

import pytest
from sklearn.linear_model import LogisticRegression

from tests.plugins.sklearn.kept import X, wait_for_helper, y


@pytest.fixture
def recorded(tracked):
    """A run with a model in its safe form."""
    LogisticRegression(max_iter=500).fit(X, y)
    return wait_for_helper()

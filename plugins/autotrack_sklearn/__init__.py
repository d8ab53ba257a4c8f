"""autotrack's plugin for scikit-learn and everything built on ``sklearn.base.BaseEstimator``.

Importing it does not import scikit-learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import autotrack
from autotrack_sklearn.integration import SklearnIntegration

if TYPE_CHECKING:
    from autotrack_sklearn.formats import SkopsFormat


@autotrack.hookimpl
def autotrack_integrations() -> list[autotrack.Integration]:
    """Record every ``fit``."""
    return [SklearnIntegration()]


@autotrack.hookimpl
def autotrack_model_formats() -> list[SkopsFormat]:
    """Keep estimators with skops."""
    from autotrack_sklearn.formats import SkopsFormat  # noqa: PLC0415  enable() does not need it

    return [SkopsFormat()]

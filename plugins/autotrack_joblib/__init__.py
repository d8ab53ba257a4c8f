"""autotrack's plugin for joblib: what runs in joblib's worker threads belongs to the training that started it.

Importing it does not import joblib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import autotrack
from autotrack_joblib.integration import JoblibIntegration

if TYPE_CHECKING:
    from autotrack_joblib.formats import JoblibFormat


@autotrack.hookimpl
def autotrack_integrations() -> list[autotrack.Integration]:
    """Carry the training's context into worker threads."""
    return [JoblibIntegration()]


@autotrack.hookimpl
def autotrack_model_formats() -> list[JoblibFormat]:
    """Keep files of ``joblib.dump``."""
    from autotrack_joblib.formats import JoblibFormat  # noqa: PLC0415  enable() does not need it

    return [JoblibFormat()]

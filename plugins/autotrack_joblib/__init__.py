"""autotrack's plugin for joblib: what runs in joblib's worker threads belongs to the training that started it.

Importing it does not import joblib.
"""

from __future__ import annotations

import autotrack
from autotrack_joblib.integration import JoblibIntegration


@autotrack.hookimpl
def autotrack_integrations() -> list[autotrack.Integration]:
    """Carry the training's context into worker threads."""
    return [JoblibIntegration()]

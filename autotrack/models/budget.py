"""What saving a model by itself may cost. A dump cannot be interrupted, so the cost is predicted before."""

from __future__ import annotations

from typing import Any, Literal

from autotrack.models.formats import ModelFormat

__all__ = ["MAX_BYTES", "Budget", "Policy"]

Policy = Literal["auto", "always", "never"]

MIN_SECONDS = 0.025
SHARE = 0.1
MAX_BYTES = 200_000_000


class Budget:
    """At most max(25 ms, 10 % of the training's ``duration`` in seconds), and 200 MB."""

    def __init__(self, duration: float) -> None:
        self.seconds = max(MIN_SECONDS, SHARE * duration)

    def refuses(self, model: Any, form: ModelFormat) -> str:
        """Why the model is not to be saved, in words; empty where it may be."""
        seconds, size = form.cost(model)
        if size > MAX_BYTES:
            return f"about {size / 1e6:.0f} MB are more than {MAX_BYTES / 1e6:.0f} MB"
        if seconds > self.seconds:
            return f"about {seconds * 1e3:.0f} ms are more than the {self.seconds * 1e3:.0f} ms this training allows"
        return ""

"""What saving models by themselves may cost. A dump cannot be interrupted, so its cost is predicted before."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from autotrack.models.formats import ModelFormat

__all__ = ["Allowance", "Policy"]

Policy = Literal["auto", "always", "never"]

MIN_SECONDS = 0.025
SHARE = 0.1
MEASURE_SECONDS = 0.003


@dataclass
class Allowance:
    """What one process may save by itself, and what it has saved.

    Attributes:
        policy: ``auto`` keeps to all limits, ``always`` to none, ``never`` saves nothing.
        model_bytes: Largest model.
        session_bytes: All models of this process together.
        store_bytes: All models in the store.
        files: Whether files are kept of what integrations see; in a series there are none.
        input_example: Whether the first rows of the data are kept beside the model.
        measure: Bytes of models that the store holds, to be found in so many seconds: on the training's way few,
            then an estimate will do, and once more off its way.
    """

    policy: Policy = "auto"
    model_bytes: float = 200e6
    session_bytes: float = 5e9
    store_bytes: float = 20e9
    files: bool = True
    input_example: bool = False
    measure: Callable[[float], int] | None = None
    spent: int = 0
    in_store: int = 0
    _measured: bool = False

    def refuses(self, model: Any, form: ModelFormat, duration: float) -> str:
        """Why a model is not to be saved, in words; empty where it may be.

        Args:
            model: The model.
            form: The format that would save it.
            duration: Seconds that its training took; a tenth of them may be spent, or 25 ms.
        """
        if self.policy != "auto":
            return self.refuses_cost(0.0, 0, duration)
        return self.refuses_cost(*form.cost(model), duration)

    def refuses_cost(self, seconds: float, size: int, duration: float) -> str:
        """As ``refuses``, for what takes so many seconds to save and has so many bytes."""
        if self.policy != "auto":
            return "" if self.policy == "always" else "models are switched off"
        if not self._measured and self.measure is not None:
            self._measured, self.in_store = True, self.measure(MEASURE_SECONDS)
        allowed = max(MIN_SECONDS, SHARE * duration)
        if size > self.model_bytes:
            return f"about {size / 1e6:.3g} MB are more than {self.model_bytes / 1e6:.3g} MB (model_max_mb)"
        if self.spent + size > self.session_bytes:
            return f"{_share(self.spent, size, self.session_bytes)} that one process saves (session_max_gb)"
        if self.in_store + self.spent + size > self.store_bytes:
            return f"{_share(self.in_store + self.spent, size, self.store_bytes)} that the store takes (store_max_gb)"
        if seconds > allowed:
            return (
                f"about {seconds * 1e3:.0f} ms are more than the {allowed * 1e3:.0f} ms "
                'that models="auto" allows this training'
            )
        return ""

    def spend(self, size: int) -> bool:
        """Count a model that was saved; True for the first, when the store is to be measured as a whole."""
        first = self.spent == 0
        self.spent += size
        return first and self.measure is not None

    def measure_store(self) -> None:
        """Find out what the store holds already."""
        if self.measure is not None:
            self._measured, self.in_store = True, max(0, self.measure(math.inf) - self.spent)


def _share(held: float, size: float, limit: float) -> str:
    return f"{held / 1e9:.3g} GB of models and about {size / 1e9:.3g} GB more are above the {limit / 1e9:.3g} GB"

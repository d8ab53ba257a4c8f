"""Records ``scipy.optimize.curve_fit``: every fit of a curve is a run, with its bounds, its data and what it found.

Three things make a plugin: an ``Integration`` that says what to patch and when, a handler that yields once
where the user's call runs, and a hook that offers the integration. Nothing here imports scipy.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from types import ModuleType

import autotrack


class CurveFitIntegration(autotrack.Integration):
    """Meets ``curve_fit`` under every name that a user may have imported it by."""

    name = "example"
    modules = ("scipy.optimize",)  # patched when this is imported
    minimum = ("scipy", "1.10")

    def install(self, module: ModuleType, patches: autotrack.PatchSet) -> None:
        """A function that is imported by name is patched with ``swap``; a method of a class with ``around``."""
        patches.swap(module.curve_fit, self._on_call)

    def _on_call(self, call: autotrack.Call) -> Generator[None, autotrack.Outcome, None] | None:
        if autotrack.in_training():  # part of somebody's training: no run of its own
            return None
        return self._record(call)

    def _record(self, call: autotrack.Call) -> Generator[None, autotrack.Outcome, None]:
        arguments = call.bound
        with autotrack.training(self.name, "curve_fit") as training:
            run = training.run
            run.capture(
                params={name: value for name, value in arguments.items() if name not in ("xdata", "ydata")},
                facts={"data": {name: autotrack.describe_data(arguments.get(name)) for name in ("xdata", "ydata")}},
            )
            started = time.perf_counter()
            outcome = yield  # the user's call runs here: once, with its own arguments
            duration = time.perf_counter() - started
            if outcome.exception is None:
                found = outcome.value[0]
                run.capture(
                    metrics={"fit_time": duration, **{f"p{index}": value for index, value in enumerate(found)}},
                )
            training.end(outcome.exception)


@autotrack.hookimpl
def autotrack_integrations() -> list[autotrack.Integration]:
    """Offer the integration; called once, at the first ``enable()``."""
    return [CurveFitIntegration()]

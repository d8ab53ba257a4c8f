"""Scorers that fail within a search or a cross-validation: their score is NaN, and the run says why.

scikit-learn puts the message into a warning. Warnings are the user's: not they are looked at, but the text that goes
into them, which ``format_exc`` makes where the exception is caught; in worker processes too.
"""

from __future__ import annotations

import weakref
from types import ModuleType
from typing import Any

import autotrack
from autotrack_sklearn import folds

_MAX_NOTES = 5  # of a run; the messages of a scorer may all differ


class ScoringFailures:
    """Notes in a run what its scorers raised, once each."""

    def __init__(self) -> None:
        self._noted: weakref.WeakKeyDictionary[autotrack.Run, set[str]] = weakref.WeakKeyDictionary()

    def install(self, module: ModuleType, patches: autotrack.PatchSet) -> None:
        """Patch a module of scikit-learn's that catches what scorers raise."""
        if hasattr(module, "format_exc"):
            patches.watch(module, "format_exc", after=self._described)

    def _described(self, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        frame = autotrack.caller()
        run = autotrack.active_run() if autotrack.in_training() else None
        if run is None or frame is None or frame.f_code.co_name == "_fit_and_score":  # that tells of the fit
            return
        kind, message, _ = folds.described(result)
        text = f"scoring failed: {kind}: {message}"
        noted = self._noted.setdefault(run, set())
        if text not in noted and len(noted) < _MAX_NOTES:
            noted.add(text)
            run.note(text, "warning")

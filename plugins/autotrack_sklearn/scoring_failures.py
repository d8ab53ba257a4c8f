"""Scorers that fail within a search or a cross-validation: their score is NaN, and the run says why.

scikit-learn puts the message into a warning. Warnings are the user's: not they are looked at, but the text that goes
into them, which ``format_exc`` makes where the exception is caught; in worker processes too. Which candidate of a
search it was, the frame of the function says that fits and scores one fold.
"""

from __future__ import annotations

import weakref
from types import FrameType, ModuleType
from typing import Any

import autotrack
from autotrack_sklearn import folds
from autotrack_sklearn.tasks import Tasks

_MAX_NOTES = 5  # of a run; the messages of a scorer may all differ
_DEPTH = 4  # frames between a scorer and the function that fits and scores


class ScoringFailures:
    """Notes in a run what its scorers raised, once each, and tells whose task it was."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
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
        kind, message, trace = folds.described(result)
        text = f"scoring failed: {kind}: {message}"
        noted = self._noted.setdefault(run, set())
        if text not in noted and len(noted) < _MAX_NOTES:
            noted.add(text)
            run.note(text, "warning")
        index = _place(frame)
        if index is not None:
            self._tasks.failed(index, (kind, f"scoring failed: {message}", trace))


def _place(frame: FrameType | None) -> int | None:
    """The place of the task that scores, among those of its search; None in a cross-validation, which does not say."""
    for _ in range(_DEPTH):
        if frame is None:
            return None
        if frame.f_code.co_name == "_fit_and_score":
            known = frame.f_locals
            candidate, split = known.get("candidate_progress"), known.get("split_progress")
            if isinstance(candidate, tuple) and isinstance(split, tuple):
                return int(candidate[0]) * int(split[1]) + int(split[0])
        frame = frame.f_back
    return None

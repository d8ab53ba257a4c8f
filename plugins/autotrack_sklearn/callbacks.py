"""How long each iteration of a fit took, from scikit-learn's own callbacks (1.9 and later).

Ours is there for the length of one fit of one estimator that calls callbacks and has no estimators inside. It is
of the kind that is not propagated, it computes nothing, and a copy or pickle made meanwhile does not have it.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import autotrack

_ATTRIBUTE = "_skl_callbacks"  # where scikit-learn keeps them
_LARGE = 3_000_000  # values in the data: scikit-learn spends some 60 us an iteration on calling us, under one percent


class _Listener:
    """scikit-learn's protocol of a callback that wants no data. Notes when innermost tasks end."""

    def __init__(self) -> None:
        self.ends = [time.perf_counter()]

    def setup(self, estimator: Any, context: Any) -> None:
        """The fit begins."""
        self.ends = [time.perf_counter()]

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """A task begins."""

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """A task ends: noted, where it is part of another and has no parts."""
        with autotrack.protect("noting an iteration", "sklearn"):
            if context.parent is not None and context.max_subtasks == 0:
                self.ends.append(time.perf_counter())

    def teardown(self, estimator: Any, context: Any) -> None:
        """The fit ends."""


class _Callbacks(list[Any]):
    """The user's callbacks and ours; what is copied or pickled of it is the user's alone."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        return list, ([callback for callback in self if not isinstance(callback, _Listener)],)


@contextmanager
def listening(estimator: Any, data: Any) -> Iterator[list[float]]:
    """For the length of a fit, note its iterations: the list holds the seconds of each when it is over."""
    durations: list[float] = []
    if not _calls_callbacks(estimator, data):
        yield durations
        return
    attributes = vars(estimator)
    before = attributes.get(_ATTRIBUTE)
    listener = _Listener()
    attributes[_ATTRIBUTE] = ours = _Callbacks([*(before or ()), listener])
    try:
        yield durations
    finally:
        if attributes.get(_ATTRIBUTE) is ours:
            if before is None:
                del attributes[_ATTRIBUTE]
            else:
                attributes[_ATTRIBUTE] = before
    count = attributes.get("n_iter_")
    count = int(count[0]) if getattr(count, "shape", None) == (1,) else count
    ends = listener.ends[: count + 1] if isinstance(count, int) else listener.ends  # the last one may be empty
    durations.extend(end - start for start, end in itertools.pairwise(ends))


def _calls_callbacks(estimator: Any, data: Any) -> bool:
    """Whether it is worth it: the estimator calls callbacks, itself iterates, and calling them costs little."""
    mixin = getattr(sys.modules.get("sklearn.callback"), "CallbackSupportMixin", None)
    if mixin is None or not isinstance(estimator, mixin):
        return False
    size = getattr(data, "size", 0)
    return "max_iter" in vars(estimator) and isinstance(size, int) and size >= _LARGE

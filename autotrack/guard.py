"""The one place where an error of our own is swallowed.

The user's training must not notice that something of ours failed: the error is logged once per place,
the run at hand is marked incomplete, and an integration that fails several times is switched off for
the process. With ``AUTOTRACK_STRICT=1``, as in all our tests, nothing is swallowed.

The user's own call never stands inside a guard.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, TypeVarTuple

from autotrack import context

__all__ = [
    "FAILURE_LIMIT",
    "attempt",
    "can_be_ours",
    "failures",
    "foreign",
    "guarded",
    "protect",
    "quarantined",
    "reset",
    "strict",
    "swallow",
    "tell",
]

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

FAILURE_LIMIT = 5
"""Errors after which an integration is switched off for the process."""

quarantined: set[str] = set()
failures: Counter[str] = Counter()
_logger = logging.getLogger("autotrack")
_lock = threading.RLock()  # a weakref callback may come back here in the same thread
_told: set[str] = set()


def strict() -> bool:
    """Whether our own errors are raised instead of swallowed."""
    return os.environ.get("AUTOTRACK_STRICT") == "1"


def swallow(place: str, error: BaseException, integration: str = "") -> None:
    """Note an error of ours and let the training go on; in strict mode raise it."""
    if strict():
        raise error
    run = context.current_run()
    if run is not None:
        run.incomplete = True
    with _lock:
        first = place not in _told
        _told.add(place)
        failures[integration] += 1
        off = bool(integration) and failures[integration] == FAILURE_LIMIT
        if off:
            quarantined.add(integration)
    with contextlib.suppress(Exception):  # a filter or handler of the user's may raise
        if first:
            _logger.warning(
                "autotrack failed in %s (%s: %s). Your training goes on; its record may be incomplete. "
                "AUTOTRACK_STRICT=1 raises the error with its traceback, AUTOTRACK_MODE=off switches autotrack off.",
                place,
                type(error).__name__,
                error,
            )
            _logger.debug("traceback of the failure in %s", place, exc_info=error)
        if off:
            _logger.warning(
                "autotrack switched its integration %r off for this process after %d errors.",
                integration,
                FAILURE_LIMIT,
            )


def tell(text: str) -> None:
    """Say something that is no error of ours, once."""
    with _lock:
        first = text not in _told
        _told.add(text)
    if first:
        with contextlib.suppress(Exception):
            _logger.warning("autotrack: %s", text)


def reset(integration: str) -> None:
    """Give an integration that is enabled anew a clean record."""
    with _lock:
        quarantined.discard(integration)
        failures.pop(integration, None)


def foreign(function: Callable[..., T], *args: Any) -> tuple[T | None, Exception | None]:
    """Call code that is not ours (``str`` of a user's object): its result, or what it raised. Never strict."""
    try:
        return function(*args), None
    except Exception as error:
        return None, error


class protect:
    """``with protect("place"):`` around lines of ours only. Ctrl-C and ``SystemExit`` pass through."""

    __slots__ = ("integration", "place")

    def __init__(self, place: str, integration: str = "") -> None:
        self.place = place
        self.integration = integration

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if error is None:
            return False
        if can_be_ours(error):
            swallow(self.place, error, self.integration)
            return True
        return False


def can_be_ours(error: BaseException) -> bool:
    """Anything but Ctrl-C and the like. A panic of a library in Rust is no ``Exception``, yet no wish to stop."""
    return isinstance(error, (Exception, GeneratorExit)) or type(error).__module__ == "pyo3_runtime"


def attempt(place: str, integration: str, function: Callable[[*Ts], object], *args: *Ts) -> None:
    """Call a function of ours, unless its integration is off; as ``protect``, in a third of its time."""
    if integration in quarantined:
        return
    try:
        function(*args)
    except BaseException as error:
        if not can_be_ours(error):
            raise
        swallow(place, error, integration)


def guarded(place: str) -> Callable[[Callable[P, T]], Callable[P, T | None]]:
    """A function whose errors are ours: it returns None instead of raising."""

    def decorate(function: Callable[P, T]) -> Callable[P, T | None]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T | None:
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                if not can_be_ours(error):
                    raise
                swallow(place, error)
                return None

        return call

    return decorate

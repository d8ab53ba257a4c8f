"""Wrappers for calls that a training makes at every step, when caches hold other things.

What counts then is how little they touch: they go to the handler straight, through a slot, and most of them not at all
inside a training that another handler records. Nothing that is pickled by value is wrapped with them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any

from autotrack.context import in_training
from autotrack.guard import attempt
from autotrack.wrappers import UNTRACED, Untraced, integration_of, observe, shim, slots

__all__ = ["wrap_callback", "wrap_hot", "wrap_untraced", "wrap_watch_raised"]


def wrap_hot(original: Callable[..., Any], key: str) -> FunctionType:
    """As ``wrap_watch`` with a handler after the call, for what a training calls at every step."""
    slot, integration = slots[key], integration_of(key)

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        value = original(*args, **kwargs)
        if slot[0] is not None:
            attempt(key, integration, slot[0], value, args, kwargs)
        return value

    return wrapper  # type: ignore[return-value]


def wrap_watch_raised(original: Callable[..., Any], key: str) -> FunctionType:
    """As ``wrap_watch`` with a handler after the call, and one for what is raised."""
    slot, integration = slots[key], integration_of(key)

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            value = original(*args, **kwargs)
        except BaseException as error:
            observe(key, error, args, kwargs, 2)
            raise
        if slot[0] is not None and not in_training():
            attempt(key, integration, slot[0], value, args, kwargs)
        return value

    return wrapper  # type: ignore[return-value]


def _attempt_outside(place: str, integration: str, handler: Callable[..., object], *given: Any) -> None:
    """As ``attempt``, outside of trainings. What it asks a compiler must not see either."""
    if not in_training():
        attempt(place, integration, handler, *given)


def wrap_untraced(original: Callable[..., Any], key: str, untraced: Untraced) -> FunctionType:
    """As ``wrap_watch`` with a handler after the call, where a compiler must look neither at it nor into it."""
    slot, integration, (tracing, aside) = slots[key], integration_of(key), untraced

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        value = original(*args, **kwargs)
        if slot[0] is not None:
            if tracing():
                aside(_attempt_outside)(key, integration, slot[0], value, args, kwargs)
            elif not in_training():
                attempt(key, integration, slot[0], value, args, kwargs)
        return value

    return wrapper  # type: ignore[return-value]


def wrap_callback(key: str, untraced: Untraced) -> FunctionType:
    """A function that only tells a handler, for a framework's own hooks; as for ``wrap_untraced``."""
    slot, integration, (tracing, aside) = slots[key], integration_of(key), untraced

    def callback(*args: Any, **kwargs: Any) -> None:
        if slot[0] is not None:
            if tracing():
                aside(_attempt_outside)(key, integration, slot[0], None, args, kwargs)
            elif not in_training():
                attempt(key, integration, slot[0], None, args, kwargs)

    return callback  # type: ignore[return-value]


for _maker in (wrap_hot, wrap_watch_raised):
    _maker.__code__ = shim(_maker.__code__)
wrap_untraced.__code__ = shim(wrap_untraced.__code__, UNTRACED)
wrap_callback.__code__ = shim(wrap_callback.__code__, UNTRACED)

"""The checks of ``IntegrationSuite`` that watch each patched call: its objects, what else is called, what stays alive.

As those of ``contract_checks``, each runs in a process of its own.
"""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

from autotrack.backends.housekeeping import housekeeper
from autotrack.testing.contract import SHIMS, Spec, check, wrapped_by_others

UNASKED = frozenset(
    {
        *("fit", "fit_transform", "fit_predict", "partial_fit", "transform", "inverse_transform", "forward"),
        *("predict", "predict_proba", "predict_log_proba", "decision_function", "score", "score_samples"),
    }
)
"""Methods that belong to the user: what they cost, draw or change is the user's affair."""


class _Watched(threading.local):
    """The calls under way in this thread, as somebody above our wrappers saw them."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any], list[Any]]] = []


def check_objects(spec: Spec) -> None:
    """The original gets the very arguments, the user the very result, and instances get no attributes of ours."""
    watched, attributes = _Watched(), []

    def below(path: str, function: Any) -> Any:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            call = next((call for call in reversed(watched.calls) if call[0] == path), None)
            if call is not None and not call[3]:
                given = [*call[1], *call[2].values()]
                same = [one is other for one, other in zip(given, [*args, *kwargs.values()], strict=False)]
                check("1", list(call[2]) == list(kwargs) and all(same), f"{path}: the original got other arguments")
            value = function(*args, **kwargs)
            if call is not None and not call[3]:
                call[3].append(value)
            return value

        return wrapper

    def above(path: str, function: Any) -> Any:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            results: list[Any] = []
            watched.calls.append((path, args, kwargs, results))
            try:
                value = function(*args, **kwargs)
            finally:
                watched.calls.pop()
            check("1", not results or value is results[0], f"{path}: the user got another object than was returned")
            attributes.append((path, sorted(getattr(args[0], "__dict__", ()) if args else ())))
            return value

        return wrapper

    with wrapped_by_others(spec, below):
        with wrapped_by_others(spec, above):
            spec.train()
            expected = attributes[:]
        attributes.clear()
        spec.enable()
        with wrapped_by_others(spec, above):
            spec.train()
    for (path, plain), (_, recorded) in zip(expected, attributes, strict=False):
        added = sorted(set(recorded) - set(plain))
        check("4", not added, f"{path}: a recorded training left {added} on the instance")


def check_unasked(spec: Spec) -> None:
    """A recorded training calls what the unrecorded one calls, and nothing of the user's besides."""
    spec.train()
    plain = _calls(spec.train)
    spec.enable()
    recorded = _calls(spec.train)
    more = {name: count - plain[name] for name, count in recorded.items() if count > plain[name]}
    check("3", not more, f"a recorded training makes calls that nobody asked for: {more}")


def _calls(train: Callable[[], Any]) -> Counter[str]:
    """How often functions of these names were called, in this thread and in those that it starts."""
    calls: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_name in UNASKED and code.co_filename not in SHIMS:
            calls[code.co_qualname] += 1

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        train()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return calls


def check_kept(spec: Spec) -> None:
    """Data, models and results die when the user lets go of them."""
    references: list[tuple[str, weakref.ref[Any]]] = []

    def below(path: str, function: Any) -> Any:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            value = function(*args, **kwargs)
            for what in (*args, *kwargs.values(), value):
                if type(what).__weakrefoffset__:
                    references.append((f"a {type(what).__name__} of {path}", weakref.ref(what)))
            return value

        return wrapper

    with wrapped_by_others(spec, below):
        spec.train()
        plain = _alive(references)
        spec.enable()
        spec.train()
        housekeeper.wait_idle(60)
        more = Counter(_alive(references)) - Counter(plain)
    check("9", not more, f"after a recorded training these are kept alive: {dict(more)}")


def _alive(references: list[tuple[str, weakref.ref[Any]]]) -> list[str]:
    gc.collect()
    alive = [name for name, reference in references if reference() is not None]
    references.clear()
    return alive


CHECKS = {"objects": check_objects, "unasked": check_unasked, "kept": check_kept}

"""The checks of ``IntegrationSuite`` for a framework that is imported before autotrack is enabled.

Each runs in a process of its own, where nothing is enabled yet, and fails with the point of the contract.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import logging
import os
import pickle
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from types import FunctionType
from typing import Any

import autotrack
from autotrack import guard
from autotrack.backends.housekeeping import housekeeper
from autotrack.patching import is_ours
from autotrack.testing.contract import (
    SHIMS,
    Spec,
    check,
    counting,
    filters_version,
    function_at,
    is_patched,
    runs,
    same,
    world,
    wrapped_by_others,
)
from autotrack.wrappers import Call, Outcome, handlers


def check_disable(spec: Spec) -> None:
    """Every order of enable and disable ends with the identical objects."""
    before = spec.snapshot()
    on, off = spec.enable, autotrack.disable
    orders: dict[str, list[Callable[[], object]]] = {
        "disable without enable": [off],
        "enable, disable": [on, off],
        "enable twice, disable": [on, on, off],
        "enable, disable twice": [on, off, off],
        "enable, disable, enable, disable": [on, off, on, off],
        "a training in between": [on, spec.train, off],
    }
    for order, calls in orders.items():
        for call in calls:
            call()
            if call is on:
                for path, (owner, name) in spec.owners().items():
                    check("8", is_patched(owner, name), f"{path} is not patched after enable()")
        same("5", before, spec.snapshot(), order)


def check_threads(spec: Spec) -> None:
    """Two threads that enable, or disable, at once do it once."""
    before = spec.snapshot()
    _at_once(spec.enable)
    for path, (owner, name) in spec.owners().items():
        function = function_at(owner, name)
        inner = getattr(function, "__wrapped__", None)
        check("7", is_patched(owner, name), f"{path} is not patched after enable() from two threads")
        check(
            "7", not (is_ours(function) and is_ours(inner)), f"{path} is wrapped twice after enable() from two threads"
        )
    _at_once(autotrack.disable)
    same("7", before, spec.snapshot(), "disable() from two threads")


def _together(barrier: threading.Barrier, call: Callable[[], None]) -> None:
    barrier.wait()
    call()


def _at_once(call: Callable[[], None]) -> None:
    barrier = threading.Barrier(2)
    threads = [threading.Thread(target=lambda: _together(barrier, call)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        check("1", not thread.is_alive(), "enable() or disable() from two threads hangs")


def check_results(spec: Spec) -> None:
    """A training gives the same with and without recording, and is recorded."""
    plain = spec.train()
    check("1", plain == spec.train(), "train() itself gives different results each time: set its random state")
    spec.enable()
    recorded = spec.train()
    check("1", recorded == plain, f"a recorded training gives {recorded}, an unrecorded one {plain}")
    check("8", runs() > 0, "the training made no run")
    autotrack.disable()
    count = runs()
    check("5", spec.train() == plain, "a training after disable() gives other results")
    check("5", runs() == count, "a training after disable() was recorded")


def check_patcher_above(spec: Spec) -> None:
    """Somebody wraps on top of us: ours stays below, inert after disable(), and theirs works."""
    plain = spec.train()
    spec.enable()
    spec.train()
    expected = runs()
    calls: Counter[str] = Counter()
    with wrapped_by_others(spec, counting(calls)) as theirs:
        spec.train()
        check("5", runs() == 2 * expected, "with somebody's wrapper on top of ours the training makes other runs")
        autotrack.disable()
        _are_in_place(spec, theirs, "disable()")
        calls.clear()
        check("5", spec.train() == plain, "with somebody's wrapper on top of ours, disable() changes results")
        check("5", runs() == 2 * expected, "a wrapper of ours below somebody's is not inert after disable()")
        _all_called(spec, calls)
        spec.enable()
        _are_in_place(spec, theirs, "the second enable()")
        spec.train()
        check("5", runs() == 3 * expected, "enabled again below somebody's wrapper, the training makes other runs")
        autotrack.disable()


def check_patcher_below(spec: Spec) -> None:
    """Somebody has wrapped before us: theirs works, and is what disable() puts back."""
    calls: Counter[str] = Counter()
    with wrapped_by_others(spec, counting(calls)) as theirs:
        plain = spec.train()
        unrecorded = Counter(calls)
        calls.clear()
        spec.enable()
        check("1", spec.train() == plain, "above somebody's wrapper the training gives other results")
        check("1", calls == unrecorded, f"originals ran {dict(calls)} times instead of {dict(unrecorded)}")
        _all_called(spec, calls)
        autotrack.disable()
        _are_in_place(spec, theirs, "disable()")


def _are_in_place(spec: Spec, theirs: dict[str, Any], when: str) -> None:
    for path, (owner, name) in spec.owners().items():
        check("5", vars(owner)[name] is theirs[path], f"{path}: {when} took somebody's wrapper away")


def _all_called(spec: Spec, calls: Counter[str]) -> None:
    for path in spec.patched:
        check("1", calls[path] > 0, f"train() never called {path}; let it train something that does")


def check_removed(spec: Spec) -> None:
    """Somebody takes our wrappers away: it is noticed at the next run."""
    before, originals = spec.snapshot(), {path: vars(owner)[name] for path, (owner, name) in spec.owners().items()}
    spec.enable()
    for path, (owner, name) in spec.owners().items():
        setattr(owner, name, originals[path])
    autotrack.start_run("the next run").end()
    for path, (owner, name) in spec.owners().items():
        check("5", is_patched(owner, name), f"{path} was taken away and not put back at the next run")
    autotrack.disable()
    same("5", before, spec.snapshot(), "disable(), our wrapper having been taken away and put back")


def check_looks(spec: Spec) -> None:
    """Signature, names and documentation are the original's; descriptors keep their kind."""
    before = {path: _looks(owner, name) for path, (owner, name) in spec.owners().items()}
    spec.enable()
    for path, (owner, name) in spec.owners().items():
        for what, value in _looks(owner, name).items():
            check("4", value == before[path][what], f"{what} of {path} is {value}, was {before[path][what]}")


def _looks(owner: Any, name: str) -> dict[str, Any]:
    raw, function = vars(owner)[name], function_at(owner, name)
    result = {key: getattr(function, key) for key in ("__doc__", "__name__", "__qualname__", "__module__")}
    return {
        **result,
        "the kind": type(raw),
        "the kind of function": type(function),
        "the signature": str(inspect.signature(function)),
        "the text of the source": inspect.getsource(function),
    }


def check_pickling(spec: Spec) -> None:
    """Patched classes, functions, methods and instances pickle and copy as before."""
    spec.enable()
    for path, (owner, name) in spec.owners().items():
        things = [owner] if isinstance(owner, type) else []
        if isinstance(function_at(owner, name), FunctionType) and isinstance(owner, type):
            things.append(getattr(owner, name))
        for thing in things:
            if isinstance(thing, property):
                continue
            check("4", pickle.loads(pickle.dumps(thing)) == thing, f"{path}: {thing} does not pickle by its name")
            check("4", copy.deepcopy(thing) == thing, f"{path}: {thing} does not copy")
    for instance in spec.names.get("instances", list)():
        for path, (owner, name) in spec.owners().items():
            if isinstance(owner, type) and isinstance(instance, owner) and not isinstance(vars(owner)[name], property):
                method = pickle.loads(pickle.dumps(getattr(instance, name)))
                check("4", type(method.__self__) is type(instance), f"{path} bound to {instance} does not pickle")
        for copied in (copy.copy(instance), copy.deepcopy(instance), pickle.loads(pickle.dumps(instance))):
            check("4", type(copied) is type(instance), f"{instance} does not copy")
        data = pickle.dumps(instance)
        check("4", b"autotrack" not in data, f"a pickle of {instance} names autotrack")


class Marked(Exception):
    """What a patched function raises in ``check_exceptions``."""


def check_exceptions(spec: Spec) -> None:
    """The user gets the same exception object, with at most one frame of ours per patched call, and nothing added."""
    for target in spec.patched:
        plain, files = _raised(spec, target, recorded=False), _raised(spec, target, recorded=True)
        pairs = [pair for pair in itertools.pairwise(files) if set(pair) <= set(SHIMS)]
        check("1", not pairs, f"{target}: two frames of ours in a row: {files}")
        more = [name for name in files if name not in SHIMS]
        check("1", more == plain, f"{target}: frames were added to the traceback: {more}, without autotrack {plain}")


def _raised(spec: Spec, target: str, recorded: bool) -> list[str]:
    """Train while one original raises: the files of the traceback."""
    error, cause = Marked(target), ValueError("cause")
    error.__cause__ = cause

    def raising(path: str, function: Any) -> Any:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if path == target:
                raise error
            return function(*args, **kwargs)

        return wrapper

    caught: BaseException | None = None
    with wrapped_by_others(spec, raising):
        if recorded:
            spec.enable()
        try:
            spec.train()
        except Exception as other:  # noqa: BLE001  it is looked at
            caught = other
        autotrack.disable()
    check("1", caught is error, f"{target}: the user got {caught!r} instead of the very exception")
    check("1", error.__cause__ is cause and error.__context__ is None, f"{target}: cause or context was changed")
    check("1", not getattr(error, "__notes__", None), f"{target}: a note was added to the exception")
    return [frame.filename for frame in traceback.extract_tb(error.__traceback__)]


# ---- a raising integration -------------------------------------------------------------------------------------------


def raises_before(call: Call) -> Iterable[None]:
    """Fail before the original."""
    raise RuntimeError("a failure of the integration, on purpose")
    yield


def raises_after(call: Call) -> Generator[None, Outcome, None]:
    """Fail after the original."""
    yield
    raise RuntimeError("a failure of the integration, on purpose")


def yields_twice(call: Call) -> Generator[None, Outcome, None]:
    """Ask for the original a second time."""
    yield
    yield


def never_yields(call: Call) -> Iterable[None]:
    """Leave no place for the original."""
    return
    yield


def _fails(*args: Any) -> None:
    raise RuntimeError("a failure of the integration, on purpose")


def check_raising(spec: Spec) -> None:
    """Whatever the integration does, originals run once, and what they return reaches the user."""
    os.environ["AUTOTRACK_STRICT"] = "0"
    calls: Counter[str] = Counter()
    told: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("autotrack").addHandler(listener)
    logging.getLogger("autotrack").propagate = False
    with wrapped_by_others(spec, counting(calls)):
        plain, unrecorded = spec.train(), Counter(calls)
        for handler in (raises_before, raises_after, yields_twice, never_yields):
            spec.enable()
            _replace_handlers(spec, handler)
            guard._told.clear()
            told.clear()
            for attempt in range(guard.FAILURE_LIMIT + 1):
                calls.clear()
                with autotrack.start_run() as run:
                    check("1", spec.train() == plain, f"{handler.__name__}: the training gives other results")
                check("1", calls == unrecorded, f"{handler.__name__}: originals ran {calls}, not {unrecorded} times")
                check("2", run.incomplete or attempt, f"{handler.__name__}: the run is not marked incomplete")
            said = Counter(text.partition(" (")[0] for text in told if text.startswith("autotrack failed in"))
            check("2", said, f"{handler.__name__}: the failure was not logged")
            check("2", set(said.values()) == {1}, f"{handler.__name__}: a failure was logged more than once: {said}")
            off = spec.integration in guard.quarantined
            check("2", off, f"{handler.__name__}: the integration is not off after {guard.FAILURE_LIMIT} errors")
            autotrack.disable()


def _replace_handlers(spec: Spec, bad: Callable[[Call], Any]) -> None:
    for handler in handlers.values():
        if handler.integration == spec.integration:
            handler.around = handler.around and bad
            handler.before = handler.before and _fails
            handler.after = handler.after and _fails
            handler.raised = handler.raised and _fails


# ---- what is global --------------------------------------------------------------------------------------------------


def check_globals(spec: Spec) -> None:
    """Nothing global moves, and nothing is printed on stdout."""
    spec.train()
    filters = filters_version()
    spec.train()
    moves = filters_version() - filters  # the framework's own
    expected, finders = world(), list(sys.meta_path)
    for when, call in {"enable()": spec.enable, "disable()": autotrack.disable}.items():
        filters = filters_version()
        call()
        spec.train()
        housekeeper.wait_idle(60)
        moved = filters_version() - filters - moves
        check(
            "9",
            not moved,
            f"{when} and a training changed the warnings filters {moved} times: once-only warnings repeat",
        )
        for what, value in world().items():
            check(
                "9", value == expected[what], f"{what} moved: {value} after {when} and a training, was {expected[what]}"
            )
    check("9", sys.meta_path == finders, f"sys.meta_path is {sys.meta_path} after disable(), was {finders}")
    sys.stdout.flush()
    check("9", os.fstat(1).st_size == 0, f"printed on stdout: {Path('stdout').read_text()[:500]!r}")


# ---- running them ----------------------------------------------------------------------------------------------------

FRAMEWORK_FIRST = {
    "disable": check_disable,
    "threads": check_threads,
    "results": check_results,
    "patcher_above": check_patcher_above,
    "patcher_below": check_patcher_below,
    "removed": check_removed,
    "looks": check_looks,
    "pickling": check_pickling,
    "exceptions": check_exceptions,
    "raising": check_raising,
    "globals": check_globals,
}

"""The checks of ``IntegrationSuite`` of who owns what: names that users imported, and trainings of other threads.

As those of ``contract_checks``, each runs in a process of its own.
"""

from __future__ import annotations

import pickle
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import autotrack
from autotrack.testing.contract import Spec, check, is_patched, runs, wrapped_by_others

MEET = 5.0
"""Seconds that a thread waits within a patched call for the other thread to be there as well."""


def check_names(spec: Spec) -> None:
    """Functions that users import by name are the same objects, recorded wherever they were imported."""
    before = {path: vars(owner)[name] for path, (owner, name) in spec.owners().items() if path in spec.by_name}
    pickled = {path: pickle.dumps(function) for path, function in before.items()}
    spec.enable()
    for path, (owner, name) in spec.owners().items():
        if path in before:
            now = vars(owner)[name]
            check("6", now is before[path], f"{path} is another object: who imported it by name before is not recorded")
            check("6", is_patched(owner, name), f"{path}: its code is not swapped")
            check("6", pickle.dumps(now) == pickled[path], f"{path} is pickled otherwise")
    autotrack.disable()
    for path, (owner, name) in spec.owners().items():
        if path in before:
            check("6", not is_patched(owner, name), f"{path}: its code is still swapped after disable()")


def check_threads_own(spec: Spec) -> None:
    """Two threads that train at the same time are recorded as they are one after the other; within a run, in it."""
    with wrapped_by_others(spec, _meeting()):
        spec.enable()
        _in_threads(spec.train, 1)
        alone = runs()
        check("8", alone > 0, "the training made no run")
        _in_threads(spec.train, 2)
        autotrack.disable()
    both = runs() - alone
    check("10", both == 2 * alone, f"a training makes {alone} runs; at the same time in two threads they make {both}")
    top = len(autotrack.runs())
    spec.enable()
    with autotrack.start_run():
        _in_threads(spec.train, 1)
    autotrack.disable()
    more = len(autotrack.runs()) - top
    check("10", more == 1, f"a thread of a process with an explicit run trains: {more} runs, where that one has it all")


def _meeting() -> Callable[[str, Any], Any]:
    """Wrappers in which two threads wait for one another, the first time that each comes by."""
    barriers: defaultdict[str, threading.Barrier] = defaultdict(lambda: threading.Barrier(2))
    here = threading.local()

    def wrapper_of(path: str, function: Any) -> Any:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            seen = vars(here).setdefault("seen", set())
            if threading.current_thread().name.startswith("two") and path not in seen:
                seen.add(path)
                with suppress(threading.BrokenBarrierError):  # the framework lets in one at a time
                    barriers[path].wait(MEET)
            return function(*args, **kwargs)

        return wrapper

    return wrapper_of


def _in_threads(train: Callable[[], Any], count: int) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            train()
        except BaseException as error:  # noqa: BLE001  raised below, in the thread of the check
            errors.append(error)

    threads = [threading.Thread(target=work, name=f"{'one' if count == 1 else 'two'} {n}") for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        check("1", not thread.is_alive(), "a training in a thread hangs")
    if errors:
        raise errors[0]


CHECKS = {"names": check_names, "threads_own": check_threads_own}

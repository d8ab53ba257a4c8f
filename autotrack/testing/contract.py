"""What the checks of ``IntegrationSuite`` work with; they run in processes of their own, started by the suite."""

from __future__ import annotations

import functools
import json
import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import autotrack
from autotrack.patching import is_ours

HEAVY = ("numpy", "pandas", "polars", "scipy", "sklearn", "torch", "tensorflow", "jax", "matplotlib")
SHIMS = ("<autotrack importlib._bootstrap shim>", "<frozen importlib._bootstrap autotrack shim>")


class Spec:
    """What the author of an integration gave, and what is looked up from it."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.integration: str = given["integration"]
        self.modules: list[str] = given["modules"]
        self.patched: list[str] = given["patched"]
        self.by_name: list[str] = given["by_name"]
        self.source: str = given["source"]
        self.names: dict[str, Any] = {"__name__": "user_code"}

    def load(self) -> None:
        """Import the framework, and define what the author's source defines."""
        for module in self.modules:
            __import__(module)
        exec(self.source, self.names)

    def train(self) -> Any:
        """The author's small training; what it returns, as JSON would keep it."""
        random.seed(7)
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed(7)
        return json.loads(json.dumps(self.names["train"]()))

    def owners(self) -> dict[str, tuple[Any, str]]:
        """By path, the object whose namespace holds the patched attribute, and its name."""
        found = {}
        for path in self.patched:
            module, _, attributes = path.partition(":")
            *outer, name = attributes.split(".")
            owner: Any = sys.modules[module]
            for part in outer:
                owner = vars(owner)[part]
            check(
                "4", name in vars(owner), f"{path}: {owner} has no {name!r} of its own; name the class that defines it"
            )
            found[path] = owner, name
        return found

    def snapshot(self) -> dict[str, Any]:
        """By path, every attribute of every patched owner, and the code of functions."""
        result = {}
        for path, (owner, _) in self.owners().items():
            for name, value in vars(owner).items():
                if name not in ("__abstractmethods__", "_abc_impl", "__warningregistry__"):
                    result[f"{path} ({name})"] = value, getattr(value, "__code__", None)
        return result

    def enable(self) -> None:
        """Switch on this integration alone."""
        autotrack.enable(integrations=[self.integration])


def check(rule: str, true: Any, text: str) -> None:
    """Fail with the point of the contract that is broken."""
    if not true:
        raise AssertionError(f"patch contract {rule}: {text}")


def function_at(owner: Any, name: str) -> Any:
    """The function that an attribute holds, inside a descriptor or not."""
    raw = vars(owner)[name]
    return getattr(raw, "__func__", None) or getattr(raw, "fget", None) or raw


def is_patched(owner: Any, name: str) -> bool:
    """Whether a wrapper of ours, or its decorator, is on top, or the function's code is swapped."""
    function = function_at(owner, name)
    return (
        is_ours(function)
        or is_ours(getattr(function, "__wrapped__", None))
        or getattr(getattr(function, "__code__", None), "co_filename", "") in SHIMS
    )


def same(rule: str, before: dict[str, Any], after: dict[str, Any], when: str) -> None:
    """Fail unless the attributes are the identical objects, and none came or went."""
    check(rule, not after.keys() - before.keys(), f"{sorted(after.keys() - before.keys())} did not exist before {when}")
    check(rule, not before.keys() - after.keys(), f"{sorted(before.keys() - after.keys())} is gone after {when}")
    for path, (value, code) in before.items():
        check(rule, after[path][0] is value, f"{path} is not the identical object after {when}")
        check(rule, after[path][1] is code, f"{path} has other code after {when}")


def runs() -> int:
    """How many runs, with children, the store of this check holds."""
    return sum(1 + len(run.children) for run in autotrack.runs())


@contextmanager
def wrapped_by_others(spec: Spec, inner: Callable[[str, Any], Any]) -> Generator[dict[str, Any], None, None]:
    """Somebody's ``functools.wraps`` function in the place of every patched attribute: ``inner(path, function)``."""
    placed, before = {}, {}
    for path, (owner, name) in spec.owners().items():
        raw = vars(owner)[name]
        function = function_at(owner, name)
        theirs: Any = functools.wraps(function)(inner(path, function))
        if isinstance(raw, (classmethod, staticmethod)):
            theirs = type(raw)(theirs)
        elif isinstance(raw, property):
            theirs = property(theirs, raw.fset, raw.fdel, raw.__doc__)
        before[path], placed[path] = raw, theirs
        setattr(owner, name, theirs)
    yield placed
    for path, (owner, name) in spec.owners().items():
        setattr(owner, name, before[path])


def counting(calls: Counter[str]) -> Callable[[str, Any], Any]:
    """Wrappers that count the calls by path."""

    def wrapper_of(path: str, function: Any) -> Any:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            calls[path] += 1
            return function(*args, **kwargs)

        return wrapper

    return wrapper_of


def world() -> dict[str, Any]:
    """All that is global and must not move."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    loggers = [logging.getLogger(name) for name in sorted(logging.root.manager.loggerDict) if name != "autotrack"]
    return {
        "the state of random": hash(random.getstate()),
        "the state of numpy.random": numpy and repr(numpy.random.get_state()[1].tolist()),
        "the state of torch's generator": torch and torch.get_rng_state().tolist(),
        "torch's grad mode": torch and torch.is_grad_enabled(),
        "torch's default dtype": torch and torch.get_default_dtype(),
        "the warnings filters": list(warnings.filters),
        "warnings.showwarning": warnings.showwarning,
        "log levels": [(each.name, each.level, each.disabled) for each in [logging.root, *loggers] if each.level],
        "log handlers": [(each.name, list(each.handlers)) for each in [logging.root, *loggers] if each.handlers],
        "sys.excepthook": sys.excepthook,
        "sys.unraisablehook": sys.unraisablehook,
        "threading.excepthook": threading.excepthook,
        "signal handlers": [signal.getsignal(number) for number in signal.valid_signals()],
        "the working folder": os.getcwd(),
        "os.environ": dict(os.environ),
        "sys.path": list(sys.path),
        "sys.stdout": sys.stdout,
        "sys.stderr": sys.stderr,
    }


def filters_version() -> int:
    """How often the warnings filters have changed. Each change lets warnings be shown again that were shown once."""
    registry: dict[Any, Any] = {}
    warnings.warn_explicit("", PendingDeprecationWarning, "nowhere", 1, registry=registry)  # ignored by default
    version: int = registry["version"]
    return version

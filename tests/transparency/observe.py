"""One training watched from outside: everything that a recorder could change without meaning to."""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy
import sklearn

from tests.transparency.estimators import Case
from tests.transparency.states import state

USES = ("predict", "transform", "predict_proba", "decision_function", "score_samples")


def _loggers() -> dict[str, Any]:
    known = logging.Logger.manager.loggerDict
    found = {name: logger for name, logger in known.items() if isinstance(logger, logging.Logger)}
    return {
        name: (logger.level, logger.disabled, logger.propagate, [id(handler) for handler in logger.handlers])
        for name, logger in {"": logging.root, **found}.items()
        if not name.startswith("autotrack")
    }


def surroundings() -> dict[str, Any]:
    """The state of the process that belongs to the user."""
    signals = {number: signal.getsignal(number) for number in signal.valid_signals()}
    return {
        "numpy's generator": state(numpy.random.get_state()),
        "random": random.getstate(),
        "errstate": numpy.geterr(),
        "print options": {key: str(value) for key, value in numpy.get_printoptions().items()},
        "sklearn's configuration": sklearn.get_config(),
        "warnings filters": [str(entry) for entry in warnings.filters],
        "showwarning": warnings.showwarning,
        "loggers": _loggers(),
        "log level": logging.root.manager.disable,
        "excepthook": sys.excepthook,
        "threading.excepthook": threading.excepthook,
        "unraisablehook": sys.unraisablehook,
        "signals": signals,
        "folder": Path.cwd(),
        "environment": dict(os.environ),
        "streams": (sys.stdout, sys.stderr, sys.stdin),
        "trace": (sys.gettrace(), sys.getprofile()),
    }


def observe(case: Case) -> dict[str, Any]:
    """Fit, and use, one estimator; all that came of it."""
    numpy.random.seed(0)
    random.seed(0)
    seen: dict[str, Any] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model, data = case.make(), case.data()
        seen["before"] = surroundings()
        try:
            seen["returned the estimator"] = model.fit(*data) is model
        except Exception as error:
            seen["error"] = repr(error)
        seen["after the fit"] = surroundings()
        seen["fitted"] = {path: leaf for path, leaf in state(model).items() if "_time" not in path}  # how long it took
        seen["data"] = state(data)
        for name in USES:
            if hasattr(model, name):
                try:
                    seen[name] = state(getattr(model, name)(data[0]))
                except Exception as error:
                    seen[name] = repr(error)
        seen["after use"] = surroundings()
    seen["warnings"] = [
        (item.category.__name__, str(item.message), Path(item.filename).name, item.lineno) for item in caught
    ]
    return seen


def compare(first: dict[str, Any], second: dict[str, Any], path: str = "") -> list[str]:
    """What differs between two observations, by path."""
    found = []
    for key in sorted({*first, *second}, key=str):
        one, other = first.get(key), second.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            found += compare(one, other, f"{path}{key}: ")
        elif one != other:
            found.append(f"{path}{key}: {str(one)[:300]} != {str(other)[:300]}")
    return found

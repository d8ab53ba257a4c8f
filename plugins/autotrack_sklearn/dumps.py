"""``joblib.dump``: the run whose model it writes notes where the file lies. The file itself is left where it is.

The run has the model already, in a form that can be loaded safely, so a copy would only fill the disk. What people
ask later is which run the file on the server came from: its path, its size and its hash stand in the record, the hash
for files that cost little to read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import autotrack
from autotrack_sklearn.predictions import Predictions

Steps = Generator[None, autotrack.Outcome, None]

HASHED = 8_000_000
"""Bytes of a file up to which it is hashed: some 10 ms."""

_MAX_ITEMS = 100


class Dumps:
    """Notes files of models; one per integration."""

    def __init__(self, predictions: Predictions) -> None:
        self._predictions = predictions

    def install(self, module: ModuleType, patches: autotrack.PatchSet) -> None:
        """Patch ``joblib.numpy_pickle``."""
        patches.swap(module.dump, self._on_dump)

    def _on_dump(self, call: autotrack.Call) -> Steps | None:
        return None if autotrack.in_training() else self._dump(call)

    def _dump(self, call: autotrack.Call) -> Steps:
        outcome = yield
        given = call.bound
        path = given.get("filename")
        if outcome.exception is not None or not isinstance(path, (str, os.PathLike)):
            return  # an open file has no name that is sure
        facts: dict[str, Any] | None = None
        for thing in _inside(given.get("value")):
            trained = self._predictions.model(thing)
            if trained is not None:
                facts = facts or _about(Path(path))
                trained.run.capture(facts={"files": {str(Path(path).absolute()): facts}})


def _inside(value: Any) -> Iterator[Any]:
    """The object, or what lies directly in a mapping, list or tuple."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        yield from value[:_MAX_ITEMS]
    else:
        yield value


def _about(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    facts: dict[str, Any] = {"by": "joblib.dump", "bytes": size}
    if size <= HASHED:
        facts["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return facts

"""In what two runs differ."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import Any

from autotrack.display import flat
from autotrack.reader import RunRecord
from autotrack.values import to_json

__all__ = ["MISSING", "Difference", "compare_runs"]

_MAX_CODE = 1_000_000  # bytes; what is longer is compared by its sha256
_CODE = "code/"

MISSING = object()
"""In place of a value that a run has not."""


@dataclass
class Difference:
    """What differs between two runs.

    Attributes:
        sections: By section (``params``, ``metrics``, ``data``, …) and name, the values of both runs; ``MISSING``
            where one has no such name.
        code: By path, the unified diff of a captured file of code; the patch against the commit is ``changes.patch``.
    """

    sections: dict[str, dict[str, tuple[Any, Any]]] = field(default_factory=dict)
    code: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.sections or self.code)


def compare_runs(one: RunRecord, other: RunRecord) -> Difference:
    """In what two runs differ; what is equal is left out."""
    found = Difference()
    pairs: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "run": (_about(one), _about(other)),
        "params": (one.params, other.params),
        "metrics": (one.metrics, other.metrics),
        "tags": (one.tags, other.tags),
    }
    for section in dict.fromkeys([*one.facts, *other.facts]):
        pairs[section] = (_facts(one, section), _facts(other, section))
    for section, (left, right) in pairs.items():
        differing = _differing(left, right)
        if differing:
            found.sections[section] = differing
    for path in sorted({path for run in (one, other) for path in run.artifacts if path.startswith(_CODE)}):
        if text := _code(one, other, path):
            found.code[path] = text
    return found


def _about(run: RunRecord) -> dict[str, Any]:
    about = {"experiment": run.experiment, "status": run.status, "by": run.by}
    return {**about, "error": f"{run.error.type}: {run.error.message}"} if run.error else about


def _facts(run: RunRecord, section: str) -> dict[str, Any]:
    return dict(flat(run.facts[section])) if section in run.facts else {}


def _differing(left: dict[str, Any], right: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    pairs = {key: (left.get(key, MISSING), right.get(key, MISSING)) for key in dict.fromkeys([*left, *right])}
    return {
        key: pair
        for key, pair in pairs.items()
        if any(value is MISSING for value in pair) or _text(pair[0]) != _text(pair[1])
    }


def _text(value: Any) -> str:
    """As JSON, in which 1 and True are two, and NaN is equal to itself."""
    return repr(to_json(value))


def _code(one: RunRecord, other: RunRecord, path: str) -> str:
    shas = [run.artifacts[path].sha256 if path in run.artifacts else "" for run in (one, other)]
    if shas[0] == shas[1]:
        return ""
    left, right = (_lines(run, path) for run in (one, other))
    if left is None or right is None:
        return f"differs, and is too long, no text, or gone: sha256 {shas[0] or 'none'} and {shas[1] or 'none'}\n"
    lines = difflib.unified_diff(left, right, f"{one.name}/{path}", f"{other.name}/{path}", lineterm="")
    return "".join(f"{line}\n" for line in lines)


def _lines(run: RunRecord, path: str) -> list[str] | None:
    """The lines of a captured file, none where the run has no such file; None where it cannot be compared as text."""
    if path not in run.artifacts:
        return []
    if run.artifacts[path].size > _MAX_CODE:
        return None
    try:
        with run.open(path) as file:
            return file.read(_MAX_CODE).decode().split("\n")
    except (OSError, UnicodeDecodeError):
        return None

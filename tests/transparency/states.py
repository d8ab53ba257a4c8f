"""The whole state of an object as a flat mapping from a path to a leaf, to be compared bit by bit.

Arrays are leaves by dtype, shape and bytes; floats by their bits. Of anything else its class and its state
(``__getstate__``, ``__reduce_ex__``) are walked. Identity is not state: addresses do not occur.
"""

from __future__ import annotations

import functools
import hashlib
import types
from typing import Any

import numpy
import scipy.sparse


def state(value: Any) -> dict[str, str]:
    """All that ``value`` holds, by path."""
    leaves: dict[str, str] = {}
    _walk(value, "", leaves, {})
    return leaves


def differences(first: dict[str, str], second: dict[str, str]) -> list[str]:
    """Paths at which two states differ, in words."""
    return [
        f"{path}: {first.get(path, 'absent')} != {second.get(path, 'absent')}"
        for path in sorted({*first, *second})
        if first.get(path) != second.get(path)
    ]


def _walk(value: Any, path: str, leaves: dict[str, str], seen: dict[int, str]) -> None:
    kind = type(value)
    if value is None or kind in (bool, int, str, bytes, complex, type(Ellipsis)):
        leaves[path] = f"{kind.__name__} {value!r}"
        return
    if kind is float:
        leaves[path] = f"float {value.hex()}"
        return
    if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType, numpy.ufunc)):
        leaves[path] = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value.__name__)}"
        return
    if isinstance(value, (numpy.dtype, numpy.generic)):
        leaves[path] = f"{kind.__name__} {value!r}"
        return
    if id(value) in seen:  # which of two equal objects it is, is no state; a cycle must end
        leaves[path] = f"as at {seen[id(value)]}" if seen[id(value)] in _parents(path) else "shared"
        if leaves[path] != "shared":
            return
    seen[id(value)] = path
    for name, part in _parts(value, path, leaves):
        _walk(part, f"{path}{name}", leaves, seen)


def _parents(path: str) -> set[str]:
    return {path[:end] for end in range(len(path)) if path[end] in ".["} | {""}


def _parts(value: Any, path: str, leaves: dict[str, str]) -> list[tuple[str, Any]]:
    """What an object consists of; what can be said of it at once goes into ``leaves``."""
    kind = type(value)
    leaves[path] = f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(value, numpy.ndarray):
        leaves[path] += f" {value.dtype} {value.shape}"
        if value.dtype.hasobject:
            return [(f"[{index}]", item) for index, item in enumerate(value.reshape(-1).tolist())]
        if value.dtype.names:  # by field: what lies between them is nobody's
            return [(f"[{name!r}]", value[name]) for name in value.dtype.names]
        leaves[path] += f" {hashlib.sha256(numpy.ascontiguousarray(value).tobytes()).hexdigest()[:16]}"
        return []
    if scipy.sparse.issparse(value):
        table = value.tocoo()
        return [(".row", table.row), (".col", table.col), (".data", table.data), (".shape", table.shape)]
    if isinstance(value, dict):
        return [(f"[{key!r}]", item) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [(f"[{index}]", item) for index, item in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        return [(f"[{index}]", item) for index, item in enumerate(sorted(value, key=repr))]
    if isinstance(value, functools.partial):
        return [(".func", value.func), (".args", value.args), (".keywords", value.keywords)]
    if isinstance(value, types.MethodType):
        return [(".self", value.__self__), (".func", value.__func__)]
    if hasattr(value, "__dict__"):
        return [(f".{name}", item) for name, item in sorted(vars(value).items())]
    try:
        reduced = value.__reduce_ex__(4)
    except TypeError:  # generators and the like have no state to be had
        return []
    parts = [] if isinstance(reduced, str) else [part for part in reduced[1:3] if part is not None]
    return [(f".reduce{index}", part) for index, part in enumerate(parts)]

"""Python values as JSON and back, losing nothing that can be kept and calling no user code.

JSON types stay as they are. What JSON lacks is an object whose only or first key starts with ``$``:

==========  ==================================================================================
``$float``  "nan", "inf", "-inf"
``$map``    [[key, value], …]: a mapping with keys that are not strings, or that start with ``$``
``$set``    [value, …]
``$repr``   text of a value whose ``repr`` is safe to take and short (a class, a function, an enum)
``$array``  {"shape": […], "dtype": "…"}: an array too large to write out
``$type``   full name of the class of any other object; its ``__repr__`` is not called
``$cut``    first characters of a longer text, with ``chars`` (its length) and, where kept, ``file``
==========  ==================================================================================
"""

from __future__ import annotations

import enum
import math
import operator
import types
from collections.abc import Callable, Collection
from pathlib import PurePath
from typing import Any

__all__ = ["MAX_TEXT", "cut", "from_json", "is_default", "to_json", "type_name"]

MAX_TEXT = 4_000
"""Longest text kept in a record, in characters; longer ones are cut and kept whole in a file beside."""

_MAX_ITEMS = 1_000
_MAX_DEPTH = 20
_ARRAY_ITEMS = 64
_MAX_BITS = 1024  # of an integer; Python refuses to write out much longer ones
_SAFE_REPR = (range, complex, type(Ellipsis), type(NotImplemented))
_SAFE_REPR_MODULES = ("datetime", "decimal", "fractions", "uuid", "torch", "ipaddress")


def type_name(cls: type) -> str:
    """Full name of a class: ``sklearn.linear_model._logistic.LogisticRegression``; builtins without a module."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def to_json(value: Any, depth: int = 0) -> Any:
    """``value`` as JSON types and marks. Never raises for odd values, never calls their ``__repr__``.

    Classes are asked, not objects: ``isinstance`` would run a proxy's ``__class__``.
    """
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if value.bit_length() <= _MAX_BITS else cut(hex(value))
    if kind is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if kind is str:
        return value if len(value) <= MAX_TEXT else cut(value)
    if depth >= _MAX_DEPTH:
        return {"$type": type_name(kind)}
    for base in (list, tuple):
        if issubclass(kind, base):
            items = base.__getitem__(value, slice(_MAX_ITEMS))
            return [to_json(item, depth + 1) for item in items] + _rest(base.__len__(value))
    if issubclass(kind, dict):
        return _mapping(dict.items(value), depth)
    if kind is types.MappingProxyType:
        return _mapping(value.items(), depth)
    if kind is set or kind is frozenset:
        items = sorted(value, key=_sort_key)[:_MAX_ITEMS]
        return {"$set": [to_json(item, depth + 1) for item in items] + _rest(len(value))}
    return _odd(value, kind)


def _sort_key(item: Any) -> tuple[str, Any]:
    kind = type(item)
    return (type_name(kind), item if kind is int or kind is str or kind is float else 0)


def _rest(length: int) -> list[Any]:
    return [{"$cut": "…", "items": length}] if length > _MAX_ITEMS else []


def _mapping(pairs: Collection[tuple[Any, Any]], depth: int) -> Any:
    items = list(pairs)[:_MAX_ITEMS]
    if all(type(key) is str and not key.startswith("$") for key, _ in items):
        result = {key: to_json(item, depth + 1) for key, item in items}
        return result if len(pairs) <= _MAX_ITEMS else {**result, "…": _rest(len(pairs))[0]}
    rest = [["…", mark] for mark in _rest(len(pairs))]
    return {"$map": [[to_json(key, depth + 1), to_json(item, depth + 1)] for key, item in items] + rest}


def _odd(value: Any, kind: type) -> Any:
    """Values that are no exact JSON type."""
    module = kind.__module__ if type(kind.__module__) is str else ""
    if issubclass(kind, enum.Enum):
        return {"$repr": f"{kind.__name__}.{value._name_}"}
    if module == "numpy" or module.startswith("numpy."):
        return _numpy(value, kind)
    if issubclass(kind, PurePath):
        return to_json(PurePath.__str__(value))
    if issubclass(kind, str):
        return to_json(str.__str__(value))
    if issubclass(kind, int):
        return to_json(int.__int__(value))
    if issubclass(kind, float):
        return to_json(float.__float__(value))
    if issubclass(kind, type):
        return {"$repr": type_name(value)}
    if kind is types.FunctionType or kind is types.BuiltinFunctionType:
        return {"$repr": f"{value.__module__}.{value.__qualname__}"}
    if kind is bytes:
        return {"$repr": repr(value[:MAX_TEXT])[:MAX_TEXT]}
    if kind is slice:
        parts = [to_json(part, _MAX_DEPTH) for part in (value.start, value.stop, value.step)]
        return {"$repr": f"slice({', '.join(map(str, parts))})"}
    if any(kind is safe for safe in _SAFE_REPR) or (module in _SAFE_REPR_MODULES and not hasattr(value, "__array__")):
        return {"$repr": repr(value)[:MAX_TEXT]}
    return {"$type": type_name(kind)}


def _numpy(value: Any, kind: type) -> Any:
    """numpy's own scalars, arrays and dtypes, known by the module of their class: core does not import numpy."""
    bases = {base.__name__ for base in kind.__mro__}
    if "ndarray" in bases:
        if kind.__name__ == "ndarray" and value.size <= _ARRAY_ITEMS and value.dtype.kind in "biufUS":
            return to_json(value.tolist())
        return {"$array": {"shape": list(value.shape), "dtype": str(value.dtype)}}
    if "generic" in bases:
        item = value.item()
        return to_json(item) if type(item).__module__ == "builtins" else {"$repr": str(item)}
    if hasattr(value, "itemsize") or kind.__name__ == "ufunc":
        return {"$repr": str(value)}
    if kind.__name__ == "_ArrayFunctionDispatcher":  # numpy.mean and most of numpy's functions
        return {"$repr": f"{value.__module__}.{value.__qualname__}"}
    return {"$type": type_name(kind)}


def cut(text: str, file: str = "") -> dict[str, Any]:
    """The mark of a text that was too long; ``file`` names where it lies whole."""
    mark: dict[str, Any] = {"$cut": text[: MAX_TEXT // 4], "chars": len(text)}
    return {**mark, "file": file} if file else mark


def from_json(value: Any) -> Any:
    """The Python value of what ``to_json`` wrote. Marks without a value of their own become text."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    for mark, read in _MARKS.items():
        if mark in value:
            return read(value[mark])
    return {key: from_json(item) for key, item in value.items()}


def _hashable(value: Any) -> Any:
    if isinstance(value, set):
        return frozenset(value)
    return tuple(_hashable(item) for item in value) if isinstance(value, list) else value


def _read_map(pairs: Any) -> Any:
    try:
        return {_hashable(from_json(key)): from_json(item) for key, item in pairs}
    except (TypeError, ValueError):  # written by something else than to_json
        return pairs


def _read_set(items: Any) -> Any:
    try:
        return {_hashable(from_json(item)) for item in items}
    except TypeError:
        return items


def _read_float(text: Any) -> Any:
    return float(text) if text in ("nan", "inf", "-inf") else text


_MARKS: dict[str, Callable[[Any], Any]] = {
    "$float": _read_float,
    "$map": _read_map,
    "$set": _read_set,
    "$repr": str,
    "$array": lambda array: f"<array {array}>",
    "$type": lambda name: f"<{name}>",
    "$cut": lambda text: f"{text}…",
}


def as_float(value: Any) -> float:
    """A number, or an array or tensor of one element; raises what its type raises where it is none."""
    if isinstance(value, (str, bytes)):
        raise TypeError("text is no number")
    item = getattr(value, "item", None)
    return float(value if item is None else item())


def as_whole(value: Any) -> int | None:
    """A whole number of any type; None for another number, and for what is none what its type raises."""
    try:
        return operator.index(value)
    except TypeError:
        number = int(value)
        return number if number == value else None


def is_default(value: Any, default: Any) -> bool:
    """Whether a parameter still has its default. Only plain values are compared with ``==``: arrays answer oddly."""
    if value is default:
        return True
    if type(value) is not type(default):
        return False
    if type(value) is float and value != value:
        return bool(default != default)
    return type(value) in (bool, int, float, str, tuple, list, dict) and _plain_equal(value, default)


def _plain_equal(value: Any, default: Any) -> bool:
    try:
        return bool(value == default)
    except (ValueError, TypeError):  # containers of arrays
        return False

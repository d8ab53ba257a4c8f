"""Does it fit: data to a model's signature, this environment to what a model was saved with. Answers in words."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["misfits", "package_differences", "valid_signature"]

_SHOWN = 5
_MAX_NAMES = 100_000


def package_differences(requires: Mapping[str, str]) -> list[str]:
    """Packages that are not here in the version, by its first two numbers, that a model was saved with.

    Args:
        requires: Versions by distribution name.
    """
    found = []
    for name, saved in sorted(requires.items()):
        here = _installed(name)
        if here is None:
            found.append(f"{name} {saved} (not installed here)")
        elif _first_two(here) != _first_two(saved):
            found.append(f"{name} {saved} (here {here})")
    return found


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):  # or it is known by the name that it is imported by
        version = getattr(sys.modules.get(name), "__version__", None)
        return None if version is None else str(version)


def _first_two(version: str) -> list[str]:
    return version.split(".")[:2]


def valid_signature(signature: Mapping[str, Any]) -> dict[str, Any]:
    """``inputs`` and ``outputs``. A store is not believed: what is of other types, or too much, is left out."""
    return {side: half for side in ("inputs", "outputs") if (half := _valid_half(signature.get(side)))}


def _valid_half(half: Any, named: bool = False) -> dict[str, Any]:
    if not isinstance(half, Mapping):
        return {}
    tensors = half.get("tensors")
    if isinstance(tensors, Mapping) and not named:
        inner = {name: about for name, one in tensors.items() if (about := _valid_half(one, named=True))}
        return {"tensors": inner} if inner else {}
    shape, columns, dtypes = half.get("shape"), half.get("columns"), half.get("dtypes", [])
    if not isinstance(shape, list) or len(shape) > 64 or not all(_is_size(size) for size in shape):
        return {}
    found: dict[str, Any] = {"shape": shape}
    if isinstance(half.get("dtype"), str):
        found["dtype"] = half["dtype"]
    if _are_names(columns) and _are_names(dtypes):
        found |= {"columns": columns, "dtypes": dtypes}
    return found


def _is_size(size: Any) -> bool:
    return size is None or (type(size) is int and 0 <= size < 2**63)


def _are_names(names: Any) -> bool:
    """Texts and numbers, or lists of them, as the columns of a frame with several levels have."""
    return (
        isinstance(names, list)
        and len(names) <= _MAX_NAMES
        and not any(isinstance(part, (list, dict)) for name in names for part in (name if type(name) is list else ()))
    )


def misfits(expected: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """What of some data does not fit a signature; empty where all that is known does.

    Args:
        expected: ``inputs`` of a signature: ``shape`` with null for the number of rows, ``dtype``, or ``columns`` and
            ``dtypes``; or ``tensors``: such ones by name.
        given: The data, described in the same way.
    """
    if "tensors" in expected or "tensors" in given:
        return _tensors(expected, given)
    names, has = (list(map(str, about.get("columns", ()))) for about in (expected, given))
    shapes = [about.get("shape") or [] for about in (expected, given)]
    found: list[str] = []
    if names and has:
        found += _columns(names, has)
    elif len(shapes[0]) != len(shapes[1]):
        found.append(f"the data has {_count(len(shapes[1]), 'dimension')}, the model was trained on {len(shapes[0])}")
    else:
        for axis, (wanted, size) in enumerate(zip(*shapes, strict=True)):
            if axis and wanted is not None and size is not None and wanted != size:
                what = "column" if len(shapes[0]) == 2 else f"entry along axis {axis}"
                found.append(f"the data has {_count(size, what)}, the model was trained on {wanted}")
    if names and not has and not found:
        found.append(f"the data has no column names; the model was trained on {_list(names)}, in this order")
    return found + _dtypes(expected, given, names, has)


def _tensors(expected: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """As ``misfits``, where a mapping of tensors was taken, or is given."""
    wanted: Mapping[str, Any] | None = expected.get("tensors")
    found: Mapping[str, Any] | None = given.get("tensors")
    if wanted is None:
        return [f"the data is a mapping of {_list(list(found or ()))}, the model was trained on one array"]
    if found is None:
        return [f"the data is one array, the model was trained on a mapping of {_list(list(wanted))}"]
    missing = [name for name in wanted if name not in found]
    both = [(name, misfits(wanted[name], found[name])) for name in wanted if name in found]
    said = [f"{name}: {text}" for name, texts in both for text in texts]
    return ([f"missing of the mapping: {_list(missing)}"] if missing else []) + said


def _columns(names: list[str], has: list[str]) -> list[str]:
    missing = [name for name in names if name not in has]
    extra = [name for name in has if name not in names]
    found = [f"missing columns: {_list(missing)}"] if missing else []
    if extra:
        found.append(f"columns that the model does not know: {_list(extra)}")
    if not found and names != has:
        place = next(i for i, (one, other) in enumerate(zip(names, has, strict=False)) if one != other)
        found.append(f"the columns are in another order: {has[place]!r} stands where {names[place]!r} should")
    return found


def _dtypes(expected: Mapping[str, Any], given: Mapping[str, Any], names: list[str], has: list[str]) -> list[str]:
    """Kinds of values that differ: numbers for text, say. Widths of numbers do not matter."""
    wanted = dict(zip(names, expected.get("dtypes", ()), strict=False))
    found = dict(zip(has, given.get("dtypes", ()), strict=False))
    if wanted and found:
        both = [(f"column {name!r}", wanted[name], found[name]) for name in wanted if name in found]
    else:
        one = expected.get("dtype") or _only(wanted.values())
        other = given.get("dtype") or _only(found.values())
        both = [("the data", one, other)] if one and other else []
    differing = [(what, one, other) for what, one, other in both if _kind(one) != _kind(other)]
    told = [f"{what} is {other}, the model was trained on {one}" for what, one, other in differing[:_SHOWN]]
    rest = len(differing) - _SHOWN
    return [*told, f"and {_count(rest, 'more column')} of other types"] if rest > 0 else told


def _only(values: Any) -> str:
    """The one that all are; empty where they differ."""
    distinct = set(values)
    return str(distinct.pop()) if len(distinct) == 1 else ""


def _kind(dtype: str) -> str:
    name = str(dtype).lower().removeprefix("torch.")
    if name.startswith(("int", "uint", "float", "double", "half", "bfloat", "long", "bool")):
        return "number"
    return (
        "text" if name.startswith(("str", "object", "<u", "|s", "utf8")) else name.partition("[")[0].partition("(")[0]
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("s" if number != 1 else "")


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more

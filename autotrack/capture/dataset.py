"""A fingerprint of training data, taken before the fit from in-memory types only; nothing is computed lazily.

Types are known by the module of their exact class, so nothing is imported here that the user has not
imported. Anything else (a dask frame, a memory map, a user's own container) is recorded by its type name.
"""

from __future__ import annotations

import collections
import hashlib
import math
import sys
from typing import Any

from autotrack.values import to_json, type_name

__all__ = ["HASH_BYTES", "describe_columns", "describe_data", "first_rows"]

HASH_BYTES = 8_000_000
"""Bytes hashed of each array; a larger one is hashed in evenly spaced blocks, and said to be sampled."""

_BLOCKS = 64
_SUMMARY_ROWS = 10_000
_SUMMARY_COLUMNS = 100
_FRAME_COLUMNS = 1_000  # some 20 us each
_CLASSES = 50
_LIST_ITEMS = 100_000
_KNOWN = ("numpy", "pandas", "polars", "scipy")
_SPARSE_PARTS = {
    **dict.fromkeys(("csr", "csc", "bsr"), ("data", "indices", "indptr")),
    "coo": ("data", "row", "col"),
    "dia": ("data", "offsets"),
}


def describe_data(data: Any, target: bool = False) -> dict[str, Any] | None:
    """Type, shape, dtypes, columns, summary and hash of one argument of ``fit``; None for None.

    Args:
        data: numpy array, pandas or polars frame or series, scipy sparse matrix, list of numbers or strings.
        target: Whether it is the target: few distinct values are then counted as classes.
    """
    if data is None:
        return None
    kind = type(data)
    module, _, _ = kind.__module__.partition(".")
    facts: dict[str, Any] = {"type": type_name(kind)}
    if module == "numpy" and kind.__name__ == "ndarray":
        facts.update(_array(data, target))
    elif module == "pandas" and kind.__name__ in ("DataFrame", "Series"):
        facts.update(_pandas(data, target))
    elif module == "polars" and kind.__name__ in ("DataFrame", "Series"):
        facts.update(_polars(data, target))
    elif module == "scipy" and hasattr(data, "nnz") and hasattr(data, "format"):
        facts.update(_sparse(data))
    elif kind in (list, tuple) and "numpy" in sys.modules and 0 < len(data) <= _LIST_ITEMS:
        facts.update(_list(data, target))
    return facts


def describe_columns(data: Any) -> dict[str, Any]:
    """Shape, dtypes and column names alone, with null for the number of rows; empty where there are none."""
    shape = data.shape if type(data).__module__.partition(".")[0] in _KNOWN and hasattr(data, "shape") else None
    if not isinstance(shape, tuple):
        return {}
    facts: dict[str, Any] = {"shape": [None, *shape[1:]]}
    if hasattr(data, "columns"):
        return {**facts, **_named(list(data.columns), [str(dtype) for dtype in data.dtypes])}
    return {**facts, "dtype": str(data.dtype)} if hasattr(data, "dtype") else facts


def first_rows(data: Any, count: int = 5) -> dict[str, Any]:
    """The first rows of in-memory data in JSON types: ``rows``, and ``columns`` where they have names."""
    module, _, _ = type(data).__module__.partition(".")
    if module == "pandas" and hasattr(data, "columns"):
        return {"columns": to_json(list(data.columns)), "rows": to_json(data.head(count).to_numpy().tolist())}
    if module == "polars" and hasattr(data, "columns"):
        return {"columns": list(data.columns), "rows": to_json([list(row) for row in data.head(count).rows()])}
    if (type(data).__module__, type(data).__name__) in (("numpy", "ndarray"), ("torch", "Tensor")):
        return {"rows": to_json(data[:count].tolist())}
    return {"rows": to_json(list(data[:count]))} if type(data) in (list, tuple) else {"type": type_name(type(data))}


def _array(array: Any, target: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {"shape": list(array.shape), "dtype": str(array.dtype)}
    if array.ndim:
        facts.update(_summarised(len(array)))
    if array.dtype.hasobject:  # what is in memory are addresses
        facts.update(_object_hash(array))
    else:
        facts.update(_hash_arrays([array]))
    if array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1):
        facts.update(_column(array.reshape(-1), target))
    elif array.ndim == 2 and array.dtype.kind in "biuf":
        facts["features"] = _matrix(array)
    return facts


def _summarised(rows: int) -> dict[str, int]:
    """How many rows the summary is of, where it is not all of them."""
    return {"summary_rows": len(_rows(range(rows)))} if rows > _SUMMARY_ROWS else {}


def _rows(array: Any) -> Any:
    """At most ``_SUMMARY_ROWS`` rows, evenly spaced."""
    return array[:: math.ceil(len(array) / _SUMMARY_ROWS)] if len(array) > _SUMMARY_ROWS else array


def _matrix(array: Any) -> dict[str, list[Any]]:
    """Mean, deviation, extremes and missing values of the first columns, over finite values of sampled rows."""
    numpy = sys.modules["numpy"]
    part = _rows(array)[:, :_SUMMARY_COLUMNS].astype("float64")
    with numpy.errstate(all="ignore"):
        finite = numpy.isfinite(part)
        if finite.all() and len(part):
            mean, deviation, low, high = part.mean(0), part.std(0), part.min(0), part.max(0)
            missing = [0] * part.shape[1]
        else:
            count = finite.sum(0)
            zeroed = numpy.where(finite, part, 0.0)
            mean = zeroed.sum(0) / count
            deviation = numpy.sqrt(numpy.where(finite, (part - mean) ** 2, 0.0).sum(0) / count)
            low = numpy.where(finite, part, math.inf).min(0, initial=math.inf)
            high = numpy.where(finite, part, -math.inf).max(0, initial=-math.inf)
            missing = numpy.isnan(part).sum(0).tolist()
    return {
        "mean": _short(mean),
        "std": _short(deviation),
        "min": _short(low),
        "max": _short(high),
        "missing": missing,
    }


def _short(array: Any) -> list[Any]:
    """Six significant digits are enough for a summary."""
    return [to_json(float(f"{number:.6g}")) for number in array.tolist()]


def _column(column: Any, target: bool) -> dict[str, Any]:
    """Summary of one column: classes with counts for a target of few values, else mean and extremes."""
    numpy = sys.modules["numpy"]
    part = _rows(column)
    if target and column.dtype.kind in "biuUS":
        labels, counts = numpy.unique(part, return_counts=True)
        if len(labels) <= _CLASSES:
            return {"classes": [[to_json(label), int(count)] for label, count in zip(labels, counts, strict=True)]}
    if target and column.dtype.kind == "O" and all(type(item) is str for item in part.tolist()):
        named = sorted(collections.Counter(part.tolist()).items())
        return {"classes": [list(pair) for pair in named]} if len(named) <= _CLASSES else {}
    if column.dtype.kind in "biuf" and len(part):
        return {"features": _matrix(part.reshape(-1, 1))}
    return {}


def _hash_arrays(arrays: list[Any]) -> dict[str, Any]:
    """sha256 over dtype, shape and bytes of arrays of plain dtypes."""
    numpy = sys.modules["numpy"]
    digest = hashlib.sha256()
    budget = HASH_BYTES // max(1, len(arrays))
    sampled = False
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        if array.nbytes > budget:
            sampled = True
            flat = array if array.ndim == 1 else array.reshape(-1) if array.flags.c_contiguous else array
            size = max(1, budget // _BLOCKS // max(1, array.nbytes // max(1, len(flat))))
            for start in numpy.linspace(0, max(0, len(flat) - size), _BLOCKS).astype(int).tolist():
                digest.update(numpy.ascontiguousarray(flat[start : start + size]).tobytes())
        else:
            digest.update(numpy.ascontiguousarray(array).tobytes())
    return {"hash": digest.hexdigest()[:32], **({"sampled": True} if sampled else {})}


def _object_hash(array: Any) -> dict[str, Any]:
    """Hash of an object array that holds strings, numbers and None only: no user object's code is called."""
    items = array.reshape(-1)[:_LIST_ITEMS].tolist()
    if not all(item is None or type(item) in (str, int, float, bool, bytes) for item in items):
        return {}
    digest = hashlib.sha256(repr(array.shape).encode())
    digest.update("\0".join(map(repr, items)).encode("utf-8", "surrogatepass"))
    return {"hash": digest.hexdigest()[:32], **({"sampled": True} if array.size > len(items) else {})}


def _pandas(data: Any, target: bool) -> dict[str, Any]:
    """A frame is hashed column by column: its whole as one array may have to be copied."""
    if type(data).__name__ == "Series":
        facts = {"shape": list(data.shape), "dtype": str(data.dtype), "name": to_json(data.name)}
        return {**_series(_plain(data), len(data), target), **facts}
    names = list(data.columns)
    facts = {"shape": list(data.shape), **_named(names, [str(dtype) for dtype in data.dtypes])}
    first = range(min(len(names), _FRAME_COLUMNS))
    return {**facts, **_columns([_plain(data.iloc[:, index]) for index in first], data.shape)}


def _plain(series: Any) -> Any:
    """A pandas column as a numpy array, where it is held as one or holds strings; else None."""
    if type(series.dtype).__module__.startswith("numpy"):
        return series.to_numpy(copy=False)
    if type(series.dtype).__name__ in ("CategoricalDtype", "StringDtype"):
        return series.iloc[:_LIST_ITEMS].astype(object).to_numpy()
    return None


def _polars(data: Any, target: bool) -> dict[str, Any]:
    if type(data).__name__ == "Series":
        facts = {"shape": [len(data)], "dtype": str(data.dtype), "name": data.name}
        return {**_series(_plain_polars(data), len(data), target), **facts}
    facts = {"shape": list(data.shape), **_named(data.columns, [str(dtype) for dtype in data.dtypes])}
    return {**facts, **_columns([_plain_polars(data[name]) for name in data.columns[:_FRAME_COLUMNS]], data.shape)}


def _plain_polars(series: Any) -> Any:
    """A polars column as a numpy array, where it holds numbers, times or strings; else None."""
    kind = str(series.dtype).partition("(")[0]
    if kind in ("String", "Categorical", "Enum"):
        return series.head(_LIST_ITEMS).to_numpy()
    return series.to_numpy() if series.dtype.is_numeric() or series.dtype.is_temporal() or kind == "Boolean" else None


def _named(names: list[Any], dtypes: list[str]) -> dict[str, Any]:
    return {"columns": to_json(names), "dtypes": to_json(dtypes)}


def _series(values: Any, rows: int, target: bool) -> dict[str, Any]:
    """A column that stands for itself; ``values`` may be its first rows only, or None."""
    facts = {} if values is None else _array(values, target)
    return {**facts, "sampled": True} if values is not None and len(values) < rows else facts


def _columns(columns: list[Any], shape: tuple[int, int]) -> dict[str, Any]:
    """Hash of the first columns together, and their summary where they are numeric."""
    numpy = sys.modules["numpy"]
    plain = [column for column in columns if column is not None]
    arrays = [column for column in plain if not column.dtype.hasobject]
    digests = [_hash_arrays(arrays)] + [_object_hash(column) for column in plain if column.dtype.hasobject]
    facts: dict[str, Any] = {
        "hash": hashlib.sha256("".join(d.get("hash", "") for d in digests).encode()).hexdigest()[:32]
    }
    if any("sampled" in digest for digest in digests) or any(len(column) < shape[0] for column in plain):
        facts["sampled"] = True
    if len(plain) < shape[1] or not all("hash" in digest for digest in digests):
        facts["partly_hashed"] = True
    numeric = [column for column in columns[:_SUMMARY_COLUMNS] if column is not None and column.dtype.kind in "biuf"]
    if numeric and len(numeric) == len(columns[:_SUMMARY_COLUMNS]):
        facts["features"] = _matrix(numpy.column_stack([_rows(column).astype("float64") for column in numeric]))
        facts.update(_summarised(shape[0]))
    return facts


def _sparse(data: Any) -> dict[str, Any]:
    facts = {"shape": list(data.shape), "dtype": str(data.dtype), "nonzero": int(data.nnz)}
    names = _SPARSE_PARTS.get(data.format)
    return {**facts, **_hash_arrays([getattr(data, name) for name in names])} if names else facts


def _list(data: Any, target: bool) -> dict[str, Any]:
    """A list is read as numpy would, if it holds plain numbers or strings (or lists of them)."""
    rows = data if type(data[0]) in (list, tuple) else [data]
    if not all(type(row) in (list, tuple) for row in rows) or sum(map(len, rows)) > _LIST_ITEMS:
        return {"shape": [len(data)]}
    if not all(type(item) in (int, float, bool, str) for row in rows for item in row) or len(set(map(len, rows))) > 1:
        return {"shape": [len(data)]}
    if any(type(item) is int and abs(item) >= 2**63 for row in rows for item in row):
        return {"shape": [len(data)]}
    return _array(sys.modules["numpy"].asarray(data), target)

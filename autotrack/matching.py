"""Whether a run meets the conditions of a filter, and where it comes in an order.

``docs/filter.md`` is the written table of what is compared with what.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from autotrack.backends.heads import RunHead

__all__ = ["ATTRIBUTES", "MISSING", "Comparison", "Order", "matches", "meets", "sort_key"]

_NUMBER_TEXT = re.compile(r"\s*[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|nan|inf|infinity)\s*", re.IGNORECASE)


def _time(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value * 1000


ATTRIBUTES: dict[str, Callable[[RunHead], Any]] = {
    "id": lambda run: run.id,
    "name": lambda run: run.name,
    "status": lambda run: run.status,
    "experiment": lambda run: run.experiment,
    "start_time": lambda run: _time(run.start),
    "end_time": lambda run: _time(None if run.duration is None else run.start + run.duration),
    "duration": lambda run: run.duration,
    "parent": lambda run: run.parent or None,
    "session": lambda run: run.session or None,
    "by": lambda run: run.by or None,
    "user": lambda run: run.user,
    "host": lambda run: run.host,
}
"""Attributes of a run by name."""


class Comparison(NamedTuple):
    """One condition: all of a filter's must hold.

    Attributes:
        entity: metrics, params, tags or attributes.
        key: Name in it.
        operator: ``=  !=  <  <=  >  >=  in  like  ilike  null``.
        value: What it is compared with; for ``in`` a tuple.
        negated: ``not in``, ``not like``, ``is not null``.
    """

    entity: str
    key: str
    operator: str
    value: Any = None
    negated: bool = False


class Order(NamedTuple):
    """One column to sort by."""

    entity: str
    key: str
    descending: bool = False


MISSING = object()
"""The value of what a run has not."""


def _value(run: RunHead, entity: str, key: str) -> Any:
    """What is compared; ``MISSING`` where the run has none. A param may be None."""
    if entity == "attributes":
        value = ATTRIBUTES[key](run)
        return MISSING if value is None else value
    return getattr(run, entity).get(key, MISSING)


def matches(comparison: Comparison, run: RunHead) -> bool:
    """Whether a condition holds for a run."""
    return meets(comparison, _value(run, comparison.entity, comparison.key))


def meets(comparison: Comparison, value: Any) -> bool:
    """Whether a condition holds for a value. For ``MISSING`` only ``IS NULL`` does."""
    if comparison.operator == "null":
        return (value is MISSING or value is None) != comparison.negated
    if value is MISSING:
        return False
    if comparison.operator == "in":
        return any(_holds(value, "=", one) for one in comparison.value) != comparison.negated
    if comparison.operator in ("like", "ilike"):
        return _like(_text(value), comparison.value, comparison.operator == "ilike") != comparison.negated
    return _holds(value, comparison.operator, comparison.value)


def _holds(value: Any, operator: str, wanted: Any) -> bool:
    if operator == "!=":
        return not _holds(value, "=", wanted)
    left: Any
    if isinstance(wanted, bool):
        left = _text(value).lower() == "true" if _text(value).lower() in ("true", "false") else None
    elif isinstance(wanted, str):
        left = _text(value)
    else:
        left = _number(value)
        if left != left and wanted != wanted:  # isnan() refuses whole numbers that no float can hold
            return operator == "="  # so that they can be found
    if left is None:
        return False
    compared: bool = {
        "=": left == wanted, "<": left < wanted, "<=": left <= wanted, ">": left > wanted, ">=": left >= wanted,
    }[operator]  # fmt: skip
    return compared


def _text(value: Any) -> str:
    """As Python writes it, which is what MLflow keeps of a param."""
    return value if isinstance(value, str) else str(value)


def _number(value: Any) -> float | int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, str) and _NUMBER_TEXT.fullmatch(value):
        return float(value)
    return None


def _like(text: str, pattern: str, ignore_case: bool) -> bool:
    """SQL's LIKE, in time linear in both: each piece between two % is taken where it is first found."""
    pieces = ["".join("." if c == "_" else re.escape(c) for c in piece) for piece in pattern.split("%")]
    first, last = pieces[0], pieces[-1]
    regex = first + "".join(f"(?>.*?{piece})" for piece in pieces[1:-1]) + (f".*{last}" if len(pieces) > 1 else "")
    return re.fullmatch(regex, text, re.DOTALL | (re.IGNORECASE if ignore_case else 0)) is not None


def sort_key(order: Order) -> Callable[[RunHead], tuple[Any, ...]]:
    """For a stable sort by one column: numbers, then text, then NaN, then runs without it, in both directions."""
    sign = -1 if order.descending else 1

    def key(run: RunHead) -> tuple[Any, ...]:
        value = _value(run, order.entity, order.key)
        if value is MISSING or value is None:
            return (3,)
        number = _number(value)
        if number is None:
            return (1, _Reversed(_text(value)) if order.descending else _text(value))
        return (2,) if number != number else (0, sign * number)

    return key


class _Reversed:
    """Text that sorts the other way round."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __lt__(self, other: _Reversed) -> bool:
        return other.text < self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Reversed) and self.text == other.text

    __hash__ = None  # type: ignore[assignment]

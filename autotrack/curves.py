"""Curves drawn with braille characters: two columns and four rows of dots in each."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["curve"]

_BLANK = 0x2800
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # by column, from top to bottom


def curve(values: Sequence[float], width: int, height: int) -> list[str]:
    """A curve of values in equal steps, in ``height`` lines of ``width`` characters, the highest value at the top.

    Where several values share a column of dots, the line spans them; neighbours are joined. NaN leaves a gap, and
    infinities lie on the edge.
    """
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    columns, rows = width * 2, height * 4
    cells = [[_BLANK] * width for _ in range(height)]
    before: tuple[int, int] | None = None
    for column in range(min(columns, max(len(values), 1))):
        spread = min(columns, len(values))
        part = values[column * len(values) // spread : (column + 1) * len(values) // spread] if spread else ()
        dots = [_row(value, low, high, rows) for value in part if not math.isnan(value)]
        if not dots:
            before = None
            continue
        first, last = min(dots), max(dots)
        at = column if len(values) >= columns else round(column * (columns - 1) / max(1, len(values) - 1))
        if before is not None:
            _join(cells, before, (at, dots[0]))
        for row in range(first, last + 1):
            _set(cells, at, row)
        before = (at, dots[-1])
    return ["".join(map(chr, line)) for line in cells]


def _row(value: float, low: float, high: float, rows: int) -> int:
    """Row of dots from the top; a flat curve lies in the middle."""
    if low == high:
        return rows // 2 if math.isfinite(value) else (0 if value > 0 else rows - 1)
    # Halves first: the difference of the largest doubles is infinite.
    share = (min(max(value, low), high) / 2 - low / 2) / (high / 2 - low / 2)
    return round((1 - share) * (rows - 1))


def _set(cells: list[list[int]], column: int, row: int) -> None:
    cells[row // 4][column // 2] |= _DOTS[column % 2][row % 4]


def _join(cells: list[list[int]], one: tuple[int, int], other: tuple[int, int]) -> None:
    """A straight line between two dots."""
    steps = max(abs(other[0] - one[0]), abs(other[1] - one[1]), 1)
    for step in range(steps + 1):
        column = one[0] + round((other[0] - one[0]) * step / steps)
        row = one[1] + round((other[1] - one[1]) * step / steps)
        _set(cells, column, row)

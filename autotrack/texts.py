"""Numbers, times and names as people read them. Names in a store are hostile until escaped."""

from __future__ import annotations

import math
import time

__all__ = ["ago", "number", "printable", "seconds", "short_name", "size"]


def printable(text: object, width: int = 200) -> str:
    """Text without anything that a terminal would obey: control and direction characters are written out."""
    shown = "".join(
        char if char.isprintable() else f"\\u{ord(char):04x}" if ord(char) > 255 else f"\\x{ord(char):02x}"
        for char in str(text)[: width + 1]
    )
    return shown if len(shown) <= width else shown[: width - 1] + "…"


def number(value: float) -> str:
    """A metric for a table: four significant digits."""
    return f"{value:.4g}" if not math.isfinite(value) or value != int(value) or abs(value) >= 1e6 else str(int(value))


def seconds(duration: float | None) -> str:
    """A duration in words a person reads at once."""
    if duration is None:
        return ""
    if duration < 1:
        return f"{duration * 1e3:.0f} ms"
    if duration < 100:
        return f"{duration:.1f} s"
    minutes, rest = divmod(int(duration), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {rest:02d} s"


def ago(start: float) -> str:
    """When something began, seen from now."""
    if math.isnan(start):
        return ""
    past = time.time() - start
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if past >= size:
            return f"{int(past // size)} {unit} ago"
    return "now"


def short_name(name: str, width: int) -> str:
    """A run's name in so many characters. What is left out is in the middle: the end tells runs apart."""
    text = printable(name)
    return text if len(text) <= width else f"{text[: width - 8]}…{text[-7:]}"


def size(count: int) -> str:
    """Bytes in words a person reads at once."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.3g} {unit}" if unit != "bytes" else f"{count} bytes"
        value /= 1000
    return f"{value:,.3g} TB"

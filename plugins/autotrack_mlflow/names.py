"""Keys and values as an MLflow server takes them; the same input always gives the same output."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import posixpath
import re
import zlib
from typing import Any

from autotrack.records import number_from_json

__all__ = [
    "TAG_LENGTH",
    "VALUE_LENGTH",
    "clean",
    "experiment_name",
    "key",
    "metric_value",
    "model_name",
    "packed",
    "param_text",
    "shortened",
    "step",
    "unpacked",
]

KEY_LENGTH = 250
VALUE_LENGTH = 6000
"""Longest value of a param."""
TAG_LENGTH = 5000
"""Longest value of a tag: newer servers take 8000."""

_PLAIN = re.compile(r"[\w\-. /:]+")
_ODD = re.compile(r"[^\w\-. /:]")
_NO_MODEL_NAME = re.compile(r"[/:.%\"']")
_INT64 = 2**63 - 1
_UNPACKED = 1_000_000
"""Bytes that a tag of ours unpacks to at most."""


def key(name: str) -> str:
    """A name as a server takes it; where that is another one, with a mark that keeps two such names apart."""
    if _PLAIN.fullmatch(name) and len(name) <= KEY_LENGTH and posixpath.normpath(name) == name and _is_inside(name):
        return name
    parts = [part for part in _ODD.sub("_", name).split("/") if part not in ("", ".", "..")]
    return f"{'/'.join(parts)[: KEY_LENGTH - 9]}_{_mark(name)}"


def _mark(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _is_inside(name: str) -> bool:
    return name != "." and not name.startswith(("..", "/"))


def metric_value(value: float | str) -> float | str:
    """A number of a journal as MLflow's JSON has it."""
    number = number_from_json(value)
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else ("Infinity" if number > 0 else "-Infinity")


def step(value: int | None) -> int:
    """A step that fits into 64 bits."""
    return max(-_INT64, min(_INT64, value or 0))


def param_text(value: Any) -> str:
    """A param of a journal as text: as ``str`` gives it where it is one value, as JSON where it is several."""
    if isinstance(value, str):
        return clean(value)
    if value is None or isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, dict) and len(value) == 1:
        mark, content = next(iter(value.items()))
        if mark in ("$float", "$repr", "$type") and isinstance(content, str):
            return clean(content)
    if isinstance(value, dict) and isinstance(value.get("$cut"), str):
        return f"{clean(value['$cut'])}…"
    return json.dumps(value, ensure_ascii=True)


def clean(text: str) -> str:
    """Text without lone surrogates, which no UTF-8 has, and without NUL, which databases refuse."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def shortened(text: str, length: int) -> str:
    """Text of at most ``length`` characters; a cut one ends with a mark."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def experiment_name(name: str) -> str:
    """The name of an experiment: any text of 1 to 500 characters."""
    return shortened(clean(name), 500) or "Default"


def model_name(name: str) -> str:
    """The name of a logged model: any text but for six characters; another one has a mark, as in ``key``."""
    text = clean(name)
    if not _NO_MODEL_NAME.search(text) and len(text) <= KEY_LENGTH:
        return text
    return f"{_NO_MODEL_NAME.sub('_', text)[: KEY_LENGTH - 9]}_{_mark(name)}"


def packed(content: bytes) -> str:
    """Content as a tag, compressed; empty where it is too long for one."""
    text = base64.b64encode(zlib.compress(content, 9)).decode()
    return text if len(text) <= TAG_LENGTH else ""


def unpacked(text: str) -> bytes:
    """What ``packed`` packed; empty where it is something else, or longer than a tag can hold in earnest."""
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(base64.b64decode(text, validate=True), _UNPACKED)
    except (ValueError, binascii.Error, zlib.error):
        return b""
    return content if unpacker.eof else b""

"""What the reading half of a server is made with, its registry too. A training imports none of it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from autotrack import values
from autotrack.backends.head_rows import PARTS, Part, decode_state, encode_state
from autotrack.backends.heads import HeadState, Query, RunHead, derived_status, head_in, head_of
from autotrack.backends.registry import (
    ModelVersion,
    RegisteredModel,
    Registry,
    check_change,
    check_content,
    check_registered_name,
    is_registered_name,
    place_aliases,
)

__all__ = [
    "ModelVersion",
    "Query",
    "RegisteredModel",
    "Registry",
    "RunHead",
    "check_change",
    "check_content",
    "check_registered_name",
    "decode_head",
    "derived_status",
    "encode_head",
    "head_in",
    "head_of",
    "is_registered_name",
    "place_aliases",
]


_Metric = tuple[int, float, float, float, int | None, float]
_sizes = msgspec.json.Decoder(dict[str, int])


def encode_head(state: HeadState, sizes: Mapping[str, int]) -> bytes:
    """The head of a run, as its journals of these sizes in bytes, by writer, make it."""
    return b"\n".join([msgspec.json.encode(dict(sizes)), *encode_state(state)])


def decode_head(content: bytes, sizes: Mapping[str, int]) -> HeadState | None:
    """What ``encode_head`` wrote for journals of these sizes; None where it is of others, or is no head."""
    try:
        of, head, *parts = content.split(b"\n")
        if _sizes.decode(of) != sizes:
            return None
        state = decode_state(head, parts, [Part(part) for part in PARTS])
        assert state is not None  # all of it is wanted
        for value in state.params.values():
            values.from_json(value)
        msgspec.convert(state.metrics, dict[str, _Metric])
        msgspec.convert(state.tags, dict[str, str])
    except (ValueError, TypeError, LookupError, RecursionError):  # it comes from a server
        return None
    return state

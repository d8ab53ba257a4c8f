"""Heads as rows of the index: JSON, since that holds whatever a journal holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from autotrack import values
from autotrack.backends.heads import HeadState, Query
from autotrack.backends.marks import FileMark
from autotrack.matching import MISSING, meets
from autotrack.records import number_from_json, number_to_json

__all__ = ["PARTS", "Part", "decode_marks", "decode_state", "encode_marks", "encode_state"]

PARTS = ("params", "metrics", "tags")
"""What of a head has a column of its own, beside all the rest."""

_head = msgspec.json.Decoder(HeadState)
_marks = msgspec.json.Decoder(list[FileMark])
_mapping = msgspec.json.Decoder(dict[str, Any])


def encode_marks(marks: list[FileMark]) -> bytes:
    """How far the files of a run were read."""
    return _encode(marks)


def decode_marks(data: bytes) -> list[FileMark]:
    """What ``encode_marks`` wrote.

    Raises:
        ValueError: It is something else.
    """
    marks: list[FileMark] = _decode(_marks, data)
    return marks


def encode_state(state: HeadState) -> tuple[bytes, ...]:
    """The columns of a head: all but the parts, then each of ``PARTS``."""
    metrics = {
        key: [seen[0], *(number_to_json(number) for number in seen[1:4]), *seen[4:]]
        for key, seen in state.metrics.items()
    }
    rest = msgspec.structs.replace(state, params={}, metrics={}, tags={})
    return _encode(rest), _encode(state.params), _encode(metrics), _encode(state.tags)


class Part:
    """One of ``PARTS`` as it is wanted: what a query looks at, or all of it."""

    def __init__(self, name: str, query: Query | None = None) -> None:
        self.name = name
        self._decode = _decoder(None if query is None else query.keys(name))
        conditions = () if query is None else query.conditions
        self._conditions = [condition for condition in conditions if condition.entity == name]

    def decode(self, data: bytes) -> dict[str, Any]:
        """The part of its column.

        Raises:
            ValueError, TypeError, LookupError: It is something else.
        """
        content = self._decode(data)
        if self.name == "metrics" and (b'"nan"' in data or b'inf"' in data):
            for seen in content.values():
                seen[1:4] = [number_from_json(number) for number in seen[1:4]]
        return content

    def meets(self, content: dict[str, Any]) -> bool:
        """Whether the query's conditions on this part hold.

        Raises:
            ValueError, TypeError, LookupError: It is something else.
        """
        for condition in self._conditions:
            value = content.get(condition.key, MISSING)
            if value is not MISSING and self.name == "metrics":
                value = value[1]
            elif value is not MISSING and self.name == "params":
                value = values.from_json(value)
            if not meets(condition, value):
                return False
        return True


def decode_state(head: bytes, columns: Collection[bytes], parts: Collection[Part]) -> HeadState | None:
    """A head of its first column and those of its parts; None where one of these does not meet what is wanted.

    Raises:
        ValueError, TypeError, LookupError: They are something else.
    """
    contents = []
    for part, data in zip(parts, columns, strict=True):
        contents.append(part.decode(data))
        if not part.meets(contents[-1]):
            return None
    state: HeadState = _decode(_head, head)
    for part, content in zip(parts, contents, strict=True):
        setattr(state, part.name, content)
    return state


def _decoder(keys: Collection[str] | None) -> Callable[[bytes], dict[str, Any]]:
    """What decodes a mapping: with these keys, which costs less than with all (None)."""

    def decode_all(data: bytes) -> dict[str, Any]:
        content: dict[str, Any] = _decode(_mapping, data)
        return content

    if keys is None:
        return decode_all
    names = {f"key{index}": key for index, key in enumerate(sorted(keys))}
    try:
        wanted = msgspec.defstruct("Wanted", [(name, Any, msgspec.UNSET) for name in names], rename=names)
    except ValueError:  # odd characters in a key
        return decode_all
    decoder = msgspec.json.Decoder(wanted)

    def decode(data: bytes) -> dict[str, Any]:
        try:
            found = msgspec.structs.astuple(decoder.decode(data))
        except msgspec.DecodeError:  # as in _decode
            return decode_all(data)
        pairs = zip(names.values(), found, strict=True)
        return {key: value for key, value in pairs if value is not msgspec.UNSET}

    return decode


def _encode(content: Any) -> bytes:
    try:
        return msgspec.json.encode(content)
    except UnicodeEncodeError:  # lone surrogates
        return json.dumps(msgspec.to_builtins(content)).encode()


def _decode(decoder: msgspec.json.Decoder[Any], data: bytes) -> Any:
    try:
        return decoder.decode(data)
    except msgspec.DecodeError:  # lone surrogates, or damage
        try:
            return msgspec.convert(json.loads(data), decoder.type)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from None

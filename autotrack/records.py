"""What one line of a journal may be.

A journal is a file of JSON objects, one a line. ``k`` names the kind, ``t`` is the time in whole
microseconds since the ``start`` of the file's head, ``c`` (absent for the run itself) names the
child run that the record belongs to. docs/journal-format.md describes the format for readers in
other languages.

When a record changes:

1. A new optional field, a new kind: nothing else to do; older readers ignore the one and count the other.
2. Anything else (a field renamed, a meaning changed): raise ``FORMAT_VERSION``, keep reading the old
   one, and put a store of the old version into tests/data.
3. docs/journal-format.md, the changelog and tests/test_records.py follow in the same commit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, Union, cast

import msgspec

__all__ = [
    "FORMAT_VERSION",
    "Artifact",
    "Begin",
    "Change",
    "End",
    "Facts",
    "Failure",
    "Head",
    "Metrics",
    "Model",
    "Note",
    "Params",
    "Points",
    "Record",
    "RegistryChange",
    "Removed",
    "Restored",
    "Resumed",
    "Seal",
    "Summary",
    "Tags",
    "Version",
    "decode",
    "decode_lines",
    "encode",
    "encode_all",
    "model_number",
    "number_from_json",
    "number_to_json",
]

FORMAT_VERSION = 1

_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class Record(msgspec.Struct, tag_field="k", omit_defaults=True, gc=False):
    """Base of all records. Field names are short where a line is written per step.

    What they hold are JSON types, so that the garbage collector need not look at them.
    """

    t: int = 0
    c: str = ""


class Head(Record, tag="head", kw_only=True):
    """First line of every file: who writes it, and when its clock started (Unix time in microseconds)."""

    v: int
    run: str
    writer: str
    start: int
    host: str = ""
    pid: int = 0


class Begin(Record, tag="begin", kw_only=True):
    """A run (or, with ``c``, a child run) starts."""

    name: str
    experiment: str = ""
    session: str = ""
    parent: str = ""
    by: str = ""


class Change(Record, tag="change", kw_only=True):
    """Attributes of the run (or of an experiment) that were changed after its start; those that are None stay.

    ``archived`` is for experiments only.
    """

    name: str | None = None
    experiment: str | None = None
    description: str | None = None
    archived: bool | None = None


class Params(Record, tag="params", kw_only=True):
    """Parameters, with JSON types kept (``values.to_json``); ``changed`` lists those that differ from their default."""

    p: dict[str, Any]
    changed: list[str] = []


class Metrics(Record, tag="m"):
    """Values of one or more metrics at one step. NaN and infinities are the strings nan, inf, -inf."""

    m: dict[str, float | str] = {}
    s: int | None = None
    e: int | None = None


class Points(Record, tag="points", kw_only=True):
    """Many points of one metric, gathered into one line: ``s`` steps, ``v`` values, ``dt`` microseconds after ``t``.

    ``dt`` is absent where all points have the time ``t``. In a thinned history each point stands for an
    interval: ``v`` is its mean, ``lo`` and ``hi`` its extremes, ``n`` the number of values.
    """

    key: str
    s: list[int]
    v: list[float | str]
    dt: list[int] = []
    e: list[int] = []
    lo: list[float | str] = []
    hi: list[float | str] = []
    n: list[int] = []


class Tags(Record, tag="tags", kw_only=True):
    """Tags set; a null removes the tag."""

    g: dict[str, str | None]


class Facts(Record, tag="facts", kw_only=True):
    """What the run knows about its world, by section (``data``, ``fitted``, ``git``, ``environment``, …)."""

    f: dict[str, Any]


class Artifact(Record, tag="artifact", kw_only=True):
    """A file that lies whole in the run's folder under ``path`` (POSIX, relative to that folder)."""

    path: str
    size: int
    sha256: str


class Model(Record, tag="model", kw_only=True):
    """A saved model. The newest record of a name counts: a pickle may be followed by its safe form.

    ``becomes`` is the format that a pickle is being turned into, ``stays`` says why it will not be. ``gone`` says by
    what its files were deleted. ``signature`` describes inputs and outputs: columns, dtypes, shapes with null for the
    number of rows. ``types`` names what of the file the library of its format does not trust by itself; None where
    nobody looked. Beside the file lie ``requirements.txt`` and, where it was asked for, ``input_example.json``.
    """

    name: str
    format: str
    path: str
    size: int
    sha256: str
    cls: str = ""
    requires: dict[str, str] = {}
    stays: str = ""
    becomes: str = ""
    signature: dict[str, Any] = {}
    types: list[str] | None = None
    gone: str = ""


class Version(Record, tag="version", kw_only=True):
    """Version ``n`` of a registered model, as it was registered: it never changes, and needs its run no more.

    ``at`` is Unix time in microseconds, ``by`` who did it, ``run`` the run that the model came from. Paths of ``model``
    and ``files`` are relative to the version. ``lineage`` holds what the run knew (``run_name``, ``experiment``,
    ``params``, ``metrics``, ``data``, ``git``).
    """

    n: int
    at: int
    model: Model
    by: str = ""
    run: str = ""
    files: list[Artifact] = []
    lineage: dict[str, Any] = {}


class RegistryChange(Record, tag="registry", kw_only=True):
    """What ``by`` changed of a registered model: ``aliases`` (null takes one away), and tags and description of
    version ``n``, or of the model itself where that is 0."""

    n: int = 0
    by: str = ""
    aliases: dict[str, int | None] = {}
    tags: dict[str, str | None] = {}
    description: str | None = None


class Note(Record, tag="note", kw_only=True):
    """Something a person should know: what was not recorded, and why."""

    text: str
    level: str = "info"


class Failure(msgspec.Struct, omit_defaults=True):
    """The exception that ended a run."""

    type: str
    message: str
    traceback: str = ""


class Summary(Record, tag="summary", kw_only=True):
    """All that a list of runs shows, as known to this writer when it was written.

    ``metrics`` maps a key to [count, last, min, max, last step].
    """

    params: dict[str, Any] = {}
    metrics: dict[str, list[float | str | None]] = {}
    tags: dict[str, str] = {}


class End(Record, tag="end", kw_only=True):
    """The run's outermost training returned or raised. A record, not a seal: more may follow.

    ``children`` is the number of child runs that its writer began, None where that is not said. Where it is, ``begin``
    and this record are all that a list of runs needs of the file up to here.
    """

    status: str
    duration: float
    error: Failure | None = None
    incomplete: bool = False
    dropped: int = 0
    params: dict[str, Any] = {}
    metrics: dict[str, list[float | str | None]] = {}
    tags: dict[str, str] = {}
    changed: list[str] = []
    children: int | None = None


class Resumed(Record, tag="resumed", kw_only=True):
    """The training goes on after an ``end``: in the next cell of a notebook, or because what ended it was no end."""


class Removed(Record, tag="removed", kw_only=True):
    """A tombstone: the run is deleted, whatever else its files say."""

    by: str = ""


class Restored(Record, tag="restored", kw_only=True):
    """Takes back the ``removed`` before it."""


class Seal(Record, tag="seal", kw_only=True):
    """crc32 of this file's bytes from the last seal's first byte (or the file's) to ``o``, after ``n`` lines."""

    o: int
    n: int
    crc: int


AnyRecord = Union[
    Head, Begin, Change, Params, Metrics, Points, Tags, Facts, Artifact, Model, Note, Summary, End, Resumed, Removed,
    Restored, Seal, Version, RegistryChange,
]  # fmt: skip

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyRecord] = msgspec.json.Decoder(AnyRecord)
_KINDS = frozenset(str(kind.__struct_config__.tag) for kind in AnyRecord.__args__)  # type: ignore[attr-defined]


def encode(record: Record) -> bytes:
    """One line, with its newline. Lone surrogates are kept as JSON escapes, which msgspec refuses to write."""
    try:
        return _encoder.encode(record) + b"\n"
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(record), separators=(",", ":"), allow_nan=False).encode() + b"\n"


def encode_all(records: Sequence[Record]) -> bytes:
    """One line for each, in half of ``encode``'s time."""
    try:
        return _encoder.encode_lines(list(records))  # of anything but a list msgspec 0.22 leaks a copy
    except UnicodeEncodeError:
        return b"".join([encode(record) for record in records])


def decode(line: bytes) -> AnyRecord | None:
    """The record of one line, or None where its kind is not known to this version.

    Raises:
        ValueError: The line is no record; the message says why.
    """
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, RecursionError):
        pass
    # The slow way: lone surrogates, which msgspec refuses to read, kinds of a later version, and damage.
    try:
        raw = json.loads(line, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if isinstance(raw, dict) and isinstance(raw.get("k"), str) and raw["k"] not in _KINDS:
        return None
    try:
        return cast("AnyRecord", msgspec.convert(raw, AnyRecord))
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def decode_lines(data: bytes) -> list[Record]:
    """The records of whole lines; without those that are damaged or of unknown kinds."""
    try:
        records: list[Record] = list(_decoder.decode_lines(data))
    except (ValueError, msgspec.DecodeError, RecursionError):
        records = []
    if len(records) == data.strip(b"\n").count(b"\n") + 1:  # msgspec takes two that lost the newline between them
        return records
    found: list[Record] = []
    for line in data.split(b"\n"):
        try:
            record = decode(line) if line else None
        except ValueError:
            continue
        if record is not None:
            found.append(record)
    return found


def model_number(model: Model) -> int:
    """How many times a model of this name had been saved, by the name of its file: ``model-2.skops``."""
    number = PurePosixPath(model.path).stem.removeprefix(f"{model.name}-")
    return int(number) if number.isdecimal() and len(number) < 10 else 1


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def number_to_json(value: float) -> float | str:
    """A float as it stands in a journal: JSON has no NaN and no infinities, so they are strings."""
    if value - value == 0.0:  # finite; the cheapest test that there is
        return value
    return "nan" if value != value else ("inf" if value > 0 else "-inf")


def number_from_json(value: float | str | None) -> float:
    """The float that ``number_to_json`` wrote.

    Raises:
        ValueError: A string that is none of nan, inf, -inf.
    """
    if isinstance(value, str):
        try:
            return _NON_FINITE[value]
        except KeyError:
            raise ValueError(f"{value!r} is not a number") from None
    return math.nan if value is None else float(value)

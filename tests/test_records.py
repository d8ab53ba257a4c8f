"""Records: encoded and decoded they are equal, damage is refused with a reason, the document names them all."""

import json
import math
import re
import tracemalloc
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from autotrack import records
from autotrack.records import Metrics, Note, decode, decode_lines, encode, encode_all, number_from_json, number_to_json

KINDS = tuple(records.AnyRecord.__args__)
DOCUMENT = Path(__file__).parents[1] / "docs" / "journal-format.md"

# Text as a program may hold it: surrogates that stand alone, NUL, quotes, line ends.
texts = st.text(st.characters(exclude_categories=()), max_size=20)
numbers = st.floats().map(number_to_json) | st.sampled_from(["nan", "inf", "-inf"])
whole = st.integers(-(2**70), 2**70)
plain = st.recursive(
    st.none() | st.booleans() | whole | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
points = st.lists(numbers, max_size=5)
wholes = st.lists(whole, max_size=5)
last = st.dictionaries(texts, st.lists(numbers | st.none(), min_size=5, max_size=5), max_size=3)
tags = st.dictionaries(texts, texts, max_size=3)
at = {"t": st.integers(0, 10**12), "c": st.sampled_from(["", "1", "2.7"])}
failures = st.builds(records.Failure, type=texts, message=texts, traceback=texts)

contents = st.one_of(
    st.builds(records.Begin, name=texts, experiment=texts, session=texts, parent=texts, by=texts, **at),
    st.builds(
        records.Change, name=st.none() | texts, description=st.none() | texts, archived=st.none() | st.booleans(), **at
    ),
    st.builds(records.Params, p=st.dictionaries(texts, plain, max_size=3), changed=st.lists(texts, max_size=3), **at),
    st.builds(Metrics, m=st.dictionaries(texts, numbers, max_size=4), s=st.none() | whole, e=st.none() | whole, **at),
    st.builds(
        records.Points, key=texts, s=wholes, v=points, dt=wholes, e=wholes, lo=points, hi=points, n=wholes, **at
    ),
    st.builds(records.Tags, g=st.dictionaries(texts, st.none() | texts, max_size=3), **at),
    st.builds(records.Facts, f=st.dictionaries(texts, plain, max_size=3), **at),
    st.builds(records.Artifact, path=texts, size=whole, sha256=texts, **at),
    st.builds(
        records.Model, name=texts, format=texts, path=texts, size=whole, sha256=texts, cls=texts, requires=tags,
        stays=texts, **at,
    ),
    st.builds(
        records.Version, n=whole, at=whole, by=texts, run=texts,
        files=st.lists(st.builds(records.Artifact, path=texts, size=whole, sha256=texts), max_size=2),
        model=st.builds(records.Model, name=texts, format=texts, path=texts, size=whole, sha256=texts),
        lineage=st.dictionaries(texts, plain, max_size=3), **at,
    ),
    st.builds(
        records.RegistryChange, n=whole, by=texts, aliases=st.dictionaries(texts, st.none() | whole, max_size=3),
        tags=st.dictionaries(texts, st.none() | texts, max_size=3), description=st.none() | texts, **at,
    ),
    st.builds(records.Note, text=texts, level=texts, **at),
    st.builds(records.Summary, params=st.dictionaries(texts, plain, max_size=3), metrics=last, tags=tags, **at),
    st.builds(
        records.End, status=texts, duration=st.floats(0, 1e9), error=st.none() | failures, incomplete=st.booleans(),
        dropped=whole, params=st.dictionaries(texts, plain, max_size=3), metrics=last, tags=tags, **at,
    ),
    st.builds(records.Resumed, **at),
    st.builds(records.Removed, by=texts, **at),
    st.builds(records.Restored, **at),
)  # fmt: skip
structural = st.builds(
    records.Head, v=st.just(1), run=texts, writer=texts, start=whole, host=texts, pid=whole, t=at["t"]
) | st.builds(records.Seal, o=whole, n=whole, crc=st.integers(0, 2**32 - 1), t=at["t"])


@pytest.mark.parametrize(
    "hurt",
    [b'{"k":"note","text":"a"}{"k":"note","text":"b"}', b'{"k":"note","text":"\xc3"}', b"{", b'{"k":"x"}', b"[" * 9999],
    ids=["joined", "no text", "torn", "unknown", "deep"],
)
def test_of_many_lines_only_the_damaged_ones_are_left_out(hurt: bytes):
    good = [Note(text="first"), Note(text="last")]
    data = encode(good[0]) + hurt + b"\n" + encode(good[1])
    assert decode_lines(data) == decode_lines(data.rstrip(b"\n")) == good


def test_the_strategies_make_every_kind():
    names = [repr(branch) for branch in (contents | structural).branches]
    for kind in KINDS:
        assert any(f"builds({kind.__name__}," in name for name in names), kind


@settings(max_examples=300, deadline=None)
@given(contents | structural)
def test_a_record_comes_back_equal_and_stays_one_line(record):
    line = encode(record)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == record


@settings(max_examples=50, deadline=None)
@given(st.lists(contents, max_size=4))
def test_many_at_once_are_the_same_lines(several):
    assert encode_all(several) == b"".join(map(encode, several))


@settings(max_examples=100, deadline=None)
@given(contents)
def test_other_programs_can_read_a_line(record):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    raw = json.loads(encode(record), parse_constant=refuse)
    assert raw["k"] == type(record).__struct_config__.tag


@given(st.floats())
def test_numbers_keep_nan_and_infinities(value):
    back = number_from_json(json.loads(json.dumps(number_to_json(value), allow_nan=False)))
    assert back == value or (math.isnan(back) and math.isnan(value))
    assert math.copysign(1, back) == math.copysign(1, value) or math.isnan(value)


def test_a_number_that_is_none_is_refused():
    with pytest.raises(ValueError, match="'1e3' is not a number"):
        number_from_json("1e3")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | texts.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_record_or_a_value_error(line):
    try:
        result = decode(line)
    except ValueError:
        return
    assert result is None or isinstance(result, KINDS)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([kind.__struct_config__.tag for kind in KINDS]), st.dictionaries(texts, plain, max_size=4))
def test_wrong_types_are_named_not_crashed_on(kind, fields):
    fields = {key: value for key, value in fields.items() if key != "k"}
    try:
        result = decode(json.dumps({"k": kind, **fields}).encode())
    except ValueError:
        return
    assert type(result).__struct_config__.tag == kind


@pytest.mark.parametrize(
    "line",
    [
        b'{"k":"m","t":"soon"}',
        b'{"k":"m","m":{"loss":null}}',
        b'{"k":"m","m":{"loss":NaN}}',
        b'{"k":"params"}',
        b'{"k":5}',
        b"[]",
        b'"m"',
        b"null",
        b"",
        b'{"k":"note","text":"\xff"}',
        b'{"k":"params","p":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_record_is_refused(line):
    with pytest.raises(ValueError, match=r"\w"):
        decode(line)


def test_unknown_kinds_and_fields_of_later_versions_are_passed_over():
    assert decode(b'{"k":"video","t":1,"frames":[1,2]}') is None
    assert decode(b'{"k":"video","title":"\\ud800"}') is None
    assert decode(b'{"k":"note","text":"x","colour":"red"}') == records.Note(text="x")


@given(
    key=st.text(max_size=30), step=st.integers(0, 10**10 - 1), value=st.floats(), time=st.integers(0, 7 * 86400 * 10**6)
)
def test_one_metric_takes_at_most_80_bytes_and_its_key(key, step, value, time):
    line = encode(Metrics(time, "", {key: number_to_json(value)}, step))
    assert len(line) <= 80 + len(msgspec.json.encode(key)) - 2


def test_the_longest_line_of_one_metric():
    line = encode(Metrics(7 * 86400 * 10**6 - 1, "", {"loss": -2.2250738585072014e-308}, 10**10 - 1))
    assert len(line) <= 80 + len("loss")
    assert decode(line).m == {"loss": -2.2250738585072014e-308}


# ---- the document ---------------------------------------------------------------------------------------------------


def _section(kind):
    found = re.search(rf"^### `{kind}`.*?(?=^##)", DOCUMENT.read_text() + "\n##", re.MULTILINE | re.DOTALL)
    assert found, f"docs/journal-format.md has no section for the kind {kind!r}"
    return found[0]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_document_names_every_kind_and_field(kind):
    section = _section(kind.__struct_config__.tag)
    for field in msgspec.structs.fields(kind):
        if field.encode_name not in ("t", "c"):
            assert f"`{field.encode_name}`" in section, field.encode_name


def test_the_document_names_the_common_fields_failures_marks_and_version():
    text = DOCUMENT.read_text()
    for word in ("`k`", "`t`", "`c`", "$float", "$map", "$set", "$repr", "$array", "$type", "$cut"):
        assert word in text, word
    for field in msgspec.structs.fields(records.Failure):
        assert f"`{field.encode_name}`" in _section("end")
    assert f"version {records.FORMAT_VERSION}" in text


def test_the_example_of_the_document_is_a_whole_journal():
    from autotrack.backends.journal import read_journal

    example = re.search(r"```jsonl\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[1].encode()
    entries, damage, unknown = read_journal("0123456789abcdef.jsonl", example, "20261122T193015123-9f8e7d6c5b")
    assert (damage, unknown) == ([], 0)
    assert {type(entry.record).__name__ for entry in entries} >= {"Begin", "Params", "Metrics", "End"}
    assert b'"k":"seal"' in example.splitlines()[-1]


def test_lines_of_any_sequence_leave_nothing_behind():
    record = Note(text="a")
    encode_all((record,))
    tracemalloc.start()
    try:
        for _ in range(1_000):
            encode_all((record, record))
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < 16_000

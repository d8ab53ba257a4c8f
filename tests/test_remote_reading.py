"""Heads of runs as a server keeps them: they come back equal, or not at all."""

import math

import msgspec
import pytest

from autotrack.backends.heads import HeadFold, HeadState
from autotrack.records import Begin, End, Failure, Metrics, Params, Tags
from autotrack.remote_reading import decode_head, encode_head

SIZES = {"0123456789abcdef": 1234, "fedcba9876543210": 5}


def state() -> HeadState:
    fold = HeadFold()
    for time, record in enumerate(
        [
            Begin(name="a run \ud800", experiment="e"),
            Params(p={"C": 1.0, "n": 3, "x": {"$float": "inf"}}, changed=["C"]),
            Metrics(m={"loss": "nan", "acc": 0.5}, s=3),
            Tags(g={"team": "ü"}),
            End(status="failed", duration=2.0, error=Failure("ValueError", "no", "Traceback")),
        ]
    ):
        fold.take(float(time), record)
    return fold.state


def test_a_head_comes_back_equal():
    given = state()
    found = decode_head(encode_head(given, SIZES), SIZES)
    assert found is not None
    assert repr(found) == repr(given)  # NaN is not equal to itself
    assert math.isnan(found.metrics["loss"][1])


def test_a_head_of_other_journals_does_not_count():
    content = encode_head(state(), SIZES)
    for sizes in ({}, {"0123456789abcdef": 1234}, {**SIZES, "0123456789abcdef": 1235}):
        assert decode_head(content, sizes) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"{}", b"{}\n{}\n{}\n{}", b"{" * 99999, b"{}\n[]\n{}\n{}\n{}", b"{}\n{}\n{}\n{}\n7", b"\xff\n" * 5],
    ids=["empty", "null", "one", "four", "deep", "list", "number", "no text"],
)
def test_what_is_no_head_does_not_count(content: bytes):
    assert decode_head(content, {}) is None


@pytest.mark.parametrize(
    "parts",
    [
        [{"name": 7}, {}, {}, {}],
        [{}, {}, {"loss": "x"}, {}],
        [{}, {}, {"loss": [1, 2]}, {}],
        [{}, {}, {"loss": [1, "x", 1, 1, 1, 1]}, {}],
        [{}, {}, {}, {"a": 1}],
    ],
    ids=["name", "metric", "short", "value", "tag"],
)
def test_a_head_of_wrong_types_does_not_count(parts: list[object]):
    assert decode_head(b"\n".join(map(msgspec.json.encode, [{}, *parts])), {}) is None

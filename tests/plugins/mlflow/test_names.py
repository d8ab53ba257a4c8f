"""Keys and values as MLflow takes them, judged by MLflow's own checks."""

import posixpath

import pytest
from autotrack_mlflow import names
from hypothesis import given, strategies as st
from mlflow.utils.validation import _validate_metric_name, _validate_tag_name

ODD = [
    "",
    ".",
    "..",
    "/",
    "//",
    "a//b",
    "a/../b",
    "../x",
    "/x",
    "x/",
    "%",
    "a%b",
    "ü",
    "\ud800",
    "\0",
    "x" * 251,
    "a\nb",
]


@given(st.text(st.characters(), max_size=300) | st.sampled_from(ODD))
def test_every_name_becomes_one_that_mlflow_takes(name: str):
    key = names.key(name)
    _validate_metric_name(key)
    _validate_tag_name(key)
    assert 0 < len(key) <= 250
    assert posixpath.normpath(key) == key
    assert names.key(name) == key


@given(st.lists(st.text(st.sampled_from("ab/.%_ -:\0"), max_size=6), unique=True))
def test_two_names_stay_two(given_names: list[str]):
    assert len({names.key(name) for name in given_names}) == len(given_names)


@pytest.mark.parametrize("name", ["loss", "val/loss", "score_on_X_test", "a b-c.d:e", "größe"])
def test_a_plain_name_stays(name: str):
    assert names.key(name) == name


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"), (True, "True"), (0.1, "0.1"), (3, "3"), ("x", "x"), ({"$float": "nan"}, "nan"),
        ({"$type": "a.B"}, "a.B"), ([1, "a", None], '[1, "a", null]'), ({"a": 1}, '{"a": 1}'),
        ("a\0\ud800", "a\\x00\\ud800"),
        ({"$cut": "abc", "chars": 9}, "abc…"),
    ],
    ids=str,
)  # fmt: skip
def test_params_as_text(value: object, text: str):
    assert names.param_text(value) == text


def test_numbers():
    assert [names.metric_value(value) for value in (0.5, "nan", "inf", "-inf")] == [0.5, "NaN", "Infinity", "-Infinity"]
    with pytest.raises(ValueError, match="not a number"):
        names.metric_value("7")
    assert [names.step(step) for step in (None, -3, 2**70, -(2**70))] == [0, -3, 2**63 - 1, -(2**63) + 1]

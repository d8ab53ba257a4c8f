"""Values as JSON: a round trip for what JSON can hold, a mark for the rest, and no code of the user's on the way."""

import collections
import datetime
import decimal
import enum
import json
import math
import pathlib
import types

import numpy
import pytest
from hypothesis import given, settings, strategies as st

from autotrack import values
from autotrack.values import from_json, is_default, to_json

texts = st.text(st.characters(exclude_categories=()), max_size=20) | st.sampled_from(["$float", "$map", "$", "…"])
plain = st.none() | st.booleans() | st.integers(-(2**1000), 2**1000) | st.floats() | texts
keys = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts | st.tuples(texts, st.integers())
sets = st.frozensets(st.integers() | texts | st.frozensets(st.integers(), max_size=2), max_size=4)
trees = st.recursive(
    plain | sets,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


def same(one, other):
    """Equality that tells 1 from 1.0 and from True, and takes NaN as equal to itself."""
    if isinstance(one, (set, frozenset)) and isinstance(other, (set, frozenset)):
        return one == other
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1, one) == math.copysign(1, other)
        )
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(key, key2) and same(item, item2)
            for (key, item), (key2, item2) in zip(one.items(), other.items(), strict=True)
        )
    return one == other


def through_json(value):
    return from_json(json.loads(json.dumps(to_json(value), allow_nan=False)))


@settings(max_examples=400, deadline=None)
@given(trees)
def test_round_trip(value):
    assert same(through_json(value), value)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        -0.0,
        {1: "a", "1": "b"},
        {"$float": 1},
        {None: math.nan},
        {1, 2.5, "a"},
        {(1, 2): 3},
    ],
    ids=["nan", "inf", "-inf", "-0", "int-key", "mark", "none-key", "set", "tuple-key"],  # a set has no fixed text
)
def test_round_trip_of_what_json_lacks(value):
    assert same(through_json(value), value)


def test_tuples_and_subclasses_of_plain_types_become_their_plain_type():
    point = collections.namedtuple("point", "x y")

    class Text(str):
        pass

    class Whole(int):
        pass

    class Real(float):
        pass

    got = through_json([(1, 2), point(1, 2.5), Text("a"), Whole(3), Real("inf"), collections.OrderedDict(b=1, a=2)])
    assert same(got, [[1, 2], [1, 2.5], "a", 3, math.inf, {"b": 1, "a": 2}])


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Colour.RED, "Colour.RED"),
        (int, "int"),
        (len, "builtins.len"),
        (math.isnan, "math.isnan"),
        (collections.OrderedDict, "collections.OrderedDict"),
        (range(3), "range(0, 3)"),
        (slice(None, 3), "slice(None, 3, None)"),
        (1 + 2j, "(1+2j)"),
        (b"ab", "b'ab'"),
        (decimal.Decimal("1.10"), "Decimal('1.10')"),
        (datetime.date(2026, 11, 22), "datetime.date(2026, 11, 22)"),
        (numpy.dtype("float32"), "float32"),
    ],
    ids=repr,
)
def test_values_whose_text_is_safe_are_kept_as_text(value, text):
    assert to_json(value) == {"$repr": text}
    assert from_json(to_json(value)) == text


def test_paths_are_text():
    assert to_json(pathlib.PurePosixPath("/a/b")) == "/a/b"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (numpy.float32(0.5), 0.5),
        (numpy.float64("nan"), {"$float": "nan"}),
        (numpy.int64(7), 7),
        (numpy.bool_(True), True),
        (numpy.str_("x"), "x"),
        (numpy.arange(3), [0, 1, 2]),
        (numpy.array([[1.0, numpy.inf]]), [[1.0, {"$float": "inf"}]]),
        (numpy.array(2.5), 2.5),
        (numpy.zeros((100, 2), "float32"), {"$array": {"shape": [100, 2], "dtype": "float32"}}),
        (numpy.array([object()]), {"$array": {"shape": [1], "dtype": "object"}}),
        (numpy.ma.array([1, 2, 3]), {"$array": {"shape": [3], "dtype": "int64"}}),
        (numpy.ones((1, 2)).view(numpy.recarray), {"$array": {"shape": [1, 2], "dtype": "float64"}}),
        (numpy.random.RandomState(0), {"$type": "numpy.random.mtrand.RandomState"}),
    ],
    # Explicit: some have addresses in their text, and workers of pytest-xdist must agree on the names.
    ids=[
        "float32",
        "nan",
        "int64",
        "bool",
        "str",
        "vector",
        "matrix",
        "scalar",
        "large",
        "object",
        "masked",
        "record",
        "random state",
    ],
)
def test_numpy(value, expected):
    result = to_json(value)
    assert result == expected
    assert type(result) is type(expected)


def test_torch_values():
    torch = pytest.importorskip("torch")
    assert to_json(torch.float32) == {"$repr": "torch.float32"}
    assert to_json(torch.device("cpu")) == {"$repr": "device(type='cpu')"}
    assert to_json(torch.zeros(3)) == {"$type": "torch.Tensor"}
    assert to_json(torch.Size([2, 3])) == [2, 3]


# ---- hostile values -------------------------------------------------------------------------------------------------


def _boom(*args, **kwargs):
    raise RuntimeError("the user's code was called")


NAMES = """
    __repr__ __str__ __len__ __iter__ __getitem__ __eq__ __lt__ __bool__ __float__ __int__ __index__ __format__
    __getattr__ __reduce__ __fspath__ items keys tolist item
"""
HOOKS = dict.fromkeys(NAMES.split(), _boom)
HOOKS["__hash__"] = object.__hash__
HOOKS["__class__"] = property(_boom)


@pytest.mark.parametrize(
    "base", [object, list, tuple, dict, set, frozenset, str, bytes, int, float, complex, types.SimpleNamespace]
)
def test_no_code_of_the_users_is_called(base):
    value = type("Hostile", (base,), dict(HOOKS))()
    for given_value in (
        value,
        [value],
        {"key": value},
        {1: value},
        (value,),
        slice(value),
        types.MappingProxyType({1: value}),
    ):
        json.dumps(to_json(given_value), allow_nan=False)


def test_hostile_keys_members_and_classes():
    class Hostile:
        __repr__ = __str__ = __eq__ = __lt__ = _boom
        __hash__ = object.__hash__

    class Same(type):
        __eq__ = __instancecheck__ = __subclasscheck__ = _boom
        __hash__ = type.__hash__

    class OfMeta(metaclass=Same):
        pass

    odd_module = type("Odd", (), {"__module__": 5})
    like_str = type("str", (), {})
    hostile = Hostile()
    name = to_json(hostile)["$type"]
    assert name.endswith("Hostile")
    assert to_json({hostile}) == {"$set": [{"$type": name}]}
    assert to_json({hostile: 1}) == {"$map": [[{"$type": name}, 1]]}
    assert to_json({hostile, "a", 1, 2.0, like_str()})["$set"]
    assert to_json([OfMeta(), OfMeta, odd_module()])


def test_loops_depth_and_length_are_bounded():
    loop = []
    loop.append(loop)
    assert json.dumps(to_json(loop)).count("[") == values._MAX_DEPTH
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert to_json(deep)
    assert to_json(list(range(5000)))[-1] == {"$cut": "…", "items": 5000}
    assert len(to_json(list(range(5000)))) == values._MAX_ITEMS + 1
    assert to_json(set(range(5000)))["$set"][-1] == {"$cut": "…", "items": 5000}
    assert to_json({str(i): i for i in range(5000)})["…"] == {"$cut": "…", "items": 5000}
    assert to_json({i: i for i in range(5000)})["$map"][-1] == ["…", {"$cut": "…", "items": 5000}]


def test_long_texts_and_integers_are_cut_with_a_mark():
    text = "x" * values.MAX_TEXT
    assert to_json(text) == text
    mark = to_json(text + "y")
    assert mark["chars"] == len(text) + 1
    assert from_json(mark) == text[: values.MAX_TEXT // 4] + "…"
    huge = 16**5000
    assert to_json(huge)["chars"] == len(hex(huge))
    assert from_json(to_json(huge)).startswith("0x1000")
    assert len(to_json(b"x" * 10**6)["$repr"]) <= values.MAX_TEXT


@pytest.mark.parametrize(
    "mark",
    [{"$map": 5}, {"$map": [1, 2]}, {"$map": [[[], 1]]}, {"$map": [[{"a": 1}, 1]]}, {"$set": 5}, {"$set": [{"a": 1}]},
     {"$float": "1"}, {"$float": []}, {"$repr": None}, {"$array": "x"}, {"$cut": 5}],
    ids=str,
)  # fmt: skip
def test_marks_that_to_json_would_never_write_are_read_somehow(mark):
    from_json(mark)  # must not raise


# ---- defaults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "default", "expected"),
    [
        (1, 1, True), (1, 1.0, False), (True, 1, False), (math.nan, math.nan, True), (math.nan, 1.0, False),
        ("a", "a", True), ((1, 2), (1, 2), True), ([1], [2], False), (None, None, True),
        ([numpy.zeros(2)], [numpy.zeros(2)], False), (numpy.zeros(2), numpy.zeros(2), False),
    ],
)  # fmt: skip
def test_is_default(value, default, expected):
    assert is_default(value, default) is expected

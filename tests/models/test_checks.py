"""Whether data fits a model and packages fit, in words."""

import importlib.metadata
import logging

import numpy
import pandas
import polars
import pytest

import autotrack
from autotrack.models.checks import misfits, package_differences
from autotrack.records import Model
from tests.models.toy import log_toy

FRAME = {"shape": [None, 3], "columns": ["a", "b", "c"], "dtypes": ["float64", "int64", "object"]}
ARRAY = {"shape": [None, 3], "dtype": "float64"}


def stored(inputs) -> autotrack.StoredModel:
    record = Model(name="m", format="toy", path="m.toy", size=1, sha256="", signature={"inputs": inputs})
    return autotrack.StoredModel("r/m", "model 'm'", record, "r", lambda path: None, lambda: record, dict)


@pytest.mark.parametrize(
    ("inputs", "data", "expected"),
    [
        (FRAME, pandas.DataFrame({"a": [1.0], "b": [2], "c": ["x"]}), []),
        (FRAME, pandas.DataFrame({"a": [1], "b": [2.5], "c": ["x"]}), []),
        (FRAME, polars.DataFrame({"a": [1.0], "b": [2], "c": ["x"]}), []),
        (
            FRAME,
            pandas.DataFrame({"b": [2], "a": [1.0], "c": ["x"]}),
            ["the columns are in another order: 'b' stands where 'a' should"],
        ),
        (
            FRAME,
            pandas.DataFrame({"a": [1.0], "d": [0]}),
            ["missing columns: 'b', 'c'", "columns that the model does not know: 'd'"],
        ),
        (
            FRAME,
            pandas.DataFrame({"a": ["1.0"], "b": [2], "c": ["x"]}).astype({"a": object}),
            ["column 'a' is object, the model was trained on float64"],
        ),
        (
            FRAME,
            numpy.zeros((2, 3)),
            ["the data has no column names; the model was trained on 'a', 'b', 'c', in this order"],
        ),
        (FRAME, numpy.zeros((2, 2)), ["the data has 2 columns, the model was trained on 3"]),
        (ARRAY, numpy.zeros((5, 3), "int8"), []),
        (ARRAY, pandas.DataFrame(numpy.zeros((5, 3)), columns=list("xyz")), []),
        (ARRAY, [[1.0, 2.0, 3.0]], []),
        (ARRAY, [[1.0]], ["the data has 1 column, the model was trained on 3"]),
        (ARRAY, numpy.zeros(3), ["the data has 1 dimension, the model was trained on 2"]),
        (ARRAY, numpy.full((1, 3), "x"), ["the data is <U1, the model was trained on float64"]),
        (
            {"shape": [None, 3, 8, 8], "dtype": "float32"},
            numpy.zeros((1, 1, 8, 8)),
            ["the data has 1 entry along axis 1, the model was trained on 3"],
        ),
    ],
    ids=[
        "fits", "other widths of numbers", "polars", "order", "missing and unknown", "text for numbers", "no names",
        "no names and too few", "integers", "a frame for an array", "rows", "a short row", "one dimension", "text",
        "images",
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(inputs, data, expected):
    assert stored(inputs).check(data) == expected


def test_tensors_are_checked_too():
    torch = pytest.importorskip("torch")
    assert stored(ARRAY).check(torch.zeros(2, 3)) == []
    assert stored(ARRAY).check(torch.zeros(2, 4)) == ["the data has 4 columns, the model was trained on 3"]


def test_what_cannot_be_checked_is_an_error():
    with pytest.raises(autotrack.ModelError, match="has no signature"):
        stored({}).check(numpy.zeros((1, 3)))
    with pytest.raises(autotrack.ModelError, match="a generator cannot be checked"):
        stored(ARRAY).check(row for row in ())


def test_many_columns_are_not_all_named():
    wide = {"shape": [None, 9], "columns": list("abcdefghi"), "dtypes": ["int64"] * 9}
    (one,) = misfits(wide, {"shape": [1, 1], "columns": ["a"], "dtypes": ["int64"]})
    assert one == "missing columns: 'b', 'c', 'd', 'e', 'f' and 3 more"
    text = {**wide, "dtypes": ["object"] * 9}
    assert misfits(wide, text)[5:] == ["and 4 more columns of other types"]


def test_packages():
    here = importlib.metadata.version("msgspec")
    patch = ".".join([*here.split(".")[:2], "999"])
    assert package_differences({"msgspec": here}) == []
    assert package_differences({"msgspec": patch}) == []
    assert package_differences({"msgspec": "0.0.1", "no-such-thing": "2"}) == [
        f"msgspec 0.0.1 (here {here})", "no-such-thing 2 (not installed here)",
    ]  # fmt: skip


def test_a_model_of_these_packages_loads_without_a_warning(tracked, caplog):
    stored_model = autotrack.get_model(log_toy(1.0))
    stored_model.requires = {"msgspec": importlib.metadata.version("msgspec")}
    with caplog.at_level(logging.WARNING, "autotrack"):
        assert stored_model.load().slope == 1.0
    assert caplog.records == []

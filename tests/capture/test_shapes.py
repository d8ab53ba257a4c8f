"""What goes into a model, as its signature says it."""

from collections import UserDict

import numpy
import pandas
import pytest

from autotrack.capture.shapes import describe_batch, describe_inputs, merge_shapes

ARRAY = {"shape": [None, 3], "dtype": "float64"}


def test_inputs():
    assert describe_inputs(numpy.zeros((5, 3))) == ARRAY
    assert describe_inputs(pandas.DataFrame({"a": [1]})) == {"shape": [None, 1], "columns": ["a"], "dtypes": ["int64"]}
    assert describe_inputs({"a": numpy.zeros((5, 3)), "b": "text"}) == {"tensors": {"a": ARRAY}}
    assert describe_inputs([[1.0, 2.0]]) == {"shape": [None, 2], "dtype": "float64"}
    assert describe_inputs([[1.0], "x"]) == {"shape": [None]}
    assert describe_inputs(object()) == {}
    assert describe_inputs({}) == {}


def test_tensors():
    torch = pytest.importorskip("torch")
    assert describe_inputs(torch.zeros(5, 3)) == {"shape": [None, 3], "dtype": "float32"}
    assert describe_inputs(torch.zeros(5, dtype=torch.int64)) == {"shape": [None], "dtype": "int64"}
    assert describe_batch(torch.tensor(1.0)) == {}
    assert describe_batch((torch.zeros(8, 1, 2), torch.zeros(8))) == {"shape": [None, 1, 2], "dtype": "float32"}
    tokens = UserDict(input_ids=torch.zeros(2, 7, dtype=torch.int64), mask=torch.zeros(2, 7, dtype=torch.bool))
    expected = {"input_ids": {"shape": [None, 7], "dtype": "int64"}, "mask": {"shape": [None, 7], "dtype": "bool"}}
    assert describe_batch(tokens) == {"tensors": expected}


@pytest.mark.parametrize("batch", [None, 3, "text", [], (), ["a"], [[1, 2], [3]]], ids=repr)
def test_of_other_batches_nothing_is_known(batch):
    assert describe_batch(batch) == {}


def test_nothing_of_a_batch_of_ones_own_is_called():
    class Trap:
        def __getattr__(self, name):
            raise AssertionError(name)

    assert describe_batch(Trap()) == {}
    assert describe_batch((Trap(), 1)) == {}


def test_sizes_that_differ_are_left_open():
    long = {"shape": [None, 9], "dtype": "float64"}
    assert merge_shapes(ARRAY, ARRAY) == ARRAY
    assert merge_shapes(ARRAY, long) == {"shape": [None, None], "dtype": "float64"}
    assert merge_shapes(ARRAY, {"shape": [None, 3], "dtype": "int64"}) == {"shape": [None, 3]}
    assert merge_shapes(ARRAY, {"shape": [None], "dtype": "float64"}) == {"dtype": "float64"}
    assert merge_shapes({"tensors": {"a": ARRAY, "b": ARRAY}}, {"tensors": {"a": long}}) == {
        "tensors": {"a": {"shape": [None, None], "dtype": "float64"}}
    }
    assert merge_shapes(ARRAY, {"tensors": {"a": ARRAY}}) == {}

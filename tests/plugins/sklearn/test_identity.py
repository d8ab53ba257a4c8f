"""What is known of an object is known of its views, and dies with it."""

import gc

import numpy
from autotrack_sklearn.identity import ByIdentity


def test_views_of_an_array_and_of_a_transposed_one():
    known = ByIdentity()
    plain, turned = numpy.zeros((5, 2)), numpy.zeros((2, 5)).T
    known.keep(plain, "plain")
    known.keep(turned, "turned")
    for array, name in ((plain, "plain"), (turned, "turned")):
        for view in (array, array[:, 1], array[1:], array.T, array[:, 1][::2]):
            assert known.of_view(view) == name
        assert known.of_view(array.copy()) is None
        assert known.get(array[:, 1]) is None


def test_a_part_of_an_array_says_nothing_of_the_whole():
    known = ByIdentity()
    whole = numpy.zeros((5, 2))
    part = whole[:, 0]
    known.keep(part, "part")
    assert known.of_view(part) == "part"
    assert known.of_view(whole) is known.of_view(whole[:, 1]) is None


def test_what_dies_is_forgotten():
    known = ByIdentity()
    array = numpy.zeros((2, 5)).T
    known.keep(array, "dies")
    assert len(known) > 0
    del array
    gc.collect()
    assert len(known) == 0

"""Histories as arrays, whole and decimated."""

import math
from array import array

import numpy
import pytest
from hypothesis import given, strategies as st

import autotrack
from autotrack.backends.history import NONE, History, HistoryBuilder, Point
from autotrack.records import Metrics, Points


def history(values: list[float]) -> History:
    steps = range(len(values))
    return History(array("q", steps), array("q", steps), array("d", steps), array("d", values))


def test_a_history_is_arrays_and_points(tracked):
    with autotrack.start_run("a") as run:
        run.log_metrics({"loss": 0.5}, step=7, epoch=2)
        run.log_points("loss", [0.25, 0.125], first_step=8)
        run.log_metrics({"other": 1.0})
    points = autotrack.get_run("a").history("loss")
    assert [(point.step, point.epoch, point.value) for point in points] == [
        (7, 2, 0.5),
        (8, None, 0.25),
        (9, None, 0.125),
    ]
    assert points[-1] == Point(9, None, points.time[2], 0.125)
    assert isinstance(points[1:], History)
    assert numpy.asarray(points.value).tolist() == [0.5, 0.25, 0.125]
    assert numpy.asarray(points.step).dtype == numpy.int64
    assert points.epoch.tolist() == [2, NONE, NONE]
    assert "3 points" in repr(points)
    assert sorted(points.time) == points.time.tolist()


def test_a_record_that_makes_no_sense_has_no_points():
    builder = HistoryBuilder("loss")
    builder.take(0.0, Points(key="loss", s=[1, 2], v=[0.5]))
    builder.take(0.0, Metrics(0, "", {"loss": "many"}, 0))
    builder.take(0.0, Metrics(0, "", {"loss": 1.0}, 2**64))
    builder.take(0.0, Metrics(0, "", {"loss": 1.0}, None))
    builder.take(0.0, Metrics(0, "", {"other": 2.0}, 5))
    assert list(builder.history) == [Point(None, None, 0.0, 1.0)]


NUMBERS = st.floats(width=32) | st.sampled_from([math.nan, math.inf, -math.inf])


@given(st.lists(NUMBERS, max_size=60), st.integers(1, 12))
def test_decimated_keeps_the_extremes_of_each_stretch(values, buckets):
    points = history(values)
    few = points.decimated(buckets)
    assert len(few) <= max(2 * buckets, 0)
    assert list(few.step) == sorted(set(few.step))
    assert all(str(value) == str(float(values[step])) for step, value in zip(few.step, few.value, strict=True))
    known = [value for value in points.value if not math.isnan(value)]
    kept = [value for value in few.value if not math.isnan(value)]
    assert bool(known) == bool(kept)
    if known:
        assert (min(kept), max(kept)) == (min(known), max(known))


def test_no_buckets_are_refused():
    with pytest.raises(ValueError, match="1 bucket or more"):
        history([1.0]).decimated(0)

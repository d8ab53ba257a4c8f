"""References: ids, names, the last run, extremes, children."""

import math
from pathlib import Path

import pytest

import autotrack
from autotrack.backends.memory import MemoryBackend
from autotrack.errors import AmbiguousReference, RunNotFound
from autotrack.references import find_run
from tests.memory_runs import make, scored


@pytest.fixture
def store() -> MemoryBackend:
    return MemoryBackend()


def test_by_id_prefix_and_random_part(store: MemoryBackend):
    first = make(store, run_id="20260101T000000000-aaaabbbb01")
    second = make(store, run_id="20260101T000000001-aaaacccc02")
    source = store.source()
    assert find_run(source, first).id == first
    assert find_run(source, "20260101T000000001").id == second
    assert find_run(source, "aaaac").id == second
    with pytest.raises(AmbiguousReference, match="means 2 runs"):
        find_run(source, "aaaa")
    with pytest.raises(AmbiguousReference, match="write more of the id"):
        find_run(source, "2026")


@pytest.mark.parametrize(
    "ref", ["", "nothing", "@first", "@max:", "@last.1", "20260101T000000000-ffffffffff", ".", ".1"]
)
def test_a_reference_to_nothing_says_so(store: MemoryBackend, ref: str):
    make(store, run_id="20260101T000000000-aaaabbbb01")
    with pytest.raises(RunNotFound):
        find_run(store.source(), ref)


def test_references_in_an_empty_store(store: MemoryBackend):
    for ref in ("@last", "@max:loss", "x", ""):
        with pytest.raises(RunNotFound):
            find_run(store.source(), ref)


def test_by_name(store: MemoryBackend):
    make(store, "other")
    run_id = make(store, "mine")
    assert find_run(store.source(), "mine").id == run_id
    again = make(store, "mine")
    with pytest.raises(AmbiguousReference) as caught:
        find_run(store.source(), "mine")
    assert run_id in str(caught.value)
    assert again in str(caught.value)


@pytest.mark.parametrize("name", ["a", "cafe", "2.0", "2026", "1.5", "20260101", "model.v2", "@home", "bad run.1"])
def test_a_name_that_looks_like_the_beginning_of_an_id(store: MemoryBackend, name: str):
    """Random parts are drawn: a name must not mean another run on an unlucky day."""
    make(store, "x", run_id="20260101T000000000-a000000000")
    make(store, "y", run_id="20260101T000000001-cafe000000")
    make(store, "z", run_id="20260101T000000002-1000000000")
    named = make(store, name, run_id="20260101T000000003-eeeeeeeeee")
    assert find_run(store.source(), name).id == named


def test_an_id_is_an_id_also_when_another_run_is_called_so(store: MemoryBackend):
    first = make(store, "x")
    make(store, first)
    assert find_run(store.source(), first).id == first


def test_last_is_the_one_that_started_last(store: MemoryBackend):
    make(store, "older")
    make(store, "newer", ended=False)
    assert find_run(store.source(), "@last").name == "newer"


def test_extremes_ignore_nan_and_keep_infinities(store: MemoryBackend):
    make(store, "nan", scored(math.nan))
    make(store, "low", scored(0.25))
    make(store, "high", scored(0.75))
    make(store, "without")
    source = store.source()
    assert find_run(source, "@max:accuracy").name == "high"
    assert find_run(source, "@min:accuracy").name == "low"
    make(store, "lowest", scored(-math.inf))
    assert find_run(source, "@min:accuracy").name == "lowest"


def test_extremes_take_the_last_value(store: MemoryBackend):
    make(store, "fell", scored(0.9, step=0), scored(0.1, step=1))
    make(store, "rose", scored(0.1, step=0), scored(0.5, step=1))
    assert find_run(store.source(), "@max:accuracy").name == "rose"


def test_a_metric_with_odd_characters(store: MemoryBackend):
    make(store, "a", scored(1.0, "val/f1: macro\n@max"))
    assert find_run(store.source(), "@max:val/f1: macro\n@max").name == "a"


def test_an_extreme_of_no_metric_lists_the_metrics(store: MemoryBackend):
    make(store, "a", scored(0.5))
    with pytest.raises(RunNotFound, match="no run has a metric 'acuracy'; there are: accuracy"):
        find_run(store.source(), "@max:acuracy")


def test_an_extreme_of_nan_only_says_so(store: MemoryBackend):
    make(store, "a", scored(math.nan))
    with pytest.raises(RunNotFound, match="NaN"):
        find_run(store.source(), "@max:accuracy")


def test_children_by_reference(tracked: Path):
    with autotrack.start_run("outer") as outer:
        with autotrack.start_run("inner") as inner:
            with autotrack.start_run("innermost") as innermost:
                pass
    assert autotrack.get_run(inner.id).name == "inner"
    assert autotrack.get_run(innermost.id).name == "innermost"
    short = outer.id.partition("-")[2][:8]
    assert autotrack.get_run(f"{short}.1").id == inner.id
    assert autotrack.get_run(f"{short}.1.1").id == innermost.id
    with pytest.raises(RunNotFound, match="has no child '7'"):
        autotrack.get_run(f"{outer.id}.7")

"""Child runs that are recorded many at a time."""

import math
import os

import pytest

import autotrack
from autotrack import ChildRun


def record(run):
    return autotrack.get_run(run.id)


def test_all_of_a_child_comes_back(tracked):
    with autotrack.start_run("search", experiment="mine") as run:
        first, second = run.reserve_children(2)
        run.capture_children(
            [
                ChildRun(
                    first,
                    name="C=1",
                    params={"C": 1, "kernel": "rbf"},
                    metrics={"mean": 0.5, "odd": math.nan},
                    points={"score": [0.25, math.inf]},
                    status="finished",
                    age=10.0,
                    duration=2.5,
                ),
                ChildRun(second, name="C=2", status="failed", error=("ValueError", "no\nway", "Traceback …")),
            ]
        )
        run.capture_children([ChildRun(first, metrics={"rank": 1.0})])
    read = record(run)
    one, two = sorted(read.children, key=lambda child: child.id)
    assert (one.id, one.name, one.parent, one.experiment) == (f"{run.id}.1", "C=1", run.id, "mine")
    assert (one.params, one.changed) == ({"C": 1, "kernel": "rbf"}, ["C", "kernel"])
    assert [(point.step, point.value) for point in one.history("score")] == [(0, 0.25), (1, math.inf)]
    assert (one.metrics["mean"], one.metrics["rank"], one.status, one.duration) == (0.5, 1.0, "finished", 2.5)
    assert math.isnan(one.metrics["odd"])
    assert one.session == read.session != ""
    assert (two.status, two.error.type, two.error.message, two.params) == ("failed", "ValueError", "no\nway", {})


def test_their_start_is_theirs(tracked):
    run = autotrack.start_run()
    run._writer._journal._zero -= 60 * 10**9  # the run began a minute ago
    (number,) = run.reserve_children(1)
    run.capture_children([ChildRun(number, name="child", age=20.0)])
    run.end()
    read = record(run)
    (child,) = read.children
    assert child.start == pytest.approx(read.start + 40, abs=5)


def test_numbers_are_nobody_elses(tracked):
    with autotrack.start_run() as run:
        before = run.child("a")
        numbers = run.reserve_children(3)
        after = run.child("b")
        run.capture_children([ChildRun(number, name=str(number), status="finished") for number in numbers])
        nested = after.reserve_children(1)
        after.capture_children([ChildRun(nested[0], name="inner", status="finished")])
        before.end()
        after.end()
    assert {child.id.partition(".")[2] for child in record(run).children} == {"1", "2", "3", "4", "5"}
    (inner,) = next(child for child in record(run).children if child.name == "b").children
    assert inner.id == f"{run.id}.5.1"


def test_secrets_are_taken_out_of_errors(tracked):
    with autotrack.start_run() as run:
        token = "ghp_" + "a1B2" * 9
        error = ("ValueError", f"token {token}", f"… {token}")
        run.capture_children([ChildRun(run.reserve_children(1)[0], name="c", status="failed", error=error)])
    (child,) = record(run).children
    assert token not in child.error.message + child.error.traceback


def test_few_writes(tracked, monkeypatch):
    with autotrack.start_run() as run:
        run.log_metrics({"a": 1.0})
        numbers = run.reserve_children(5000)
        writes = []
        write = os.write
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda fd, data: writes.append(len(data)) or write(fd, data))
            run.capture_children(
                [ChildRun(number, name="c", metrics={"m": 1.0}, status="finished") for number in numbers]
            )
    assert len(writes) <= 110
    read = record(run)
    assert len(read.children) == 5000
    assert read.problems == []


def test_switched_off(tracked):
    autotrack.enable(store=tracked, mode="off")
    run = autotrack.start_run()
    run.capture_children([ChildRun(number, name="c") for number in run.reserve_children(2)])
    run.end()
    assert not tracked.exists()


def test_joining_a_run_of_another_process(tracked):
    """Whoever joins has a file of its own; the run stays open, and nobody but its process ends it."""
    session = autotrack.api.session_in_use()
    with autotrack.start_run("here") as run:
        joined = session.join(run.id, run.experiment)
        assert joined.elsewhere
        assert not run.elsewhere
        joined.log_metrics({"there": 1.0})
        joined.end("failed")
        child = joined.child("inner")
        child.end()
        assert record(run).status == "running"
        assert len(list((tracked / "runs" / run.id / "journal").iterdir())) == 2
        assert (tracked / "runs" / run.id / "alive").exists()
        run.log_metrics({"here": 2.0})
    read = record(run)
    assert (read.status, read.metrics) == ("finished", {"there": 1.0, "here": 2.0})
    assert [child.name for child in read.children] == ["inner"]


def test_joining_a_run_that_was_deleted(tracked, caplog):
    joined = autotrack.api.session_in_use().join("20260101T000000000-0123456789", "x")
    joined.log_metrics({"a": 1.0})
    assert "No such file or directory" in caplog.text
    assert not (tracked / "runs" / "20260101T000000000-0123456789").exists()

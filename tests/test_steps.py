"""Metrics of every step: gathered into few lines, thinned when they become many, and the last is always kept."""

import math
import random

import pytest

import autotrack
from autotrack import steps
from autotrack.backends.memory import MemoryBackend
from autotrack.reader import read_run
from autotrack.records import Begin, End, Metrics, Points, decode
from autotrack.run import Run


class Clocked:
    """A run in memory whose clock stands still until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.backend = MemoryBackend()
        self.now = 0
        self.writer = self.backend.open_run("run", Begin(name="run"))
        monkeypatch.setattr(self.writer, "elapsed", lambda: self.now)
        self.run = Run(self.writer, "run", "test")

    def lines(self, kind: type) -> list:
        return [record for line in self.writer.lines if isinstance(record := decode(line), kind)]

    def points(self, key: str) -> list[autotrack.Point]:
        return read_run(self.backend, "run").history(key)


@pytest.fixture
def clocked(monkeypatch) -> Clocked:
    return Clocked(monkeypatch)


def test_points_wait_for_at_most_a_tenth_of_a_second(clocked):
    for step in range(250):
        clocked.run.gather("loss", float(step), step, epoch=step // 100)
        clocked.now += 1_000
    assert len(clocked.lines(Metrics)) == 1  # the first is written at once
    first, second = clocked.lines(Points)
    assert (first.s[0], first.s[-1], second.s[-1]) == (1, 100, 200)
    clocked.run.flush()
    points = clocked.points("loss")
    assert [(point.step, point.value, point.epoch) for point in points] == [(s, float(s), s // 100) for s in range(250)]
    start = points[0].time
    assert [round((point.time - start) * 1e3) for point in points] == list(range(250))


def test_what_is_put_is_on_record_at_once(clocked, monkeypatch):
    monkeypatch.setattr(steps, "ALL", 20)
    clocked.run.gather("loss", 0.0, 0)  # the first is written at once
    clocked.run.gather("loss", 1.0, 1)
    values = [0.0, 1.0, *(math.nan if step == 5 else float(step % 7) for step in range(2, 20))]
    for step in range(2, 20):
        clocked.now += 1_000
        clocked.run.put({"loss": values[step]}, step, epoch=step // 10)
        assert [point.step for point in clocked.points("loss")] == list(range(step + 1))
    for step in range(20, 200):
        clocked.now += 1_000
        clocked.run.put({"loss": 3.5}, step)
    clocked.run.end()
    points = clocked.points("loss")
    assert repr([point.value for point in points[:20]]) == repr(values)
    assert [point.epoch for point in points[:20]] == [None] * 2 + [0] * 8 + [1] * 10
    assert points[-1].step == 199
    assert len(points) < 40
    (summary,) = [end.metrics["loss"] for end in clocked.lines(End)]
    assert summary == [200, 3.5, 0.0, 6.0, 199]


def test_metrics_that_are_put_together_are_one_line(clocked):
    for step in range(3):
        clocked.run.put({"loss": step / 2, "acc": math.inf}, step, epoch=1)
    clocked.run.log_metrics({"acc": 0.5}, step=3)
    clocked.run.put({"loss": 3.0, "acc": 1.0}, 3)  # what a person logs stands
    assert [(line.s, line.e, line.m) for line in clocked.lines(Metrics)] == [
        (0, 1, {"loss": 0.0, "acc": "inf"}),
        (1, 1, {"loss": 0.5, "acc": "inf"}),
        (2, 1, {"loss": 1.0, "acc": "inf"}),
        (3, None, {"acc": 0.5}),
        (3, None, {"loss": 3.0}),
    ]
    clocked.run.end()
    (end,) = clocked.lines(End)
    assert end.metrics == {"loss": [4, 3.0, 0.0, 3.0, 3], "acc": [4, 0.5, 0.5, "inf", 3]}


def test_slow_steps_are_written_at_once(clocked):
    for step in range(5):
        clocked.run.gather("loss", 0.5, step)
        assert len(clocked.points("loss")) == step + 1
        clocked.now += 150_000


def test_many_points_are_thinned_and_the_last_is_kept(clocked, monkeypatch):
    monkeypatch.setattr(steps, "ALL", 10)
    for step in range(1_000):
        clocked.now += 1_000
        clocked.run.gather("loss", float(step % 7), step)
    clocked.run.end()
    points = clocked.points("loss")
    assert [point.value for point in points[:10]] == [float(step % 7) for step in range(10)]
    assert len(points) < 10 + 1_000 // 50 + 2
    assert (points[-1].step, points[-1].value) == (999, float(999 % 7))
    thinned = [record for record in clocked.lines(Points) if record.n]
    assert sum(sum(record.n) for record in thinned) == 990 + 1  # the last stands twice
    extremes = [pair for record in thinned for pair in zip(record.lo, record.hi, strict=True)]
    assert set(extremes[:-2]) == {(0.0, 6.0)}
    mean = sum(step % 7 for step in range(10, 61)) / 51
    assert thinned[0].v[0] == pytest.approx(mean)
    summary = read_run(clocked.backend, "run")
    assert summary.metrics["loss"] == float(999 % 7)


def test_thinned_points_share_lines_and_wait_for_a_second_at_most(clocked, monkeypatch):
    monkeypatch.setattr(steps, "ALL", 0)
    numbers = random.Random(0)
    values = [numbers.gauss(0.5, 0.2) for _ in range(20_000)]
    for step, value in enumerate(values):
        clocked.now += 1_000
        clocked.run.gather("train/loss", value, 1_000_000 + step, epoch=100 + step // 5_000)
        held = clocked.run._steps._series["train/loss"].closed
        assert not held or clocked.now - held[0][0] <= steps.TOGETHER + steps.PERIOD
    clocked.run.end()
    lines = [line for line in clocked.writer.lines if isinstance(decode(line), Points)]
    points = clocked.points("train/loss")
    assert len(points) > 20_000 / 52
    assert sum(map(len, lines)) / len(points) <= 80
    records = [decode(line) for line in lines]
    assert (min(min(one.lo) for one in records), max(max(one.hi) for one in records)) == (min(values), max(values))
    weighted = sum(mean * n for one in records for mean, n in zip(one.v, one.n, strict=True)) - values[-1]
    assert weighted / 20_000 == pytest.approx(sum(values) / 20_000, rel=1e-8)


def test_every_value_counts_in_the_summary(clocked, monkeypatch):
    monkeypatch.setattr(steps, "ALL", 10)
    for step in range(100):
        clocked.run.gather("loss", 50.0 if step == 57 else float(step % 5), step)
    clocked.run.flush()
    assert clocked.run._metrics.to_json()["loss"][0] == 100
    assert clocked.run._metrics.to_json()["loss"][3] == 50.0


@pytest.mark.parametrize("limit", [1_000, 60], ids=["one by one", "thinned"])
def test_many_at_once_are_the_same_as_one_by_one(clocked, monkeypatch, limit):
    monkeypatch.setattr(steps, "ALL", limit)
    chance = random.Random(1)
    values = [chance.choice([math.nan, math.inf, chance.random(), -1.0]) for _ in range(200)]
    times = [step * 7_000 for step in range(200)]
    first = 0
    while first < 200:
        last = min(200, first + chance.randint(1, 40))
        for step in range(first, last):
            clocked.run.gather("one", values[step], step, epoch=3, at=times[step])
        clocked.now = times[last - 1]
        clocked.run.gather_points("many", values[first:last], list(range(first, last)), times[first:last], epoch=3)
        first = last
    clocked.run.flush()
    start = clocked.points("one")[0].time
    one, many = (
        [(p.step, repr(p.value), p.epoch, round((p.time - start) * 1e6)) for p in clocked.points(key)]
        for key in ("one", "many")
    )
    assert one == many
    assert len(one) >= 60
    summaries = clocked.run._metrics.to_json()
    assert summaries["one"] == summaries["many"]


def test_values_that_json_does_not_have(clocked):
    for step, value in enumerate([math.nan, math.inf, -math.inf, 1.0]):
        clocked.run.gather("loss", value, step)
    clocked.run.flush()
    values = [point.value for point in clocked.points("loss")]
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, 1.0]


def test_what_a_person_logged_stands(clocked):
    clocked.run.log_metrics({"loss": 42.0})
    clocked.run.gather("loss", 1.0, 0)
    clocked.run.flush()
    assert [point.value for point in clocked.points("loss")] == [42.0]


def test_a_run_that_rests_and_goes_on(tracked):
    run = autotrack.start_run("resting")
    run.log_metrics({"loss": 0.5})
    run.idle()
    (record,) = autotrack.runs()
    assert record.status == "idle"
    run.resume()
    run.log_metrics({"loss": 0.25})
    (record,) = autotrack.runs()
    assert (record.status, record.duration) == ("running", None)
    run.end(error=ValueError("boom"))
    assert autotrack.runs()[0].status == "failed"
    run.resume()
    assert autotrack.runs()[0].status == "running"
    assert autotrack.runs()[0].error is None
    assert (tracked / "runs" / run.id / "alive").exists()
    run.end()
    (record,) = autotrack.runs()
    assert record.status == "finished"
    assert [point.value for point in record.history("loss")] == [0.5, 0.25]


def test_an_idle_run_whose_process_is_gone_is_finished(script, tmp_path):
    script(
        """
        import os, autotrack
        run = autotrack.start_run("resting")
        run.idle()
        os._exit(0)
        """
    )
    assert autotrack.runs(store=tmp_path / ".autotrack")[0].status == "finished"


def test_what_is_called_before_the_end_can_still_log(tracked):
    seen = []
    run = autotrack.start_run()
    run.before_end(lambda error: (seen.append(error), run.log_metrics({"late": 1.0})))
    error = ZeroDivisionError()
    run.end(error=error)
    assert seen == [error]
    (record,) = autotrack.runs()
    assert record.metrics["late"] == 1.0
    run.end()
    assert len(seen) == 1


def test_a_discarded_run_is_in_no_list(tracked):
    with autotrack.start_run("outer") as outer:
        child = outer.child("part")
        child.discard()
    autotrack.start_run("none").discard()
    (record,) = autotrack.runs()
    assert record.name == "outer"
    assert record.children == []

"""Checks of ``BackendSuite``: what a source says in short of a run, and of a metric, is what the run's records say."""

from __future__ import annotations

from autotrack.backends.base import RunSource, RunWriter
from autotrack.backends.heads import Query, RunHead, head_in
from autotrack.backends.history import HistoryBuilder
from autotrack.records import Begin, Change, End, Params, Points, Record, Tags
from autotrack.testing.backend_case import Case, point, rule


class ReadingTests:
    """Rule ``heads``."""

    @rule("heads")
    def test_heads_are_what_the_records_say(self, case: Case) -> None:
        """By one source that stays open, after each of a life's records; newest first."""
        first, second = case.begin("one"), case.begin("two")
        source = case.backend.source()
        for record in _a_life(second):
            second.write([record])
            case.suite.settle(case.backend, second.run_id)
            expected = [head_in(source.read(writer.run_id)) for writer in (second, first)]
            when = f"after {type(record).__name__}"
            listed = list(source.heads(Query()))
            _same_heads(listed, expected, when, but=("params", "metrics", "summaries", "tags"))  # nobody asked for them
            whole = source.heads_of([head.id for head in listed])
            _same_heads([whole[head.id] for head in listed], expected, when)
        one = source.heads_of([first.run_id, "20000101T000000000-0000000000"])
        _same_heads(list(one.values()), [head_in(source.read(first.run_id))], "asked for one run, and one that is not")

    @rule("heads")
    def test_a_history_is_what_the_records_say(self, case: Case) -> None:
        """By one source that stays open, also of a child run, and of a metric that is not there."""
        writer = case.begin()
        source = case.backend.source()
        for record in [*_a_life(writer), Begin(c="1", name="child"), *_a_life(writer, "1"), point(writer, 99)]:
            writer.write([record])
            case.suite.settle(case.backend, writer.run_id)
            for child in ("", "1"):
                _same_points(source, writer.run_id, child, f"after {type(record).__name__}")
        found = source.history(writer.run_id, "nothing")
        assert len(found) == 0, f"a metric that is not there has {len(found)} points"


def _a_life(writer: RunWriter, child: str = "") -> list[Record]:
    records = [
        Params(t=writer.elapsed(), p={"C": 1.0, "solver": "saga"}, changed=["C"]),
        point(writer, 0),
        Points(t=writer.elapsed(), key="loss", s=[1, 2, 3], v=[0.5, "nan", -1.0]),
        Tags(t=writer.elapsed(), g={"team": "a", "stage": "b"}),
        Tags(t=writer.elapsed(), g={"team": None}),
        Change(t=writer.elapsed(), name="renamed"),
        End(t=writer.elapsed(), status="finished", duration=1.0),
        point(writer, 4),
    ]
    for number, record in enumerate(records):
        record.t += number  # in this order, however quick the clock is
        record.c = child
    return records


def _same_heads(found: list[RunHead], expected: list[RunHead], when: str, but: tuple[str, ...] = ()) -> None:
    ids = [head.id for head in found]
    assert ids == [head.id for head in expected], f"{when} the heads listed are {ids}"
    for one, other in zip(found, expected, strict=True):
        for name, value in vars(other).items():
            mine = getattr(one, name)
            assert name in but or repr(mine) == repr(value), (
                f"{when} a head says {name} is {mine!r}; the records say {value!r}"
            )


def _same_points(source: RunSource, run_id: str, child: str, when: str) -> None:
    builder = HistoryBuilder("loss")
    for entry in source.read(run_id).entries:
        if entry.record.c == child:
            builder.take(entry.time, entry.record)
    found = list(source.history(f"{run_id}.{child}" if child else run_id, "loss"))
    expected = list(builder.history)
    assert repr(found) == repr(expected), (
        f"{when} a history has {len(found)} points, the records {len(expected)}, or others"
    )

"""The index says what reading every run whole would say, whatever happens to the files; and what it costs."""

import math
import os
import shutil
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from autotrack.backends import index, marks, run_files
from autotrack.backends.base import Entry, new_run_id
from autotrack.backends.file import FileBackend
from autotrack.backends.file_source import FileSource
from autotrack.backends.heads import HeadFold, Query, head_in
from autotrack.matching import Comparison, Order, matches, sort_key
from autotrack.records import (
    Begin,
    Change,
    End,
    Facts,
    Head,
    Metrics,
    Params,
    Points,
    Record,
    Resumed,
    Tags,
    encode,
    number_to_json,
)

START = 1_795_400_000_000_000


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A cache folder in which every index is kept, and none is in memory yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(index, "KEEP_RUNS", 0)
    monkeypatch.setattr(index, "_indexes", type(index._indexes)())
    return tmp_path / "cache"


def store_in(folder: Path) -> Path:
    FileBackend(folder).create()
    return folder


class Files:
    """Journal files of a store, written byte by byte."""

    def __init__(self, root: Path) -> None:
        self.runs = root / "runs"
        self.clock = 0

    def tick(self) -> int:
        self.clock += 1000
        return self.clock

    def run(self) -> Path:
        folder = self.runs / new_run_id(1_795_400_000 + self.tick() / 1e6)
        (folder / "journal").mkdir(parents=True)
        return folder

    def writer(self, run: Path, records: list[Record]) -> Path:
        path = run / "journal" / f"{self.tick():016x}.jsonl"
        path.write_bytes(self.lines(run, records))
        return path

    def lines(self, run: Path, records: list[Record]) -> bytes:
        head = Head(v=1, run=run.name, writer="w", start=START)
        return b"".join([encode(head), *(self.line(record) for record in records)])

    def line(self, record: Record) -> bytes:
        return encode(msgspec.structs.replace(record, t=record.t + self.tick()))


def ended(records: list[Record]) -> list[Record]:
    """These records, and the end that their writer would write."""
    fold = HeadFold()
    for record in records:
        fold.take(math.inf, record)
    state = fold.state
    metrics = {key: [seen[0], *map(number_to_json, seen[1:4]), seen[4]] for key, seen in state.metrics.items()}
    summary = {"params": state.params, "metrics": metrics, "tags": state.tags, "changed": state.changed}
    end = End(status="finished", duration=1.5, children=state.children, **summary)
    return [*records, end]


KEYS = st.sampled_from(["loss", "accuracy", "é", "\ud800"])
NUMBERS = st.sampled_from([0.5, -1.0, 3e300, math.nan, math.inf, 0.25])
RECORDS = st.one_of(
    st.builds(
        lambda key, value, step: Metrics(0, "", {key: number_to_json(value)}, step), KEYS, NUMBERS, st.integers(-9, 9)
    ),
    st.builds(
        lambda key, values: Points(key=key, s=list(range(len(values))), v=[number_to_json(value) for value in values]),
        KEYS,
        st.lists(NUMBERS, min_size=1, max_size=5),
    ),
    st.builds(
        lambda key, value, changed: Params(p={key: value}, changed=[key] * changed),
        KEYS,
        st.sampled_from([1, "text", None, [1, 2], 2**70, {"$float": "nan"}]),
        st.booleans(),
    ),
    st.builds(lambda key, text: Tags(g={key: text}), KEYS, st.sampled_from(["a", "b", None])),
    st.builds(lambda text: Change(name=text), st.sampled_from(["renamed", "\udfff"])),
    st.builds(lambda child: Begin(c=child, name="child"), st.sampled_from(["1", "2", "1.1"])),
    st.builds(lambda user: Facts(f={"environment": {"user": user}}), st.sampled_from(["me", "you"])),
    st.builds(lambda: Metrics(0, "1", {"loss": 1.0}, 0)),
    st.builds(lambda: Resumed()),
    st.builds(lambda back: Tags(t=-back, g={"late": str(back)}), st.sampled_from([1500, 5000])),
)
BEGIN = Begin(name="run", experiment="e", session="s")
WORLD = Facts(f={"environment": {"user": "me", "host": "here"}})
KINDS = ["run", "append", "append", "writer", "end", "truncate", "replace", "delete", "remove", "half"]
STEPS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 10), st.lists(RECORDS, max_size=4), st.floats(0, 1)),
    min_size=1,
    max_size=12,
)


def change(files: Files, what: str, which: int, records: list[Record], share: float) -> None:
    """Do to the store what a writer, a crash or a person might do."""
    runs = sorted(files.runs.iterdir())
    if what == "run" or not runs:
        files.writer(files.run(), [BEGIN, WORLD, *records])
        return
    run = runs[which % len(runs)]
    journals = sorted((run / "journal").iterdir())
    if what == "remove":
        shutil.rmtree(run)
    elif what == "writer" or not journals:
        files.writer(run, records)
    elif what == "end":
        files.writer(run, ended([BEGIN, WORLD, *records]))
    else:
        path = journals[which % len(journals)]
        data = path.read_bytes()
        if what == "append":
            path.write_bytes(data + b"".join(map(files.line, records)))
        elif what == "half":
            path.write_bytes(data + b"".join(map(files.line, records))[:-7])
        elif what == "truncate":
            os.truncate(path, int(len(data) * share))
        elif what == "delete":
            path.unlink()
        elif what == "replace":
            (run / "new").write_bytes(files.lines(run, [BEGIN, WORLD, *records]))
            (run / "new").rename(path)
        if path.exists():
            os.utime(path, ns=(0, START * 1000 + files.tick()))  # time goes by


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS, block=st.sampled_from([64, 300, 65536]), chunk=st.sampled_from([50, 1 << 20]))
def test_the_index_is_a_full_reading(cache: Path, tmp_path: Path, steps, block, chunk):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_files, "SEAL_EVERY", block)
        patch.setattr(marks, "_CHUNK", chunk)
        folder = tmp_path / os.urandom(4).hex()
        files = Files(store_in(folder))
        for step in steps:
            change(files, *step)
            source = FileSource(folder)
            whole = {run_id: head_in(source.read(run_id)) for run_id in reversed(source.run_ids())}
            listed = [head.id for head in source.heads(Query())]
            assert listed == list(whole)
            assert repr_of(source.heads_of(listed)) == repr_of(whole)
            for run_id in listed:
                assert repr_of({run_id: source.head(run_id)}) == repr_of({run_id: whole[run_id]})
                log, outline = source.read(run_id), source.outline(run_id)
                assert list(map(repr, filter(not_summed_up, outline.entries))) == list(
                    map(repr, filter(not_summed_up, log.entries))
                )
                assert set(outline.damage) <= set(log.damage)


def not_summed_up(entry: Entry) -> bool:
    """Whether an outline must have it."""
    return bool(entry.record.c) or not isinstance(entry.record, (Metrics, Points))


def repr_of(heads) -> dict[str, dict[str, str]]:
    """All of the heads, with NaN equal to NaN, and names in no order."""
    return {
        run_id: {
            name: repr(sorted(part.items()) if isinstance(part, dict) else part) for name, part in vars(head).items()
        }
        for run_id, head in heads.items()
    }


ODD = st.sampled_from(["loss", "é", "\ud800", 'a "b"', "a\\b", "\n", "", "key0", "k", "params"])


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(told=st.lists(st.dictionaries(ODD, NUMBERS, max_size=4), min_size=1, max_size=5), asked=ODD, other=ODD)
def test_a_query_sees_in_a_list_what_is_in_the_whole_heads(cache: Path, tmp_path: Path, told, asked, other):
    folder = tmp_path / os.urandom(4).hex()
    files = Files(store_in(folder))
    for values in told:
        numbers = {key: number_to_json(value) for key, value in values.items()}
        tags = {key: str(value) for key, value in values.items()}
        params = {key: {"$float": str(value)} if value - value else value for key, value in values.items()}
        files.writer(files.run(), [BEGIN, Params(p=params), Metrics(0, "", numbers, 0), Tags(g=tags)])
    source = FileSource(folder)
    for entity in ("params", "metrics", "tags"):
        present = Comparison(entity, asked, "null", negated=True)
        large = Comparison("metrics", other, ">", 0.3)
        query = Query(conditions=(present, large), orders=(Order(entity, other),))
        listed = {head.id: head for head in source.heads(query)}
        whole = source.heads_of(source.run_ids())
        assert len(whole) == len(told)
        for run_id, head in whole.items():
            holds = [matches(condition, head) for condition in query.conditions]
            if run_id in listed:
                assert holds == [matches(condition, listed[run_id]) for condition in query.conditions]
                key = sort_key(query.orders[0])
                assert repr(key(listed[run_id])) == repr(key(head))
            else:
                assert not all(holds)

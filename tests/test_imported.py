"""Runs of other tools in a store: whole or not at all, and once."""

import io
import math
import threading
import time
from pathlib import Path

import pytest

import autotrack
from autotrack.backends.file_source import FileSource
from autotrack.errors import ConfigError, StoreError
from autotrack.imported import import_runs
from autotrack.records import Params, Points, Tags
from autotrack.remote import ForeignRun
from tests.test_cli import call


def foreign(name: str, parent: str = "", status: str = "finished", start: float = 1e9, alive: float = 1e9, files=None):
    """A run with a param, a tag, two points and files."""

    def records():
        yield start, Params(p={"C": name})
        yield start, Tags(g={"team": "vision"})
        yield start + 1, Points(key="loss", s=[3, 4], v=[0.5, "nan"], dt=[0, 250_000])

    return ForeignRun(
        id=name, parent=parent, name=f"run {name}", experiment="old", start=start, end=start + 10 if status else None,
        status=status, alive=alive, records=records,
        files=lambda: [(path, lambda data=data: io.BytesIO(data)) for path, data in (files or {}).items()],
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def content(run, name: str) -> bytes:
    with run.open(name) as file:
        return file.read()


def bring(store: Path, *runs: ForeignRun) -> set[str]:
    return import_runs([list(runs)], store)[0].runs


def test_all_of_a_run_is_there(store: Path):
    bring(store, foreign("a", files={"sub/x.txt": b"x", "empty": b""}))
    (run,) = autotrack.runs(store=store)
    assert (run.name, run.experiment, run.status, run.start, run.duration) == ("run a", "old", "finished", 1e9, 10.0)
    assert (run.params, run.tags) == ({"C": "a"}, {"team": "vision", "imported_from": "a"})
    points = list(run.history("loss"))
    assert [(point.step, point.time) for point in points] == [(3, 1e9 + 1), (4, 1e9 + 1.25)]
    assert points[0].value == 0.5
    assert math.isnan(points[1].value)
    assert {name: content(run, name) for name in run.artifacts} == {"sub/x.txt": b"x", "empty": b""}
    assert run.problems == []
    assert [path.name for path in (store / "runs").iterdir()] == [run.id]
    assert {path.stat().st_mode & 0o777 for path in store.rglob("*") if path.is_file()} == {0o600}


def test_a_second_time_adds_nothing_also_where_it_was_removed(store: Path):
    first = bring(store, foreign("a"), foreign("b"))
    assert len(first) == 2
    autotrack.get_run("run a", store=store).remove()
    autotrack.get_run("run b", store=store).set_tags({"mine": "yes"})
    assert bring(store, foreign("a"), foreign("b")) == set()
    assert [run.tags["mine"] for run in autotrack.runs(store=store)] == ["yes"]


def test_children_are_below_their_parents(store: Path):
    runs = [
        foreign("top"), foreign("x", "top", start=1e9 + 2), foreign("y", "top", files={"a": b"1"}),
        foreign("inner", "y"), foreign("orphan", "gone"),
    ]  # fmt: skip
    bring(store, *reversed(runs))
    assert {run.name for run in autotrack.runs(store=store)} == {"run top", "run orphan"}
    top = autotrack.get_run("run top", store=store)
    assert [(child.name, child.params["C"]) for child in top.children] == [("run y", "y"), ("run x", "x")]
    assert content(top.children[0], "a") == b"1"
    assert [child.name for child in top.children[0].children] == ["run inner"]
    assert [(child.start, child.status) for child in top.children] == [(1e9, "finished"), (1e9 + 2, "finished")]


def test_those_that_go_on_wait(store: Path):
    going = foreign("going", status="", alive=time.time())
    done, left = import_runs(
        [[going, foreign("parent"), foreign("child", "parent", status="", alive=time.time())]], store
    )
    assert (done.runs, sorted(left)) == (set(), ["going", "parent"])
    bring(store, foreign("going", status=""))  # nothing was heard of it for years
    assert autotrack.get_run("run going", store=store).status == "lost"


def test_one_that_cannot_be_read_whole_is_not_there(store: Path):
    def failing():
        yield 1e9, Params(p={"a": 1})
        raise StoreError("away")

    broken = foreign("b")
    broken.records = failing
    with pytest.raises(StoreError, match="away"):
        bring(store, foreign("a"), broken, foreign("c"))
    assert [run.name for run in autotrack.runs(store=store)] == ["run a"]
    assert len(list((store / "runs").iterdir())) == 1
    assert len(bring(store, foreign("a"), foreign("b"), foreign("c"))) == 2


def test_two_at_once_bring_each_run_once(store: Path):
    runs = [foreign(str(number), start=1e9 + number) for number in range(40)]
    threads = [threading.Thread(target=bring, args=(store, *runs)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(run.params["C"] for run in autotrack.runs(store=store)) == sorted(run.id for run in runs)
    assert len(FileSource(store).run_ids()) == 40


def test_a_file_with_a_path_that_leads_out_is_named(store: Path):
    done, _ = import_runs([[foreign("a", files={"../x": b"x", "y": b"y"})]], store)
    assert len(done.problems) == 1
    (run,) = autotrack.runs(store=store)
    assert list(run.artifacts) == ["y"]
    assert "../x" in run.notes[0][1]


def test_the_command_says_where_nothing_is(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"no folder in it has a meta\.yaml"):
        call("import", str(tmp_path / "empty"), store=tmp_path / "store")
    with pytest.raises(ConfigError, match="no plugin"):
        call("import", "s3://bucket", store=tmp_path / "store")

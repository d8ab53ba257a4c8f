"""Runs are changed after they were recorded: while they go on, from other processes, by clocks that disagree."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import autotrack
from autotrack.backends import journal
from autotrack.backends.file import FileBackend
from autotrack.backends.memory import MemoryBackend
from autotrack.reader import read_run
from autotrack.records import Begin
from autotrack.run_list import list_runs


def journals(store: Path, run_id: str) -> set[str]:
    return set(os.listdir(store / "runs" / run_id / "journal"))


def test_tags_notes_and_names_are_changed_later(tracked: Path):
    from sklearn.linear_model import LogisticRegression

    LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    run = autotrack.runs()[0]
    before = {name: (tracked / "runs" / run.id / "journal" / name).read_bytes() for name in journals(tracked, run.id)}
    run.set_tags({"team": "vision", "old": "x"})
    run.set_tags({"old": None, "n": 3})
    run.note("looks right")
    run.rename("first")
    read = autotrack.get_run("first")
    for record in (run, read):
        assert record.name == "first"
        assert record.tags == {"team": "vision", "n": "3"}
        assert ("info", "looks right") in record.notes
    assert read.problems == []
    assert read.status == "finished"
    for name, content in before.items():  # nothing that was there is written again
        assert (tracked / "runs" / run.id / "journal" / name).read_bytes().startswith(content)
    assert len(journals(tracked, run.id)) >= len(before) + 4


def test_a_run_that_goes_on_is_changed(tracked: Path):
    with autotrack.start_run("live", tags={"who": "me"}) as run:
        read = autotrack.get_run("live")
        read.set_tags({"who": "you"})
        read.rename("renamed")
        read.move("elsewhere")
        assert autotrack.get_run(run.id).status == "running"
        run.log_metrics({"loss": 1.0})
    read = autotrack.get_run(run.id)
    assert (read.name, read.experiment, read.tags["who"]) == ("renamed", "elsewhere", "you")
    assert (read.status, read.metrics) == ("finished", {"loss": 1.0})
    assert [found.id for found in autotrack.runs(experiment="elsewhere")] == [run.id]


def test_a_child_run_is_changed(tracked: Path):
    with autotrack.start_run("outer") as run:
        with autotrack.start_run("inner"):
            pass
    child = autotrack.get_run(f"{run.id}.1")
    child.set_tags({"best": "yes"})
    child.rename("winner")
    outer = autotrack.get_run(run.id)
    assert [(found.name, found.tags) for found in outer.children] == [("winner", {"best": "yes"})]
    assert (outer.name, outer.tags) == ("outer", {})
    with pytest.raises(autotrack.ConfigError, match="child"):
        child.move("elsewhere")
    child.remove()
    assert autotrack.get_run(run.id).children == []
    assert autotrack.restore_run(child.id).name == "winner"
    assert len(autotrack.get_run(run.id).children) == 1


@pytest.mark.parametrize("name", ["", " \t"])
def test_an_empty_name_is_refused(tracked: Path, name: str):
    with autotrack.start_run("a"):
        pass
    run = autotrack.runs()[0]
    with pytest.raises(autotrack.ConfigError, match="at least one character"):
        run.rename(name)
    with pytest.raises(autotrack.ConfigError, match="at least one character"):
        run.move(name)
    assert autotrack.runs()[0].name == "a"


def test_a_note_on_a_run_of_a_list_is_there_once(tracked: Path):
    """Its notes were not read yet."""
    with autotrack.start_run("a"):
        pass
    run = autotrack.runs()[0]
    run.note("once")
    assert run.notes == autotrack.get_run("a").notes == [("info", "once")]


def test_two_edits_at_once_are_both_kept(tracked: Path):
    with autotrack.start_run("a") as run:
        pass
    code = "import sys, autotrack; autotrack.get_run('a').set_tags({sys.argv[1]: 'x'})"
    both = [
        subprocess.Popen([sys.executable, "-c", code, name], env={**os.environ, "AUTOTRACK_STORE": str(tracked)})
        for name in ("one", "two")
    ]
    assert [process.wait(60) for process in both] == [0, 0]
    assert autotrack.get_run(run.id).tags == {"one": "x", "two": "x"}


def test_a_run_whose_folder_is_a_link_is_not_written_to(tracked: Path, tmp_path: Path):
    with autotrack.start_run("a") as run:
        pass
    folder = tracked / "runs" / run.id
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    files = sorted((tmp_path / "elsewhere").rglob("*"))
    with pytest.raises(autotrack.StoreError, match="cannot be changed"):
        autotrack.get_run(run.id).note("x")
    with pytest.raises(autotrack.StoreError):
        autotrack.get_run(run.id).remove()
    assert sorted((tmp_path / "elsewhere").rglob("*")) == files


def test_a_shared_store_stays_shared(tmp_path: Path):
    autotrack.init_store(tmp_path / "store", shared=True)
    backend = FileBackend(tmp_path / "store")
    backend.open_run("20260101T000000000-aaaaaaaaaa", Begin(name="a", experiment="e")).close()
    source = backend.source()
    run = read_run(source, "20260101T000000000-aaaaaaaaaa")
    run.note("x")
    run.remove()
    autotrack.get_experiment("e", store=tmp_path / "store").describe("x") if list_runs(source) else None
    for path in (tmp_path / "store").rglob("*"):
        if path.is_file() and path.suffix == ".jsonl":
            assert path.stat().st_mode & 0o777 == 0o660, path
    assert (tmp_path / "store" / "trash").stat().st_mode & 0o7777 == 0o2770


def test_a_store_in_memory_is_edited_too():
    store = MemoryBackend()
    store.open_run("20260101T000000000-aaaaaaaaaa", Begin(name="a")).close()
    run = list_runs(store)[0]
    run.set_tags({"a": "b"})
    run.remove()
    assert len(list_runs(store)) == 0
    store.restore(run.id)
    assert list_runs(store)[0].tags == {"a": "b"}
    with pytest.raises(autotrack.StoreError, match="cannot be changed from here"):
        store.edit_experiment("e", [])


class Clock:
    """The time module, as a host has it whose clock is ``ahead`` by so many seconds."""

    ahead = 0.0

    def __getattr__(self, name: str):
        return getattr(time, name)

    def time(self) -> float:
        return time.time() + self.ahead


steps = st.lists(
    st.tuples(
        st.sampled_from(["tag", "untag", "rename", "remove", "restore"]),
        st.sampled_from("abc"),
        st.sampled_from([0.0, -86400.0, 86400.0, 3e9]),
    ),
    min_size=1,
    max_size=8,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(steps)
def test_what_was_said_last_counts_whatever_the_clocks_say(tmp_path_factory: pytest.TempPathFactory, said: list):
    """Each edit by a host whose clock is right, or off by a day or a century."""
    store = tmp_path_factory.mktemp("store")
    backend = FileBackend(store)
    run_id = "20260101T000000000-aaaaaaaaaa"
    backend.open_run(run_id, Begin(name="begun")).close()
    source = backend.source()
    clock = Clock()
    tags: dict[str, str] = {}
    name, removed = "begun", False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "time", clock)
        for number, (verb, key, clock.ahead) in enumerate(said):
            if verb == "restore":
                source.restore(run_id)
                removed = False
                continue
            if removed:
                continue
            run = read_run(source, run_id)
            if verb == "tag":
                run.set_tags({key: str(number)})
                tags[key] = str(number)
            elif verb == "untag":
                run.set_tags({key: None})
                tags.pop(key, None)
            elif verb == "rename":
                run.rename(key)
                name = key
            else:
                run.remove()
                removed = True
    assert source.run_ids() == ([] if removed else [run_id])
    read = read_run(source.removed() if removed else source, run_id)
    assert (read.name, read.tags, read.removed, read.problems) == (name, tags, removed, [])

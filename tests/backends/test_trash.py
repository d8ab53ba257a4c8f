"""Removing a run and bringing it back, whoever dies or comes in between."""

import os
import shutil
from pathlib import Path

import pytest

import autotrack
from autotrack.backends import trash
from autotrack.backends.file import FileBackend
from autotrack.reader import read_run
from autotrack.records import Begin, Metrics
from autotrack.run_list import list_runs
from tests.backends.dying import killed


@pytest.fixture
def source(tmp_path: Path):
    backend = FileBackend(tmp_path / "store")
    for number in range(3):
        writer = backend.open_run(f"20260101T00000000{number}-aaaaaaaaaa", Begin(name=f"r{number}"))
        writer.write([Metrics(m={"loss": 1.0}, s=0)])
        writer.close()
    return backend.source()


def listed(source) -> list[str]:
    return [run.name for run in list_runs(source)]


def test_a_removed_run_lies_in_the_trash_and_comes_back(source):
    run = list_runs(source)[1]
    run.remove()
    assert listed(source) == ["r2", "r0"]
    assert os.listdir(source.root / "trash") == [run.id]
    with pytest.raises(autotrack.RunNotFound):
        source.read(run.id)
    thrown = read_run(source.removed(), run.id)
    assert (thrown.name, thrown.removed, thrown.metrics) == ("r1", True, {"loss": 1.0})
    source.restore(run.id)
    assert listed(source) == ["r2", "r1", "r0"]
    assert read_run(source, run.id).problems == []


def test_a_run_that_goes_on_is_refused(tmp_path: Path):
    backend = FileBackend(tmp_path / "store")
    writer = backend.open_run("20260101T000000000-aaaaaaaaaa", Begin(name="live"))
    with pytest.raises(autotrack.StoreError, match="goes on: end it first"):
        backend.source().remove(writer.run_id)
    assert listed(backend.source()) == ["live"]
    writer.close()
    backend.source().remove(writer.run_id)
    assert listed(backend.source()) == []


def test_copies_that_come_back_stay_removed(source):
    """rsync from another machine brings the folder back without its tombstone."""
    run = list_runs(source)[0]
    folder = source.root / "runs" / run.id
    shutil.copytree(folder, source.root.parent / "copy")
    run.remove()
    shutil.copytree(source.root.parent / "copy", folder)
    assert listed(source) == ["r1", "r0"]
    with pytest.raises(autotrack.StoreError, match="a copy that came back"):
        source.restore(run.id)
    trash.delete(source.root, run.id)
    assert listed(source) == ["r1", "r0"]
    assert not folder.exists()


def test_removed_twice_it_is_removed_once(source):
    one, other = list_runs(source)[0], list_runs(source)[0]
    one.remove()
    with pytest.raises(autotrack.RunNotFound):
        other.remove()
    trash.throw_away(source.root, one.id)  # what another process finds that was a step behind
    assert listed(source) == ["r1", "r0"]


def test_a_trash_that_is_a_link_is_not_used(source, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (source.root / "trash").symlink_to(tmp_path / "elsewhere")
    run = list_runs(source)[0]
    with pytest.raises(autotrack.StoreError, match="cannot be moved to the trash"):
        run.remove()
    assert os.listdir(tmp_path / "elsewhere") == []
    assert listed(source) == ["r1", "r0"]  # the tombstone counts


def test_what_is_deleted_for_good_follows_no_link(source, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").write_text("x")
    run = list_runs(source)[0]
    (source.root / "runs" / run.id / "artifacts").symlink_to(tmp_path / "elsewhere")
    run.remove()
    trash.delete(source.root, run.id)
    assert os.listdir(source.root / "trash") == []
    assert os.listdir(tmp_path / "elsewhere") == ["precious"]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("verb", ["remove", "restore", "delete"])
def test_killed_at_any_step_it_reads_and_can_be_finished(source, verb: str, moment: str):
    """At each system call that changes something: kill -9 before or after it, then the same again to the end."""
    victim = source.root / "runs" / "20260101T000000001-aaaaaaaaaa"
    original = source.root.parent / "original"
    for count in range(1, 40):
        shutil.rmtree(original, ignore_errors=True)
        shutil.rmtree(victim, ignore_errors=True)
        shutil.rmtree(source.root / "trash", ignore_errors=True)
        FileBackend(source.root).open_run(victim.name, Begin(name="r1")).close()
        if verb != "remove":
            source.remove(victim.name)
        if not killed(verb, moment, count, source.root, victim.name):
            break
        names = listed(source)
        assert names in (["r2", "r1", "r0"], ["r2", "r0"])
        if verb == "restore":  # half restored it is not there yet
            source.restore(victim.name)
            assert listed(source) == ["r2", "r1", "r0"]
        elif verb == "remove":
            if "r1" in names:
                source.remove(victim.name)
            source.restore(victim.name)
            assert listed(source) == ["r2", "r1", "r0"]
        else:
            assert names == ["r2", "r0"]
            trash.delete(source.root, victim.name)
            for half in trash.half_deleted(source.root):
                shutil.rmtree(half)
            assert os.listdir(source.root / "trash") == []
        assert [run.problems for run in list_runs(source)] == [[] for _ in list_runs(source)]
    else:
        pytest.fail("it never got to the end")
    assert count > 2

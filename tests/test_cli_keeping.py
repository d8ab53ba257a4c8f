"""Commands that change what is kept: edit, rm, restore, experiments."""

import json
from pathlib import Path

import pytest

import autotrack
from tests.test_cli import call, process, strict_json


@pytest.fixture
def store(tracked: Path) -> Path:
    for name in ("first", "second"):
        with autotrack.start_run(name, experiment="e"):
            autotrack.log_metrics({"loss": 0.5})
    return tracked


def names(store: Path) -> list[str]:
    return [run["name"] for run in strict_json(call("ls", "--json", store=store).stdout)]


def test_edit(store: Path):
    done = call("edit", "first", "--name", "best", "-t", "a=b=c", "-t", "x=1", "--note", "good", store=store)
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.startswith("changed: best (")
    done = call("edit", "best", "--untag", "x", "-e", "other", "--json", store=store)
    shown = strict_json(done.stdout)
    assert (shown["name"], shown["tags"], shown["experiment"]) == ("best", {"a": "b=c"}, "other")
    assert shown["notes"] == [["info", "good"]]


@pytest.mark.parametrize("arguments", [["edit", "first"], ["edit", "first", "-t", "a"], ["edit"], ["rm"]], ids=str)
def test_usage(store: Path, arguments: list[str]):
    assert call(*arguments, store=store).exit_code == 2
    assert names(store) == ["second", "first"]


@pytest.mark.parametrize("name", ["@last", "@max:loss", "@mine"])
def test_a_name_that_would_be_a_reference_is_refused(store: Path, name: str):
    done = process("edit", "first", "--name", name, cwd=store.parent)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{name!r} cannot be a run's name: what begins with @ is a reference" in done.stderr
    assert names(store) == ["second", "first"]


def test_rm_and_restore(store: Path):
    done = call("rm", "first", "@last", store=store)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "removed: first" in done.stderr
    assert "removed: second" in done.stderr
    assert names(store) == []
    listed = call("restore", store=store)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["run", "second", "first"]
    assert "restored: first" in call("restore", "first", store=store).stderr
    assert names(store) == ["first"]
    assert [run["name"] for run in strict_json(call("restore", "--json", store=store).stdout)] == ["second"]


def test_restore_finds_all_before_one_comes_back(store: Path):
    call("rm", "first", "second", store=store)
    with pytest.raises(autotrack.RunNotFound, match="nope"):
        call("restore", "first", "nope", store=store)
    assert names(store) == []
    done = call("restore", "first", "second", "first", store=store)
    assert done.stderr.count("restored: first") == 1
    assert names(store) == ["second", "first"]


def test_rm_of_something_unknown_removes_nothing(store: Path):
    done = process("rm", "first", "nothing", cwd=store.parent)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no run matches 'nothing'" in done.stderr
    assert names(store) == ["second", "first"]


def test_rm_of_a_run_that_goes_on(store: Path):
    with autotrack.start_run("live"):
        done = process("rm", "live", "first", cwd=store.parent)
        assert done.returncode == 1
        assert "goes on: end it first" in done.stderr
        assert names(store) == ["live", "second"]


def test_restore_of_nothing(store: Path):
    assert "The trash is empty." in call("restore", store=store).stderr
    done = process("restore", "first", cwd=store.parent)
    assert done.returncode == 1
    assert "no removed run matches 'first'" in done.stderr


def test_experiments(store: Path):
    call("experiments", "describe", "e", "what \x1b[31mit\u202e is about", "-t", "team=vision", store=store)
    listed = call("experiments", "ls", store=store).stdout
    assert listed.splitlines()[1].split()[:2] == ["e", "2"]
    assert "team=vision" in listed
    assert "\x1b" not in listed
    assert "\u202e" not in call("experiments", "describe", "e", store=store).stdout
    assert call("experiments", "rename", "e", "new", store=store).stderr == "renamed: e is now new\n"
    shown = json.loads(call("experiments", "describe", "new", "--json", store=store).stdout)
    assert (shown["names"], shown["runs"], shown["tags"]) == (["e", "new"], 2, {"team": "vision"})
    call("experiments", "archive", "new", store=store)
    assert names(store) == []
    assert "archived experiments: name one" in call("ls", store=store).stderr
    shown = process("show", cwd=store.parent)
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr.startswith("autotrack: @last: all runs here are of archived experiments")
    assert "No experiments here yet" in call("experiments", "ls", store=store).stderr
    assert "(archived)" in call("experiments", "ls", "--all", store=store).stdout
    call("experiments", "archive", "new", "--undo", store=store)
    assert names(store) == ["second", "first"]

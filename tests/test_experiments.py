"""Experiments: there as soon as a run names one; described, renamed and archived without touching a run."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

import autotrack
from autotrack.backends.file_experiments import folder_name


def run_in(experiment: str) -> str:
    with autotrack.start_run(experiment=experiment) as run:
        pass
    return run.id


def names(**arguments) -> list[str]:
    return [experiment.name for experiment in autotrack.experiments(**arguments)]


def test_an_experiment_is_there_with_its_first_run(tracked: Path):
    assert names() == []
    run_in("a"), run_in("b"), run_in("a")
    found = autotrack.experiments()
    assert [(experiment.name, experiment.runs) for experiment in found] == [("a", 2), ("b", 1)]
    assert found[0].last == autotrack.runs()[0].start
    assert not (tracked / "experiments").exists()  # nothing was said of them


def test_description_and_tags(tracked: Path):
    run_in("a")
    experiment = autotrack.get_experiment("a")
    experiment.describe("first try")
    experiment.set_tags({"team": "vision", "old": "x"})
    experiment.set_tags({"old": None})
    read = autotrack.get_experiment("a")
    assert read == experiment
    assert (read.description, read.tags) == ("first try", {"team": "vision"})


def test_all_runs_are_found_under_the_new_name(tracked: Path):
    old = run_in("iris")
    run_in("other")
    journals = list((tracked / "runs").rglob("*.jsonl"))
    autotrack.get_experiment("iris").rename("flowers")
    autotrack.get_experiment("flowers").rename("plants")
    assert set((tracked / "runs").rglob("*.jsonl")) == set(journals)
    assert b"flowers" not in b"".join(path.read_bytes() for path in journals)
    new = run_in("iris")  # the script was not changed
    newest = run_in("plants")
    for name in ("iris", "flowers", "plants"):
        assert [run.id for run in autotrack.runs(experiment=name)] == [newest, new, old]
        assert autotrack.get_experiment(name).name == "plants"
    assert [run.id for run in autotrack.runs("experiment = 'plants'")] == [newest, new, old]
    assert {run.experiment for run in autotrack.runs()} == {"plants", "other"}
    assert autotrack.get_run(old).experiment == "plants"
    found = autotrack.get_experiment("plants")
    assert (found.names, found.runs) == (["iris", "flowers", "plants"], 3)


def test_a_name_that_is_taken_is_refused(tracked: Path):
    run_in("a"), run_in("b"), run_in("c")
    autotrack.get_experiment("a").rename("new")
    for taken in ("new", "c"):
        with pytest.raises(autotrack.ConfigError, match="name of another experiment"):
            autotrack.get_experiment("b").rename(taken)
    for odd in ("", "  ", "x" * 201):
        with pytest.raises(autotrack.ConfigError, match="1 to 200 characters"):
            autotrack.get_experiment("b").rename(odd)
    autotrack.get_experiment("new").rename("a")  # its own earlier one
    assert sorted(names()) == ["a", "b", "c"]


def test_a_name_that_another_experiment_had_can_be_given_again(tracked: Path):
    """Runs that were started before belong to the one that had it, later ones to the one that has it."""
    first, other = run_in("iris"), run_in("second try")
    autotrack.get_experiment("iris").rename("first try")
    second = run_in("iris")
    autotrack.get_experiment("second try").rename("iris")
    third = run_in("iris")
    assert sorted(names()) == ["first try", "iris"]
    assert [run.id for run in autotrack.runs(experiment="iris")] == [third, other]
    assert [run.id for run in autotrack.runs("experiment = 'first try'")] == [second, first]
    assert {run.id: run.experiment for run in autotrack.runs()} == {
        third: "iris", second: "first try", other: "iris", first: "first try",
    }  # fmt: skip
    assert autotrack.get_run(first).experiment == "first try"
    assert autotrack.get_experiment("iris").names == ["second try", "iris"]
    autotrack.get_experiment("iris").describe("of the second")
    assert autotrack.get_experiment("first try").description == ""
    assert autotrack.get_experiment("second try").description == "of the second"
    old = autotrack.get_run(first)
    old.move("iris")  # an old run to the one that is called so today
    assert old.experiment == "iris"
    assert [run.id for run in autotrack.runs(experiment="iris")] == [third, other, first]
    autotrack.get_run(third).move("first try")
    assert [run.id for run in autotrack.runs(experiment="first try")] == [third, second]


def test_an_archived_experiment_is_out_of_sight(tracked: Path):
    kept, hidden = run_in("kept"), run_in("old")
    autotrack.get_experiment("old").archive()
    assert names() == ["kept"]
    assert sorted(names(archived=True)) == ["kept", "old"]
    assert [run.id for run in autotrack.runs()] == [kept]
    assert autotrack.get_run("@last").id == kept
    assert autotrack.get_run(hidden).id == hidden
    assert [run.id for run in autotrack.runs(experiment="old")] == [hidden]
    autotrack.get_experiment("old").archive(False)
    assert [run.id for run in autotrack.runs()] == [hidden, kept]


def test_a_run_that_is_started_later_takes_its_experiment_out_of_the_archive(tracked: Path):
    hidden = run_in("old")
    autotrack.get_experiment("old").archive()
    new = run_in("old")
    assert names() == ["old"]
    assert not autotrack.get_experiment("old").archived
    assert [run.id for run in autotrack.runs()] == [new]  # the older ones stay there
    assert autotrack.get_run("@last").id == new
    assert [run.id for run in autotrack.runs(experiment="old")] == [new, hidden]
    autotrack.get_experiment("old").archive()
    assert names() == []
    assert len(autotrack.runs()) == 0
    autotrack.get_experiment("old").archive(False)
    assert [run.id for run in autotrack.runs()] == [new, hidden]


def test_what_stands_for_a_run_says_when_all_are_archived(tracked: Path):
    with autotrack.start_run(experiment="old") as run:
        run.log_metrics({"loss": 1.0})
    autotrack.get_experiment("old").archive()
    for ref in ("@last", "@max:loss"):
        with pytest.raises(autotrack.RunNotFound, match=f"^{ref}: all runs here are of archived experiments"):
            autotrack.get_run(ref)
    with pytest.raises(autotrack.RunNotFound, match="no run matches '@first'"):
        autotrack.get_run("@first")


@pytest.mark.parametrize(
    "condition", ["experiment = 'old'", "experiment = 'new'", "experiment IN ('new', 'x')", "experiment LIKE 'ne%'"]
)
def test_a_filter_names_an_experiment_as_well(tracked: Path, condition: str):
    """One that is archived, by its name or by one that it had."""
    run_in("old")
    experiment = autotrack.get_experiment("old")
    experiment.rename("new")
    experiment.archive()
    assert len(autotrack.runs()) == 0
    assert len(autotrack.runs("experiment != 'x'")) == 0
    assert [run.experiment for run in autotrack.runs(condition)] == ["new"]


def test_a_run_is_moved_to_another_experiment(tracked: Path):
    run_in("a")
    autotrack.runs()[0].move("b")
    assert names() == ["b"]
    assert len(autotrack.runs(experiment="a")) == 0
    autotrack.get_experiment("b").rename("c")
    assert len(autotrack.runs(experiment="c")) == 1


def test_an_unknown_one_is_an_error_that_lists_them(tracked: Path):
    run_in("a")
    with pytest.raises(autotrack.ExperimentNotFound, match="no experiment 'x'; there are: a"):
        autotrack.get_experiment("x")


NAMES = ["..", ".", "a/../../b", "/etc", "\x00", "a b", "ä", "\ud800", "x" * 5000, "~", "con", "a\nb", "%2e", "-rf"]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_odd_names_stay_in_the_store(tracked: Path, name: str):
    run_in(name)
    experiment = autotrack.experiments()[0]
    experiment.describe("odd")
    assert [autotrack.get_experiment(experiment.name).description] == ["odd"]
    assert len(os.listdir(tracked / "experiments")) == 1
    assert sorted(os.listdir(tracked)) == [".gitignore", "experiments", "runs", "store.json"]
    assert os.listdir(tracked.parent) == [tracked.name]


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(exclude_categories=()), max_size=60), st.text(max_size=60))
def test_folder_names_are_safe_and_tell_names_apart(one: str, other: str):
    folder = folder_name(one)
    assert folder
    assert set(folder) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-%=")
    assert folder[0] != "."
    assert len(folder) <= 120
    assert (folder == folder_name(other)) == (one == other)


def test_a_link_among_the_experiments_is_not_followed(tracked: Path, tmp_path: Path):
    run_in("a")
    (tmp_path / "elsewhere" / "journal").mkdir(parents=True)
    (tracked / "experiments").mkdir()
    (tracked / "experiments" / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(autotrack.StoreError, match="cannot be changed"):
        autotrack.get_experiment("a").describe("x")
    assert os.listdir(tmp_path / "elsewhere" / "journal") == []


def test_damage_in_an_experiment_costs_no_run(tracked: Path):
    run_in("a")
    autotrack.get_experiment("a").describe("x")
    for path in (tracked / "experiments").rglob("*.jsonl"):
        path.write_bytes(b"\xff\x00 no record\n")
    assert len(autotrack.runs()) == 1
    assert autotrack.get_experiment("a").description == ""

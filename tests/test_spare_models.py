"""gc --keep-models: which models go, that they go with a word, and what stays."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

import autotrack
from autotrack import models, upkeep, verification
from autotrack.backends.housekeeping import housekeeper
from tests.models.toy import Toy, ToyFormat
from tests.test_cli import call


@pytest.fixture
def scored(tracked: Path) -> list[str]:
    """Three runs of one experiment with a model each, the second one is the best; a run without one; another's run."""
    models.register_format(ToyFormat())
    ids = []
    for slope, score in ((1.0, 0.5), (2.0, 0.9), (3.0, 0.7)):
        with autotrack.start_run() as run:
            run.log_metrics({"score": score})
            run.log_model(Toy(slope))
        ids.append(run.id)
    with autotrack.start_run("bare"):
        pass
    with autotrack.start_run("elsewhere", experiment="other") as run:
        run.log_model(Toy(9.0))
    older(tracked)
    return ids


def have_models(store: Path) -> set[str]:
    return {path.parent.name for path in store.glob("runs/*/models")}


def older(store: Path) -> None:
    """Models that were saved an hour ago, with all that belongs to them."""
    assert housekeeper.wait_idle(60)
    for folder in store.rglob("models"):
        os.utime(folder, (time.time() - 3600, time.time() - 3600))


def test_the_newest_keep_theirs(tracked: Path, scored: list[str]):
    other = autotrack.get_run("elsewhere").id
    before = have_models(tracked)
    planned = call("gc", "--keep-models", "1", "--dry-run", "--json", store=tracked)
    assert {(one["kind"], one["path"]) for one in json.loads(planned.stdout)} == {
        ("spare model", f"runs/{run_id}/models") for run_id in scored[:2]
    }
    assert have_models(tracked) == before
    assert "cleared away" in call("gc", "--keep-models", "1", store=tracked).stderr
    assert have_models(tracked) == {scored[2], other}
    assert autotrack.load_model(scored[2]).slope == 3.0
    assert "nothing to clear away" in call("gc", "--keep-models", "1", store=tracked).stderr


def test_or_the_best_ones(tracked: Path, scored: list[str]):
    other = autotrack.get_run("elsewhere").id
    call("gc", "--keep-models", "1", "--sort", "metrics.score DESC", store=tracked)
    assert have_models(tracked) == {scored[1], other}
    call("gc", "--keep-models", "0", store=tracked)
    assert have_models(tracked) == set()


def test_a_run_says_that_its_model_was_deleted(tracked: Path, scored: list[str]):
    autotrack.register_model(scored[0], "slopes")
    call("gc", "--keep-models", "0", store=tracked)
    with pytest.raises(autotrack.ModelError, match=r"was deleted by `autotrack gc --keep-models 0` on 20\d\d-"):
        autotrack.load_model(scored[0])
    assert autotrack.load_model("models:/slopes/1").slope == 1.0
    assert "deleted by `autotrack gc" in call("show", scored[0], store=tracked).stdout
    assert [checked.damage for checked in verification.verify(store=tracked) if checked.damage] == []
    with pytest.raises(autotrack.ModelError, match="was deleted by"):
        call("models", "show", scored[0], store=tracked)
    run = autotrack.get_run(scored[0])
    assert (run.metrics, run.status, list(run.models)) == ({"score": 0.5}, "finished", ["model"])


def test_models_of_child_runs_go_with_them(tracked: Path):
    models.register_format(ToyFormat())
    with autotrack.start_run("outer") as run:
        for name in ("a", "b"):
            with autotrack.start_run(name) as child:
                child.log_model(Toy(1.0))
        run.log_model(Toy(2.0))
    older(tracked)
    found = list(upkeep.old_models(0, store=tracked))
    folder = f"runs/{run.id}"
    assert {waste.path for waste in found} == {f"{folder}/{name}models" for name in ("", "children/1/", "children/2/")}
    for waste in found:
        waste.clear()
    read = autotrack.get_run("outer")
    assert all(one.models["model"].gone for one in (read, *read.children))
    assert not list(tracked.rglob("*.toy"))


def test_runs_that_go_on_keep_theirs(tracked: Path):
    models.register_format(ToyFormat())
    with autotrack.start_run() as run:
        run.log_model(Toy(1.0))
        older(tracked)
        assert list(upkeep.old_models(0, store=tracked)) == []
    assert len(list(upkeep.old_models(0, store=tracked))) == 1


def test_a_model_of_the_last_minute_is_left_alone(tracked: Path):
    """Files may still come to it, and it may be on its way to its safe form."""
    models.register_format(ToyFormat())
    with autotrack.start_run() as run:
        run.log_model(Toy(1.0))
    assert housekeeper.wait_idle(60)
    os.utime(tracked / "runs" / run.id / "models", (time.time() + 3600,) * 2)  # however slow this machine is
    assert list(upkeep.old_models(0, store=tracked)) == []


def test_stopped_after_the_word_the_rest_is_waste(tracked: Path, scored: list[str], monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *args, **options: None)
        call("gc", "--keep-models", "0", store=tracked)
    left = list(tracked.rglob("*.toy"))
    assert len(left) == 4
    for path in left:
        os.utime(path, (0, 0))
    call("gc", store=tracked)
    assert not list(tracked.rglob("*.toy"))


def test_a_folder_of_models_that_is_a_link_is_left_alone(tracked: Path, scored: list[str], tmp_path: Path):
    folder = tracked / "runs" / scored[0] / "models"
    folder.rename(tmp_path / "outside")
    folder.symlink_to(tmp_path / "outside")
    call("gc", "--keep-models", "0", store=tracked)
    assert list((tmp_path / "outside").rglob("*.toy"))


def test_an_order_alone_says_nothing(tracked: Path):
    assert call("gc", "--sort", "metrics.score", store=tracked).exit_code == 2

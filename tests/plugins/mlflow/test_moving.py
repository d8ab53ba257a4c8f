"""From a real server into a folder: our runs as they were, and those of MLflow's own tools."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import autotrack
from autotrack import plugins
from autotrack.backends.file_source import FileSource
from autotrack.backends.housekeeping import housekeeper
from autotrack.imported import import_runs
from autotrack.lookup import source_of
from autotrack.moving import Mover
from autotrack.remote import ForeignRun
from tests.plugins.mlflow.conftest import QUIET
from tests.plugins.mlflow.copying import client, copy, on_server

pytestmark = pytest.mark.slow


def test_runs_are_restored_whole_from_their_journals(tracked: Path, tmp_path: Path, server: str):
    with autotrack.start_run("one", experiment="restored", tags={"a": "b"}) as run:
        for step in range(2000):
            run.log_metrics({"loss": step / 2}, step=step, epoch=step // 100)
        run.log_params({"text": "x" * 100_000, "C": 1.0})
        Path("notes.txt").write_text("some notes")
        run.log_artifact("notes.txt", "sub/notes.txt")
        with autotrack.start_run("inner") as child:
            Path("notes.txt").write_text("of the child")
            child.log_artifact("notes.txt")
    with autotrack.start_run("going on", experiment="restored") as other:
        assert housekeeper.wait_idle(60)  # what is captured beside the run is there
        copy(tracked, server)
        there = tmp_path / "there"
        mover = Mover(source_of(server), there)
        mover.round()
        assert [problem for problem in mover.progress.problems if other.id in problem]
    (journal,) = (there / "runs" / run.id / "journal").iterdir()
    assert journal.read_bytes() == (tracked / "runs" / run.id / "journal" / journal.name).read_bytes()
    copied, original = autotrack.get_run(run.id, store=there), autotrack.get_run(run.id, store=tracked)
    assert copied == original
    for one, two in [(copied, original), (copied.children[0], original.children[0])]:
        for name in one.artifacts:
            with one.open(name) as first, two.open(name) as second:
                assert first.read() == second.read()
    names = {path.relative_to(tracked / "runs" / run.id) for path in (tracked / "runs" / run.id).rglob("*")}
    assert {path.relative_to(there / "runs" / run.id) for path in (there / "runs" / run.id).rglob("*")} == names
    autotrack.get_run(run.id, store=tracked).set_tags({"late": "yes"})
    copy(tracked, server)
    mover = Mover(source_of(server), there)
    mover.round()
    assert {run.id, other.id} <= mover.progress.runs
    assert autotrack.get_run(run.id, store=there).tags["late"] == "yes"
    Mover(source_of(server), there).round()
    assert autotrack.get_run(run.id, store=there) == autotrack.get_run(run.id, store=tracked)


def test_a_run_that_is_restored_here_comes_back_there(tracked: Path, server: str):
    with autotrack.start_run("back", experiment="back") as run, autotrack.start_run("inner"):
        pass
    with autotrack.start_run("theirs", experiment="back") as other:
        pass
    copy(tracked, server)
    for name in ("inner", "whole"):
        ref = f"{run.id}.1" if name == "inner" else run.id
        autotrack.get_run(ref).remove()
        copy(tracked, server)
        left = {found.info.run_name for found in on_server(server, "back").values()}
        assert left == ({"back", "theirs"} if name == "inner" else {"theirs"})
        autotrack.restore_run(ref)
        autotrack.get_run(ref).set_tags({"said": name})
        copy(tracked, server)
        found = on_server(server, "back")
        assert sorted(found) == sorted([run.id, f"{run.id}.1", other.id])
        assert found[ref].data.tags["said"] == name
        assert not any("removed" in tag for tag in found[ref].data.tags)
    client(server).delete_run(on_server(server, "back")[other.id].info.run_id)  # by a person
    autotrack.get_run(other.id).remove()
    copy(tracked, server)
    autotrack.restore_run(other.id)
    copy(tracked, server)
    assert sorted(on_server(server, "back")) == sorted([run.id, f"{run.id}.1"])


AUTOLOG = """
    import sys
    import mlflow
    from mlflow.entities import Metric
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    mlflow.set_tracking_uri(sys.argv[1])
    mlflow.set_experiment("autolog")
    mlflow.sklearn.autolog(log_models=False)
    X, y = load_iris(return_X_y=True)
    GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.1, 1.0]}, cv=3).fit(X, y)
    with mlflow.start_run(run_name="by hand", description="words") as run:
        points = [Metric("loss", step / 4, 1_700_000_000_000 + 7 * step, step) for step in range(2500)]
        for at in range(0, 2500, 500):
            mlflow.MlflowClient().log_batch(run.info.run_id, points[at : at + 500])
        mlflow.log_metric("odd", float("nan"), step=7)
        mlflow.set_tag("team", "vision")
        mlflow.log_text("hello", "sub/a b.txt")
"""


def autolog(uri: str, folder: Path, **environment: str) -> None:
    """What a user of MLflow records."""
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(AUTOLOG), uri], cwd=folder, check=True, timeout=400,
        env={**os.environ, **QUIET, **environment}, capture_output=True,
    )  # fmt: skip


def same(run: autotrack.RunRecord, original: object, api: object) -> None:
    """A run as MLflow's client reads it."""
    info, data = original.info, original.data
    assert (run.name, run.tags["imported_from"]) == (info.run_name, info.run_id)
    assert (round(run.start * 1000), round(run.duration * 1000)) == (info.start_time, info.end_time - info.start_time)
    assert run.params == data.params
    assert {key: str(value) for key, value in run.metrics.items()} == {
        key: str(value) for key, value in data.metrics.items()
    }
    for key in data.metrics:
        points = sorted((p.timestamp, p.step, str(p.value)) for p in api.get_metric_history(info.run_id, key))
        found = [(round(point.time * 1000), point.step, str(point.value)) for point in run.history(key)]
        assert sorted(found) == points


def autologged(place: str) -> Iterator[list[ForeignRun]]:
    """Other tests may have left runs on the server."""
    return (runs for runs in plugins.foreign_runs(place) if any(run.experiment == "autolog" for run in runs))


@pytest.mark.parametrize("kind", ["server", "folder"])
def test_runs_of_mlflows_own_are_imported(kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch):
    folder = tmp_path / "mlruns"
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = request.getfixturevalue("server") if kind == "server" else folder.as_uri()
    autolog(uri, tmp_path, MLFLOW_ALLOW_FILE_STORE="true")
    place = uri if kind == "server" else str(folder)
    store = tmp_path / "store"
    done, going_on = import_runs(autologged(place), store)
    assert (going_on, done.problems) == ([], [])
    api = client(uri)
    experiment = api.get_experiment_by_name("autolog").experiment_id
    originals = {run.info.run_id: run for run in api.search_runs([experiment])}
    runs = autotrack.runs(experiment="autolog", store=store)
    found = {one.tags["imported_from"]: one for run in runs for one in (run, *run.children)}
    assert found.keys() == originals.keys()
    for run_id, original in originals.items():
        same(found[run_id], original, api)
        assert found[run_id].status == "finished"
    search = next(run for run in runs if run.children)
    assert {child.parent for child in search.children} == {search.id}
    assert {originals[child.tags["imported_from"]].data.tags["mlflow.parentRunId"] for child in search.children} == {
        search.tags["imported_from"]
    }
    by_hand = next(run for run in runs if run.name == "by hand")
    assert by_hand.tags["team"] == "vision"
    assert by_hand.user
    with by_hand.open("sub/a b.txt") as file:
        assert file.read() == b"hello"
    assert all(not problem for problem in (run.problems for run in runs))
    before = sorted(path for path in store.rglob("*"))
    done, _ = import_runs(autologged(place), store)
    assert (done.runs, done.records) == (set(), 0)
    assert sorted(path for path in store.rglob("*")) == before
    assert len(FileSource(store).run_ids()) == 2

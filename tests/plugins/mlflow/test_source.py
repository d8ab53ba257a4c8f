"""Runs read back from a real server: exactly where the journal is there, else as far as MLflow holds them."""

import math
import time
from pathlib import Path

import pytest

import autotrack
from autotrack.records import End, Failure, Metrics, Params, Tags
from tests.backends import written
from tests.plugins.mlflow.copying import client, copy, on_server
from tests.plugins.mlflow.proxy import Proxy

pytestmark = pytest.mark.slow


def test_a_run_comes_back_exactly(tracked: Path, server: str):
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    X, y = load_iris(return_X_y=True)
    with autotrack.start_run("whole", experiment="exact", tags={"a": "b"}) as run:
        run.log_params({"list": [1, None], "float": 1.0, "text": "1.0"})
        for value in (math.inf, -math.inf, 1.0, 1.0):
            run.log_metrics({"loss": value}, step=3, epoch=2)
        Path("notes.txt").write_text("some notes")
        run.log_artifact("notes.txt")
        GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.1, 1.0]}, cv=3, error_score="raise").fit(X, y)
    model = autotrack.load_model(run.id)  # waits for its safe form
    for _ in range(30):  # what is captured beside the training may come late
        copy(tracked, server)
        here, there = autotrack.get_run(run.id), autotrack.get_run(run.id, store=server)
        if there == here:
            break
        time.sleep(1)
    assert there == here
    assert len(there.children) == 2
    assert list(there.history("loss")) == list(here.history("loss"))
    with there.open("notes.txt") as file:
        assert file.read() == b"some notes"
    assert (autotrack.load_model(run.id, store=server).predict(X) == model.predict(X)).all()
    found = autotrack.runs("params.float = 1.0 and metrics.loss = 1", experiment="exact", store=server)
    assert [one.id for one in found] == [run.id]
    with pytest.raises(autotrack.RunNotFound):
        autotrack.get_run("20200101T000000000-0000000000", store=server)
    with pytest.raises(FileNotFoundError):
        there._open("artifacts/not there")
    with pytest.raises(autotrack.ArtifactPathError):
        there._open("artifacts/../../x")


def test_a_list_asks_little_and_shows_what_the_folder_shows(tmp_path: Path, server: str, proxy: Proxy):
    store = tmp_path / "store"
    for number in range(45):  # more than the first answer has
        run = written.begin(store, f"run {number}", experiment="many")
        run.write([Params(p={"number": number, "x": {"$float": "inf"}}, changed=["x"]), Tags(g={"ü": str(number)})])
        run.write([Metrics(run.elapsed(), "", {"loss": number / 8, "none": "nan"}, number)])
        failure = Failure("ValueError", "no", "Traceback") if number == 44 else None
        run.write([End(t=run.elapsed(), status="failed" if failure else "finished", duration=1.0, error=failure)])
        run.close()
    copy(store, server)
    query = {"filter": "params.number >= 2", "experiment": "many"}
    here = autotrack.runs(**query, store=store)
    there = autotrack.runs(**query, store=proxy.address)
    heads = [[{**vars(run), "_source": None} for run in found] for found in (here, there)]
    assert repr(heads[0]) == repr(heads[1])  # NaN is not equal to itself
    assert len(here) == 43
    assert not any("artifacts" in what for what in proxy.seen)  # no journal
    assert sum(proxy.seen.values()) <= 6
    proxy.seen.clear()
    assert autotrack.get_run("@last", store=proxy.address) == autotrack.get_run("run 44", store=store)
    assert sum(proxy.seen.values()) <= 6


def test_a_run_that_goes_on_is_read_from_what_mlflow_holds(tracked: Path, server: str):
    with autotrack.start_run("live", experiment="going on", tags={"team": "vision"}) as run:
        run.log_params({"lr": 0.1})
        for step in range(5):
            run.log_metrics({"loss": step / 2, "x/y": math.nan}, step=step)
        with autotrack.start_run("inner") as child:
            child.log_metrics({"inner": 1.5}, step=7)
        copy(tracked, server)
        there = autotrack.get_run("live", store=server)
        assert (there.id, there.status, there.experiment) == (run.id, "running", "going on")
        assert (there.params, there.tags) == ({"lr": "0.1"}, {"team": "vision"})
        assert [(point.step, point.value) for point in there.history("loss")] == [(step, step / 2) for step in range(5)]
        assert math.isnan(there.metrics["x/y"])
        (inner,) = there.children
        assert (inner.name, inner.status, inner.metrics) == ("inner", "finished", {"inner": 1.5})


def test_a_run_that_was_removed_is_deleted_there(tracked: Path, server: str):
    with autotrack.start_run("one", experiment="removed") as run, autotrack.start_run("inner"):
        pass
    with autotrack.start_run("two", experiment="removed"):
        pass
    with autotrack.start_run("never there", experiment="removed"):
        pass
    autotrack.get_run("never there").remove()
    copy(tracked, server)
    assert {found.info.run_name for found in on_server(server, "removed").values()} == {"one", "inner", "two"}
    autotrack.get_run(run.id).remove()
    copy(tracked, server)
    assert {found.info.run_name for found in on_server(server, "removed").values()} == {"two"}
    assert [found.name for found in autotrack.runs(experiment="removed", store=server)] == ["two"]
    experiment = client(server).get_experiment_by_name("removed")
    assert (
        len(client(server).search_runs([experiment.experiment_id], run_view_type=3)) == 3
    )  # none was made to be deleted


def test_a_journal_that_is_spoilt_there_is_named(tracked: Path, server: str, tmp_path: Path):
    with autotrack.start_run("spoilt", experiment="spoilt") as run:
        run.log_metrics({"loss": 1.0}, step=0)
    copy(tracked, server)
    (found,) = on_server(server, "spoilt").values()
    for journal in (tracked / "runs" / run.id / "journal").iterdir():
        bad = tmp_path / f"{journal.name}.gz"
        bad.write_bytes(b"no gzip")
        client(server).log_artifact(found.info.run_id, str(bad), "autotrack/journal")
    there = autotrack.get_run(run.id, store=server)
    assert there.metrics == {"loss": 1.0}  # of what MLflow holds
    assert len(there.problems) >= 1

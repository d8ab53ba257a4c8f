"""Runs on a real MLflow server, as MLflow's own client reads them."""

import json
import math
from pathlib import Path

import pytest

import autotrack
from autotrack.records import Artifact, Tags
from tests.backends import written
from tests.plugins.mlflow.copying import client, copy, on_server, points

pytestmark = pytest.mark.slow

ODD = {"plain": 0.5, "a key/with:all - of_them.": 1.0, "../up": 2.0, "/root": 3.0, "percent %": 4.0, "k" * 300: 5.0}


def test_a_run_is_there_with_all_that_mlflow_can_hold(tracked: Path, server: str):
    with autotrack.start_run("by hand", experiment="whole", tags={"team": "vision"}) as run:
        run.log_params({"lr": 0.1, "layers": [1, 2], "none": None, "yes": True, "text": "ü"})
        for step, loss in enumerate([0.5, 0.25, math.nan, math.inf, -math.inf]):
            run.log_metrics({"loss": loss}, step=step)
        Path("notes.txt").write_text("some notes")
        run.log_artifact("notes.txt", "sub/notes.txt")
    copy(tracked, server)
    (found,) = on_server(server, "whole").values()
    record = autotrack.get_run(run.id)
    assert found.info.run_name == "by hand"
    assert found.info.status == "FINISHED"
    assert found.info.start_time == round(record.start * 1000)
    assert found.info.end_time >= found.info.start_time
    assert found.data.params == {"lr": "0.1", "layers": "[1, 2]", "none": "None", "yes": "True", "text": "ü"}
    assert found.data.tags["team"] == "vision"
    history = client(server).get_metric_history(found.info.run_id, "loss")
    assert [point.step for point in sorted(history, key=lambda point: point.step)] == [0, 1, 2, 3, 4]
    values = [point.value for point in sorted(history, key=lambda point: point.step)]
    assert values[:2] == [0.5, 0.25]
    assert math.isnan(values[2])
    assert values[3] > 1e308
    assert values[4] < -1e308
    assert {point.timestamp for point in history} == {round(point.time * 1000) for point in record.history("loss")}
    path = client(server).download_artifacts(found.info.run_id, "sub/notes.txt")
    assert Path(path).read_text() == "some notes"


def test_a_training_with_data_model_children_and_scores(tracked: Path, server: str):
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    X, y = load_iris(return_X_y=True, as_frame=True)
    search = GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.1, 1.0]}, cv=3).fit(X, y)
    search.score(X, y)
    autotrack.load_model("@last")  # waits for its safe form
    copy(tracked, server)
    record = autotrack.get_run("@last")
    found = on_server(server, "test")
    run = found[record.id]
    assert {key: run.data.metrics[key] for key in ("best_score", "score_on_X")} == {
        key: record.metrics[key] for key in ("best_score", "score_on_X")
    }
    assert run.data.params["best_C"] == str(record.params["best_C"])
    for child in record.children:
        copied = found[child.id]
        assert copied.data.tags["mlflow.parentRunId"] == run.info.run_id
        assert copied.data.params == {"C": str(child.params["C"])}
        assert points(server, copied, "test_score") == [
            (point.step, point.value) for point in child.history("test_score")
        ]
    inputs = {one.dataset.name: one.dataset for one in run.inputs.dataset_inputs}
    assert inputs["X"].digest == record.facts["data"]["X"]["hash"]
    assert [column["name"] for column in json.loads(inputs["X"].schema)["mlflow_colspec"]] == list(X.columns)
    with record._open(record.models["model"].path) as file:
        saved = file.read()
    with autotrack.get_run(record.id, store=server)._open(record.models["model"].path) as file:
        assert file.read() == saved


def test_a_second_copy_sends_nothing_and_a_later_one_what_is_new(tmp_path: Path, server: str):
    store = tmp_path / "store"
    run = written.begin(store, experiment="again")
    written.points(run, 0, 1)
    written.end(run)
    first = copy(store, server).progress
    assert (first.runs, first.records) == ({run.run_id}, 4)
    assert copy(store, server).progress.records == 0
    written.points(run, 7, key="late")
    run.write([Tags(t=run.elapsed(), g={"checked": "yes"})])
    assert copy(store, server).progress.records == 2
    (found,) = on_server(server, "again").values()
    assert (found.data.metrics, found.data.tags["checked"]) == ({"loss": 0.5, "late": 3.5}, "yes")


def test_a_param_that_changes_and_one_that_cannot_be_cost_no_other(tracked: Path, server: str):
    with autotrack.start_run(experiment="params") as run:
        run.log_params({"lr": 0.1, "kept": 1})
        copy(tracked, server)
        run.log_params({"lr": 0.2, "new": 2, "long": ["x" * 100] * 100})
    copy(tracked, server)
    (found,) = on_server(server, "params").values()
    assert {key: found.data.params[key] for key in ("lr", "kept", "new")} == {"lr": "0.1", "kept": "1", "new": "2"}
    assert found.data.tags["autotrack.param.lr"] == "0.2"
    assert len(found.data.params["long"]) == 6000
    whole = client(server).download_artifacts(found.info.run_id, "autotrack/params/long.txt")
    assert json.loads(Path(whole).read_text()) == ["x" * 100] * 100


def test_odd_names_and_many_values(tracked: Path, server: str):
    with autotrack.start_run(experiment="odd") as run:
        run.log_metrics(ODD, step=-5)
        run.log_params({f"p{i}": i for i in range(250)})
        run.set_tags({f"t{i}": str(i) for i in range(250)} | {"bad\x00": "a\x00b", "long": "x" * 9000})
        for step in range(1500):
            run.log_metrics({"loss": step / 2}, step=step)
        run.log_metrics({"huge": 1.0}, step=2**80)
    problems = copy(tracked, server).progress.problems
    assert problems == []
    (found,) = on_server(server, "odd").values()
    assert sorted(value for key, value in found.data.metrics.items() if key not in ("loss", "huge")) == [
        0.5, 1.0, 2.0, 3.0, 4.0, 5.0
    ]  # fmt: skip
    assert {key for key in ODD if key in found.data.metrics} == {"plain", "a key/with:all - of_them."}
    assert {f"p{i}": str(i) for i in range(250)} == found.data.params
    assert {f"t{i}": str(i) for i in range(250)}.items() <= found.data.tags.items()
    assert points(server, found, "loss") == [(step, step / 2) for step in range(1500)]


def test_ends_errors_and_deletions(tracked: Path, server: str):
    with pytest.raises(ZeroDivisionError), autotrack.start_run("bad", experiment="ends"):
        raise ZeroDivisionError("division by zero")
    with autotrack.start_run("open", experiment="ends") as run:
        copy(tracked, server)
        by_name = {found.info.run_name: found for found in on_server(server, "ends").values()}
        assert (by_name["bad"].info.status, by_name["open"].info.status) == ("FAILED", "RUNNING")
        assert by_name["bad"].data.tags["autotrack.error"] == "ZeroDivisionError: division by zero"
        # Deleted there by a person: it stays deleted.
        client(server).delete_run(by_name["bad"].info.run_id)
    copy(tracked, server)
    (left,) = on_server(server, "ends").values()
    assert (left.info.run_name, left.info.status, left.data.tags["autotrack.status"]) == (
        "open",
        "FINISHED",
        "finished",
    )
    assert left.data.tags["autotrack.id"] == run.id


def test_two_runs_made_at_the_same_time_become_one(tracked: Path, server: str):
    with autotrack.start_run(experiment="twins") as run:
        run.log_metrics({"loss": 1.0}, step=0)
    copy(tracked, server)
    api = client(server)
    experiment = api.get_experiment_by_name("twins").experiment_id
    for _ in range(3):
        api.create_run(experiment, tags={"autotrack.id": run.id, "autotrack.run": run.id})
    copy(tracked, server)
    (found,) = on_server(server, "twins").values()
    assert points(server, found, "loss") == [(0, 1.0)]


def test_the_journal_is_kept_as_it_is(tmp_path: Path, server: str):
    import gzip

    store = tmp_path / "store"
    run_id = written.record(store, experiment="kept")
    copy(store, server)
    (found,) = on_server(server, "kept").values()
    for journal in (store / "runs" / run_id / "journal").iterdir():
        path = client(server).download_artifacts(found.info.run_id, f"autotrack/journal/{journal.name}.gz")
        assert gzip.decompress(Path(path).read_bytes()) == journal.read_bytes()


def test_a_record_that_names_a_file_elsewhere_sends_nothing(tmp_path: Path, server: str):
    store = tmp_path / "store"
    (tmp_path / "secret.txt").write_text("secret")
    run = written.begin(store, experiment="hostile")
    for path in ("artifacts/../../../../secret.txt", "/etc/passwd", "../x"):
        run.write([Artifact(path=path, size=6, sha256="0" * 64)])
    written.end(run)
    assert len(copy(store, server).progress.problems) == 3
    (found,) = on_server(server, "hostile").values()
    assert {file.path for file in client(server).list_artifacts(found.info.run_id)} == {"autotrack"}

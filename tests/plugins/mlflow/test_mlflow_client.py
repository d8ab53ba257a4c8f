"""All that was recorded, as MLflow's own client reads it from the server: the table of docs/remote.md, line by line."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

import autotrack
from tests.plugins.mlflow.copying import client, copy, on_server

pytest.importorskip("sklearn")
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

pytestmark = pytest.mark.slow


def recorded() -> str:
    X, y = load_iris(return_X_y=True, as_frame=True)
    with autotrack.start_run("everything", experiment="all of it", tags={"team": "vision"}) as run:
        run.log_params({"text": "ü", "float": 0.1, "list": [1, None]})
        for step, value in enumerate([0.5, math.nan, math.inf, 0.25, 0.25]):
            run.log_metrics({"loss": value, "odd % name": value}, step=3 * step)
        Path("notes.txt").write_text("some notes")
        run.log_artifact("notes.txt", "sub/notes.txt")
        LogisticRegression(max_iter=500).fit(X, y)
        with autotrack.start_run("child") as child:
            child.log_metrics({"inner": 1.5}, step=7)
    autotrack.load_model(run.id)  # waits for its safe form
    return run.id


def test_mlflows_client_reads_all_of_it(tracked: Path, server: str):
    run_id = recorded()
    copy(tracked, server)
    number = autotrack.register_model(
        run_id, "all of it", alias="champion", tags={"checked": "yes"}, description="the first", store=server
    )
    autotrack.update_model("all of it", tags={"team": "vision"}, description="of irises", store=server)
    here, api = autotrack.get_run(run_id), client(server)
    runs = on_server(server, "all of it")
    run, child = runs[run_id], runs[f"{run_id}.1"]

    assert (run.info.run_name, run.info.status) == ("everything", "FINISHED")
    assert run.info.start_time == round(here.start * 1000)
    # when its last record was made, a little after the duration was taken
    assert 0 <= run.info.end_time - math.floor((here.start + (here.duration or 0)) * 1000) < 60_000
    assert child.data.tags["mlflow.parentRunId"] == run.info.run_id

    params = run.data.params
    assert {"text": "ü", "float": "0.1", "list": "[1, null]", "max_iter": "500"}.items() <= params.items()

    points = sorted(api.get_metric_history(run.info.run_id, "loss"), key=lambda point: point.step)
    kept = [(point.step, round(point.time * 1000)) for point in here.history("loss")]
    assert [(point.step, point.timestamp) for point in points] == kept
    assert [point.value for point in points][::3] == [0.5, 0.25]
    assert math.isnan(points[1].value)
    assert points[2].value > 1e308
    (odd,) = [key for key in run.data.metrics if key.startswith("odd _ name")]
    assert len(api.get_metric_history(run.info.run_id, odd)) == 5
    assert api.get_metric_history(child.info.run_id, "inner")[0].value == 1.5

    tags = run.data.tags
    assert (tags["team"], tags["autotrack.id"], tags["autotrack.status"]) == ("vision", run_id, "finished")
    assert tags["mlflow.user"] == here.user
    assert Path(api.download_artifacts(run.info.run_id, "sub/notes.txt")).read_text() == "some notes"

    inputs: dict[str, Any] = {one.dataset.name: one.dataset for one in run.inputs.dataset_inputs}
    assert {name: one.digest for name, one in inputs.items()} == {
        name: about["hash"] for name, about in here.facts["data"].items()
    }
    columns = [column["name"] for column in json.loads(inputs["X"].schema)["mlflow_colspec"]]
    assert columns == here.facts["data"]["X"]["columns"]

    (output,) = run.outputs.model_outputs
    model = api.get_logged_model(output.model_id)
    assert (model.name, model.source_run_id, model.status.value) == ("model", run.info.run_id, "READY")
    files = {file.path: file.file_size for file in api.list_logged_model_artifacts(output.model_id)}
    assert files.keys() == {"model.skops", "requirements.txt", "MLmodel"}
    assert files["model.skops"] == here.models["model"].size

    version = api.get_model_version_by_alias("all of it", "champion")
    assert (int(version.version), version.description, version.status) == (number, "the first", "READY")
    assert (version.tags["checked"], version.run_id) == ("yes", run.info.run_id)
    about = api.get_registered_model("all of it")
    assert (about.description, about.tags, about.aliases) == ("of irises", {"team": "vision"}, {"champion": "1"})
    source = api.get_logged_model(version.source.rpartition("/")[2])
    assert {"MLmodel", "model.skops", "version.json"} <= {
        file.path for file in api.list_logged_model_artifacts(source.model_id)
    }

"""Runs of other tools at a server, or in a folder, that mean no good. No MLflow is needed for that."""

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import autotrack_mlflow.foreign
import pytest
from autotrack_mlflow.artifacts import PROXY

import autotrack
from autotrack import plugins
from autotrack.errors import ConfigError, RemoteError
from autotrack.imported import import_runs
from tests.plugins.mlflow.test_client import answering, saying

RUN = {
    "info": {
        "run_id": "0" * 32, "run_name": "odd", "start_time": 1_700_000_000_000, "end_time": 1_700_000_001_000,
        "status": "FINISHED", "artifact_uri": "mlflow-artifacts:/1/x/artifacts",
    },
    "data": {"params": [{"key": "../p", "value": "1"}], "metrics": [{"key": "loss", "value": 1.0, "step": 1}]},
}  # fmt: skip


def serving(files: dict[str, list[dict]], history: list[dict]):
    """A server with one run."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        path, _, query = request.path.removeprefix("/api/2.0/").partition("?")
        content: object = {}
        if path == "mlflow/experiments/search":
            content = {"experiments": [{"experiment_id": "1", "name": "e"}]}
        elif path == "mlflow/runs/search":
            content = {"runs": [RUN]}
        elif path == "mlflow/metrics/get-history":
            content = {"metrics": history}
        elif path == PROXY:
            folder = query.removeprefix("path=").replace("%2F", "/").removeprefix("1/x/artifacts").strip("/")
            content = {"files": files.get(folder, files.get("*", []))}
        elif path.startswith(PROXY):
            saying(200, b"content")(request)
            return
        saying(200, json.dumps(content).encode())(request)

    return answering(answer)


def test_odd_names_in_a_list_of_files_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(autotrack_mlflow.foreign, "DEEPEST", 5)
    files = {"": [{"path": name} for name in ("..", "../../x", "/etc/x", "", "good", "a\\b")], "d": []}
    files[""].append({"path": "deep", "is_dir": True})
    files["*"] = [{"path": "deep", "is_dir": True}]  # without an end
    with serving(files, []) as (address, _):
        done, _ = import_runs(plugins.foreign_runs(address), tmp_path / "store")
    (run,) = autotrack.runs(store=tmp_path / "store")
    assert list(run.artifacts) == ["good"]
    assert len(done.problems) == 6
    assert run.params == {"../p": "1"}
    assert {path.name for path in tmp_path.iterdir()} == {"store"}


def test_of_very_many_files_a_part_is_brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(autotrack_mlflow.foreign, "MOST_FILES", 3)
    with serving({"": [{"path": f"f{i}"} for i in range(10)]}, []) as (address, _):
        done, _ = import_runs(plugins.foreign_runs(address), tmp_path / "store")
    assert len(autotrack.runs(store=tmp_path / "store")[0].artifacts) == 3
    assert len(done.problems) == 1


def test_points_that_are_none_bring_nothing(tmp_path: Path):
    with (
        serving({"": []}, [{"key": "loss", "value": "abc"}]) as (address, _),
        pytest.raises(RemoteError, match="no value"),
    ):
        import_runs(plugins.foreign_runs(address), tmp_path / "store")
    assert len(autotrack.runs(store=tmp_path / "store")) == 0


@pytest.fixture
def mlruns(tmp_path: Path) -> Path:
    """A folder as MLflow's file store writes it, with one run."""
    run = tmp_path / "mlruns" / "1" / ("a" * 32)
    for name in ("params", "metrics/sub", "tags", "artifacts/sub"):
        (run / name).mkdir(parents=True)
    (run.parent / "meta.yaml").write_text("name: old\nlifecycle_stage: active\n")
    (run / "meta.yaml").write_text(
        "start_time: 1700000000000\nend_time: 1700000002500\nstatus: 3\nrun_name: one\nlifecycle_stage: active\n"
    )
    (run / "params" / "C").write_text("0.5")
    (run / "tags" / "mlflow.user").write_text("ada")
    (run / "metrics" / "sub" / "loss").write_text("1700000000001 0.5 3\n1700000000002 nan 4\n1700000000003 2.0\n")
    (run / "artifacts" / "sub" / "x").write_text("x")
    return tmp_path / "mlruns"


def bring(mlruns: Path) -> tuple[autotrack.RunRecord, list[str]]:
    done, _ = import_runs(plugins.foreign_runs(str(mlruns)), mlruns.parent / "store")
    (run,) = autotrack.runs(store=mlruns.parent / "store")
    return run, done.problems


def test_a_run_of_a_folder(mlruns: Path):
    run, problems = bring(mlruns)
    assert (run.name, run.experiment, run.status, run.duration, run.user) == ("one", "old", "finished", 2.5, "ada")
    assert (run.params, run.tags) == ({"C": "0.5"}, {"imported_from": "a" * 32})
    points = [(round(point.time * 1000), point.step, str(point.value)) for point in run.history("sub/loss")]
    start = 1700000000000
    assert points == [(start + 1, 3, "0.5"), (start + 2, 4, "nan"), (start + 3, 0, "2.0")]
    assert (list(run.artifacts), problems) == (["sub/x"], [])


def test_what_makes_no_sense_costs_nothing_else(mlruns: Path, tmp_path: Path):
    run = mlruns / "1" / ("a" * 32)
    (tmp_path / "secret").write_text("secret")
    for name in ("params/link", "tags/link", "metrics/link", "artifacts/link"):
        (run / name).symlink_to(tmp_path / "secret")
    (run / "artifacts" / "folder").symlink_to(tmp_path)
    with (run / "metrics" / "sub" / "loss").open("a") as file:
        file.write("\nnonsense\n1 2 3 4 5 6\n1 x 3\n")
    for name, meta in {
        "b": "- a list",
        "c": "{" * 100_000,
        "f": "{" * 1000,
        "d": "start_time: x\nstatus: {}\n",
        "e": "!!python/none x",
    }.items():
        (mlruns / "1" / name).mkdir()
        (mlruns / "1" / name / "meta.yaml").write_text(meta)
    (mlruns / "2").mkdir()
    (mlruns / "2" / "meta.yaml").write_text("lifecycle_stage: deleted")
    done, _ = import_runs(plugins.foreign_runs(str(mlruns)), tmp_path / "store")
    found = {one.name: one for one in autotrack.runs(store=tmp_path / "store")}
    assert set(found) == {"one", "d"}
    assert list(found["one"].artifacts) == ["sub/x"]
    assert len(found["one"].history("sub/loss")) == 4
    assert len(done.problems) == 3
    assert not any("secret" in path.read_text() for path in (tmp_path / "store").rglob("*") if path.is_file())


def test_files_that_are_kept_elsewhere_are_named(mlruns: Path):
    with (mlruns / "1" / ("a" * 32) / "meta.yaml").open("a") as file:
        file.write("artifact_uri: s3://bucket/x\n")
    run, problems = bring(mlruns)
    assert not run.artifacts
    assert "s3://bucket/x" in problems[0]


def test_a_folder_without_runs_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="no folder of MLflow"):
        plugins.foreign_runs(str(tmp_path))

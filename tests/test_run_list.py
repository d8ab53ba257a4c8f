"""Lists of runs."""

import math

import pytest

from autotrack.backends.memory import MemoryBackend
from autotrack.records import Params, Tags
from autotrack.references import find_run
from autotrack.run_list import RunList, list_runs
from tests.memory_runs import make, scored


@pytest.fixture
def store() -> MemoryBackend:
    return MemoryBackend()


def test_runs_newest_first_by_experiment_and_limit(store: MemoryBackend):
    for index in range(5):
        make(store, str(index), experiment="odd" if index % 2 else "even")
    source = store.source()
    assert [run.name for run in list_runs(source)] == ["4", "3", "2", "1", "0"]
    assert [run.name for run in list_runs(source, limit=2)] == ["4", "3"]
    assert [run.name for run in list_runs(source, "odd")] == ["3", "1"]
    assert [run.name for run in list_runs(source, "odd", limit=1)] == ["3"]
    assert list(list_runs(source, limit=0)) == []


def test_a_list_is_a_sequence(store: MemoryBackend):
    for index in range(4):
        make(store, str(index))
    runs = list_runs(store.source())
    assert len(runs) == 4
    assert runs[0].name == "3"
    assert runs[-1].name == "0"
    assert [run.name for run in runs[1:3]] == ["2", "1"]
    assert isinstance(runs[1:3], RunList)
    assert [run.name for run in runs[::-1]] == ["0", "1", "2", "3"]
    assert runs[0] is runs[0]
    assert runs[1] in runs
    assert next(reversed(runs)).name == "0"
    with pytest.raises(IndexError):
        runs[4]
    with pytest.raises(TypeError):
        runs["3"]


def test_repr(store: MemoryBackend, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "120")
    source = store.source()
    assert repr(list_runs(source)) == "no runs yet"
    for index in range(70):
        make(store, f"name-{index:02d}", scored(index / 100))
    lines = repr(list_runs(source)).splitlines()
    assert len(lines) == 62
    assert lines[0].split()[:5] == ["run", "status", "started", "took", "accuracy"]
    assert lines[1].startswith("name-69 ")
    assert "0.69" in lines[1]
    assert lines[60].startswith("name-10 ")
    assert lines[61] == "… and 10 more"
    assert not any("\x1b" in line for line in lines)


def test_to_pandas(store: MemoryBackend):
    import pandas

    params = Params(t=1, p={"C": 10, "solver": "lbfgs", "layers": [1, 2]}, changed=["C"])
    run_id = make(store, "a", params, scored(0.5), Tags(t=2, g={"team": "vision"}))
    make(store, "b", scored(math.nan), ended=False)
    frame = list_runs(store.source()).to_pandas()
    assert frame["name"].tolist() == ["b", "a"]
    row = frame.iloc[1]
    assert (row["id"], row["experiment"], row["status"], row["duration"]) == (run_id, "e", "finished", 1.0)
    assert (row["params.C"], row["params.solver"], row["params.layers"]) == (10, "lbfgs", [1, 2])
    assert (row["metrics.accuracy"], row["tags.team"]) == (0.5, "vision")
    assert pandas.isna(frame.iloc[0]["metrics.accuracy"])
    assert abs(row["start"].timestamp() - find_run(store.source(), run_id).start) < 1e-3
    assert str(row["start"].tz) == "UTC"


def test_to_pandas_without_runs_has_its_columns(store: MemoryBackend):
    frame = list_runs(store.source()).to_pandas()
    assert list(frame.columns) == ["id", "name", "experiment", "status", "start", "duration"]
    assert len(frame) == 0

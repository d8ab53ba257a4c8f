"""References, lists of runs, histories, and what a hostile store may hold."""

import math
import os
from pathlib import Path

import pytest

import autotrack
from autotrack import reader
from autotrack.backends.base import new_run_id
from autotrack.backends.memory import MemoryBackend
from autotrack.errors import AmbiguousReference, RunNotFound
from autotrack.records import Artifact, Begin, End, Facts, Metrics, Params, Points, Tags
from autotrack.run import Run


@pytest.fixture
def store() -> MemoryBackend:
    return MemoryBackend()


_clock = iter(range(1_700_000_000, 1_800_000_000))


def make(
    store: MemoryBackend, name: str = "run", *records, run_id: str = "", experiment: str = "e", ended: bool = True
) -> str:
    """A run with these records; each starts a second after the one made before. Its id."""
    run_id = run_id or new_run_id(next(_clock))
    writer = store.open_run(run_id, Begin(name=name, experiment=experiment))
    writer.write(records)
    if ended:
        writer.write([End(t=5, status="finished", duration=1.0)])
        writer.close()
    return run_id


def scored(value: float, key: str = "accuracy", step: int = 0) -> Metrics:
    from autotrack.records import number_to_json

    return Metrics(1, "", {key: number_to_json(value)}, step)


# ---- references -----------------------------------------------------------------------------------------------------


def test_by_id_prefix_and_random_part(store: MemoryBackend):
    first = make(store, run_id="20260101T000000000-aaaabbbb01")
    second = make(store, run_id="20260101T000000001-aaaacccc02")
    source = store.source()
    assert reader.find_run(source, first).id == first
    assert reader.find_run(source, "20260101T000000001").id == second
    assert reader.find_run(source, "aaaac").id == second
    with pytest.raises(AmbiguousReference, match="means 2 runs"):
        reader.find_run(source, "aaaa")
    with pytest.raises(AmbiguousReference, match="write more of the id"):
        reader.find_run(source, "2026")


@pytest.mark.parametrize(
    "ref", ["", "nothing", "@first", "@max:", "@last.1", "20260101T000000000-ffffffffff", ".", ".1"]
)
def test_a_reference_to_nothing_says_so(store: MemoryBackend, ref: str):
    make(store, run_id="20260101T000000000-aaaabbbb01")
    with pytest.raises(RunNotFound):
        reader.find_run(store.source(), ref)


def test_references_in_an_empty_store(store: MemoryBackend):
    for ref in ("@last", "@max:loss", "x", ""):
        with pytest.raises(RunNotFound):
            reader.find_run(store.source(), ref)


def test_by_name(store: MemoryBackend):
    make(store, "other")
    run_id = make(store, "mine")
    assert reader.find_run(store.source(), "mine").id == run_id
    again = make(store, "mine")
    with pytest.raises(AmbiguousReference) as caught:
        reader.find_run(store.source(), "mine")
    assert run_id in str(caught.value)
    assert again in str(caught.value)


@pytest.mark.parametrize("name", ["a", "cafe", "2.0", "2026", "1.5", "20260101", "model.v2", "@home", "bad run.1"])
def test_a_name_that_looks_like_the_beginning_of_an_id(store: MemoryBackend, name: str):
    """Random parts are drawn: a name must not mean another run on an unlucky day."""
    make(store, "x", run_id="20260101T000000000-a000000000")
    make(store, "y", run_id="20260101T000000001-cafe000000")
    make(store, "z", run_id="20260101T000000002-1000000000")
    named = make(store, name, run_id="20260101T000000003-eeeeeeeeee")
    assert reader.find_run(store.source(), name).id == named


def test_an_id_is_an_id_also_when_another_run_is_called_so(store: MemoryBackend):
    first = make(store, "x")
    make(store, first)
    assert reader.find_run(store.source(), first).id == first


def test_last_is_the_one_that_started_last(store: MemoryBackend):
    make(store, "older")
    make(store, "newer", ended=False)
    assert reader.find_run(store.source(), "@last").name == "newer"


def test_extremes_ignore_nan_and_keep_infinities(store: MemoryBackend):
    make(store, "nan", scored(math.nan))
    make(store, "low", scored(0.25))
    make(store, "high", scored(0.75))
    make(store, "without")
    source = store.source()
    assert reader.find_run(source, "@max:accuracy").name == "high"
    assert reader.find_run(source, "@min:accuracy").name == "low"
    make(store, "lowest", scored(-math.inf))
    assert reader.find_run(source, "@min:accuracy").name == "lowest"


def test_extremes_take_the_last_value(store: MemoryBackend):
    make(store, "fell", scored(0.9, step=0), scored(0.1, step=1))
    make(store, "rose", scored(0.1, step=0), scored(0.5, step=1))
    assert reader.find_run(store.source(), "@max:accuracy").name == "rose"


def test_a_metric_with_odd_characters(store: MemoryBackend):
    make(store, "a", scored(1.0, "val/f1: macro\n@max"))
    assert reader.find_run(store.source(), "@max:val/f1: macro\n@max").name == "a"


def test_an_extreme_of_no_metric_lists_the_metrics(store: MemoryBackend):
    make(store, "a", scored(0.5))
    with pytest.raises(RunNotFound, match="no run has a metric 'acuracy'; there are: accuracy"):
        reader.find_run(store.source(), "@max:acuracy")


def test_an_extreme_of_nan_only_says_so(store: MemoryBackend):
    make(store, "a", scored(math.nan))
    with pytest.raises(RunNotFound, match="NaN"):
        reader.find_run(store.source(), "@max:accuracy")


def test_children_by_reference(tracked: Path):
    with autotrack.start_run("outer") as outer:
        with autotrack.start_run("inner") as inner:
            with autotrack.start_run("innermost") as innermost:
                pass
    assert autotrack.get_run(inner.id).name == "inner"
    assert autotrack.get_run(innermost.id).name == "innermost"
    short = outer.id.partition("-")[2][:8]
    assert autotrack.get_run(f"{short}.1").id == inner.id
    assert autotrack.get_run(f"{short}.1.1").id == innermost.id
    with pytest.raises(RunNotFound, match="has no child '7'"):
        autotrack.get_run(f"{outer.id}.7")


# ---- lists ----------------------------------------------------------------------------------------------------------


def test_runs_newest_first_by_experiment_and_limit(store: MemoryBackend):
    for index in range(5):
        make(store, str(index), experiment="odd" if index % 2 else "even")
    source = store.source()
    assert [run.name for run in reader.list_runs(source)] == ["4", "3", "2", "1", "0"]
    assert [run.name for run in reader.list_runs(source, limit=2)] == ["4", "3"]
    assert [run.name for run in reader.list_runs(source, "odd")] == ["3", "1"]
    assert [run.name for run in reader.list_runs(source, "odd", limit=1)] == ["3"]
    assert list(reader.list_runs(source, limit=0)) == []


def test_a_list_is_a_sequence(store: MemoryBackend):
    for index in range(4):
        make(store, str(index))
    runs = reader.list_runs(store.source())
    assert len(runs) == 4
    assert runs[0].name == "3"
    assert runs[-1].name == "0"
    assert [run.name for run in runs[1:3]] == ["2", "1"]
    assert isinstance(runs[1:3], reader.RunList)
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
    assert repr(reader.list_runs(source)) == "no runs yet"
    for index in range(70):
        make(store, f"name-{index:02d}", scored(index / 100))
    lines = repr(reader.list_runs(source)).splitlines()
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
    frame = reader.list_runs(store.source()).to_pandas()
    assert frame["name"].tolist() == ["b", "a"]
    row = frame.iloc[1]
    assert (row["id"], row["experiment"], row["status"], row["duration"]) == (run_id, "e", "finished", 1.0)
    assert (row["params.C"], row["params.solver"], row["params.layers"]) == (10, "lbfgs", [1, 2])
    assert (row["metrics.accuracy"], row["tags.team"]) == (0.5, "vision")
    assert pandas.isna(frame.iloc[0]["metrics.accuracy"])
    assert abs(row["start"].timestamp() - reader.find_run(store.source(), run_id).start) < 1e-3
    assert str(row["start"].tz) == "UTC"


def test_to_pandas_without_runs_has_its_columns(store: MemoryBackend):
    frame = reader.list_runs(store.source()).to_pandas()
    assert list(frame.columns) == ["id", "name", "experiment", "status", "start", "duration"]
    assert len(frame) == 0


# ---- one run --------------------------------------------------------------------------------------------------------


def test_history_keeps_every_point_in_order(tracked: Path):
    with autotrack.start_run("a") as run:
        for step, value in ((5, 1.0), (5, 2.0), (3, math.nan), (None, math.inf), (None, -math.inf)):
            run.log_metrics({"loss": value}, step=step)
        run.log_points("curve", [3.0, 2.0, 1.0], first_step=10)
    read = autotrack.get_run("a")
    points = read.history("loss")
    assert [point.step for point in points] == [5, 5, 3, 4, 5]
    assert [str(point.value) for point in points] == ["1.0", "2.0", "nan", "inf", "-inf"]
    assert [point.time for point in points] == sorted(point.time for point in points)
    assert abs(points[0].time - read.start) < 10
    assert [(point.step, point.value) for point in read.history("curve")] == [(10, 3.0), (11, 2.0), (12, 1.0)]
    with pytest.raises(KeyError, match="run a has no metric 'lost'; it has: curve, loss"):
        read.history("lost")


def test_an_artifact_is_opened(tracked: Path, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("hello")
    with autotrack.start_run("a"):
        autotrack.log_artifact(tmp_path / "notes.txt", "deep/er/notes.txt")
    read = autotrack.get_run("a")
    assert list(read.artifacts) == ["deep/er/notes.txt"]
    with read.open("deep/er/notes.txt") as file:
        assert file.read() == b"hello"
    with pytest.raises(KeyError):
        read.open("other")


@pytest.mark.parametrize("path", ["../../../../etc/passwd", "/etc/passwd", "artifacts/../../x", "a\0b", ""])
def test_a_hostile_artifact_record_opens_nothing_outside(tracked: Path, path: str):
    with autotrack.start_run("a") as run:
        run._writer.write([Artifact(t=1, path=path, size=1, sha256="0")])
    read = autotrack.get_run("a")
    (name,) = read.artifacts
    with pytest.raises(autotrack.ArtifactPathError):
        read.open(name)


def test_a_link_in_a_store_is_not_followed(tracked: Path, tmp_path: Path):
    (tmp_path / "secret").write_text("s")
    with autotrack.start_run("a") as run:
        run._writer.write([Artifact(t=1, path="artifacts/link", size=1, sha256="0")])
        (tracked / "runs" / run.id / "artifacts").mkdir()
        (tracked / "runs" / run.id / "artifacts" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic link"):
        autotrack.get_run("a").open("link")


def test_records_that_make_no_sense_cost_no_others(store: MemoryBackend):
    points = Points(t=1, key="loss", s=[1, 2, 3], v=[0.5])
    run_id = make(store, "a", points, scored(0.5), Facts(t=2, f={"data": {"X": {"$map": 3}}}))
    read = reader.find_run(store.source(), run_id)
    assert read.metrics["accuracy"] == 0.5
    assert read.status == "finished"
    assert len(read.problems) == 1
    assert "Points" in read.problems[0]


def test_an_open_run_of_a_reader(store: MemoryBackend):
    run_id = make(store, "a", ended=False)
    read = reader.find_run(store.source(), run_id)
    assert (read.status, read.duration) == ("running", None)


def test_an_experiment_and_name_that_are_odd_texts(tracked: Path):
    odd = "a\u202eb\x1b[31m\n<script>\ud800"
    with autotrack.start_run(odd, experiment=odd, tags={odd: odd}) as run:
        run.log_params({odd: odd})
        run.log_metrics({odd: 1.0})
    read = autotrack.get_run(run.id)
    assert (read.name, read.experiment, read.tags, read.params) == (odd, odd, {odd: odd}, {odd: odd})
    assert read.metrics == {odd: 1.0}
    assert autotrack.get_run(odd).id == run.id
    assert sorted(os.listdir(tracked)) == [".gitignore", "runs", "store.json"]
    assert os.listdir(tracked / "runs") == [run.id]


def test_reading_by_another_run_handle_while_it_is_written(tracked: Path):
    run = autotrack.start_run("a")
    assert isinstance(run, Run)
    for step in range(50):
        run.log_metrics({"loss": float(step)}, step=step)
        assert autotrack.get_run("a").metrics == {"loss": float(step)}
    run.end()

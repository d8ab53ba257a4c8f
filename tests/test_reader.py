"""One run as it is read, its histories, and what a hostile store may hold."""

import math
import os
from pathlib import Path

import pytest

import autotrack
from autotrack.backends.memory import MemoryBackend
from autotrack.records import Artifact, Facts, Points
from autotrack.references import find_run
from autotrack.run import Run
from tests.memory_runs import make, scored


@pytest.fixture
def store() -> MemoryBackend:
    return MemoryBackend()


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
    read = find_run(store.source(), run_id)
    assert read.metrics["accuracy"] == 0.5
    assert read.status == "finished"
    assert len(read.problems) == 1
    assert "Points" in read.problems[0]


def test_an_open_run_of_a_reader(store: MemoryBackend):
    run_id = make(store, "a", ended=False)
    read = find_run(store.source(), run_id)
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

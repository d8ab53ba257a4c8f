"""What gc throws away, and above all what it leaves alone."""

import os
import time
from pathlib import Path, PurePosixPath

import pytest

import autotrack
from autotrack.backends.file import FileBackend
from autotrack.backends.waste import LEFT_ALONE, find_waste
from autotrack.records import Artifact, Begin, Params
from autotrack.run_list import list_runs
from tests.backends.dying import killed

OLD = time.time() - LEFT_ALONE - 60
DAY = 86400.0


@pytest.fixture
def backend(tmp_path: Path) -> FileBackend:
    """Three runs with a file each."""
    backend = FileBackend(tmp_path / "store")
    for number in range(3):
        writer = backend.open_run(f"20260101T00000000{number}-aaaaaaaaaa", Begin(name=f"r{number}"))
        stored = writer.put_file(PurePosixPath("artifacts/a"), b"data")
        assert stored is not None
        writer.write([Artifact(path=stored.path, size=stored.size, sha256=stored.sha256)])
        writer.put_file(PurePosixPath("params/long.txt"), b"long")
        writer.write([Params(p={"x": [{"$cut": "lo", "chars": 4, "file": "params/long.txt"}]})])
        writer.close()
    return backend


def found(backend: FileBackend, keep: float = 30 * DAY) -> list[tuple[str, str]]:
    return [(waste.kind, waste.path) for waste in find_waste(backend.source(), keep)]


def clear(backend: FileBackend, keep: float = 30 * DAY) -> None:
    for waste in list(find_waste(backend.source(), keep)):
        waste.clear()


def old(path: Path) -> Path:
    os.utime(path, (OLD, OLD), follow_symlinks=False)
    return path


def run(backend: FileBackend, number: int) -> Path:
    return backend.root / "runs" / f"20260101T00000000{number}-aaaaaaaaaa"


def test_a_whole_store_has_no_waste(backend: FileBackend):
    for path in backend.root.rglob("*"):
        old(path)
    assert found(backend, 0.0) == []


def test_a_removed_run_stays_for_a_while(backend: FileBackend):
    list_runs(backend.source())[0].remove()
    path = f"trash/{run(backend, 2).name}"
    assert found(backend) == []
    assert found(backend, 0.0) == [("removed run", path)]
    old(backend.root / path / "journal")
    assert found(backend, DAY) == [("removed run", path)]
    clear(backend, DAY)
    assert os.listdir(backend.root / "trash") == []
    assert [one.name for one in list_runs(backend.source())] == ["r1", "r0"]


def test_what_interrupted_removals_left_is_finished(backend: FileBackend):
    victim = list_runs(backend.source())[0]
    victim.remove()
    os.rename(backend.root / "trash" / victim.id, backend.root / "runs" / victim.id)  # killed before the move
    (backend.root / "trash" / ".gone-x" / "artifacts").mkdir(parents=True)  # killed while deleting
    assert found(backend) == [
        ("half deleted run", "trash/.gone-x"),
        ("run on its way to the trash", f"runs/{victim.id}"),
    ]
    clear(backend)
    assert os.listdir(backend.root / "trash") == [victim.id]
    backend.source().restore(victim.id)
    assert len(list_runs(backend.source())) == 3


def test_what_the_dead_left_behind_goes_when_it_is_old(backend: FileBackend):
    folder = run(backend, 0)
    names = {
        "artifacts/.0123456789ab.tmp": "temporary file",
        "models/m/.0123456789ab.tmp": "temporary file",
        ".probe-01234567": "temporary file",
        "artifacts/orphan": "file without a record",
        "children/1/artifacts/orphan": "file without a record",
        "models/m/model.skops": "file without a record",
    }
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"12345")
    assert found(backend) == []  # somebody may be writing them
    for name in names:
        old(folder / name)
    assert {path.removeprefix(f"runs/{folder.name}/"): kind for kind, path in found(backend)} == names
    assert {waste.size for waste in find_waste(backend.source(), DAY)} == {5}
    clear(backend)
    assert found(backend) == []
    with backend.source().open(folder.name, "artifacts/a") as file:
        assert file.read() == b"data"
    assert (folder / "params" / "long.txt").exists()


def test_what_a_killed_registration_left_behind_goes_when_it_is_old(backend: FileBackend):
    versions = backend.root / "registry" / "iris" / "versions"
    (versions / ".0123456789abcdef.tmp").mkdir(parents=True)
    (versions / ".0123456789abcdef.tmp" / "model.skops").write_bytes(b"12345")
    (versions / "1").mkdir()
    (versions / "1" / "model.skops").write_bytes(b"12345")
    assert found(backend) == []
    for path in (versions / "1", versions / "1" / "model.skops", versions / ".0123456789abcdef.tmp"):
        old(path)
    assert found(backend) == [("temporary file", "registry/iris/versions/.0123456789abcdef.tmp")]
    clear(backend)
    assert sorted(path.name for path in versions.iterdir()) == ["1"]


def test_files_of_live_and_of_damaged_runs_are_left_alone(backend: FileBackend):
    live = backend.open_run("20260101T000000009-aaaaaaaaaa", Begin(name="live"))
    live.put_file(PurePosixPath("artifacts/coming"), b"x")
    old(live.folder / "artifacts" / "coming")
    for path in (run(backend, 1) / "journal").iterdir():
        path.write_bytes(path.read_bytes().replace(b'"artifact"', b'"artifac!"').replace(b"begin", b"{}}in"))
    old(run(backend, 1) / "artifacts" / "a")
    for path in (run(backend, 2) / "journal").iterdir():  # of a kind that a later version knows
        path.write_bytes(path.read_bytes().replace(b'"k":"artifact"', b'"k":"artefact"'))
    old(run(backend, 2) / "artifacts" / "a")
    assert found(backend) == []
    live.close()


def test_an_empty_run(backend: FileBackend):
    folder = backend.root / "runs" / "20260101T000000009-aaaaaaaaaa"
    (folder / "journal").mkdir(parents=True)
    assert found(backend) == []
    old(folder)
    assert found(backend) == [("empty run", f"runs/{folder.name}")]
    clear(backend)
    assert not folder.exists()


def test_links_are_thrown_away_and_never_followed(backend: FileBackend, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    old(outside / "precious")
    for link in ("artifacts/link", "artifacts/.0123456789ab.tmp"):
        (run(backend, 0) / link).symlink_to(outside / "precious")
        old(run(backend, 0) / link)
    (run(backend, 0) / "models").symlink_to(outside)
    (backend.root / "runs" / "20260101T000000008-aaaaaaaaaa").symlink_to(outside)
    clear(backend, 0.0)
    assert (outside / "precious").read_text() == "x"
    assert os.listdir(outside) == ["precious"]


def test_two_at_once(backend: FileBackend):
    list_runs(backend.source())[0].remove()
    (run(backend, 0) / ".probe-01234567").touch()
    old(run(backend, 0) / ".probe-01234567")
    one, other = (list(find_waste(backend.source(), 0.0)) for _ in range(2))
    assert len(one) == 2
    for waste in (*one, *other):
        waste.clear()
    assert found(backend, 0.0) == []


def test_a_run_that_was_restored_meanwhile_is_not_deleted(backend: FileBackend):
    victim = list_runs(backend.source())[0]
    victim.remove()
    waste = list(find_waste(backend.source(), 0.0))
    backend.source().restore(victim.id)
    for one in waste:
        one.clear()
    assert [found.name for found in list_runs(backend.source())] == ["r2", "r1", "r0"]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_step_the_next_one_finishes(backend: FileBackend, moment: str):
    source = backend.source()
    for count in range(1, 60):
        victim = "20260101T000000009-aaaaaaaaaa"
        writer = backend.open_run(victim, Begin(name="victim"))
        writer.put_file(PurePosixPath("artifacts/b"), b"data")
        writer.close()
        source.remove(victim)
        (run(backend, 0) / ".probe-01234567").touch()
        old(run(backend, 0) / ".probe-01234567")
        died = killed("gc", moment, count, backend.root, victim)
        assert [one.name for one in list_runs(source)] == ["r2", "r1", "r0"]
        assert [one.problems for one in list_runs(source)] == [[], [], []]
        clear(backend, 0.0)
        assert os.listdir(backend.root / "trash") == []
        assert found(backend, 0.0) == []
        if not died:
            break
    assert 5 < count < 59
    with pytest.raises(autotrack.RunNotFound):
        source.read(victim)

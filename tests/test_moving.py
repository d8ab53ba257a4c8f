"""Runs copied from one folder into another: whole, once, and as often as wanted."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath

import pytest

import autotrack
from autotrack import verification
from autotrack.backends.file_source import FileSource
from autotrack.errors import ConfigError, StoreError
from autotrack.moving import Mover
from autotrack.records import Artifact, Model, Note, Tags
from tests.backends import written
from tests.test_cli import call


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "here"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there"


def move(source: Path, target: Path) -> int:
    """Copy what is new; the number of records. A second call finds nothing."""
    mover = Mover(FileSource(source), target)
    mover.round()
    assert mover.progress.problems == []
    again = Mover(FileSource(source), target)
    assert not again.round()
    assert again.progress.records == 0
    return mover.progress.records


def content(store: Path) -> dict[str, bytes]:
    """All files of a store but those that say which store it is, and who works on it."""
    files = (path for path in store.rglob("*") if path.is_file() and path.name not in ("store.json", "alive"))
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in files}


def put(run, path: str, data: bytes) -> None:
    stored = run.put_file(PurePosixPath(path), data)
    run.write([Artifact(run.elapsed(), path=stored.path, size=stored.size, sha256=stored.sha256)])


def test_runs_are_copied_whole_and_once(here: Path, there: Path):
    first = written.begin(here)
    written.points(first, *range(500))
    put(first, "artifacts/sub/a.bin", os.urandom(3_000_000))
    put(first, "artifacts/empty", b"")
    first.put_file(PurePosixPath("models/m/requirements.txt"), b"x")  # without a record
    written.end(first)
    second = written.record(here)
    autotrack.get_run(second, store=here).set_tags({"a": "b"})
    autotrack.get_experiment("test", store=here).rename("renamed")
    assert move(here, there) == 502 + 2 + 5 + 1
    assert content(here) == content(there)
    assert [run.experiment for run in autotrack.runs(store=there)] == ["renamed", "renamed"]
    assert all(not checked.damage for checked in verification.verify(store=there))
    assert {path.stat().st_mode & 0o777 for path in there.rglob("*") if path.is_file()} == {0o600}


@pytest.mark.slow
def test_a_real_training_is_equal_to_its_copy(tracked: Path, there: Path):
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    X, y = load_iris(return_X_y=True)
    GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.1, 1.0]}, cv=3, error_score="raise").fit(X, y)
    model = autotrack.load_model("@last")  # waits for its safe form
    for _ in range(30):  # what is captured beside the training may come late
        move_quietly(tracked, there)
        if autotrack.get_run("@last", store=there) == autotrack.get_run("@last"):
            break
        time.sleep(1)
    assert autotrack.get_run("@last", store=there) == autotrack.get_run("@last")
    assert (autotrack.load_model("@last", store=there).predict(X) == model.predict(X)).all()


def move_quietly(source: Path, target: Path) -> None:
    Mover(FileSource(source), target).round()


def test_a_run_that_goes_on_is_copied_as_far_as_it_is(here: Path, there: Path):
    run = written.begin(here)
    for step in range(5):
        written.points(run, step)
        put(run, "artifacts/last.txt", str(step).encode())
        assert move(here, there) == (3 if step == 0 else 2)
        copied = autotrack.get_run(run.run_id, store=there)
        assert (copied.status, copied.metrics["loss"]) == ("running", step / 2)
        with copied.open("last.txt") as file:
            assert file.read() == str(step).encode()  # of the same size, and another
    written.end(run)
    move(here, there)
    assert autotrack.get_run(run.run_id, store=there).status == "finished"
    assert not (there / "runs" / run.run_id / "alive").exists()


def test_a_line_that_is_being_written_waits(here: Path, there: Path):
    run = written.begin(here)
    written.end(run)
    (journal,) = (here / "runs" / run.run_id / "journal").iterdir()
    with journal.open("ab") as file:
        file.write(b'{"k":"note",')
        file.flush()
        move(here, there)
        assert autotrack.get_run(run.run_id, store=there).problems == []
        file.write(b'"text":"whole"}\n')
    assert move(here, there) == 1
    assert autotrack.get_run(run.run_id, store=there).notes == [("info", "whole")]


def test_edits_of_both_come_together(here: Path, there: Path):
    run_id = written.record(here)
    move(here, there)
    autotrack.get_run(run_id, store=here).set_tags({"here": "1"})
    autotrack.get_run(run_id, store=there).set_tags({"there": "2"})
    move(here, there)
    move(there, here)
    assert content(here) == content(there)
    assert autotrack.get_run(run_id, store=here).tags == {"here": "1", "there": "2"}


def test_tombstones_count(here: Path, there: Path):
    kept, gone, never = (written.record(here) for _ in range(3))
    autotrack.get_run(never, store=here).remove()
    move(here, there)
    assert FileSource(there).run_ids() == [kept, gone]
    autotrack.get_run(gone, store=here).remove()
    move(here, there)
    assert FileSource(there).run_ids() == [kept]
    autotrack.restore_run(gone, store=here)
    move(here, there)
    assert FileSource(there).run_ids() == [kept, gone]
    autotrack.get_run(gone, store=there).remove()  # there: it stays so, and goes back
    move(here, there)
    assert FileSource(there).run_ids() == [kept]
    move(there, here)
    assert FileSource(here).run_ids() == [kept]
    assert content(here).keys() - content(there).keys() == {name for name in content(here) if never in name}


def test_a_live_run_that_was_removed_in_its_copy_stays(here: Path, there: Path):
    run = written.begin(here)
    move(here, there)
    (there / "runs" / run.run_id / "alive").unlink()
    autotrack.get_run(run.run_id, store=there).remove()
    mover = Mover(FileSource(there), here)
    mover.round()
    assert mover.progress.problems == [f"run {run.run_id} was removed there and goes on here: it stays"]
    assert run.folder.is_dir()
    written.end(run)


def test_a_dry_run_counts_and_writes_nothing(here: Path, there: Path):
    written.record(here, 5)
    mover = Mover(FileSource(here), there)
    mover.round(send=False)
    assert mover.progress.records == 7
    assert not there.exists()


def test_what_is_no_copy_is_left_alone(here: Path, there: Path):
    run_id = written.record(here)
    move(here, there)
    autotrack.get_run(run_id, store=here).set_tags({"a": "b"})
    (journal,) = (there / "runs" / run_id / "journal").iterdir()
    other = b"x" * (journal.stat().st_size // 2)
    journal.write_bytes(other)
    mover = Mover(FileSource(here), there)
    mover.round()
    assert "is no copy of the journal" in mover.progress.problems[0]
    assert journal.read_bytes() == other
    assert autotrack.get_run(run_id, store=there).tags == {"a": "b"}


@pytest.mark.parametrize("path", ["../x", "/etc/x", "journal/0123456789abcdef.jsonl", "alive", "artifacts/../../../x"])
def test_a_record_cannot_write_elsewhere(path: str, here: Path, there: Path, tmp_path: Path):
    run = written.begin(here)
    run.write([Artifact(path=path, size=1, sha256="0"), Model(name="m", format="f", path=path, size=1, sha256="0")])
    written.end(run)
    mover = Mover(FileSource(here), there)
    mover.round()
    assert len(mover.progress.problems) >= 1
    assert {name.split("/")[2] for name in content(there) if name.startswith("runs")} == {"journal"}


def test_links_lead_nowhere(here: Path, there: Path, tmp_path: Path):
    run_id = written.record(here)
    (tmp_path / "secret").write_bytes(b"secret")
    folder = here / "runs" / run_id
    (folder / "artifacts").mkdir()
    (folder / "artifacts" / "link").symlink_to(tmp_path / "secret")
    (folder / "journal" / "0123456789abcdef.jsonl").symlink_to(tmp_path / "secret")
    move(here, there)
    assert b"secret" not in content(there).values()
    there.joinpath("runs", run_id, "artifacts").symlink_to(tmp_path)  # nor those of the target
    (folder / "artifacts" / "plain").write_bytes(b"plain")
    mover = Mover(FileSource(here), there)
    mover.round()
    assert not (tmp_path / "plain").exists()
    assert len(mover.progress.problems) == 1


def test_a_store_is_not_copied_into_itself(here: Path):
    written.record(here)
    with pytest.raises(ConfigError, match="itself"):
        Mover(FileSource(here), here.parent / "x" / ".." / "here")


def test_a_shared_store_stays_one(here: Path, there: Path):
    put(run := written.begin(here), "artifacts/sub/a", b"a")
    written.end(run)
    autotrack.init_store(there, shared=True)
    move(here, there)
    modes = {path.is_dir(): path.stat().st_mode & 0o7777 for path in (there / "runs").rglob("*")}
    assert modes == {True: 0o2770, False: 0o660}


def test_a_target_that_cannot_be_written_is_said(here: Path, tmp_path: Path):
    written.record(here)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot be written"):
        Mover(FileSource(here), tmp_path / "file" / "store").round()


def test_the_command(here: Path, there: Path):
    run_id = written.record(here)
    done = call("sync", "--to", str(there), "--json", store=here)
    assert json.loads(done.stdout) == {"to": str(there), "runs": [run_id], "records": 5, "problems": []}
    done = call("sync", "--to", str(there), store=here)
    assert done.stdout == f"0 records of 0 runs were copied from {here} to {there}\n"
    with pytest.raises(autotrack.StoreError, match="no store at"):
        call("sync", "--to", str(there), store=here / "nothing")
    with pytest.raises(ConfigError, match="where to"):
        call("sync", store=here)


KILLED = """
import sys
from pathlib import Path
from autotrack.backends.file_source import FileSource
from autotrack.moving import Mover
while True:
    Mover(FileSource(Path(sys.argv[1])), Path(sys.argv[2])).round()
"""


@pytest.mark.slow
def test_killed_at_random_moments_and_two_at_once(here: Path, there: Path):
    """While a run is being written; at the end the copy is the store, byte for byte."""
    for _ in range(10):
        put(run := written.begin(here), "artifacts/a.bin", os.urandom(2_000_000))
        written.points(run, *range(2000))
        written.end(run)
    run = written.begin(here)
    moments = random.Random(0)
    for number in range(20):
        command = [sys.executable, "-c", KILLED, str(here), str(there)]
        processes = [subprocess.Popen(command) for _ in range(1 + number % 2)]
        until = time.monotonic() + 0.2 + moments.random() * 0.4
        while time.monotonic() < until:
            written.points(run, *range(100))
            run.write([Note(t=run.elapsed(), text="x" * 1000), Tags(t=run.elapsed(), g={"n": str(number)})])
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait(60)
    written.end(run)
    move(here, there)
    found = {name: data for name, data in content(there).items() if not name.endswith(".tmp")}
    assert found == content(here)

"""What an index costs, where it lies, and what happens to it."""

import json
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import autotrack
from autotrack.backends import index, run_files
from autotrack.backends.base import new_run_id
from autotrack.backends.file import FileBackend
from autotrack.backends.file_source import FileSource
from autotrack.backends.heads import HeadFold, Query
from autotrack.backends.liveness import identity
from autotrack.recording import flush
from autotrack.records import Begin, Change, End, Facts, Metrics, Params, Points
from tests.backends.stores import sql
from tests.backends.test_index import Files, cache, store_in  # noqa: F401  the first is a fixture

WORLD = Facts(f={"environment": {"user": "me", "host": "here"}})
OLD = 1_700_000_000


def names(folder: Path) -> list[str]:
    return [head.name for head in FileSource(folder).heads(Query())]


def ended_run(files: Files, name: str, points: int = 0, old: bool = False) -> Path:
    run = files.run()
    gathered = [Points(key="loss", s=list(range(500)), v=[0.125] * 500) for _ in range(points // 500)]
    end = End(status="finished", duration=1.0, params={"C": 1}, metrics={"loss": [points, 0.125, 0.125, 0.125, 499]})
    end.children = 0
    files.writer(run, [Begin(name=name), WORLD, Params(p={"C": 1}), *gathered, end])
    if old:
        for path in (*(run / "journal").iterdir(), run / "journal"):
            os.utime(path, (OLD, OLD))
    return run


class Calls:
    """Counts what is asked of the system about journals; not by another thread, which an earlier test may have left."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.thread = threading.get_ident()
        self.seen: list[str] = []
        self.bytes = 0
        for name in ("stat", "lstat", "listdir", "open"):
            patch.setattr(os, name, self._counted(name, getattr(os, name)))
        real = os.pread

        def pread(fd: int, size: int, offset: int) -> bytes:
            data = real(fd, size, offset)
            self.bytes += len(data) if threading.get_ident() == self.thread else 0
            return data

        patch.setattr(os, "pread", pread)

    def _counted(self, name: str, real):
        def call(path, *args, **options):
            if "journal" in str(path) and threading.get_ident() == self.thread:
                self.seen.append(name)
            return real(path, *args, **options)

        return call

    def take(self) -> tuple[list[str], int]:
        seen, size = sorted(self.seen), self.bytes
        self.seen, self.bytes = [], 0
        return seen, size


def test_what_a_list_asks_of_the_system(cache: Path, tmp_path: Path):  # noqa: F811
    files = Files(store_in(tmp_path / "store"))
    long = ended_run(files, "long", points=100_000, old=True)
    assert sum(path.stat().st_size for path in (long / "journal").iterdir()) > 600_000
    for number in range(9):
        ended_run(files, f"old{number}", old=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_files, "RACY", 10**13)  # young it is however slow this machine is
        calls = Calls(patch)
        assert len(names(tmp_path / "store")) == 10
        seen, size = calls.take()
        assert seen == sorted(["stat", "listdir", "open"] * 10)
        assert size < 160_000  # of the long one the first and the last block
        assert len(names(tmp_path / "store")) == 10
        assert calls.take() == (["stat"] * 10, 0)

        run = files.run()
        (run / "alive").write_text(json.dumps(identity()))
        path = files.writer(run, [Begin(name="live"), WORLD, *(Metrics(0, "", {"loss": 0.5}, s) for s in range(500))])
        assert names(tmp_path / "store")[0] == "live"
        calls.take()
        line = files.line(Metrics(0, "", {"loss": 0.25}, 7))
        with path.open("ab") as file:
            file.write(line)
        (head,) = list(FileSource(tmp_path / "store").heads_of([run.name]).values())
        assert head.metrics == {"loss": 0.5}  # as it was listed
        assert len(names(tmp_path / "store")) == 11
        seen, size = calls.take()
        assert seen == sorted(["stat"] * 11 + ["listdir", "open"])  # the folder is young: it is listed again
        assert size == len(line) + 32
        (head,) = list(FileSource(tmp_path / "store").heads_of([run.name]).values())
        assert (head.metrics, head.summaries["loss"].count) == ({"loss": 0.25}, 501)


def test_what_one_run_asks_of_the_system(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    """An ended run is read from its first and last block; all of it only when more is looked at, and no points then."""
    files = Files(store_in(tmp_path / "store"))
    run = ended_run(files, "long", points=100_000, old=True)
    for number in range(20):
        ended_run(files, f"other{number}", old=True)
    with pytest.MonkeyPatch.context() as patch:
        calls = Calls(patch)
        found = autotrack.get_run(run.name, store=tmp_path / "store")
        assert (found.status, found.params, found.metrics) == ("finished", {"C": 1}, {"loss": 0.125})
        assert found.summaries["loss"].count == 100_000
        seen, size = calls.take()
        assert seen == ["listdir", "open", "stat"]  # of the other runs nothing is asked
        assert size < 140_000
        again = autotrack.get_run(run.name, store=tmp_path / "store")
        assert again.metrics == {"loss": 0.125}
        assert calls.take() == (["lstat", "stat"], 0)
    monkeypatch.setattr(HeadFold, "_points", lambda *_: pytest.fail("points are read, which nobody asked for"))
    assert (found.facts["environment"], found.problems) == ({"user": "me", "host": "here"}, [])
    assert len(found.history("loss")) == 100_000


def test_an_edit_of_an_old_run_is_seen(cache: Path, tmp_path: Path):  # noqa: F811
    files = Files(store_in(tmp_path / "store"))
    run = ended_run(files, "old", points=100_000, old=True)
    assert names(tmp_path / "store") == ["old"]
    files.writer(run, [Change(name="renamed")])
    assert names(tmp_path / "store") == ["renamed"]


def test_what_comes_after_the_end_changes_the_folder(tracked: Path):
    with autotrack.start_run("a") as run:
        pass
    journal = tracked / "runs" / run.id / "journal"
    os.utime(journal, (OLD, OLD))
    run.log_metrics({"late": 1.0})
    flush()
    assert journal.stat().st_mtime > OLD


def test_an_index_is_kept_where_it_is_worth_it(tracked: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(index, "_indexes", type(index._indexes)())
    monkeypatch.setattr(index, "KEEP_RUNS", 3)
    for number in range(3):
        assert len(autotrack.runs()) == number
        assert not (tmp_path / "cache").exists()
        autotrack.start_run(str(number)).end()
    assert len(autotrack.runs()) == 3
    (file,) = (tmp_path / "cache" / "autotrack").glob("*/*")
    assert file.name == "runs.sqlite"
    assert (file.parent.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
    assert sorted(os.listdir(tracked)) == [".gitignore", "runs", "store.json"]
    autotrack.start_run("more").end()
    assert [run.name for run in autotrack.runs()] == ["more", "2", "1", "0"]


SPOIL = {
    "garbage": lambda file: file.write_bytes(b"garbage" * 1000),
    "cut": lambda file: os.truncate(file, file.stat().st_size // 2),
    "empty": lambda file: file.write_bytes(b""),
    "another version": lambda file: sql(file, "PRAGMA user_version = 77"),
    "no table": lambda file: sql(file, "DROP TABLE runs"),
    "odd rows": lambda file: sql(file, "UPDATE runs SET head = '[1]', files = 'x'"),
    "missing": lambda file: file.unlink(),
    "a folder": lambda file: file.unlink() or file.mkdir(),
    "read-only": lambda file: sql(file, "UPDATE runs SET folder = 5, settled = NULL") or file.chmod(0o400),
}


@pytest.mark.parametrize("how", SPOIL)
@pytest.mark.parametrize("within", ["this process", "another"])
def test_a_spoiled_index_is_made_anew(cache: Path, tmp_path: Path, how: str, within: str):  # noqa: F811
    files = Files(store_in(tmp_path / "store"))
    for number in range(5):
        ended_run(files, f"r{number}", old=number < 3)
    expected = ["r4", "r3", "r2", "r1", "r0"]
    assert names(tmp_path / "store") == expected
    (file,) = cache.rglob("*.sqlite")
    SPOIL[how](file)
    if within == "another":
        index._indexes.clear()
    assert names(tmp_path / "store") == expected
    ended_run(files, "r5")
    assert names(tmp_path / "store") == ["r5", *expected]
    index._indexes.clear()
    assert names(tmp_path / "store") == ["r5", *expected]


def test_a_cache_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(index, "_indexes", type(index._indexes)())
    monkeypatch.setattr(index, "KEEP_RUNS", 0)
    files = Files(store_in(tmp_path / "store"))
    ended_run(files, "a")
    assert names(tmp_path / "store") == ["a"]
    ended_run(files, "b")
    assert names(tmp_path / "store") == ["b", "a"]


def test_a_user_without_a_home_has_no_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A container with any user id: there is no HOME, and the system does not know the user."""

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setattr(index, "_indexes", type(index._indexes)())
    monkeypatch.setattr(index, "KEEP_RUNS", 0)
    files = Files(store_in(tmp_path / "store"))
    ended_run(files, "a")
    assert names(tmp_path / "store") == ["a"]


def test_a_store_whose_id_is_a_path_has_no_index_elsewhere(cache: Path, tmp_path: Path):  # noqa: F811
    files = Files(store_in(tmp_path / "store"))
    (tmp_path / "store" / "store.json").write_text('{"store": "../../outside", "format": 1, "min_reader": 1}')
    ended_run(files, "a", points=20_000)
    assert names(tmp_path / "store") == ["a"]
    assert len(autotrack.get_run("a", store=tmp_path / "store").history("loss")) == 20_000
    assert not list(tmp_path.rglob("*.sqlite"))


READER = """
    import sys, autotrack
    from autotrack.backends import index
    index.KEEP_RUNS = 0
    store, until = sys.argv[1], int(sys.argv[2])
    before = -1
    while before < until:
        (run,) = autotrack.runs(store=store, limit=1)
        seen = run.summaries["loss"].count if run.metrics else 0
        assert seen >= before, (seen, before)
        assert not run.metrics or run.metrics["loss"] == seen - 1, run.summaries
        before = seen
"""


def test_readers_of_one_index_beside_a_writer(cache: Path, tmp_path: Path):  # noqa: F811
    (tmp_path / "read.py").write_text(textwrap.dedent(READER))
    points = 400
    backend = FileBackend(tmp_path / "store")
    writer = backend.open_run(new_run_id(1_795_400_000), Begin(name="live"))
    command = [sys.executable, str(tmp_path / "read.py"), str(tmp_path / "store"), str(points)]
    readers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    pause = threading.Event()
    for step in range(points):
        writer.write([Metrics(writer.elapsed(), "", {"loss": float(step)}, step)])
        pause.wait(0.002)
    for reader in readers:
        _, problems = reader.communicate(timeout=300)
        assert (reader.returncode, problems) == (0, "")
    writer.close()
    backend.close()


def test_a_forked_child_has_an_index_of_its_own(cache: Path, tmp_path: Path):  # noqa: F811
    files = Files(store_in(tmp_path / "store"))
    ended_run(files, "a")
    runs = autotrack.runs(store=tmp_path / "store")
    child = os.fork()
    if not child:
        ended_run(files, "b")
        found = [run.name for run in autotrack.runs(store=tmp_path / "store")] + [runs[0].name]
        os._exit(0 if found == ["b", "a", "a"] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [run.name for run in autotrack.runs(store=tmp_path / "store")] == ["b", "a"]

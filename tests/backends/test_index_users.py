"""Several processes, users and copies: each list is what the journals say, whoever works on an index meanwhile."""

import itertools
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import autotrack
from autotrack.backends import index, run_files
from autotrack.backends.base import new_run_id
from autotrack.backends.file import FileBackend
from autotrack.backends.file_source import FileSource
from autotrack.backends.heads import Query, head_in
from autotrack.records import Begin, End, Metrics
from tests.backends.test_index import WORLD, Files, cache, repr_of, store_in  # noqa: F401  one is a fixture
from tests.backends.test_index_files import ended_run


def read_whole(folder: Path) -> dict[str, dict[str, str]]:
    source = FileSource(folder)
    return repr_of({run_id: head_in(source.read(run_id)) for run_id in reversed(source.run_ids())})


def listed(folder: Path) -> dict[str, dict[str, str]]:
    """By the index of this process."""
    source = FileSource(folder)
    return repr_of(source.heads_of([head.id for head in source.heads(Query())]))


class Process:
    """An index on a file that others have too, brought up to date statement by statement."""

    def __init__(self, folder: Path, file: Path) -> None:
        self.source = FileSource(folder)
        self.index = index.Index(str(folder / "runs"), file)
        self.done = False
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        self._go.acquire()
        self.index._db.set_trace_callback(self._about_to)
        self.index.refresh(self.source.run_ids)
        self.index._db.set_trace_callback(None)
        self.done = True
        self._stopped.release()

    def _about_to(self, statement: str) -> None:
        if not self.index._db.in_transaction:  # in which the other one would wait
            self._stopped.release()
            self._go.acquire()

    def step(self, count: int) -> None:
        """Go on until the next statement, so many times."""
        for _ in range(count):
            self._go.release()
            assert self._stopped.acquire(timeout=60)

    def finish(self) -> int:
        """Go on to the end; the number of steps. It must not be left standing: it holds what closing it needs."""
        count = 0
        while not self.done:
            self.step(1)
            count += 1
        return count

    def heads(self) -> dict[str, dict[str, str]]:
        """As of its last refresh."""
        ids = list(reversed(self.source.run_ids()))
        states = dict(self.index.states_of(ids))
        return repr_of({run_id: self.source._head(run_id, states[run_id]) for run_id in ids})


def test_two_processes_that_bring_an_index_up_to_date_at_once(cache: Path, tmp_path: Path):  # noqa: F811
    """One goes so far, then the other, then the first to its end, then the other: wherever they are stopped."""
    folder = tmp_path / "store"
    files = Files(store_in(folder))
    live, gone = files.run(), files.run()
    path = files.writer(live, [Begin(name="live"), WORLD, Metrics(0, "", {"loss": 1.0}, 0)])
    files.writer(gone, [Begin(name="gone")])
    assert listed(folder) == read_whole(folder)
    index._indexes.clear()
    (file,) = cache.rglob("runs.sqlite")
    before = file.read_bytes()
    with path.open("ab") as journal:
        journal.write(files.line(Metrics(0, "", {"loss": 0.5, "late": 2.0}, 1)))
    files.writer(files.run(), [Begin(name="new")])
    shutil.rmtree(gone)
    whole = read_whole(folder)
    steps = Process(folder, file).finish()
    assert steps > 5
    for first, then in itertools.product(range(steps), repeat=2):
        file.write_bytes(before)
        one, other = Process(folder, file), Process(folder, file)
        one.step(first)
        other.step(then)
        one.finish()
        other.finish()
        for process in (one, other):
            assert not process.index._in_memory
            process.index.refresh(process.source.run_ids)
            assert process.heads() == whole, (first, then)


# ---- a run that ends while one looks --------------------------------------------------------------------------------


@pytest.mark.parametrize("look", ["list", "get"])
def test_a_run_that_ends_while_one_looks_is_not_taken_for_lost(
    tracked: Path, monkeypatch: pytest.MonkeyPatch, look: str
):
    """It ends between the reading of its records and the question whether its process lives."""
    from autotrack.backends import file_source

    run = autotrack.start_run("a")
    asked = file_source.is_alive

    def ends_now(alive: Path) -> tuple[bool | None, bool]:
        run.end()
        return asked(alive)

    monkeypatch.setattr(file_source, "is_alive", ends_now)
    found = autotrack.runs()[0] if look == "list" else autotrack.get_run(run.id)
    assert (found.status, found.duration is None) == ("finished", False)


# ---- copies ---------------------------------------------------------------------------------------------------------


def test_a_copy_of_a_store_has_an_index_of_its_own(cache: Path, tmp_path: Path):  # noqa: F811
    folder, copy = tmp_path / "store", tmp_path / "copy"
    files = Files(store_in(folder))
    for number in range(3):
        ended_run(files, f"r{number}", old=True)
    shutil.copytree(folder, copy)  # with the times of all files
    shutil.rmtree(min((copy / "runs").iterdir()))
    assert listed(folder) == read_whole(folder)
    assert listed(copy) == read_whole(copy)
    assert len(list(cache.rglob("runs.sqlite"))) == 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index.RunFiles, "refresh", _no_reading)
        for _ in range(2):  # neither costs the other what it has read
            assert len(listed(folder)) == 3
            assert len(listed(copy)) == 2
    (tmp_path / "link").symlink_to(folder)
    assert len(listed(tmp_path / "link")) == 3
    assert len(list(cache.rglob("runs.sqlite"))) == 2


def _no_reading(run: run_files.RunFiles, journal: str) -> bool:
    raise AssertionError("what was read already is read again")


# ---- users ----------------------------------------------------------------------------------------------------------


GROUP, ANN, BOB = 54_321, 54_322, 54_323


def as_user(number: int, group: int, umask: int, home: Path, work: Callable[[], None]) -> int:
    """Exit status of a forked process that is this user, in this group alone, and does the work."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        os.setgroups([group])
        os.setgid(number)
        os.setuid(number)
        os.umask(umask)
        os.environ["XDG_CACHE_HOME"] = str(home)
        index._indexes.clear()
        work()
        status = 0
    except BaseException as error:
        print(f"user {number}: {error!r}")
    finally:
        os._exit(status)


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory):
    """A folder that every user reaches; pytest's own are for one."""
    if os.getuid() != 0:
        pytest.skip("only root can become two users")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    rehearse(folder / "rehearsal")
    yield folder
    shutil.rmtree(folder)


def record(store: Path, name: str) -> None:
    backend = FileBackend(store)
    run = backend.open_run(new_run_id(1_795_400_000 + ord(name[0])), Begin(name=name))
    run.write([WORLD, Metrics(run.elapsed(), "", {"loss": 0.5}, 0), End(t=1, status="finished", duration=1.0)])
    run.close()
    backend.close()


def rehearse(store: Path) -> None:
    """Once as this user, so that all modules are there: the others may not be able to read this Python."""
    record(store, "a")
    run = autotrack.get_run(autotrack.runs("metrics.loss < 1", store=store)[0].name, store=store)
    assert (len(run.history("loss")), run.problems) == (1, [])
    run.set_tags({"a": "b"})
    run.rename("b")
    autotrack.get_experiment(run.experiment, store=store).describe("x")
    run.remove()
    assert len(autotrack.experiments(store=store)) == 1


def test_two_users_work_in_one_shared_store(outside: Path, monkeypatch: pytest.MonkeyPatch):
    """Whatever their umasks, each finds and changes what the other made, by an index of their own."""
    monkeypatch.setattr(index, "KEEP_RUNS", 0)
    store = outside / "store"
    FileBackend(store).create(shared=True)
    for path in (store, *store.rglob("*")):
        os.chown(path, 0, GROUP)
        path.chmod(0o2770 if path.is_dir() else 0o660)  # as chown takes the bit away
    for user in (ANN, BOB):
        (outside / str(user)).mkdir()
        os.chown(outside / str(user), user, user)

    def of_ann() -> None:
        record(store, "ann's")
        assert [run.name for run in autotrack.runs(store=store)] == ["ann's"]

    def of_bob() -> None:
        record(store, "bob's")
        assert [run.name for run in autotrack.runs(store=store)] == ["bob's", "ann's"]
        run = autotrack.get_run("ann's", store=store)
        run.set_tags({"seen by": "bob"})
        run.rename("hers")
        autotrack.get_experiment(run.experiment, store=store).describe("of both")

    def of_ann_again() -> None:
        assert [(run.name, run.tags) for run in autotrack.runs(store=store)] == [
            ("bob's", {}), ("hers", {"seen by": "bob"}),
        ]  # fmt: skip
        autotrack.get_run("bob's", store=store).remove()
        assert len(autotrack.runs(store=store)) == 1
        assert autotrack.experiments(store=store)[0].description == "of both"

    for user, umask, work in ((ANN, 0o077, of_ann), (BOB, 0o027, of_bob), (ANN, 0o077, of_ann_again)):
        assert as_user(user, GROUP, umask, outside / str(user), work) == 0
    for path in store.rglob("*"):
        wanted = 0o2770 if path.is_dir() else 0o660
        assert (path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) == (GROUP, wanted), path
    for user in (ANN, BOB):
        (file,) = (outside / str(user)).rglob("runs.sqlite")
        assert (file.stat().st_uid, stat.S_IMODE(file.stat().st_mode)) == (user, 0o600)


def test_a_store_that_can_only_be_read(outside: Path, monkeypatch: pytest.MonkeyPatch):
    """It is listed, searched and read as any other, and nothing is left in it; what would change it is refused."""
    monkeypatch.setattr(index, "KEEP_RUNS", 0)
    store = outside / "store"
    for name in ("a", "b"):
        record(store, name)
    live = FileBackend(store).open_run(new_run_id(1_795_500_000), Begin(name="live"))
    live.write([Metrics(live.elapsed(), "", {"loss": 0.25}, 0)])
    for path in (store, *store.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (outside / "home").mkdir(mode=0o777)
    (outside / "home").chmod(0o777)
    before = sorted((path, path.stat().st_mtime_ns) for path in store.rglob("*"))

    def reads() -> None:
        for _ in range(2):
            index._indexes.clear()
            assert [run.name for run in autotrack.runs(store=store)] == ["live", "b", "a"]
        assert [run.name for run in autotrack.runs("metrics.loss < 0.5", store=store)] == ["live"]
        run = autotrack.get_run("a", store=store)
        assert (run.status, len(run.history("loss")), run.problems) == ("finished", 1, [])
        assert autotrack.get_run("live", store=store).status == "running"
        for change in (lambda: run.set_tags({"a": "b"}), run.remove, lambda: run.move("x")):
            with pytest.raises(autotrack.StoreError, match="cannot be changed"):
                change()
        with pytest.raises(autotrack.StoreError, match="cannot be changed"):
            autotrack.get_experiment(run.experiment, store=store).describe("x")

    assert as_user(BOB, BOB, 0o022, outside / "home", reads) == 0
    assert sorted((path, path.stat().st_mtime_ns) for path in store.rglob("*")) == before
    live.close()
    assert list((outside / "home").rglob("runs.sqlite"))

"""Facts reach every run of a process, are captured once, and never on the training's thread."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import autotrack
from autotrack.backends.housekeeping import housekeeper

Script = Callable[..., "subprocess.CompletedProcess[str]"]

SECTIONS = {"environment", "packages", "hardware", "git", "random"}

PATIENT = "import autotrack, autotrack.facts\nautotrack.facts.EXIT_WAIT = 60.0\n"  # the machine may be slow


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with something that is not committed."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    git = ["git", "-c", "user.name=T", "-c", "user.email=t@invalid"]
    for arguments in (["init", "."], ["commit", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *arguments], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    (tmp_path / "helper.py").write_text("x = 1\n")
    return tmp_path


def test_a_run_that_ends_at_once_gets_everything(script: Script, repository: Path):
    script(PATIENT + "with autotrack.start_run(): pass\n")
    (run,) = autotrack.runs(store=repository / ".autotrack")
    assert run.status == "finished"
    assert run.facts.keys() == SECTIONS
    assert run.facts["git"]["dirty"] is True
    assert run.artifacts.keys() == {"code/train.py", "code/changes.patch"}
    with run.open("code/changes.patch") as file:
        assert b"+++ b/helper.py\n" in file.read()


def test_all_runs_of_a_process_have_all_and_equal_files_lie_on_disk_once(script: Script, repository: Path):
    code = PATIENT + "import time\nfor i in range(4):\n    with autotrack.start_run(): time.sleep(0.2 * (i % 2))\n"
    script(code)
    script(code)
    store = repository / ".autotrack"
    runs = autotrack.runs(store=store)
    sessions = [run.session for run in runs]
    assert len(runs) == 8
    assert len(set(sessions)) == 2
    assert len(set(sessions[:4])) == len(set(sessions[4:])) == 1
    for run in runs:
        assert run.facts.keys() == SECTIONS
        assert run.facts["git"] == runs[0].facts["git"]
        assert not run.problems
        for name in ("train.py", "changes.patch"):
            with run.open(f"code/{name}") as file:
                assert os.fstat(file.fileno()).st_nlink == 4  # one file for each process
                assert file.read()
    assert not list(store.rglob("*.tmp"))


def test_a_file_of_another_run_that_was_changed_or_deleted_is_not_linked(tracked: Path):
    from pathlib import PurePosixPath

    from autotrack.backends.file import FileBackend
    from autotrack.records import Begin

    backend = FileBackend(tracked)
    path = PurePosixPath("artifacts/code/x.py")
    folders = []
    for number in range(4):
        run_id = f"20260101T00000000{number}-000000000{number}"
        writer = backend.open_run(run_id, Begin(name="x"))
        folders.append(tracked / "runs" / run_id / path)
        stored = writer.put_file(path, b"x = 1\n")
        assert (stored.size, folders[-1].read_bytes()) == (6, b"x = 1\n")
        writer.put_file(path, b"x = 1\n")  # again: nothing is left over
        assert [entry.name for entry in folders[-1].parent.iterdir()] == ["x.py"]
        writer.close()
        if number == 1:
            assert folders[0].stat().st_nlink == 2
            folders[1].write_bytes(b"y = 2\n")
        if number == 2:
            assert folders[2].stat().st_nlink == 1
            folders[2].unlink()
    assert folders[3].stat().st_nlink == 1
    backend.close()


def test_facts_are_captured_once_and_not_on_the_trainings_thread(
    tracked: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
):
    """Seen from outside: which threads start a process, open files of packages, read the machine."""
    from autotrack.facts import ProcessFacts

    started: list[tuple[str, str]] = []

    def watch(event: str, arguments: tuple) -> None:
        if watching and event in ("subprocess.Popen", "os.posix_spawn"):
            started.append((threading.current_thread().name, str(arguments[1])))

    assert housekeeper.wait_idle(60)  # what an earlier test left to do is no business of this one
    watching = [True]
    sys.addaudithook(watch)
    monkeypatch.chdir(repository)
    facts = ProcessFacts()
    try:
        for _ in range(3):
            run = autotrack.start_run()
            facts.give(run)
            run.end()
        assert housekeeper.wait_idle(60)
    finally:
        watching.clear()
    assert {thread for thread, _ in started} == {"autotrack-housekeeping"}
    assert 1 <= len(started) <= 2  # the session's own, and ours


def test_facts_are_of_the_folder_where_the_run_began(script: Script, repository: Path):
    script(PATIENT + "import os\nwith autotrack.start_run(): os.chdir('/')\n")
    (run,) = autotrack.runs(store=repository / ".autotrack")
    assert run.facts["environment"]["folder"] == str(repository)
    assert run.facts["git"]["root"] == str(repository)


def test_a_forked_child_has_facts_of_its_own(script: Script, tmp_path: Path):
    script("""
        import os, time, autotrack
        from autotrack.backends.housekeeping import housekeeper
        with autotrack.start_run("parent"): pass
        assert housekeeper.wait_idle(60)
        child = os.fork()
        if child == 0:
            os.chdir("/")
            os.environ["LOCAL_RANK"] = "1"
            with autotrack.start_run("child"): pass
            assert housekeeper.wait_idle(60)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    """)
    runs = {run.name: run for run in autotrack.runs(store=tmp_path / ".autotrack")}
    assert runs["child"].facts.keys() >= {"environment", "packages", "hardware", "random"}
    assert runs["parent"].facts["environment"]["folder"] == str(tmp_path)
    assert runs["child"].facts["environment"]["folder"] == "/"
    assert runs["child"].facts["environment"]["variables"].get("LOCAL_RANK") == "1"
    assert "code/train.py" in runs["child"].artifacts


WORKERS = """
    import multiprocessing, os, sys
    import autotrack, autotrack.facts
    from autotrack.backends.housekeeping import housekeeper

    autotrack.facts.EXIT_WAIT = 60.0  # the machine may be slow

    def train(number):
        with autotrack.start_run(f"child {number}"):
            pass
        return number

    if __name__ == "__main__":
        autotrack.enable(store=".autotrack")
        if sys.argv[1] == "known":
            with autotrack.start_run("parent"):
                pass
            assert housekeeper.wait_idle(60)
        context = multiprocessing.get_context("fork")
"""
ENDS = {
    "ended at once": "with context.Pool(2) as pool: pool.map(train, range(4))",
    "ended in order": "pool = context.Pool(2); pool.map(train, range(4)); pool.close(); pool.join()",
    "a process": "p = context.Process(target=train, args=(0,)); p.start(); p.join()",
    "an executor": "from concurrent.futures import ProcessPoolExecutor as E\n"
    "        with E(2, mp_context=context) as pool: list(pool.map(train, range(4)))",
}


@pytest.mark.parametrize(
    ("what", "end"),
    [*(("known", end) for end in ENDS), *(("unknown", end) for end in ENDS if end != "ended at once")],
)
def test_workers_that_were_forked_have_all_facts(script: Script, repository: Path, what: str, end: str):
    """What their parent knows they know at once; else their end waits for it, if it is not a kill."""
    script(f"{WORKERS}        {ENDS[end]}\n", what)
    runs = [run for run in autotrack.runs(store=repository / ".autotrack") if run.name != "parent"]
    assert len(runs) == (1 if end == "a process" else 4)
    assert len({run.session for run in runs}) == 1
    for run in runs:
        assert (run.status, run.problems) == ("finished", [])
        assert run.facts.keys() == SECTIONS
        if end != "ended at once":
            assert run.artifacts.keys() == {"code/train.py", "code/changes.patch"}


def test_a_second_process_reads_while_facts_arrive(script: Script, repository: Path):
    """A git that is slow: the other facts are there before it answers."""
    folder = repository / "bin"
    folder.mkdir()
    (folder / "git").write_text("#!/bin/sh\nsleep 1.5\nexit 1\n")
    (folder / "git").chmod(0o755)
    script(
        """
        import subprocess, sys, time, autotrack
        code = "import autotrack, sys; facts = autotrack.get_run('@last').facts; sys.exit('packages' not in facts)"
        with autotrack.start_run():
            deadline = time.monotonic() + 60
            while subprocess.run([sys.executable, "-c", code], timeout=60).returncode:
                assert time.monotonic() < deadline
        """,
        env={"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
    )

"""Facts about the process: what real git says of real repositories, and that they reach every run."""

import os
import platform
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import autotrack
from autotrack.capture import process
from autotrack.capture.process import git_facts, process_facts

Script = Callable[..., "subprocess.CompletedProcess[str]"]


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@invalid", "-c", "init.defaultBranch=main"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, outside any other."""
    for name in list(os.environ):
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init")
    (folder / "train.py").write_text("print(1)\n")
    git(folder, "add", "train.py")
    git(folder, "commit", "-m", "first")
    return folder


def test_a_clean_repository(repository: Path):
    head = git(repository, "rev-parse", "HEAD")
    assert git_facts(repository) == {"root": str(repository), "commit": head, "dirty": False}
    inner = repository / "a" / "b"
    inner.mkdir(parents=True)
    assert git_facts(inner) == {"root": str(repository), "commit": head, "dirty": False}


@pytest.mark.parametrize("change", ["changed", "staged", "untracked", "deleted"])
def test_a_dirty_repository(repository: Path, change: str):
    file = repository / "train.py"
    if change == "deleted":
        file.unlink()
    elif change == "untracked":
        (repository / "new.py").write_text("")
    else:
        file.write_text("print(2)\n")
    if change == "staged":
        git(repository, "add", "train.py")
    assert git_facts(repository)["dirty"] is True


def test_ignored_files_and_our_own_store_do_not_make_it_dirty(repository: Path):
    (repository / ".gitignore").write_text("*.tmp\n")
    git(repository, "add", ".gitignore")
    git(repository, "commit", "-m", "second")
    (repository / "x.tmp").write_text("")
    code = "import autotrack\nwith autotrack.start_run(): pass\n"
    subprocess.run([sys.executable, "-c", code], cwd=repository, check=True, timeout=60)
    assert (repository / ".autotrack" / "runs").is_dir()
    assert git_facts(repository)["dirty"] is False


def test_a_detached_head_and_a_worktree(repository: Path, tmp_path: Path):
    head = git(repository, "rev-parse", "HEAD")
    git(repository, "checkout", "--detach")
    assert git_facts(repository)["commit"] == head
    git(repository, "worktree", "add", "-b", "side", str(tmp_path / "side"))
    assert git_facts(tmp_path / "side") == {"root": str(tmp_path / "side"), "commit": head, "dirty": False}


def test_a_repository_without_commits(repository: Path, tmp_path: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init")
    assert git_facts(empty) == {"root": str(empty), "commit": None, "dirty": False}


def test_outside_a_repository_and_in_a_folder_that_is_gone(repository: Path, tmp_path: Path):
    assert git_facts(tmp_path) == {}
    assert git_facts(tmp_path / "gone") == {}


def test_a_broken_repository(repository: Path):
    (repository / ".git" / "HEAD").write_text("nonsense")
    assert git_facts(repository) == {}


def test_without_git(repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_facts(repository) == {}
    assert process_facts(repository, "")["python"] == platform.python_version()


def fake_git(folder: Path, body: str) -> Path:
    folder.mkdir()
    program = folder / "git"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


def test_a_git_that_hangs_is_bounded(repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Also where its own child holds the pipe."""
    path = fake_git(tmp_path / "bin", "sleep 20")
    monkeypatch.setenv("PATH", f"{path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(process, "GIT_TIMEOUT", 0.2)
    started = time.monotonic()
    assert git_facts(repository) == {}
    assert time.monotonic() - started < 3


def test_the_exit_waits_for_a_hanging_git_only_so_long_and_keeps_the_rest(script: Script, tmp_path: Path):
    path = fake_git(tmp_path / "bin", "exec sleep 30")
    started = time.monotonic()
    script(
        "import autotrack\nwith autotrack.start_run(): pass",
        env={"PATH": f"{path}{os.pathsep}{os.environ['PATH']}"},
    )
    assert time.monotonic() - started < 8
    (run,) = autotrack.runs(store=tmp_path / ".autotrack")
    assert run.facts["environment"]["python"] == platform.python_version()
    assert "git" not in run.facts


def test_git_changes_nothing_and_asks_nothing(repository: Path, monkeypatch: pytest.MonkeyPatch):
    """No lock is taken, no index refreshed, no file monitor or hook of the repository run."""
    trap = repository.parent / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {repository.parent}/sprung\n")
    trap.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(trap))
    git(repository, "config", "core.hooksPath", str(repository.parent))
    os.utime(repository / "train.py")
    index = (repository / ".git" / "index").read_bytes()
    assert git_facts(repository)["dirty"] is False
    assert (repository / ".git" / "index").read_bytes() == index
    assert not (repository.parent / "sprung").exists()


def test_facts_reach_a_run_that_ends_at_once(script: Script, repository: Path):
    head = git(repository, "rev-parse", "HEAD")
    code = "import autotrack\nwith autotrack.start_run(): pass\n"
    (repository / "train.py").write_text(code)
    subprocess.run([sys.executable, "train.py"], cwd=repository, check=True, timeout=60)
    (run,) = autotrack.runs(store=repository / ".autotrack")
    assert run.status == "finished"
    assert run.facts["git"] == {"root": str(repository), "commit": head, "dirty": True}
    environment = run.facts["environment"]
    assert environment["python"] == platform.python_version()
    assert environment["script"].endswith("train.py")
    assert environment["folder"] == str(repository)
    assert environment["host"] == platform.node()


def test_runs_of_one_process_share_session_and_facts(script: Script, tmp_path: Path):
    code = "import autotrack, time\nfor i in range(3):\n    with autotrack.start_run(): time.sleep(0.05 * i)\n"
    script(code)
    script(code)
    runs = autotrack.runs(store=tmp_path / ".autotrack")
    sessions = [run.session for run in runs]
    assert len(set(sessions)) == 2
    assert sessions[0] == sessions[1] == sessions[2] != sessions[3]
    assert all(run.facts["environment"]["python"] == platform.python_version() for run in runs)


def test_facts_are_of_the_folder_where_the_run_began(script: Script, repository: Path):
    script(
        f"import autotrack, os\nos.chdir({str(repository)!r})\nwith autotrack.start_run(): os.chdir('/')\n",
    )
    (run,) = autotrack.runs(store=repository / ".autotrack")
    assert run.facts["environment"]["folder"] == str(repository)
    assert run.facts["git"]["root"] == str(repository)


def test_an_unknown_user_is_a_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """As in containers that run under a number of nobody."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    import pwd

    def nobody(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert process_facts(tmp_path, "")["user"] == str(os.getuid())

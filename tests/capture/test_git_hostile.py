"""No program that a repository names is run, and nothing in it changes."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autotrack.capture.git import git_state
from tests.capture.repositories import commit, git, trap

pytestmark = pytest.mark.usefixtures("plain_git")


def driver(kind: str, name: str, **variables: str) -> Callable[[Path, Path], None]:
    def configure(repository: Path, program: Path) -> None:
        # Where the value of an attribute cannot spell the driver's name, the repository's author picks another:
        # names with "=", dots and brackets can be spelled.
        (repository / ".git" / "info" / "attributes").write_bytes(os.fsencode(f"*.py {kind}={name}\n"))
        for variable, value in variables.items():
            git(repository, "config", f"{kind}.{name}.{variable}", value.format(program))

    return configure


def setting(key: str, value: str = "{}") -> Callable[[Path, Path], None]:
    def configure(repository: Path, program: Path) -> None:
        git(repository, "config", key, value.format(program))

    return configure


def included(repository: Path, program: Path) -> None:
    (repository / ".git" / "more").write_text(f'[core]\n\tfsmonitor = {program}\n[filter "x"]\n\tclean = {program}\n')
    git(repository, "config", "include.path", "more")
    (repository / ".gitattributes").write_text("*.py filter=x\n")


def of_worktree(repository: Path, program: Path) -> None:
    git(repository, "config", "extensions.worktreeConfig", "true")
    git(repository, "config", "--worktree", "filter.x.clean", str(program))
    (repository / ".gitattributes").write_text("*.py filter=x\n")


def hooks(repository: Path, program: Path) -> None:
    for name in ("post-index-change", "fsmonitor-watchman", "pre-commit", "reference-transaction", "post-checkout"):
        shutil.copy(program, repository / ".git" / "hooks" / name)


def submodule(repository: Path, program: Path) -> None:
    inner = repository / "lib"
    inner.mkdir()
    git(inner, "init")
    (inner / "f.py").write_text("1\n")
    commit(inner)
    git(repository, "-c", "advice.addEmbeddedRepo=false", "add", "lib")
    git(repository, "commit", "-m", "lib")
    git(inner, "config", "core.fsmonitor", str(program))
    (inner / "f.py").write_text("2\n")
    git(repository, "config", "diff.ignoreSubmodules", "none")
    git(repository, "config", "diff.submodule", "diff")
    git(repository, "config", "status.submoduleSummary", "true")


def partial_clone(repository: Path, program: Path) -> None:
    """A blob is missing, and where it would be fetched from is a command."""
    git(repository, "config", "extensions.partialClone", "origin")
    git(repository, "config", "remote.origin.promisor", "true")
    git(repository, "config", "remote.origin.url", f"ext::{program}")
    git(repository, "config", "protocol.ext.allow", "always")
    blob = git(repository, "rev-parse", "HEAD:train.py")
    (repository / ".git" / "objects" / blob[:2] / blob[2:]).unlink()


def hooks_path(repository: Path, program: Path) -> None:
    hooks(repository, program)
    (repository / ".git" / "hooks").rename(repository / ".git" / "others")
    git(repository, "config", "core.hooksPath", ".git/others")


def gpg(repository: Path, program: Path) -> None:
    git(repository, "config", "gpg.program", str(program))
    git(repository, "config", "commit.gpgSign", "true")


def ssh(repository: Path, program: Path) -> None:
    git(repository, "config", "core.sshCommand", str(program))
    git(repository, "config", "remote.origin.url", "ssh://git.invalid/x")


HOSTILE: dict[str, tuple[Callable[[Path, Path], None], tuple[str, ...]]] = {
    # what is configured, and the plain command that springs the trap
    "fsmonitor": (setting("core.fsmonitor"), ("status",)),
    "external diff": (setting("diff.external"), ("diff",)),
    "diff command": (driver("diff", "x", command="{}"), ("diff",)),
    "textconv": (driver("diff", "x", textconv="{}", cachetextconv="true"), ("diff",)),
    "clean": (driver("filter", "x", clean="{}"), ("diff",)),
    "required": (driver("filter", "x", clean="{}", required="true"), ("diff",)),
    "process": (driver("filter", "x", process="{}"), ("diff",)),
    "name with dots and =": (driver("filter", "a.b=c.d", clean="{}"), ("diff",)),
    "name with quotes": (driver("filter", 'a"b\\c]', clean="{}"), ("diff",)),
    "name is not text": (driver("filter", b"\xff".decode(errors="surrogateescape"), clean="{}"), ("diff",)),
    "capitals": (driver("filter", "MixedCase", clean="{}"), ("diff",)),
    "include": (included, ("status",)),
    "worktree": (of_worktree, ("diff",)),
    "submodule": (submodule, ("status",)),
    "partial clone": (partial_clone, ("diff",)),
    "hooks": (hooks, ("status",)),
    "pager": (setting("core.pager"), ("-p", "diff")),
    "hooksPath": (hooks_path, ("status",)),
    # No command of ours gets near these; the plain command shows that they are armed.
    "alias": (setting("alias.st", "!{}"), ("st",)),
    "editor": (setting("core.editor"), ("commit", "-a")),
    "gpg": (gpg, ("commit", "-am", "x")),
    "ssh": (ssh, ("fetch",)),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_no_program_of_the_repository_runs(repository: Path, tmp_path: Path, name: str):
    configure, plain = HOSTILE[name]
    sprung = trap(tmp_path)
    configure(repository, tmp_path / "trap.sh")
    sprung.unlink(missing_ok=True)
    (repository / "train.py").write_text("print('2')\nprint(2)\nprint(3)\n")
    facts, patch = git_state(repository)
    assert not sprung.exists()
    assert facts["dirty"] is True
    assert "timed_out" not in facts
    if name != "partial clone":  # what it was changed from is not there
        assert "+print('2')" in patch
    # The trap was armed: what a person types springs it.
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    program = ["git", "-c", "user.name=T", "-c", "user.email=t@invalid", *plain]
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    with subprocess.Popen(program, cwd=repository, env=environment, **streams) as typed:
        deadline = time.monotonic() + 30
        while not sprung.exists() and typed.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        typed.kill()  # some wait for an answer of our program
    assert sprung.exists() or name == "pager"  # a pager needs a terminal


def test_the_users_own_filters_are_used(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As git-lfs is: without it all its files would count as changed."""
    settings = tmp_path / "gitconfig"
    settings.write_text('[filter "upper"]\n\tclean = "tr a-z A-Z"\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    (repository / ".gitattributes").write_text("*.py filter=upper\n")
    (repository / "train.py").write_text("import sys\n")
    assert "+IMPORT SYS" in git_state(repository).patch


def test_nothing_in_the_repository_changes(repository: Path):
    os.utime(repository / "train.py", (1, 1))  # status and diff would refresh the index
    (repository / "new").write_text("1\n")

    def state() -> dict[str, tuple[bytes, int]]:
        files = [path for path in repository.rglob("*") if path.is_file()]
        return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    before = state()
    git_state(repository)
    assert state() == before


def test_a_git_of_the_repository_is_not_used(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sprung = trap(tmp_path)
    shutil.copy(tmp_path / "trap.sh", repository / "git")
    monkeypatch.setenv("PATH", f".{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(repository)
    git_state(repository)
    assert not sprung.exists()

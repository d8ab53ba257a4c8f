"""The state of a repository, and the patch that gives the work tree back."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autotrack.capture import git as capture
from autotrack.capture.git import git_state
from tests.capture.repositories import applied, commit, git, trap, tree

pytestmark = pytest.mark.usefixtures("plain_git")
Script = Callable[..., "subprocess.CompletedProcess[str]"]


# ---- states ---------------------------------------------------------------------------------------------------------


def test_a_clean_repository(repository: Path):
    head = git(repository, "rev-parse", "HEAD")
    expected = {"root": str(repository), "commit": head, "branch": "main", "remote": None, "dirty": False}
    inner = repository / "a" / "b"
    inner.mkdir(parents=True)
    for folder in (repository, inner):
        assert git_state(folder) == (expected, "")


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
    facts, patch = git_state(repository)
    assert facts["dirty"] is True
    assert applied(repository, patch) == tree(repository)


ODD_NAMES = [
    "with space.txt", "naïve ü.py", "日本.md", 'quote".txt', "back\\slash", "new\nline", "tab\there", "-dash", "a -> b",
    "it's", "b/ b", "trailing ", b"latin-\xfc".decode(errors="surrogateescape"), "emoji😀", "\x7f", "zero\u200bwidth",
]  # fmt: skip


@pytest.mark.parametrize("tracked", [True, False], ids=["tracked", "untracked"])
def test_the_patch_gives_the_work_tree_back(repository: Path, tracked: bool):
    contents = {
        "no newline": b"one\ntwo",
        "crlf": b"one\r\ntwo\r\nthree\r\n",
        "mixed": b"one\rtwo\r\nthree\n\n\n",
        "empty": b"",
        "only newline": b"\n",
        "looks like a patch": b"--- a/x\n+++ b/x\n@@ -1 +1 @@\ndiff --git a/x b/x\nBinary files a/x and b/x differ\n",
        **{name: f"the file {name!r}\n".encode() for name in ODD_NAMES},
    }
    old = {**contents, "deleted": b"1\n", "mode": b"#!/bin/sh\n", "deep/deleted": b"2\n", "typed": b"3\n"}
    for name, content in old.items():
        if tracked or name not in contents:
            path = repository / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
    commit(repository)
    for name, content in contents.items():
        path = repository / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content + b"more\r\nand no end" if tracked else content)
    if tracked:
        (repository / "latin.txt").write_bytes(b"caf\xe9\n")  # untracked and no UTF-8: left out
        (repository / "train.py").write_bytes(b"caf\xe9\n")  # tracked: kept byte by byte
    (repository / "deleted").unlink()
    shutil.rmtree(repository / "deep")
    (repository / "mode").chmod(0o755)
    (repository / "run.sh").write_text("#!/bin/sh\n")
    (repository / "run.sh").chmod(0o755)
    facts, patch = git_state(repository)
    expected = tree(repository)
    assert facts.get("left_out", []) == (["latin.txt"] if tracked else [])
    expected.pop("latin.txt", None)
    assert applied(repository, patch) == expected


def test_binary_large_and_odd_files_are_left_out_and_named(repository: Path):
    (repository / "tracked image.png").write_bytes(b"\x89PNG\0" * 10)
    (repository / "bild-ü.png").write_bytes(b"\x89PNG\0" * 10)
    commit(repository)
    (repository / "tracked image.png").write_bytes(b"\x89PNG\0" * 11)
    (repository / "bild-ü.png").unlink()
    (repository / "train.py").write_text("print(4)\n")
    (repository / "data.bin").write_bytes(b"\0\1\2")
    (repository / "large.csv").write_text("1,2\n" * 50_000)
    (repository / "link").symlink_to("train.py")
    os.mkfifo(repository / "pipe")  # opening it would wait for ever
    facts, patch = git_state(repository)
    assert set(facts["left_out"]) == {"tracked image.png", "bild-ü.png", "data.bin", "large.csv", "link"}
    assert applied(repository, patch)["train.py"] == (b"print(4)\n", False)
    for number in range(capture._MAX_UNTRACKED + 30):
        (repository / f"new-{number}").write_text("x\n")
    facts, patch = git_state(repository)

    assert len(facts["left_out"]) == capture._MAX_LEFT_OUT
    assert patch.count("new file mode") + facts["left_out_count"] == capture._MAX_UNTRACKED + 30 + 5


def test_ignored_files_and_our_own_store_do_not_make_it_dirty(repository: Path):
    (repository / ".gitignore").write_text("*.tmp\n")
    commit(repository)
    (repository / "x.tmp").write_text("")
    code = "import autotrack\nwith autotrack.start_run(): pass\n"
    subprocess.run([sys.executable, "-c", code], cwd=repository, check=True, timeout=300)
    assert (repository / ".autotrack" / "runs").is_dir()
    assert git_state(repository).facts["dirty"] is False


def test_a_detached_head_and_a_worktree(repository: Path, tmp_path: Path):
    head = git(repository, "rev-parse", "HEAD")
    git(repository, "checkout", "--detach")
    facts = git_state(repository).facts
    assert (facts["commit"], facts["branch"]) == (head, None)
    side = tmp_path / "side"
    git(repository, "worktree", "add", "-b", "feature/side", str(side))
    (side / "new").write_text("1\n")
    facts, patch = git_state(side)
    assert facts == {"root": str(side), "commit": head, "branch": "feature/side", "remote": None, "dirty": True}
    assert applied(side, patch) == {name: found for name, found in tree(side).items() if name != ".git"}


def test_a_repository_without_commits(repository: Path, tmp_path: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init")
    facts = {"root": str(empty), "commit": None, "branch": "main", "remote": None, "dirty": False}
    assert git_state(empty) == (facts, "")
    (empty / "staged").write_text("1\n")
    git(empty, "add", "staged")
    (empty / "new").write_text("2\n")
    found, patch = git_state(empty)
    assert found == {**facts, "dirty": True}
    assert "+1" in patch
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init")
    git(other, "apply", input=patch)
    assert tree(other) == tree(empty)


def test_a_submodule_is_its_own_repository_and_is_not_entered_from_above(repository: Path, tmp_path: Path):
    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init")
    (inner / "lib.py").write_text("x = 1\n")
    head = commit(inner)
    git(repository, "-c", "protocol.file.allow=always", "submodule", "add", str(inner), "lib")
    commit(repository)
    (repository / "lib" / "lib.py").write_text("x = 2\n")
    assert git_state(repository).facts["dirty"] is False
    facts, patch = git_state(repository / "lib")
    assert (facts["root"], facts["commit"], facts["dirty"]) == (str(repository / "lib"), head, True)
    assert "+x = 2" in patch


def test_none_bare_broken_and_gone(repository: Path, tmp_path: Path):
    assert git_state(tmp_path) is None
    assert git_state(tmp_path / "gone") is None
    git(tmp_path, "clone", "--bare", str(repository), "bare.git")
    assert git_state(tmp_path / "bare.git") is None
    assert git_state(repository / ".git") is None
    (repository / ".git" / "HEAD").write_text("nonsense")
    assert git_state(repository) is None


def test_a_folder_whose_name_is_odd(repository: Path, tmp_path: Path):
    folder = tmp_path / " a\nb ü\n"
    repository.rename(folder)
    assert git_state(folder).facts["root"] == str(folder)


def test_the_remote_is_origin_else_the_first(repository: Path):
    git(repository, "remote", "add", "upstream", "https://git.invalid/a.git")
    assert git_state(repository).facts["remote"] == "https://git.invalid/a.git"
    git(repository, "remote", "add", "origin", "https://git.invalid/b.git")
    assert git_state(repository).facts["remote"] == "https://git.invalid/b.git"


# ---- the user's own settings ----------------------------------------------------------------------------------------


def test_settings_that_change_how_a_diff_looks(repository: Path, monkeypatch: pytest.MonkeyPatch):
    for key, value in {
        "diff.noprefix": "true", "diff.mnemonicPrefix": "true", "diff.context": "0", "diff.relative": "true",
        "diff.renames": "copies", "color.ui": "always", "diff.colorMoved": "zebra", "diff.wsErrorHighlight": "all",
        "core.quotePath": "true", "status.short": "true", "status.branch": "true", "status.showUntrackedFiles": "no",
        "diff.submodule": "log", "core.abbrev": "4", "diff.suppressBlankEmpty": "true",
    }.items():  # fmt: skip
        git(repository, "config", key, value)
    monkeypatch.setenv("GIT_DIFF_OPTS", "--unified=0")
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    (repository / "sub").mkdir()
    (repository / "train.py").write_text("print(1)\n\nprint(22)\nprint(3)\n")
    (repository / "ü").write_text("1\n")
    assert applied(repository, git_state(repository / "sub").patch) == tree(repository)


def test_variables_that_name_another_repository_are_not_followed(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """They are set in every hook of git, and a training may be started in one."""
    expected = git_state(repository)
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / "index"))
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    assert git_state(repository) == expected
    assert not (tmp_path / "trace").exists()


def test_settings_by_environment_are_kept_and_ours_win(repository: Path, tmp_path: Path, monkeypatch):
    sprung = trap(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "2")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "remote.origin.url")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "https://git.invalid/mine.git")
    monkeypatch.setenv("GIT_CONFIG_KEY_1", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_1", str(tmp_path / "trap.sh"))
    assert git_state(repository).facts["remote"] == "https://git.invalid/mine.git"
    assert not sprung.exists()
    monkeypatch.setenv("GIT_CONFIG_COUNT", "many")
    assert git_state(repository).facts["remote"] is None

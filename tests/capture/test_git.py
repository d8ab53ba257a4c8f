"""What git says of real repositories in every state, within its time, and without running a program of theirs."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

import autotrack
from autotrack.capture import git as capture
from autotrack.capture.git import git_state

Script = Callable[..., "subprocess.CompletedProcess[str]"]


def git(folder: Path, *arguments: str, **options) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@invalid", "-c", "init.defaultBranch=main"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=120, **options
    )
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def plain_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the settings of who runs the tests nor a repository around them."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One commit of one file."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init")
    (folder / "train.py").write_text("print(1)\nprint(2)\nprint(3)\n")
    commit(folder)
    return folder


def commit(folder: Path) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "--allow-empty", "-m", "a commit")
    return git(folder, "rev-parse", "HEAD")


def tree(folder: Path) -> dict[str, tuple[bytes, bool]]:
    """Content and executable bit of every file, by path."""
    return {
        os.fsdecode(path.relative_to(folder)): (path.read_bytes(), bool(path.stat().st_mode & 0o100))
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


def applied(repository: Path, patch: str) -> dict[str, tuple[bytes, bool]]:
    """The work tree that ``git apply`` makes of the commit and the patch."""
    clone = repository.parent / f"clone-{os.urandom(3).hex()}"
    git(repository.parent, "clone", "--quiet", str(repository), str(clone))
    (clone.parent / "changes.patch").write_bytes(patch.encode("utf-8", "surrogateescape"))
    git(clone, "apply", "--whitespace=nowarn", str(clone.parent / "changes.patch"))
    return tree(clone)


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
    subprocess.run([sys.executable, "-c", code], cwd=repository, check=True, timeout=60)
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


# ---- hostile repositories -------------------------------------------------------------------------------------------


def trap(folder: Path) -> Path:
    """``folder/trap.sh``, a program that leaves a mark; the mark."""
    program = folder / "trap.sh"
    program.write_text(f"#!/bin/sh\ntouch '{folder}/sprung'\n")
    program.chmod(0o755)
    return folder / "sprung"


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
    with suppress(subprocess.TimeoutExpired):  # some wait for an answer of our program
        subprocess.run(
            program, cwd=repository, env=environment, capture_output=True, timeout=1, stdin=subprocess.DEVNULL
        )
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
    os.utime(repository / "train.py")  # status would refresh the index
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


# ---- no git, slow git, large repositories ---------------------------------------------------------------------------


def fake_git(folder: Path, body: str) -> str:
    """A PATH whose first ``git`` is a shell script."""
    folder.mkdir()
    program = folder / "git"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_without_git(repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(repository) is None


@pytest.mark.parametrize(
    "body", ["exec sleep 30", "sleep 30", "sleep 30 & exit 0", "yes", "trap '' TERM INT; sleep 30"]
)
def test_a_git_that_hangs_is_bounded_and_killed(repository: Path, monkeypatch, tmp_path: Path, body: str):
    """Also where its own child holds the pipe, or it writes for ever."""
    path = fake_git(tmp_path / "bin", f"echo $$ > {tmp_path}/pid; {body}")
    monkeypatch.setenv("PATH", path)
    monkeypatch.setattr(capture, "TIME_LIMIT", 0.3)
    started = time.monotonic()
    git_state(repository)
    assert time.monotonic() - started < 2
    group = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while _group_lives(group) and time.monotonic() < deadline:
        time.sleep(0.02)  # its orphans are reaped by init
    assert not _group_lives(group)


def _group_lives(group: int) -> bool:
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[2]) == group and words[0] != "Z":
            return True
    return False


def test_what_is_known_before_git_hangs_is_kept(repository: Path, monkeypatch, tmp_path: Path):
    real = shutil.which("git")
    body = f'for word in "$@"; do [ "$word" = status ] && exec sleep 30; done; exec {real} "$@"'
    monkeypatch.setenv("PATH", fake_git(tmp_path / "bin", body))
    monkeypatch.setattr(capture, "TIME_LIMIT", 1.0)
    found = []
    facts = git_state(repository, found.append).facts
    head = facts["commit"]
    assert len(head) == 40
    assert found == [{"root": str(repository), "commit": head, "branch": "main", "remote": None}]
    assert facts == {**found[0], "dirty": None, "timed_out": True}


def test_the_exit_waits_for_a_hanging_git_only_so_long_and_keeps_the_rest(script: Script, tmp_path: Path):
    path = fake_git(tmp_path / "bin", f"echo $$ > {tmp_path}/pid; exec sleep 30")
    started = time.monotonic()
    script("import autotrack\nwith autotrack.start_run(): pass", env={"PATH": path})
    assert time.monotonic() - started < 8
    (run,) = autotrack.runs(store=tmp_path / ".autotrack")
    assert run.facts["environment"]["script"].endswith("train.py")
    assert {"hardware", "packages", "random"} <= run.facts.keys()
    assert "git" not in run.facts
    assert not _group_lives(int((tmp_path / "pid").read_text()))


def test_git_missing_leaves_the_other_facts(script: Script, tmp_path: Path):
    script("import autotrack\nwith autotrack.start_run(): pass", env={"PATH": str(tmp_path)})
    (run,) = autotrack.runs(store=tmp_path / ".autotrack")
    assert {"environment", "hardware", "packages", "random"} <= run.facts.keys()
    assert "git" not in run.facts
    assert run.status == "finished"


def large_repository(folder: Path, files: int, megabytes: int) -> None:
    """``files`` files in the commit; some of them changed, the diff as large as asked for."""
    folder.mkdir()
    git(folder, "init")
    stream = [b"commit refs/heads/main\ncommitter T <t@invalid> 0 +0000\ndata 1\nx\n"]
    for number in range(files):
        content = b"%d\n" % number
        stream.append(b"M 100644 inline d%d/f%d\ndata %d\n%b\n" % (number % 300, number, len(content), content))
    subprocess.run(["git", "fast-import", "--quiet"], cwd=folder, input=b"".join(stream), check=True, timeout=120)
    git(folder, "reset", "--hard", "--quiet")
    line = b"x" * 79 + b"\n"
    for number in range(10):
        (folder / f"d{number}" / f"f{number}").write_bytes(line * (megabytes * 100_000 // 80))


@pytest.mark.parametrize(
    ("files", "megabytes"), [(2000, 20), pytest.param(100_000, 500, marks=pytest.mark.slow)], ids=["2000", "100000"]
)
def test_a_large_repository_with_a_large_diff(tmp_path: Path, files: int, megabytes: int):
    """In a process of its own, whose memory is measured."""
    folder = tmp_path / "large"
    large_repository(folder, files, megabytes)
    code = (
        "import resource, sys, time\nfrom pathlib import Path\nfrom autotrack.capture.git import git_state\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nstarted = time.monotonic()\n"
        "facts, patch = git_state(Path(sys.argv[1]))\ntaken = time.monotonic() - started\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(taken, after - before, len(patch), facts.get('truncated'), facts['dirty'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True, timeout=60)
    taken, grown, size, truncated, dirty = done.stdout.split()
    assert float(taken) < capture.TIME_LIMIT + 2
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(grown) * unit < 20 * capture.MAX_PATCH
    assert (truncated, dirty) == ("True", "True")
    assert 0.9 * capture.MAX_PATCH < int(size) <= capture.MAX_PATCH


def test_a_cut_patch_ends_with_a_whole_line(repository: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(capture, "MAX_PATCH", 1000)
    (repository / "train.py").write_text("".join(f"line {number}\n" for number in range(500)))
    (repository / "new").write_text("1\n")
    facts, patch = git_state(repository)
    assert facts["truncated"] is True
    assert facts["left_out"] == ["new"]
    assert len(patch) <= 1000
    assert patch.endswith("\n")

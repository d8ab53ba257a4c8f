"""No git, a slow one, and large repositories."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import autotrack
from autotrack.capture import git as capture
from autotrack.capture.git import git_state
from tests.capture.repositories import fake_git, git

pytestmark = pytest.mark.usefixtures("plain_git")
Script = Callable[..., "subprocess.CompletedProcess[str]"]


def test_without_git(repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(repository) is None


@pytest.mark.parametrize(
    "body", ["exec sleep 300", "sleep 300", "sleep 300 & exit 0", "yes", "trap '' TERM INT; sleep 300"]
)
def test_a_git_that_hangs_is_bounded_and_killed(repository: Path, monkeypatch, tmp_path: Path, body: str):
    """Also where its own child holds the pipe, or it writes for ever."""
    path = fake_git(tmp_path / "bin", f"echo $$ > {tmp_path}/pid; {body}")
    monkeypatch.setenv("PATH", path)
    for limit in (0.3, 3.0, 30.0):  # on a busy machine a shell may need a while to get that far
        monkeypatch.setattr(capture, "TIME_LIMIT", limit)
        started = time.monotonic()
        git_state(repository)
        assert time.monotonic() - started < limit + 20  # not 300
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip():
            break
    group = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 20
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
    body = f'for word in "$@"; do [ "$word" = status ] && exec sleep 300; done; exec {real} "$@"'
    monkeypatch.setenv("PATH", fake_git(tmp_path / "bin", body))
    for limit in (1.0, 10.0):
        monkeypatch.setattr(capture, "TIME_LIMIT", limit)
        found = []
        facts = git_state(repository, found.append).facts
        if found:
            break
    head = facts["commit"]
    assert len(head) == 40
    assert found == [{"root": str(repository), "commit": head, "branch": "main", "remote": None}]
    assert facts == {**found[0], "dirty": None, "timed_out": True}


def test_the_exit_waits_for_a_hanging_git_only_so_long_and_keeps_the_rest(script: Script, tmp_path: Path):
    path = fake_git(tmp_path / "bin", f"echo $$ > {tmp_path}/told; mv {tmp_path}/told {tmp_path}/pid; exec sleep 300")
    started = time.monotonic()
    code = """
        import os, time, autotrack
        with autotrack.start_run():
            while not os.path.exists("pid"):  # the machine may be slow to get that far
                time.sleep(0.01)
    """
    script(code, env={"PATH": path})
    assert time.monotonic() - started < 120  # not 300
    (run,) = autotrack.runs(store=tmp_path / ".autotrack")
    assert run.facts["environment"]["script"].endswith("train.py")
    assert {"hardware", "packages", "random"} <= run.facts.keys()
    assert "git" not in run.facts
    assert not _group_lives(int((tmp_path / "pid").read_text()))


def test_git_missing_leaves_the_other_facts(script: Script, tmp_path: Path):
    code = "import autotrack, autotrack.facts\nautotrack.facts.EXIT_WAIT = 60.0\nwith autotrack.start_run(): pass"
    script(code, env={"PATH": str(tmp_path)})
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
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True, timeout=300)
    taken, grown, size, truncated, dirty = done.stdout.split()
    assert float(taken) < capture.TIME_LIMIT + 20
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

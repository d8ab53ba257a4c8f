"""``autotrack doctor``: what is wrong is named, with an exit code; nothing is changed by looking."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import autotrack
from autotrack.cli import doctor

pytestmark = [pytest.mark.slow, pytest.mark.every_python]  # processes that import every framework

LEVELS = {"ok", "note", "problem"}


def ask(folder: Path, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    variables = {key: value for key, value in os.environ.items() if not key.startswith("AUTOTRACK_")}
    return subprocess.run(
        [sys.executable, "-m", "autotrack", "doctor", *arguments],
        cwd=folder, env={**variables, **env}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def by_name(text: str) -> dict[str, dict]:
    found = json.loads(text)
    assert all(set(row) == {"what", "level", "text"} and row["level"] in LEVELS for row in found)
    return {row["what"]: row for row in found}


def finding(check, store: Path) -> tuple[str, str]:
    result = check(store)
    return result.level, result.text


def test_all_is_well_with_a_store_that_is_not_there_yet(tmp_path: Path):
    done = ask(tmp_path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = by_name(done.stdout)
    assert {"python", "store", "file system", "space", "clock", "git", "plugin sklearn"} <= set(found)
    assert found["store"]["text"] == f"{tmp_path / '.autotrack'}, made by the first run"
    assert found["clock"]["level"] == "ok"
    assert found["plugin sklearn"]["level"] == "ok"
    assert "patches" in found["plugin sklearn"]["text"]
    assert list(tmp_path.iterdir()) == []  # looking makes nothing
    lines = ask(tmp_path).stdout.splitlines()
    assert len(lines) == len(found)
    assert all(line.split()[0] in LEVELS for line in lines)


def test_a_store_with_runs_is_counted(tracked: Path):
    for _ in range(2):
        with autotrack.start_run():
            pass
    assert finding(doctor._store, tracked) == ("ok", f"{tracked}, 2 runs")


def test_a_store_in_a_files_place(tmp_path: Path):
    (tmp_path / "file").write_text("")
    done = ask(tmp_path, "--store", "file/store")
    assert done.returncode == 1
    assert "cannot be written" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_broken_plugin_is_a_problem(tmp_path: Path):
    info = tmp_path / "site" / "broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[autotrack]\nbroken = broken\n")
    (tmp_path / "site" / "broken.py").write_text("raise RuntimeError('what a day')")
    done = ask(tmp_path, "--json", PYTHONPATH=str(tmp_path / "site"))
    assert done.returncode == 1
    row = by_name(done.stdout)["plugin broken"]
    assert (row["level"], row["text"]) == ("problem", "import error; RuntimeError: what a day")


# ---- as somebody else ----------------------------------------------------------------------------------------------


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users reach: pytest's own are closed to them."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("hidden", [False, True])
def test_a_store_of_somebody_else_cannot_be_written(open_folder: Path, hidden: bool):
    store = open_folder / ("closed" if hidden else "") / ".autotrack"
    store.mkdir(parents=True)
    (store / "runs").mkdir()
    store.parent.chmod(0o700 if hidden else 0o755)
    code = (
        "import os, sys, pathlib, tempfile\n"
        "from autotrack.cli import doctor\n"
        "checks = (doctor._store, doctor._file_system, doctor._space, doctor._clock)\n"
        "tempfile.gettempdir(); [check(pathlib.Path('.')) for check in checks]  # imports are done\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "for check in checks: print(*check(pathlib.Path(sys.argv[1])))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(store)], cwd=open_folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    found = dict(line.split(" problem ", 1) for line in done.stdout.splitlines() if " problem " in line)
    assert found == {"store": f"{store} cannot be written: Permission denied"}
    assert "cannot be compared" in done.stdout


# ---- what cannot be had here is put in place of the answer of the system ---------------------------------------------


def test_low_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=400_000_000))
    level, text = finding(doctor._space, tmp_path)
    assert level == "problem"
    assert text.startswith("400 MB free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=40_000_000_000))
    assert finding(doctor._space, tmp_path) == ("ok", "40 GB free")


def test_a_clock_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert finding(doctor._clock, tmp_path)[0] == "ok"
    now = time.time()
    monkeypatch.setattr(doctor.time, "time", lambda: now + 90)
    level, text = finding(doctor._clock, tmp_path)
    assert level == "problem"
    assert "90 s away" in text or "89 s away" in text


def test_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    level, text = finding(doctor._git, tmp_path)
    assert level == "note"
    assert "is in no repository" in text
    (tmp_path / ".git").mkdir()
    assert finding(doctor._git, tmp_path)[0] == "ok"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert finding(doctor._git, tmp_path) == ("note", "not found: runs will not know their commit")


@pytest.mark.skipif(not Path("/proc/self/mounts").exists(), reason="reads /proc")
def test_the_file_system_by_its_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert doctor._mounted(Path("/proc/self")) == "proc"
    assert doctor._mounted(tmp_path) != ""
    monkeypatch.setattr(doctor, "_mounted", lambda path: "nfs4")
    level, text = finding(doctor._file_system, tmp_path)
    assert level == "note"
    assert text.startswith("nfs4")

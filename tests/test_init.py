"""``autotrack init``: a store of one's own, and one for a group, whatever the umask."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import autotrack


def init(folder: Path, *arguments: str, umask: int = 0o022) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "autotrack", "init", *arguments],
        cwd=folder, umask=umask, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def modes(store: Path) -> tuple[set[str], set[str]]:
    """(of folders, of files)"""
    everything = [store, *store.rglob("*")]
    return (
        {oct(path.stat().st_mode & 0o7777) for path in everything if path.is_dir()},
        {oct(path.stat().st_mode & 0o7777) for path in everything if path.is_file()},
    )


def test_init_makes_a_private_store_here(tmp_path: Path):
    done = init(tmp_path, umask=0)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"made {tmp_path / '.autotrack'}\n"
    assert modes(tmp_path / ".autotrack") == ({"0o700"}, {"0o600"})
    assert "shared" not in json.loads((tmp_path / ".autotrack" / "store.json").read_text())
    assert (tmp_path / ".autotrack" / ".gitignore").read_text() == "*\n"
    assert list(autotrack.runs(store=tmp_path / ".autotrack")) == []


@pytest.mark.parametrize("umask", [0o022, 0o077, 0])
def test_init_shared_has_its_modes_under_any_umask(tmp_path: Path, umask: int):
    done = init(tmp_path, "--shared", "group/store", umask=umask)
    store = tmp_path / "group" / "store"
    assert done.stderr == f"made {store}\n"
    assert modes(store) == ({"0o2770"}, {"0o660"})
    assert json.loads((store / "store.json").read_text())["shared"] is True


def test_a_second_call_says_there_already_and_changes_nothing(tmp_path: Path):
    for arguments in (["a"], ["--shared", "b"]):
        init(tmp_path, *arguments)
        path = tmp_path / arguments[-1]
        before = (path / "store.json").read_bytes()
        done = init(tmp_path, *arguments)
        assert (done.returncode, done.stderr) == (0, f"there already: {path}\n")
        assert (path / "store.json").read_bytes() == before


def test_a_private_store_is_not_silently_taken_for_a_shared_one(tmp_path: Path):
    init(tmp_path, "a")
    done = init(tmp_path, "--shared", "a")
    assert done.returncode == 1
    assert done.stderr.startswith("autotrack: ")
    assert "not shared" in done.stderr
    assert done.stderr.count("\n") == 1
    assert modes(tmp_path / "a") == ({"0o700"}, {"0o600"})


def test_errors_are_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "store.json").write_text("{")
    for folder, words in (
        ("file", ""),
        ("file/below", "no store can be made in file/below"),
        ("damaged", "is damaged"),
    ):
        done = init(tmp_path, folder)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("autotrack: ")
        assert words in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users reach: pytest's own are closed to them."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


RECORD = """
import os, pathlib, sys
import autotrack
from autotrack.backends.housekeeping import housekeeper
autotrack.enable(store="rehearsal", integrations=[], models="never")

def record():
    with autotrack.start_run("by another") as run:
        run.log_params({"uid": os.getuid()})
        run.log_artifact(__file__, "code.py")
    assert housekeeper.wait_idle(60)

record()  # as root, so that all is imported: others cannot read root's Python
os.umask(0o077)
os.setgroups([])
os.setgid(int(sys.argv[1]))
os.setuid(int(sys.argv[2]))
autotrack.enable(store="store", integrations=[], models="never")
record()
"""


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can become somebody else")
def test_what_one_member_of_the_group_writes_another_reads(open_folder: Path):
    group, first, second = 54321, 54322, 54323
    script = open_folder / "train.py"
    script.write_text(RECORD)
    store = open_folder / "store"
    assert autotrack.init_store(store, shared=True)
    for path in (store, *store.rglob("*")):
        os.chown(path, first, group)
        path.chmod(0o2770 if path.is_dir() else 0o660)
    done = subprocess.run(
        [sys.executable, script, str(group), str(second)],
        cwd=open_folder, capture_output=True, text=True, timeout=300, env={**os.environ, "AUTOTRACK_STRICT": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (run,) = autotrack.runs(store=store)
    assert (run.status, run.params, list(run.problems)) == ("finished", {"uid": second}, [])
    everything = list((store / "runs").rglob("*"))
    assert {path.stat().st_gid for path in everything} == {group}
    assert {path.stat().st_uid for path in everything} == {second}
    assert modes(store) == ({"0o2770"}, {"0o660"})
    reader = (
        "import os, sys, autotrack\n"
        "[run.params for run in autotrack.runs(store='rehearsal')]\n"
        "os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[2]))\n"
        "(run,) = autotrack.runs(store='store')\n"
        "print(run.params, run.open('code.py').read().count(b'by another'))\n"
    )
    for gid, expected in ((group, 0), (54399, 1)):  # of the group, and a stranger
        done = subprocess.run(
            [sys.executable, "-c", reader, str(gid), str(first)] if gid == group
            else [sys.executable, "-c", reader, str(gid), "54398"],
            cwd=open_folder, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == expected, done.stderr
        if gid == group:
            assert done.stdout == f"{{'uid': {second}}} 1\n"

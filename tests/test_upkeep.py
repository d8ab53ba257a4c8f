"""verify, du and gc as commands, over real trainings."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import autotrack
from autotrack import upkeep
from tests.test_cli import call, process, strict_json
from tests.test_cli_comparing import ENVIRONMENT

TRAINING = """
import autotrack
autotrack.enable(models="always")
import numpy as np
from sklearn.linear_model import LogisticRegression
for C in (0.1, 1.0):
    LogisticRegression(C=C).fit(np.arange(20.0).reshape(10, 2), [0, 1] * 5)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("upkeep")
    (folder / "train.py").write_text(TRAINING)
    subprocess.run([sys.executable, "train.py"], cwd=folder, check=True, timeout=120, env=ENVIRONMENT)
    for run in autotrack.runs(store=folder / ".autotrack"):
        autotrack.load_model(run.id, trusted=True, store=folder / ".autotrack")  # waits until it has its safe form
    return folder / ".autotrack"


@pytest.fixture
def store(trained: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(trained, tmp_path / ".autotrack"))


def damage(store: Path) -> list[str]:
    return [what for checked in upkeep.verify(store=store) for what in checked.damage]


def test_verify_of_a_whole_store(store: Path):
    done = process("verify", cwd=store.parent)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("2 runs, ")
    assert "all are as they were written" in done.stderr
    found = strict_json(call("verify", "--json", store=store).stdout)
    assert (found["runs"], found["damage"]) == (2, {})
    runs = autotrack.runs(store=store)
    files = [file for run in runs for file in (*run.artifacts.values(), *run.models.values())]
    assert (found["files"], found["bytes"]) == (len(files), sum(file.size for file in files))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def replace(path: Path, old: bytes, new: bytes) -> None:
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))


SPOILED: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "a bit of a model": (lambda model, journal: flip(model), "sha256 differs"),
    "a model cut short": (lambda model, journal: os.truncate(model, 10), "has 10 bytes, and had"),
    "a model gone": (lambda model, journal: model.unlink(), "cannot be read: No such file"),
    "a digit of the records": (lambda model, journal: replace(journal, b'"tol":0.0001', b'"tol":0.0002'), "their seal"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_verify_names_what_is_damaged(store: Path, name: str):
    run, other = autotrack.runs(store=store)
    folder = store / "runs" / run.id
    model = folder / run.models["model"].path
    journal = max((folder / "journal").iterdir(), key=lambda path: path.stat().st_size)
    spoil, words = SPOILED[name]
    spoil(model, journal)
    assert any(words in what for what in damage(store)), damage(store)
    done = call("verify", store=store)
    assert done.exit_code == 1
    assert words in done.stdout
    assert "1 are damaged" in done.stderr
    assert strict_json(call("verify", "--json", store=store).stdout)["damage"].keys() == {run.id}
    assert call("verify", other.id, store=store).exit_code == 0
    assert call("verify", run.id, store=store).exit_code == 1


def test_a_run_that_goes_on_is_not_damaged(tracked: Path):
    with autotrack.start_run("live") as run:
        run.log_metrics({"loss": 1.0})
        assert damage(tracked) == []


def test_du(store: Path):
    found = upkeep.usage(store=store)
    inodes = {path.stat().st_ino: path.stat().st_size for path in store.rglob("*") if path.is_file()}
    assert found.parts.total() == sum(inodes.values())
    assert set(found.runs) == {run.id for run in autotrack.runs(store=store)}
    assert found.parts["models"] >= sum(run.models["model"].size for run in autotrack.runs(store=store))
    shown = call("du", "-n", "1", store=store).stdout
    assert {"models", "journals", "artifacts"} <= set(shown.split())
    assert sum(run.id in shown for run in autotrack.runs(store=store)) == 1
    as_json = strict_json(call("du", "--json", store=store).stdout)
    assert as_json["total"] == found.parts.total()
    autotrack.runs(store=store)[0].remove()
    assert upkeep.usage(store=store).parts["trash"] > 0


def test_gc(store: Path):
    nothing = call("gc", store=store)
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert "nothing to clear away" in nothing.stderr
    victim = autotrack.runs(store=store)[0]
    victim.remove()
    planned = strict_json(call("gc", "--keep", "0", "-n", "--json", store=store).stdout)
    assert [(one["kind"], one["path"]) for one in planned] == [("removed run", f"trash/{victim.id}")]
    shown = call("gc", "--keep", "0", "--dry-run", store=store)
    assert f"trash/{victim.id}" in shown.stdout
    assert "would go" in shown.stderr
    assert (store / "trash" / victim.id).exists()
    assert "cleared away" in call("gc", "--keep", "0", store=store).stderr
    assert not (store / "trash" / victim.id).exists()
    assert damage(store) == []


def test_gc_says_when_models_are_above_their_cap(store: Path, monkeypatch: pytest.MonkeyPatch):
    assert "store_max_gb" not in call("gc", store=store).stderr
    monkeypatch.setenv("AUTOTRACK_STORE_MAX_GB", "1e-9")
    assert "above the 1 bytes of store_max_gb: no more are saved" in call("gc", store=store).stderr


def test_a_store_in_memory_has_nothing_on_disk(tracked: Path):
    with pytest.raises(autotrack.StoreError, match="no store in a folder"):
        upkeep.usage(store="memory://")

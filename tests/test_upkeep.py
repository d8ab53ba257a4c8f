"""du and gc as commands, over real trainings."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import autotrack
from autotrack import upkeep
from tests.test_cli import call, strict_json
from tests.test_cli_comparing import ENVIRONMENT
from tests.test_forwarder import gone

TRAINING = """
import autotrack
autotrack.enable(models="always")
import numpy as np
from sklearn.linear_model import LogisticRegression
for C in (0.1, 1.0):
    LogisticRegression(C=C).fit(np.arange(20.0).reshape(10, 2), [0, 1] * 5)
from autotrack.backends.housekeeping import housekeeper
from autotrack.models import conversion
assert housekeeper.wait_idle(60)
print(conversion._helper.pid)
"""


def train_in(folder: Path) -> Path:
    """Two trainings with models in their safe form; their store, in which nobody writes any more."""
    (folder / "train.py").write_text(TRAINING)
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=folder, check=True, timeout=300, env=ENVIRONMENT, stdout=subprocess.PIPE
    )
    assert gone(int(done.stdout), 300)  # the helper, which gives them that form
    return folder / ".autotrack"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_in(tmp_path_factory.mktemp("upkeep"))


@pytest.fixture
def store(trained: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(trained, tmp_path / ".autotrack"))


@pytest.mark.slow
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
    assert call("verify", store=store).exit_code == 0


def test_gc_says_when_models_are_above_their_cap(store: Path, monkeypatch: pytest.MonkeyPatch):
    assert "store_max_gb" not in call("gc", store=store).stderr
    monkeypatch.setenv("AUTOTRACK_STORE_MAX_GB", "1e-9")
    assert "above the 1 bytes of store_max_gb: no more are saved" in call("gc", store=store).stderr


def test_a_store_in_memory_has_nothing_on_disk(tracked: Path):
    with pytest.raises(autotrack.StoreError, match="no store in a folder"):
        upkeep.usage(store="memory://")

"""Models that are written while the loop goes on: what a process that is killed leaves."""

import signal
import time
from types import SimpleNamespace

import pytest
import torch
from autotrack_torch import keeping
from torch import nn
from torch.utils.data import DataLoader

import autotrack
from autotrack.backends.housekeeping import housekeeper
from tests.plugins.torch.loops import data, textbook

SCRIPT = """
import os, signal, torch, autotrack
from autotrack_torch import keeping
from autotrack.backends.housekeeping import housekeeper
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

keeping._APART = keeping._APART_SHARE = 0.0  # as if an epoch took long
torch.set_num_threads(1)
autotrack.enable()
train_loader = DataLoader(TensorDataset(torch.randn(16, 4), torch.arange(16) % 3), batch_size=8)
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(5):
    for X, y in train_loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(X), y).backward()
        optimizer.step()
        if epoch == 3:
            os.kill(os.getpid(), signal.SIGKILL)
    torch.save(model.state_dict(), f"epoch-{epoch}.pt")
    assert housekeeper.wait_idle(60)
"""


def model_files(store):
    return sorted(path.name for path in store.glob("runs/*/models/*/*.safetensors"))


def test_a_killed_process_leaves_the_model_of_an_earlier_epoch(script, tmp_path):
    done = script(SCRIPT, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    store = tmp_path / ".autotrack"
    (run,) = autotrack.runs(store=store)
    assert run.status == "killed"
    assert run.facts["training"] == {"steps": 6, "epochs": 3}  # the model's
    kept = torch.load(tmp_path / "epoch-2.pt", weights_only=True)
    loaded = autotrack.load_model(run.id, store=store).state_dict()
    assert all(torch.equal(loaded[key], kept[key]) for key in kept)
    assert model_files(store) == ["model-3.safetensors"]  # those before have gone


def test_the_last_one_takes_its_place(tracked, monkeypatch):
    monkeypatch.setattr(keeping, "_APART", 0.0)
    monkeypatch.setattr(keeping, "_APART_SHARE", 0.0)
    seen = textbook(4)
    autotrack.disable()
    assert housekeeper.wait_idle(60)
    (run,) = autotrack.runs()
    assert len([name for name in model_files(tracked) if "best" not in name]) == 1
    assert run.facts["training"] == {"steps": 12, "epochs": 4}
    loaded = autotrack.load_model("@last/model", trusted=[run.models["model"].cls]).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in seen["state"].items())


def test_a_long_training_writes_few(tracked, monkeypatch):
    clock = [0.0]
    times = SimpleNamespace(perf_counter=lambda: clock[0], monotonic=time.monotonic, sleep=time.sleep)
    monkeypatch.setattr(keeping, "time", times)
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    train_loader = DataLoader(data(8), batch_size=8)
    for _ in range(60):
        for X, y in train_loader:
            nn.functional.cross_entropy(model(X), y).backward()
            optimizer.step()
            clock[0] += 100.0
        assert housekeeper.wait_idle(60)
    autotrack.disable()
    assert housekeeper.wait_idle(60)
    (name,) = model_files(tracked)
    written = int(name.removeprefix("model-").removesuffix(".safetensors"))
    assert 5 < written < 20


@pytest.mark.parametrize("models", ["never", "auto"])
def test_nothing_is_written_where_that_is_not_wanted_or_too_early(tracked, models, monkeypatch):
    monkeypatch.setattr(keeping, "_APART", 0.0 if models == "never" else 1e9)
    autotrack.enable(store=tracked, experiment="test", models=models)
    textbook(3)
    assert housekeeper.wait_idle(60)
    assert model_files(tracked) == []

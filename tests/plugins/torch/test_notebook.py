"""A real Jupyter kernel: a training rests when its cell ends and goes on in the next one."""

import json
from collections.abc import Callable
from pathlib import Path

import autotrack
from tests.kernels import WAIT, Kernel

SETUP = """
import torch, autotrack
autotrack.enable()
torch.set_num_threads(1)
def make():
    model = torch.nn.Linear(2, 1)
    return model, torch.optim.SGD(model.parameters(), lr=0.1)
def train(model, optimizer, count, fail=None):
    for step in range(count):
        optimizer.zero_grad()
        loss = model(torch.ones(4, 2)).pow(2).mean()
        loss.backward()
        optimizer.step()
        if step == fail:
            raise ValueError("boom")
"""

FOLDS = """
import json
autotrack.enable()
seen = []
for fold in range(3):
    model, optimizer = make()
    seen.append([])
    for step in range(4):
        optimizer.zero_grad()
        loss = model(torch.ones(4, 2)).pow(2).mean()
        loss.backward()
        optimizer.step()
        seen[-1].append(loss.item())
print(json.dumps(seen))
"""


def test_a_training_over_several_cells(kernel: Callable[..., Kernel], tmp_path: Path):
    notebook = kernel(AUTOTRACK_ANNOUNCE="0")
    store = tmp_path / "work" / ".autotrack"
    notebook.ok(SETUP)
    notebook.ok("model, optimizer = make()")
    assert notebook.ok("train(model, optimizer, 3)")["stderr"] == ""
    (run,) = autotrack.runs(store=store)
    assert run.status == "idle"
    assert len(run.history("train/loss")) == 3
    notebook.ok("autotrack.log_metrics({'mine': 1.0})")
    assert notebook.run("train(model, optimizer, 5, fail=1)")["error"] == "ValueError"
    (run,) = autotrack.runs(store=store)
    assert (run.status, run.error.message) == ("failed", "boom")
    assert run.metrics["mine"] == 1.0
    notebook.ok("train(model, optimizer, 2)")
    (run,) = autotrack.runs(store=store)
    assert run.status == "idle"
    assert [point.step for point in run.history("train/loss")] == list(range(7))
    notebook.ok("other, its_optimizer = make()")
    assert len(autotrack.runs(store=store)) == 1
    notebook.ok("train(other, its_optimizer, 4)")
    notebook.ok(WAIT)  # what is written at the end of a cell is written beside it
    second, first = autotrack.runs(store=store)
    assert (first.status, second.status) == ("finished", "idle")
    assert len(second.history("train/loss")) == 4
    assert set(first.models) == set(second.models) == {"model"}
    notebook.ok("autotrack.disable()")
    assert autotrack.runs(store=store)[0].status == "finished"
    assert notebook.ok("train(other, its_optimizer, 1)")["stderr"] == ""

    losses = json.loads(notebook.ok(FOLDS)["stdout"])
    folds = autotrack.runs(store=store)[:3]
    assert [[point.value for point in run.history("train/loss")] for run in folds] == losses[::-1]
    assert [run.status for run in folds] == ["idle", "finished", "finished"]

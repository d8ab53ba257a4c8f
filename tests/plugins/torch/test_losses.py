"""Losses of evaluations: functions imported by name before recording began, and what is said where none is seen."""

import json

import torch
from torch.utils.data import DataLoader

import autotrack
from tests.plugins.torch.loops import Net, data, steps, values

IMPORTED_FIRST = """
import json, pickle, torch
from torch.nn.functional import cross_entropy as loss_of, mse_loss
from torch.utils.data import DataLoader, TensorDataset
import autotrack

before = [loss_of]  # a list is not reached
autotrack.enable()
assert loss_of is torch.nn.functional.cross_entropy and loss_of is not before[0]
assert pickle.loads(pickle.dumps(loss_of)) is loss_of
model = torch.nn.Linear(4, 3)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
X, y = torch.randn(8, 4), torch.arange(8) % 3
val_loader = DataLoader(TensorDataset(X, y), batch_size=4)
seen = []
for epoch in range(2):
    optimizer.zero_grad()
    loss_of(model(X), y).backward()
    optimizer.step()
    with torch.no_grad():
        seen.append(sum(loss_of(model(X), y).item() * 4 for X, y in val_loader) / 8)
mse_loss = "the user's own"
autotrack.disable()
assert loss_of is before[0] and torch.nn.functional.cross_entropy is before[0]
assert mse_loss == "the user's own"
print(json.dumps([seen, [point.value for point in autotrack.runs()[0].history("val/loss")]]))
"""


def test_functions_that_were_imported_by_name_before(script):
    ours, theirs = json.loads(script(IMPORTED_FIRST).stdout)
    assert ours == theirs
    assert len(ours) == 2


def notes() -> list[str]:
    autotrack.disable()
    (run,) = autotrack.runs()
    return [text for _, text in run.notes]


def test_an_evaluation_without_a_loss_is_told_once(tracked):
    model = Net()
    val_loader = DataLoader(data(8), batch_size=4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        steps(model, optimizer, 1)
        for X, _y in val_loader:
            model(X)
    told = [text for text in notes() if "no loss was seen" in text]
    assert len(told) == 1
    assert "over val_loader:" in told[0]


def test_nothing_is_told_of_one_whose_loss_is_seen_or_that_was_a_look(tracked):
    model = Net()
    val_loader, test_loader = DataLoader(data(8), batch_size=4), DataLoader(data(8), batch_size=4)
    steps(model, torch.optim.SGD(model.parameters(), lr=0.1), 1)
    next(iter(test_loader))
    with torch.inference_mode():
        losses = [torch.nn.functional.cross_entropy(model(X), y).item() for X, y in val_loader]
    assert not [text for text in notes() if "no loss was seen" in text]
    assert values(autotrack.runs()[0], "val/loss") == [sum(loss * 4 for loss in losses) / 8]

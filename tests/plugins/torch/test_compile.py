"""torch.compile: the same graphs and breaks as without recording, and every loss is seen."""

import json

import pytest

pytestmark = pytest.mark.slow  # a compiler at work

SCRIPT = """
import json, sys
record = sys.argv[1] == "recorded"
if record:
    import autotrack
    autotrack.enable()
import torch
from torch import nn
from torch.nn import functional
from torch._dynamo.utils import counters

torch.set_num_threads(1)
X, y = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3

def run(mode):
    torch.manual_seed(0)
    torch._dynamo.reset()
    counters.clear()
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    criterion = nn.CrossEntropyLoss()

    def loss_of(X, y):
        return criterion(model(X), y) + 0.01 * sum(p.pow(2).sum() for p in model.parameters())

    def whole(X, y):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(X), y)
        loss.backward()
        optimizer.step()
        return loss

    def by_hand(forward, step):
        optimizer.zero_grad()
        loss = forward(X, y)
        loss.backward()
        step()
        return loss

    compiled = {
        "model": lambda: torch.compile(model, backend="aot_eager"),
        "loss": lambda: torch.compile(loss_of, backend="aot_eager"),
        "step": lambda: torch.compile(optimizer.step, backend="aot_eager"),
        "whole": lambda: torch.compile(whole, backend="aot_eager"),
    }[mode]()
    losses = []
    for _ in range(3):
        if mode == "whole":
            loss = compiled(X, y)
        elif mode == "step":
            loss = by_hand(loss_of, compiled)
        elif mode == "model":
            loss = by_hand(lambda X, y: criterion(compiled(X), y), optimizer.step)
        else:
            loss = by_hand(compiled, optimizer.step)
        losses.append(loss.item())
    with torch.no_grad():
        loss_of(X, y)
    stats = counters["stats"]
    seen = [stats["unique_graphs"], stats["calls_captured"], sum(counters["graph_break"].values()), losses]
    got = None
    if record:
        autotrack.disable()
        newest = autotrack.runs()[0]
        got = [point.value for point in newest.history("train/loss")]
        autotrack.enable()
    return seen, got

print(json.dumps({mode: run(mode) for mode in sys.argv[2:]}))
"""


@pytest.mark.parametrize(
    "modes", [["loss"], pytest.param(["model", "step", "whole"], marks=pytest.mark.slow)], ids=" ".join
)
def test_graphs_breaks_and_losses(script, modes):
    plain = json.loads(script(SCRIPT, "plain", *modes).stdout.splitlines()[-1])
    recorded = json.loads(script(SCRIPT, "recorded", *modes).stdout.splitlines()[-1])
    for mode in modes:
        seen, losses = recorded[mode]
        assert seen == plain[mode][0], mode
        assert losses == seen[-1], mode

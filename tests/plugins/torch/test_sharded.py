"""Training whose state is spread over processes: ZeRO, FSDP and FSDP2, here one process with gloo."""

import json

import pytest

import autotrack

SCRIPT = """
import json, os, sys, warnings, torch, autotrack
import torch.distributed as dist
from torch import nn

torch.set_num_threads(1)
warnings.simplefilter("ignore")
os.environ |= {{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}}
dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
autotrack.enable()
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
X, y = torch.randn(12, 4), torch.arange(12) % 3
{how}
losses = []
for _ in range(4):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(X), y)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
autotrack.disable()
dist.destroy_process_group()
print(json.dumps(losses))
"""

ZERO = """
from torch.distributed.optim import ZeroRedundancyOptimizer
optimizer = ZeroRedundancyOptimizer(model.parameters(), torch.optim.SGD, lr=0.1)
"""

FSDP = """
from torch.distributed.fsdp import FullyShardedDataParallel
model = FullyShardedDataParallel(model, device_id=torch.device("cpu"))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
"""

FSDP2 = """
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
"""


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(ZERO, id="ZeRO"),
        pytest.param(FSDP, id="FSDP", marks=pytest.mark.slow),
        pytest.param(FSDP2, id="FSDP2", marks=pytest.mark.slow),
    ],
)
def test_losses_and_steps(script, tmp_path, how):
    done = script(SCRIPT.format(how=how))
    (run,) = autotrack.runs(store=tmp_path / ".autotrack")
    points = run.history("train/loss")
    assert [point.value for point in points] == json.loads(done.stdout)
    assert [point.step for point in points] == [0, 1, 2, 3]
    assert run.facts["training"]["steps"] == 4
    assert run.params["optimizer"] == "SGD"
    assert run.params.get("optimizer.held_by") == ("ZeroRedundancyOptimizer" if how is ZERO else None)
    assert not run.incomplete
    # What lies in this process is a part of the model; to gather it would take all of them.
    assert ("model" in run.models) == (how is ZERO)
    assert any("'model' was not saved" in text for _, text in run.notes) == (how is not ZERO)

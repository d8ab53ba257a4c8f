"""Our plugin for torch keeps the patch contract."""

import inspect
from types import FunctionType

import pytest
import torch
from torch.optim import optimizer

import autotrack
from autotrack.testing.integration_suite import IntegrationSuite
from tests.plugins.torch.loops import Net, steps


class TestContract(IntegrationSuite):
    integration = "torch"
    modules = ("torch", "torch.utils.data", "torch.optim.lr_scheduler")
    patched = (
        "torch.nn:Module.named_parameters",
        "torch.nn.functional:cross_entropy",
        "torch.optim:Optimizer.__init__",
        "torch.optim.lr_scheduler:LRScheduler.step",
        "torch.utils.data:DataLoader.__iter__",
        "torch.utils.data.dataloader:_BaseDataLoaderIter.__next__",
        "torch.amp:GradScaler.scale",
    )  # torch.autograd.backward: below
    source = """
        import torch
        from torch import nn
        from torch.utils.data import DataLoader, TensorDataset

        torch.set_num_threads(1)

        def instances():
            model = nn.Linear(2, 2)
            return [model, torch.optim.SGD(model.parameters(), lr=0.1), DataLoader([1, 2])]

        def train():
            torch.manual_seed(0)
            model = nn.Linear(2, 2)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
            scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
            loader = DataLoader(TensorDataset(torch.eye(2), torch.tensor([0, 1])), batch_size=1)
            for X, y in loader:
                optimizer.zero_grad()
                scaler.scale(nn.CrossEntropyLoss()(model(X), y)).backward()
                scaler.step(optimizer)
                scaler.update()
            scheduler.step()
            return [parameter.tolist() for parameter in model.parameters()]
    """


def test_hooks_and_patches_are_taken_out(tracked):
    autotrack.disable()
    before = dict(optimizer._global_optimizer_post_hooks), torch.autograd.backward, torch.save
    autotrack.enable(store=tracked)
    model = Net()
    trained = torch.optim.SGD(model.parameters(), lr=0.1)
    steps(model, trained, 1)
    assert len(optimizer._global_optimizer_post_hooks) == len(before[0]) + 1
    assert torch.autograd.backward is not before[1]
    autotrack.disable()
    assert dict(optimizer._global_optimizer_post_hooks) == before[0]
    assert torch.autograd.backward is before[1]
    assert torch.save is before[2]


def test_an_error_in_backward_is_the_users(tracked):
    """What keeps the compiler away from our wrapper is torch's own, and adds two frames of torch."""

    class Fails(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.sum()

        @staticmethod
        def backward(ctx, gradient):
            raise error

    error = ZeroDivisionError("mine")
    with pytest.raises(ZeroDivisionError) as caught:
        Fails.apply(torch.ones(2, requires_grad=True)).backward()
    assert caught.value is error
    assert error.__context__ is None
    files = [frame.path for frame in caught.traceback]
    assert sum("autotrack importlib" in str(file) for file in files) <= 1
    assert not [file for file in files if "/autotrack/" in str(file) or "autotrack_torch" in str(file)]
    assert isinstance(torch.autograd.backward, FunctionType)
    assert inspect.signature(torch.autograd.backward).parameters["retain_graph"].default is None


def test_a_failure_of_ours_does_not_reach_the_loop(tracked, monkeypatch, caplog):
    from autotrack_torch.loop import Loop

    def fails(self, *args):
        raise RuntimeError("on purpose")

    model = Net()
    trained = torch.optim.SGD(model.parameters(), lr=0.1)
    monkeypatch.setenv("AUTOTRACK_STRICT", "0")
    monkeypatch.setattr(Loop, "step", fails)
    assert len(steps(model, trained, 20)) == 20
    monkeypatch.setenv("AUTOTRACK_STRICT", "1")
    autotrack.disable()
    assert len([record for record in caplog.records if "autotrack failed in" in record.getMessage()]) == 1
    (run,) = autotrack.runs()
    assert run.incomplete

"""Loops of all kinds: accumulation, mixed precision, closures, checkpointing, accelerate, several processes."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

import autotrack
from tests.plugins.torch.loops import Net, data, steps, values


def only_run() -> autotrack.RunRecord:
    autotrack.disable()
    (run,) = autotrack.runs()
    return run


def test_accumulation_with_a_scaler_and_autocast(tracked):
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    losses = []
    for _ in range(2):
        for number, (X, y) in enumerate(DataLoader(data(32), batch_size=8)):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = functional.cross_entropy(model(X), y) / 2
            scaler.scale(loss).backward()
            losses.append(loss.item())
            if number % 2:
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()
    run = only_run()
    assert values(run, "train/loss") == losses  # before they were scaled
    assert [point.step for point in run.history("train/loss")] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert run.facts["training"] == {"steps": 4, "epochs": 2}
    assert run.params["backwards_per_step"] == 2
    assert (run.params["amp"], run.params["amp.scaler"]) == ("bfloat16", True)


def test_a_step_that_the_scaler_skips_is_no_step(tracked):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    losses = []
    for factor in (1.0, float("inf"), 1.0):
        optimizer.zero_grad()
        loss = model(torch.ones(2, 4)).mean() * factor
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    run = only_run()
    assert values(run, "train/loss") == losses
    assert [point.step for point in run.history("train/loss")] == [0, 1, 1]
    assert run.facts["training"]["steps"] == 2


def test_lbfgs_calls_for_the_loss_several_times_a_step(tracked):
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)
    X, y = data(16).tensors
    losses = []

    def closure():
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(X), y)
        loss.backward()
        losses.append(loss.item())
        return loss

    for _ in range(3):
        optimizer.step(closure)
    run = only_run()
    assert values(run, "train/loss") == losses
    assert run.facts["training"]["steps"] == 3
    assert "backwards_per_step" not in run.params
    assert {point.step for point in run.history("train/loss")} == {0, 1, 2}


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_makes_no_losses_of_its_own(tracked, reentrant):
    from torch.utils.checkpoint import checkpoint

    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    X, y = data(8).tensors
    X.requires_grad_()
    losses = []
    for _ in range(3):
        loss = functional.cross_entropy(checkpoint(model, X, use_reentrant=reentrant), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert values(only_run(), "train/loss") == losses


def test_odd_ways_to_gradients(tracked):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    X, y = data(8).tensors
    functional.cross_entropy(model(X), y, reduction="none").backward(torch.ones(8))  # no scalar
    optimizer.step()
    weights = dict(model.named_parameters())
    torch.func.grad(lambda given: functional.cross_entropy(torch.func.functional_call(model, given, (X,)), y))(weights)
    gradients = torch.autograd.grad(functional.cross_entropy(model(X), y), list(model.parameters()))
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
    run = only_run()
    assert "train/loss" not in run.metrics
    assert run.facts["training"]["steps"] == 2
    assert any("no loss was seen" in text for _, text in run.notes)
    assert values(run, "lr") == [0.1]


def test_a_fused_and_a_wrapped_optimizer(tracked):
    model = nn.Linear(4, 3)
    losses = steps(model, torch.optim.AdamW(model.parameters(), lr=0.1, fused=True), 3)
    run = only_run()
    assert values(run, "train/loss") == losses
    assert run.params["optimizer.fused"] is True


def test_parameter_groups_have_their_own_learning_rates(tracked):
    model = Net()
    groups = [{"params": model.body[0].parameters()}, {"params": model.body[3].parameters(), "lr": 0.5}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    steps(model, optimizer, 1)
    optimizer.param_groups[1]["lr"] = 0.25
    steps(model, optimizer, 1)
    run = only_run()
    assert values(run, "lr") == [0.1]
    assert values(run, "lr/group1") == [0.5, 0.25]
    assert run.params["optimizer.lr"] == 0.1
    assert run.params["optimizer.groups.1.lr"] == 0.5
    assert set(run.facts["model"]) == {"Linear"}  # the parts whose parameters were asked for


def test_norms_on_request(tracked, monkeypatch):
    monkeypatch.setenv("AUTOTRACK_NORMS", "1")
    autotrack.enable(store=tracked, experiment="test")
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    X, y = data(16).tensors
    gradients, parameters = [], []
    for _ in range(3):
        optimizer.zero_grad()
        functional.cross_entropy(model(X), y).backward()
        gradients.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01).item())
        optimizer.step()
        parameters.append(torch.nn.utils.get_total_norm(list(model.parameters())).item())
    run = only_run()
    assert max(gradients) > 0.01
    assert values(run, "train/grad_norm") == pytest.approx([0.01] * 3, rel=1e-3)  # as they were after clipping
    assert values(run, "train/param_norm") == parameters


def test_copies_and_pickles_carry_no_trace(tracked):
    model = Net()
    optimizer = torch.optim.Adam(model.parameters())
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    steps(model, optimizer, 2)
    scheduler.step()
    for thing in (model, optimizer, model.state_dict(), optimizer.state_dict(), DataLoader(data(8))):
        assert b"autotrack_torch" not in pickle.dumps(thing)
        assert b"autotrack." not in pickle.dumps(thing)
        copy.deepcopy(thing)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    torch.load(file, weights_only=True)
    twin = copy.deepcopy(model)
    assert steps(twin, torch.optim.SGD(twin.parameters(), lr=0.1), 1)
    assert not [name for name in vars(optimizer) if "autotrack" in name]


def test_accelerate(tracked):
    accelerate = pytest.importorskip("accelerate")
    torch.manual_seed(0)
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    train_loader = DataLoader(data(32), batch_size=8)
    model, optimizer, train_loader = accelerator.prepare(model, optimizer, train_loader)
    losses = []
    for _ in range(2):
        for X, y in train_loader:
            with accelerator.accumulate(model):
                loss = functional.cross_entropy(model(X), y)
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
                losses.append((loss / 2).item())
    run = only_run()
    assert values(run, "train/loss") == losses  # accelerate divides them by the steps of accumulation
    assert run.facts["training"] == {"steps": 4, "epochs": 2}


def test_torchmetrics(tracked):
    torchmetrics = pytest.importorskip("torchmetrics")
    accuracy = torchmetrics.MeanMetric()
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seen = []
    for epoch in range(2):
        for X, y in DataLoader(data(16), batch_size=8):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(X), y)
            loss.backward()
            optimizer.step()
            accuracy(loss.detach())
        seen.append(accuracy.compute().item())
        if epoch == 0:
            accuracy.reset()
    run = only_run()
    assert values(run, "accuracy") == seen
    assert [point.epoch for point in run.history("accuracy")] == [0, 1]
    assert b"autotrack" not in pickle.dumps(accuracy)


@pytest.mark.parametrize("after", [False, True], ids=["while it trains", "after it"])
def test_scores_of_scikit_learn(tracked, after):
    from sklearn.metrics import accuracy_score

    model = nn.Linear(4, 3)
    X, y = data(16).tensors
    steps(model, torch.optim.SGD(model.parameters(), lr=0.1), 2)
    if after:
        autotrack.disable()
        autotrack.enable(store=tracked, experiment="test")
    with torch.no_grad():
        score = accuracy_score(y.numpy(), model(X).argmax(1).numpy())
    run = only_run()
    assert score in run.metrics.values()


def test_what_an_optimizer_sets_itself_is_nobody_s_choice(tracked):
    model = nn.Linear(4, 3)
    steps(model, torch.optim.AdamW(model.parameters(), lr=0.1), 1)
    run = only_run()
    assert run.params["optimizer.decoupled_weight_decay"] is True
    assert {key for key in run.changed if key.startswith("optimizer")} == {"optimizer", "optimizer.lr"}


def test_scalars_of_tensorboard(tracked, tmp_path):
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    model = nn.Linear(4, 3)
    with SummaryWriter(str(tmp_path / "logs")) as writer:
        steps(model, torch.optim.SGD(model.parameters(), lr=0.1), 2)
        writer.add_scalar("accuracy/val", 0.75, 12)
        writer.add_scalar("norm", torch.tensor(2.5), global_step=3)
    run = only_run()
    assert [(point.step, point.value) for point in run.history("accuracy/val")] == [(12, 0.75)]
    assert [(point.step, point.value) for point in run.history("norm")] == [(3, 2.5)]


@pytest.mark.slow
def test_two_processes_of_distributed_training_make_one_run(script, tmp_path):
    script(
        """
        import os, sys, torch, autotrack
        import torch.distributed as dist, torch.multiprocessing as mp
        from torch.nn.parallel import DistributedDataParallel
        def train(rank, port):
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            torch.set_num_threads(1)
            dist.init_process_group("gloo", rank=rank, world_size=2)
            autotrack.enable()
            torch.manual_seed(0)
            model = DistributedDataParallel(torch.nn.Linear(2, 1))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for step in range(4):
                optimizer.zero_grad()
                loss = model(torch.full((3, 2), float(rank + step))).pow(2).mean()
                loss.backward()
                optimizer.step()
                print(rank, repr(loss.item()), flush=True)
            autotrack.disable()
            dist.destroy_process_group()
        if __name__ == "__main__":
            import socket
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            mp.spawn(train, (port,), nprocs=2)
        """
    )
    (run,) = autotrack.runs(store=tmp_path / ".autotrack")
    assert len(run.history("train/loss")) == 4
    assert run.facts["model"]["Linear"]["parameters"] == 3
    assert run.models["model"].cls == "torch.nn.modules.linear.Linear"

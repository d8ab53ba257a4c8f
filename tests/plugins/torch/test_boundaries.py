"""Where runs begin and end: several optimizers, stages, folds, helpers, threads, exits."""

import copy
import threading

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import autotrack
from autotrack.backends.housekeeping import housekeeper
from tests.plugins.torch.loops import Net, data, steps, values


def recorded() -> list[autotrack.RunRecord]:
    """All runs, oldest first, with their models."""
    autotrack.disable()
    assert housekeeper.wait_idle(60)
    return list(autotrack.runs())[::-1]


def adversarial(rounds: int, critics: int = 1):
    """A GAN's loop; the losses of both sides."""
    torch.manual_seed(0)

    class Generator(nn.Linear):
        pass

    class Discriminator(nn.Linear):
        pass

    G, D = Generator(2, 2), Discriminator(2, 1)
    opt_g, opt_d = torch.optim.Adam(G.parameters(), lr=1e-3), torch.optim.Adam(D.parameters(), lr=2e-3)
    g_losses, d_losses = [], []
    for _ in range(rounds):
        for _ in range(critics):
            opt_d.zero_grad()
            real = nn.functional.softplus(-D(torch.randn(8, 2))).mean()
            fake = nn.functional.softplus(D(G(torch.randn(8, 2)).detach())).mean()
            real.backward()
            fake.backward()
            opt_d.step()
            d_losses += [real.item(), fake.item()]
        opt_g.zero_grad()
        loss = nn.functional.softplus(-D(G(torch.randn(8, 2)))).mean()
        loss.backward()
        opt_g.step()
        g_losses.append(loss.item())
    return g_losses, d_losses


@pytest.mark.parametrize("critics", [1, 5])
def test_two_optimizers_in_turn_share_a_run(tracked, critics):
    g_losses, d_losses = adversarial(6, critics)
    (run,) = recorded()
    assert values(run, "train/loss/Generator") == g_losses
    assert values(run, "train/loss/Discriminator") == d_losses
    assert "train/loss" not in run.metrics
    assert [point.step for point in run.history("train/loss/Discriminator")][:4] == [0, 0, 1, 1]
    assert run.params["optimizer.Generator.lr"] == 1e-3
    assert run.params["optimizer.Discriminator.lr"] == 2e-3
    assert run.params["backwards_per_step.Discriminator"] == 2
    assert set(run.facts["model"]) == set(run.models) == {"Generator", "Discriminator"}


def test_two_optimizers_after_one_backward_share_its_loss(tracked):
    first, second = nn.Linear(4, 4), nn.Linear(4, 3)
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in (first, second)]
    X, y = data(8).tensors
    losses = []
    for _ in range(4):
        loss = nn.functional.cross_entropy(second(first(X)), y)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    (run,) = recorded()
    assert values(run, "train/loss") == losses


def test_a_new_optimizer_over_the_same_parameters_is_a_stage(tracked):
    model = Net()
    head = steps(model, torch.optim.SGD(model.body[3].parameters(), lr=0.1), 3)
    whole = steps(model, torch.optim.Adam(model.parameters(), lr=0.01), 2)
    (run,) = recorded()
    assert values(run, "train/loss") == head + whole
    assert [point.step for point in run.history("train/loss")] == [0, 1, 2, 3, 4]
    assert run.params["optimizer"] == "SGD"
    assert run.facts["stages"]["2"]["optimizer"] == "Adam"
    assert values(run, "lr") == [0.1, 0.01]


def test_each_fold_is_a_run(tracked):
    losses, models = [], []
    for fold in range(3):
        model = Net()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        loader = DataLoader(data(16, fold), batch_size=8)
        losses.append([])
        for X, y in loader:
            loss = nn.functional.cross_entropy(model(X), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
        models.append(copy.deepcopy(model.state_dict()))
    runs = recorded()
    assert [values(run, "train/loss") for run in runs] == losses
    assert [run.status for run in runs] == ["finished"] * 3
    assert [run.facts["training"] for run in runs] == [{"steps": 2, "epochs": 1}] * 3
    for run, state in zip(runs, models, strict=True):
        loaded = autotrack.load_model(f"{run.id}/model", trusted=True).state_dict()
        assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_helpers_of_an_outer_loop_are_absorbed(tracked):
    """Reptile: each task trains a copy with an optimizer of its own, then the outer optimizer steps."""
    model = Net()
    outer = torch.optim.SGD(model.parameters(), lr=0.5)
    outer_losses = steps(model, outer, 1)
    inner_losses = []
    for task in range(4):
        fast = copy.deepcopy(model)
        optimizer = torch.optim.SGD(fast.parameters(), lr=0.1)
        inner_losses += steps(fast, optimizer, 2, seed=task)
        outer.zero_grad()
        for slow, quick in zip(model.parameters(), fast.parameters(), strict=True):
            slow.grad = slow.detach() - quick.detach()
        outer.step()
    (run,) = recorded()
    assert run.status == "finished"
    assert values(run, "train/loss") == outer_losses
    assert values(run, "train/loss/Net-2") == inner_losses
    assert run.facts["training"]["steps"] == 1 + 4 + 3 * 2  # the first task was taken for a training of its own
    assert any("test_boundaries.py" in text for _, text in run.notes), run.notes


def test_a_discriminator_that_comes_late(tracked):
    torch.manual_seed(0)
    generator = Net()
    opt_g = torch.optim.SGD(generator.parameters(), lr=0.1)
    alone = steps(generator, opt_g, 3)
    late = nn.Linear(4, 3)
    opt_d = torch.optim.SGD(late.parameters(), lr=0.1)
    first, second = [], []
    for _ in range(3):
        first += steps(late, opt_d, 1)
        second += steps(generator, opt_g, 1)
    (run,) = recorded()
    assert values(run, "train/loss") == alone + second
    assert values(run, "train/loss/Linear") == first


def test_each_thread_has_its_own_run(tracked):
    losses = {}

    def train(seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        model = nn.Linear(4, 3)
        with torch.no_grad():
            model.weight.copy_(torch.randn(3, 4, generator=generator))
        losses[seed] = steps(model, torch.optim.SGD(model.parameters(), lr=0.1), 5, seed)
        autotrack.log_metrics({"seed": seed})

    threads = [threading.Thread(target=train, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    runs = recorded()
    assert len(runs) == 3
    assert {int(run.metrics["seed"]): values(run, "train/loss") for run in runs} == losses


def test_trainings_of_other_integrations_own_their_loops(tracked):
    """skorch's fit is scikit-learn's training."""
    skorch = pytest.importorskip("skorch")
    net = skorch.NeuralNetClassifier(Net, criterion=nn.CrossEntropyLoss, max_epochs=2, verbose=0, train_split=None)
    X, y = data(32).tensors
    net.fit(X.numpy(), y.numpy())
    (run,) = recorded()
    assert run.by == "sklearn"
    assert "train/loss" not in run.metrics


SCRIPT = """
import sys, torch, autotrack
autotrack.enable()
from torch import nn
def main():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        loss = model(torch.ones(4, 2)).pow(2).mean()
        optimizer.zero_grad(); loss.backward(); optimizer.step()
    torch.save(model.state_dict(), "kept.pt")
    {end}
main()
{after}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "after", "code", "status"),
    [
        pytest.param("", "", 0, "finished", id="main returns"),
        pytest.param("sys.exit(1)", "", 1, "finished", id="sys.exit(1)"),
        pytest.param("raise ValueError('boom')", "", 1, "failed", id="an exception"),
        pytest.param("raise KeyboardInterrupt", "", -2, "interrupted", id="Ctrl-C"),
    ],
)
def test_the_end_of_the_process(script, tmp_path, end, after, code, status):
    """The model is gone when ``main`` has returned, and no thread may start at exit: it is kept all the same."""
    done = script(SCRIPT.format(end=end, after=after), check=False)
    assert done.returncode == code, done.stderr
    (run,) = autotrack.runs(store=tmp_path / ".autotrack")
    assert run.status == status
    assert len(run.history("train/loss")) == 3
    assert (run.error is not None) == (status in ("failed", "interrupted"))
    loaded = autotrack.load_model(run.id, store=tmp_path / ".autotrack")
    kept = torch.load(tmp_path / "kept.pt", weights_only=True)
    assert isinstance(loaded, nn.Sequential)
    assert all(torch.equal(loaded.state_dict()[key], kept[key]) for key in kept)
    assert run.facts["saved"] == {"kept.pt": {"step": 2, "epoch": None}}


def test_a_forked_child_that_trains_has_its_own_run(script, tmp_path):
    script(
        """
        import os, torch, autotrack
        autotrack.enable()
        def train(model, optimizer, count):
            for _ in range(count):
                optimizer.zero_grad(); model(torch.ones(1, 2)).sum().backward(); optimizer.step()
        torch.set_num_threads(1)
        model = torch.nn.Linear(2, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        train(model, optimizer, 2)
        child = os.fork()
        train(model, optimizer, 5 if child == 0 else 3)
        if child:
            assert os.waitpid(child, 0)[1] == 0
        """
    )
    runs = autotrack.runs(store=tmp_path / ".autotrack")
    assert sorted(len(run.history("train/loss")) for run in runs) == [5, 5]
    assert {run.status for run in runs} == {"finished"}

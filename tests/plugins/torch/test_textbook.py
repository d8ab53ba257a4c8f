"""The textbook loop: what is recorded is what it computed, to the last bit, and nothing about it changes."""

import os
import random
import warnings

import numpy
import pytest
import torch
from torch import nn

import autotrack
from autotrack.backends.housekeeping import housekeeper
from tests.plugins.torch.loops import Net, steps, textbook, values


def only_run():
    autotrack.disable()
    assert housekeeper.wait_idle(60)
    (run,) = autotrack.runs()
    return run


def test_losses_epochs_and_learning_rates(tracked):
    seen = textbook()
    run = only_run()
    assert run.status == "finished"
    assert run.by == "torch"
    assert run.name.startswith("Net-")
    assert values(run, "train/loss") == seen["losses"]
    assert [point.step for point in run.history("train/loss")] == list(range(9))
    assert [point.epoch for point in run.history("train/loss")] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    times = [point.time for point in run.history("train/loss")]
    assert times == sorted(times)
    weighted = []
    for epoch in range(3):
        pairs = list(zip(seen["losses"], seen["sizes"], strict=True))[epoch * 3 : epoch * 3 + 3]
        weighted.append(sum(loss * size for loss, size in pairs) / 22)
    assert values(run, "train/loss_epoch") == weighted
    assert values(run, "val/loss") == seen["val"]
    assert [point.epoch for point in run.history("val/loss")] == [0, 1, 2]
    assert [point.step for point in run.history("val/loss")] == [2, 5, 8]
    assert [(point.step, point.value) for point in run.history("lr")] == [(0, 1e-2), (6, 5e-3)]
    assert len(run.history("time/epoch")) == len(run.history("time/val")) == 3
    assert run.metrics["time/epoch"] > 0
    assert run.metrics["time/samples_per_second"] == pytest.approx(22 / run.metrics["time/epoch"])
    assert run.metrics["time/step"] == pytest.approx(run.metrics["time/epoch"] / 3)
    assert run.facts["training"] == {"steps": 9, "epochs": 3}


def test_what_describes_it(tracked):
    textbook(1)
    run = only_run()
    assert run.params["optimizer"] == "AdamW"
    assert run.params["optimizer.lr"] == 1e-2
    assert run.params["optimizer.weight_decay"] == 0.1
    assert run.params["optimizer.betas"] == [0.9, 0.999]
    assert {"optimizer.lr", "optimizer.weight_decay"} <= set(run.changed)
    assert "optimizer.betas" not in run.changed
    assert (run.params["scheduler"], run.params["scheduler.step_size"], run.params["scheduler.gamma"]) == (
        "StepLR",
        2,
        0.5,
    )
    assert run.params["batch_size"] == 8
    assert run.facts["loaders"]["train"] == {
        "dataset": "TensorDataset", "batch_size": 8, "num_workers": 0, "drop_last": False,
        "sampler": "RandomSampler", "size": 22,
    }  # fmt: skip
    assert run.facts["loaders"]["val"]["size"] == 12
    model = run.facts["model"]["Net"]
    assert model["parameters"] == model["trainable"] == 4 * 8 + 8 + 8 * 3 + 3
    assert model["bytes"] == 4 * model["parameters"]
    assert (model["dtype"], model["device"]) == ("float32", "cpu")
    assert model["modules"] == {
        "body": "Sequential", "body.0": "Linear", "body.1": "ReLU", "body.2": "Dropout", "body.3": "Linear",
    }  # fmt: skip
    assert run.facts["torch"]["version"] == torch.__version__
    assert run.facts["random"]["torch_seed"] == 0


def state_of_the_world():
    return (
        torch.get_rng_state().tolist(), random.getstate(), numpy.random.get_state()[1].tolist(),
        torch.is_grad_enabled(), torch.get_default_dtype(),
    )  # fmt: skip


def test_bit_identical_with_and_without(tracked):
    autotrack.disable()
    random.seed(1)
    numpy.random.seed(1)
    before = state_of_the_world()[1:3]
    plain, plain_world = textbook(seed=5), state_of_the_world()
    assert state_of_the_world()[1:3] == before
    autotrack.enable(store=tracked)
    recorded, recorded_world = textbook(seed=5), state_of_the_world()
    autotrack.disable()
    assert len(autotrack.runs()) == 1
    assert recorded["losses"] == plain["losses"]
    assert recorded["val"] == plain["val"]
    assert all(torch.equal(plain["state"][key], recorded["state"][key]) for key in plain["state"])
    assert recorded_world == plain_world


def test_early_stopping_keeps_the_last_epoch(tracked):
    seen = textbook(60, patience=1)
    run = only_run()
    assert len(seen["val"]) < 60
    assert values(run, "val/loss") == seen["val"]
    assert len(run.history("train/loss_epoch")) == len(seen["val"])
    best = min(range(len(seen["val"])), key=lambda epoch: seen["val"][epoch])
    assert run.facts["best"] == {"key": "val/loss", "value": seen["val"][best], "step": best * 3 + 2, "epoch": best}


def test_no_new_warnings_with_a_scheduler(tracked):
    """LRScheduler warns where somebody has replaced ``optimizer.step``."""
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        for _ in range(3):
            steps(model, optimizer, 1)
            scheduler.step()
    assert values(only_run(), "lr") == [0.1, 0.05, 0.025]


def test_a_loop_without_a_loader_has_steps_and_no_epochs(tracked):
    model = nn.Linear(4, 3)
    losses = steps(model, torch.optim.SGD(model.parameters(), lr=0.1), 7)
    run = only_run()
    assert values(run, "train/loss") == losses
    assert {point.epoch for point in run.history("train/loss")} == {None}
    assert "train/loss_epoch" not in run.metrics
    assert run.name.startswith("Linear-")
    assert run.facts["training"] == {"steps": 7, "epochs": 0}


def test_what_is_logged_by_hand_goes_to_the_run_and_wins(tracked):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    steps(model, optimizer, 2)
    assert autotrack.active_run().name.startswith("Linear-")
    autotrack.log_metrics({"accuracy": 0.5, "train/loss": 42.0})
    steps(model, optimizer, 2)
    run = only_run()
    assert run.metrics["accuracy"] == 0.5
    assert run.metrics["train/loss"] == 42.0


def test_an_explicit_run_takes_the_loop(tracked):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with autotrack.start_run("mine") as mine:
        first = steps(model, optimizer, 4)
    second = steps(model, optimizer, 2)
    autotrack.disable()
    assert housekeeper.wait_idle(60)
    other, run = autotrack.runs()
    assert run.id == mine.id
    assert values(run, "train/loss") == first
    assert values(other, "train/loss") == second
    assert "model" in run.models


def test_nothing_is_recorded_after_disable_in_mid_training(tracked):
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = steps(model, optimizer, 3)
    autotrack.disable()
    steps(model, optimizer, 3)
    (run,) = autotrack.runs()
    assert run.status == "finished"
    assert values(run, "train/loss") == losses
    autotrack.enable(store=tracked)
    more = steps(model, optimizer, 2)
    autotrack.disable()
    assert values(autotrack.runs()[0], "train/loss") == more


def test_a_killed_process_loses_at_most_what_is_gathered(script, tmp_path):
    done = script(
        """
        import os, signal, time, torch, autotrack
        autotrack.enable()
        model = torch.nn.Linear(2, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for step in range(5):
            model(torch.ones(1, 2)).sum().backward()
            optimizer.step()
            time.sleep(0.11)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        check=False,
    )
    assert done.returncode == -9
    (run,) = autotrack.runs(store=tmp_path / ".autotrack")
    assert run.status == "killed"
    assert len(run.history("train/loss")) == 5
    assert os.listdir(tmp_path / ".autotrack")

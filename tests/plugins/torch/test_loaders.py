"""Passes over loaders: which are training, which evaluation, and what they are called."""

import pytest
import torch
from autotrack_torch.names import prefix_of
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

import autotrack
from autotrack import api
from tests.plugins.torch.loops import Net, data, values


def only_run() -> autotrack.RunRecord:
    autotrack.disable()
    (run,) = autotrack.runs()
    return run


class Trainer:
    """As people put a loop into a class."""

    def __init__(self, loader: DataLoader):
        torch.manual_seed(0)
        self.loader = loader
        self.model = Net()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.losses: list[float] = []

    def step(self, X, y) -> None:
        self.optimizer.zero_grad()
        loss = functional.cross_entropy(self.model(X), y)
        loss.backward()
        self.optimizer.step()
        self.losses.append(loss.item())

    def epoch(self, most: int = 1000) -> None:
        for number, (X, y) in enumerate(self.loader):
            if number == most:
                break
            self.step(X, y)

    @torch.no_grad()
    def evaluate(self, loader) -> float:
        total = 0.0
        for X, y in loader:
            total += functional.cross_entropy(self.model(X), y, reduction="sum").item()
        return total / len(loader.dataset)


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("val_loader", "val"), ("testloader", "test"), ("valid_dl", "valid"), ("dev", "dev"), ("dataloader", ""),
        ("test_dataloader", "test"), ("loader", ""), ("dl_val", "dl_val"), ("holdout_batches", "holdout"),
    ],
)  # fmt: skip
def test_prefix(name, prefix):
    assert prefix_of(name) == prefix


def test_several_evaluations_are_told_apart_by_the_callers_names(tracked):
    trainer = Trainer(DataLoader(data(16), batch_size=8))
    val_loader, test_loader = DataLoader(data(9, 1), batch_size=4), DataLoader(data(7, 2), batch_size=4)
    seen = {"val": [], "test": []}
    for _ in range(2):
        trainer.epoch()
        seen["val"].append(trainer.evaluate(val_loader))
    seen["test"].append(trainer.evaluate(test_loader))
    run = only_run()
    assert values(run, "val/loss") == seen["val"]
    assert values(run, "test/loss") == seen["test"]
    assert [point.epoch for point in run.history("test/loss")] == [1]
    assert run.facts["best"]["key"] == "val/loss"


def test_loaders_in_a_dictionary_and_evaluation_of_the_training_data(tracked):
    loaders = {"train": DataLoader(data(16), batch_size=8), "val": DataLoader(data(8, 1), batch_size=8)}
    trainer = Trainer(loaders["train"])
    trainer.epoch()
    seen = {phase: trainer.evaluate(loaders[phase]) for phase in ("val", "train")}
    run = only_run()
    assert values(run, "val/loss") == [seen["val"]]
    assert values(run, "train_eval/loss") == [seen["train"]]
    assert set(run.facts["loaders"]) == {"train", "val", "train_eval"}


def test_an_evaluation_inside_an_epoch_and_one_that_breaks_off(tracked):
    trainer = Trainer(DataLoader(data(32), batch_size=8))
    val_loader = DataLoader(data(24, 1), batch_size=8)
    seen = []
    for number, (X, y) in enumerate(trainer.loader):
        trainer.step(X, y)
        if number == 1:
            with torch.inference_mode():
                for inner, (a, b) in enumerate(val_loader):
                    seen.append(functional.cross_entropy(trainer.model(a), b).item())
                    if inner == 1:
                        break
    full = trainer.evaluate(val_loader)
    run = only_run()
    assert values(run, "train/loss") == trainer.losses
    assert {point.epoch for point in run.history("train/loss")} == {0}
    assert values(run, "train/loss_epoch") == [sum(loss * 8 for loss in trainer.losses) / 32]
    assert values(run, "val/loss") == [sum(loss * 8 for loss in seen) / 16, full]
    assert run.facts["training"] == {"steps": 4, "epochs": 1}


def test_epochs_that_break_off(tracked):
    trainer = Trainer(DataLoader(data(32), batch_size=8))
    for _ in range(3):
        trainer.epoch(most=2)
    run = only_run()
    assert [point.epoch for point in run.history("train/loss")] == [0, 0, 1, 1, 2, 2]
    assert [point.epoch for point in run.history("train/loss_epoch")] == [0, 1, 2]
    assert run.facts["training"] == {"steps": 6, "epochs": 3}


def test_loaders_that_are_made_anew_and_broken_off_are_let_go(tracked):
    """A task of a few batches each: their passes would stay open until the end."""
    trainer = Trainer(DataLoader(data(8), batch_size=8))
    for _ in range(80):
        trainer.step(*next(iter(DataLoader(data(8), batch_size=4))))
    recorder = next(one for one in api.session_in_use().integrations if one.name == "torch")._recorder
    assert 0 < len(recorder._local.here.passes.open) <= 32
    run = only_run()
    assert [point.epoch for point in run.history("train/loss")] == list(range(80))
    assert [point.epoch for point in run.history("train/loss_epoch")] == list(range(80))


def test_two_loaders_read_in_step_are_one_epoch(tracked):
    labelled, unlabelled = DataLoader(data(16), batch_size=8), DataLoader(data(24, 1), batch_size=8)
    trainer = Trainer(labelled)
    for _ in range(2):
        for (X, y), _other in zip(labelled, unlabelled, strict=False):
            trainer.step(X, y)
    run = only_run()
    assert [point.epoch for point in run.history("train/loss_epoch")] == [0, 1]
    assert [point.epoch for point in run.history("train/loss")] == [0, 0, 1, 1]


def test_an_iterator_that_is_started_again_when_it_is_empty(tracked):
    trainer = Trainer(DataLoader(data(16), batch_size=8))
    iterator = iter(trainer.loader)
    for _ in range(5):
        try:
            batch = next(iterator)
        except StopIteration:
            iterator = iter(trainer.loader)
            batch = next(iterator)
        trainer.step(*batch)
    assert [point.epoch for point in only_run().history("train/loss")] == [0, 0, 1, 1, 2]


def test_a_look_at_one_batch_is_no_epoch(tracked):
    trainer = Trainer(DataLoader(data(16), batch_size=8))
    next(iter(trainer.loader))
    trainer.epoch()
    assert only_run().facts["training"] == {"steps": 2, "epochs": 1}


def test_several_losses_of_one_evaluation_keep_their_names(tracked):
    trainer = Trainer(DataLoader(data(16), batch_size=8))
    trainer.epoch()
    val_loader = DataLoader(data(8, 1), batch_size=8)
    with torch.no_grad():
        for X, y in val_loader:
            logits = trainer.model(X)
            first = nn.CrossEntropyLoss()(logits, y).item()
            second = functional.mse_loss(logits.softmax(1), functional.one_hot(y, 3).float()).item()
    run = only_run()
    assert run.metrics["val/cross_entropy"] == first
    assert run.metrics["val/mse_loss"] == second
    assert "val/loss" not in run.metrics


def test_worker_processes(tracked):
    """Workers are forked with our patches in them, and leave no trace."""
    trainer = Trainer(DataLoader(data(24), batch_size=8, num_workers=2, persistent_workers=True))
    for _ in range(2):
        trainer.epoch()
    run = only_run()
    assert values(run, "train/loss") == trainer.losses
    assert [point.epoch for point in run.history("train/loss_epoch")] == [0, 1]
    assert run.facts["loaders"]["train"]["num_workers"] == 2
    assert len(list((tracked / "runs" / run.id / "journal").iterdir())) == 1


@pytest.mark.parametrize(("error", "status"), [(ZeroDivisionError, "failed"), (KeyboardInterrupt, "interrupted")])
def test_an_exception_in_mid_epoch_keeps_what_was_seen(tracked, error, status):
    trainer = Trainer(DataLoader(data(32), batch_size=8))

    def break_down() -> None:
        for number, (X, y) in enumerate(trainer.loader):
            if number == 2:
                raise error
            trainer.step(X, y)

    with pytest.raises(error), autotrack.start_run():
        break_down()
    run = only_run()
    assert run.status == status
    assert values(run, "train/loss") == trainer.losses
    assert values(run, "train/loss_epoch") == [sum(trainer.losses) * 8 / 16]

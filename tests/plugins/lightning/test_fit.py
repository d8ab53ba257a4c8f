"""Every ``Trainer.fit`` is a run; its metrics are what Lightning's CSVLogger wrote in the same fit."""

from pathlib import Path
from types import ModuleType

import pytest
import torch

import autotrack
from tests.plugins.lightning.fits import csv_logger, loader, module, recorded, trainer, written


def log_late(self):
    self.log("late", torch.tensor(self.current_epoch + 0.5))


def log_after_the_step(self, outputs, batch, batch_idx):
    self.log("after_step", torch.tensor(batch_idx + 0.25), on_step=True, on_epoch=False)


def log_steps_of_validation(self, batch, batch_idx):
    self.log("val_loss", self.loss(batch), on_step=True, on_epoch=True)


def several(self, batch, batch_idx, dataloader_idx=0):
    self.log("val_loss", self.loss(batch))


CASES = {
    "plain": ({}, {}),
    "half_epochs": ({}, {"val_check_interval": 0.5}),
    "late": ({"on_train_epoch_end": log_late}, {}),
    "after_step": ({"on_train_batch_end": log_after_the_step}, {}),
    "accumulated": ({}, {"accumulate_grad_batches": 2}),
    "steps_of_validation": ({"validation_step": log_steps_of_validation}, {"val_check_interval": 0.5}),
    "max_steps": ({}, {"max_epochs": -1, "max_steps": 5}),
    "every_second_epoch": ({}, {"check_val_every_n_epoch": 2, "max_epochs": 4}),
}


@pytest.mark.parametrize("case", CASES)
def test_metrics_are_those_of_the_csv_logger(pl: ModuleType, case: str, tracked: Path):
    methods, settings = CASES[case]
    logger = csv_logger(pl, tracked.parent)
    fit = trainer(pl, logger=logger, **settings)
    fit.fit(module(pl, **methods), loader(), loader(16, seed=1))
    run = autotrack.get_run("@last")
    assert run.status == "finished"
    assert not run.incomplete
    assert not run.problems
    ours, theirs = recorded(run), written(logger)
    if case == "steps_of_validation":
        points = ours.pop("val_loss_step")
        assert [(step, None, value) for step, _, value in points] == theirs.pop("val_loss_step")
        assert len(points) == 8
        assert {epoch for _, epoch, _ in points} == {0, 1}
    assert ours == theirs
    assert len(theirs["train_loss_step"]) >= 4 and theirs["val_loss"] if case != "steps_of_validation" else theirs


def test_two_validation_loaders(pl: ModuleType, tracked: Path):
    logger = csv_logger(pl, tracked.parent)
    fit = trainer(pl, logger=logger)
    fit.fit(module(pl, validation_step=several), loader(), [loader(16, seed=1), loader(16, seed=2)])
    run = autotrack.get_run("@last")
    assert recorded(run) == written(logger)
    assert {"val_loss/dataloader_idx_0", "val_loss/dataloader_idx_1"} <= run.metrics.keys()
    assert {"train", "val", "val2"} <= run.facts["loaders"].keys()


def test_what_is_recorded_beside_metrics(pl: ModuleType, tracked: Path):
    fit = trainer(pl, gradient_clip_val=0.5, max_epochs=3)
    net = module(pl, arguments={"hidden": 6})
    fit.fit(net, loader(), loader(16))
    run = autotrack.get_run("@last")
    assert run.name.startswith("Net-")
    assert run.by == "lightning"
    params = {
        "hidden": 6, "lr": 0.1, "optimizer": "SGD", "optimizer.lr": 0.1, "scheduler": "StepLR", "scheduler.gamma": 0.5,
        "trainer.max_epochs": 3, "trainer.gradient_clip_val": 0.5, "trainer.precision": "32-true", "trainer.devices": 1,
    }  # fmt: skip
    assert {key: run.params.get(key) for key in params} == params
    assert "trainer.gradient_clip_val" in run.changed
    assert "trainer.accumulate_grad_batches" not in run.changed
    assert [(point.step, point.value) for point in run.history("lr")] == [(0, 0.1), (4, 0.05), (8, 0.025)]
    assert run.facts["loaders"]["train"]["size"] == 32
    assert run.facts["loaders"]["train"]["batch_size"] == 8
    assert run.facts["model"]["parameters"] == sum(one.numel() for one in net.parameters())
    assert run.facts["lightning"]["package"] == pl.__name__.partition(".")[0]
    assert run.facts["training"] == {"steps": 12, "epochs": 3}
    assert "via" not in run.tags
    assert len(autotrack.runs()) == 1  # and none of the torch plugin's


def test_hyperparameters_keep_their_types_and_nesting(pl: ModuleType, tracked: Path):
    class Data(pl.LightningDataModule):
        def __init__(self, rows: int = 32, lr: float = 5.0):
            super().__init__()
            self.save_hyperparameters(logger=rows != 8)

        def train_dataloader(self):
            return loader(self.hparams.rows)

    class Net(type(module(pl))):
        def __init__(self, net, lr=0.1):
            super().__init__()
            self.save_hyperparameters()

    net = Net({"sizes": [4, 2], "bias": None})
    trainer(pl).fit(net, datamodule=Data(lr=0.1))
    run = autotrack.get_run("@last")
    assert run.params["net"] == {"sizes": [4, 2], "bias": None}
    assert run.params["rows"] == 32
    trainer(pl, enable_autolog_hparams=False).fit(net, datamodule=Data(lr=0.1))
    assert "net" not in autotrack.get_run("@last").params
    trainer(pl).fit(net, datamodule=Data(rows=8, lr=3.0))
    assert "rows" not in autotrack.get_run("@last").params


def test_metrics_without_any_logger(pl: ModuleType, tracked: Path):
    trainer(pl).fit(module(pl), loader(), loader(16))
    run = autotrack.get_run("@last")
    assert len(run.history("train_loss_step")) == 8
    assert len(run.history("val_loss")) == 2


def test_one_run_per_fit(pl: ModuleType, tracked: Path):
    fit, net = trainer(pl, max_epochs=1), module(pl)
    fit.fit(net, loader())
    fit.fit_loop.max_epochs = 3
    fit.fit(net, loader())
    second, first = autotrack.runs()
    assert [point.step for point in first.history("train_loss_step")] == [0, 1, 2, 3]
    assert [point.step for point in second.history("train_loss_step")] == list(range(4, 12))
    assert [point.epoch for point in second.history("train_loss_epoch")] == [1, 2]


def test_in_a_run_opened_by_hand(pl: ModuleType, tracked: Path):
    with autotrack.start_run("mine") as mine:
        trainer(pl).fit(module(pl), loader())
        trainer(pl).fit(module(pl), loader())
    run = autotrack.get_run(mine.id)
    assert len(run.history("train_loss_step")) == 8
    assert [len(child.history("train_loss_step")) for child in run.children] == [8]


def test_a_fit_inside_a_training_is_an_inner_one(pl: ModuleType, tracked: Path):
    inner = []

    def train_another(self):
        if not inner:
            inner.append(1)
            trainer(pl, max_epochs=1).fit(module(pl), loader(8))

    trainer(pl).fit(module(pl, on_train_epoch_start=train_another), loader())
    assert inner
    (run,) = autotrack.runs()
    assert len(run.history("train_loss_step")) == 8


def test_what_is_logged_by_hand_inside_goes_to_the_run(pl: ModuleType, tracked: Path):
    def log_by_hand(self):
        autotrack.log_metrics({"by_hand": 1.5})

    trainer(pl).fit(module(pl, on_train_epoch_end=log_by_hand), loader())
    assert [point.value for point in autotrack.get_run("@last").history("by_hand")] == [1.5, 1.5]


def test_fast_dev_run_leaves_nothing(pl: ModuleType, tracked: Path):
    trainer(pl, fast_dev_run=True).fit(module(pl), loader(), loader(16))
    assert len(autotrack.runs()) == 0


def test_barebones(pl: ModuleType, tracked: Path):
    fit = pl.Trainer(max_epochs=1, accelerator="cpu", barebones=True)
    with pytest.warns(UserWarning, match="barebones"):
        fit.fit(module(pl), loader())
    run = autotrack.get_run("@last")
    assert run.status == "finished"
    assert run.params["trainer.barebones"] is True
    assert recorded(run) == {}


def test_several_optimizers_by_hand(pl: ModuleType, tracked: Path):
    def configure(self):
        return [
            torch.optim.SGD(self.body[0].parameters(), lr=0.1),
            torch.optim.Adam(self.body[2].parameters(), lr=0.01),
        ]

    def step(self, batch, batch_idx):
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            loss = self.loss(batch)
            self.manual_backward(loss)
            optimizer.step()
        self.log("loss", loss, on_step=True)

    net = module(pl, configure_optimizers=configure, training_step=step)
    net.automatic_optimization = False
    logger = csv_logger(pl, tracked.parent)
    trainer(pl, logger=logger).fit(net, loader())
    run = autotrack.get_run("@last")
    assert recorded(run) == written(logger)
    assert (run.params["optimizer"], run.params["optimizer2"], run.params["optimizer2.lr"]) == ("SGD", "Adam", 0.01)
    assert run.metrics["lr/optimizer2"] == 0.01
    assert len(autotrack.runs()) == 1


def test_the_tuners_trial_leaves_nothing(pl: ModuleType, tracked: Path):
    import importlib

    tuner = importlib.import_module(f"{pl.__name__}.tuner").Tuner
    net, fit = module(pl), trainer(pl)
    tuner(fit).lr_find(net, loader(), num_training=3, min_lr=0.01, max_lr=0.02)
    assert len(autotrack.runs()) == 0
    fit.fit(net, loader())
    (run,) = autotrack.runs()
    assert len(run.history("train_loss_step")) == 8


def test_weights_callbacks_and_log_are_the_same_without(
    pl: ModuleType, tracked: Path, caplog: pytest.LogCaptureFixture
):
    def train():
        fit, net, before = trainer(pl), module(pl), None
        before = list(fit.callbacks)
        caplog.clear()
        torch.manual_seed(1)
        fit.fit(net, loader(), loader(16))
        assert fit.callbacks == before
        said = [record.getMessage() for record in caplog.records if record.name.startswith(pl.__name__)]
        return net.state_dict(), torch.get_rng_state(), said

    recorded_state, recorded_rng, recorded_log = train()
    assert len(autotrack.runs()) == 1
    autotrack.disable()
    plain_state, plain_rng, plain_log = train()
    assert len(autotrack.runs(store=tracked)) == 1
    assert all(torch.equal(plain_state[key], recorded_state[key]) for key in plain_state)
    assert torch.equal(plain_rng, recorded_rng)
    assert plain_log == recorded_log


def test_scores_of_scikit_learn_inside_go_to_the_run(pl: ModuleType, tracked: Path):
    def scores(self):
        from sklearn.metrics import accuracy_score

        accuracy_score([0, 1, 1, 1], [0, 1, 1, 0])

    trainer(pl).fit(module(pl, on_validation_epoch_end=scores), loader(), loader(16))
    (run,) = autotrack.runs()
    assert run.metrics["accuracy"] == 0.75

"""The callback and the logger, given by hand; with recording by itself, and without it."""

import copy
import pickle
import sys
from pathlib import Path
from types import ModuleType

import autotrack_lightning
import pytest
import torch

import autotrack
from tests.plugins.lightning.fits import csv_logger, loader, module, recorded, trainer, written


def of(pl: ModuleType, name: str):
    import importlib

    package = pl.__name__.partition(".")[0]
    return getattr(importlib.import_module(f"autotrack_lightning.for_{package}"), name)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store, and nothing enabled."""
    monkeypatch.chdir(tmp_path)
    autotrack.enable(store=tmp_path / ".autotrack", experiment="test", models="auto")
    autotrack.disable()
    return tmp_path / ".autotrack"


def test_the_callback_needs_nothing_else(pl: ModuleType, store: Path):
    mine = [of(pl, "AutotrackCallback")()]
    logger = csv_logger(pl, store.parent)
    fit = trainer(pl, callbacks=mine, logger=logger)
    fit.fit(module(pl), loader(), loader(16))
    fit.test(fit.lightning_module, loader(16), verbose=False)
    (run,) = autotrack.runs()
    assert (run.status, run.by, run.tags) == ("finished", "lightning", {})
    assert recorded(run) == written(logger)
    assert not autotrack.in_training()


def test_however_many_there_are_one_acts(pl: ModuleType, tracked: Path):
    logger = csv_logger(pl, tracked.parent)
    callbacks = [of(pl, "AutotrackCallback")() for _ in range(2)]
    fit = trainer(pl, callbacks=[callbacks[0]], logger=logger)
    fit.callbacks.append(callbacks[1])
    before = list(fit.callbacks)
    fit.fit(module(pl), loader(), loader(16))
    assert fit.callbacks == before
    (run,) = autotrack.runs()
    assert recorded(run) == written(logger)


def test_one_callback_for_two_trainers(pl: ModuleType, store: Path):
    mine = [of(pl, "AutotrackCallback")()]
    for _ in range(2):
        trainer(pl, callbacks=mine).fit(module(pl), loader())
    assert [len(run.history("train_loss_step")) for run in autotrack.runs()] == [8, 8]


def test_the_callback_pickles_and_is_copied_also_in_a_fit(pl: ModuleType, tracked: Path):
    callback, found = of(pl, "AutotrackCallback")(), []

    def pickles(self):
        found.append(pickle.loads(pickle.dumps(callback)))
        found.append(copy.deepcopy(callback))

    trainer(pl, callbacks=[callback]).fit(module(pl, on_train_epoch_end=pickles), loader())
    assert [type(one) for one in found] == [type(callback)] * 4
    assert callback.state_dict() == {}
    trainer(pl, callbacks=[found[0]]).fit(module(pl), loader())
    assert len(autotrack.runs()) == 2


def test_a_callback_inside_somebody_elses_training_is_silent(pl: ModuleType, store: Path):
    with autotrack.training("outer", "Outer") as outer:
        trainer(pl, callbacks=[of(pl, "AutotrackCallback")()]).fit(module(pl), loader())
        outer.end()
    (run,) = autotrack.runs()
    assert run.by == "outer"
    assert run.metrics == {}


# ---- the logger ----------------------------------------------------------------------------------------------------


def test_the_logger_alone(pl: ModuleType, store: Path):
    logger, other = of(pl, "AutotrackLogger")("mine", tags={"team": "a"}), csv_logger(pl, store.parent)
    fit = trainer(pl, logger=[logger, other], default_root_dir=store.parent)
    fit.fit(module(pl), loader(), loader(16))
    (run,) = autotrack.runs()
    assert (run.name, run.experiment, run.tags, run.status) == ("mine", "test", {"team": "a"}, "finished")
    assert recorded(run) == written(other)
    assert run.params["hidden"] == 4
    assert (logger.name, logger.version) == ("test", run.id)
    assert logger.experiment is autotrack.last_run()
    fit.test(fit.lightning_module, loader(16), verbose=False)
    assert autotrack.get_run(run.id).metrics["test_loss"] > 0


def test_the_logger_and_recording_by_itself_write_one_run_and_nothing_twice(pl: ModuleType, tracked: Path):
    def by_hand(self, batch, batch_idx):
        loss = self.loss(batch)
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        self.logger.log_metrics({"by_hand": batch_idx + 0.5}, step=self.global_step)
        return loss

    logger, other = of(pl, "AutotrackLogger")(name="other"), csv_logger(pl, tracked.parent)
    fit = trainer(pl, logger=[logger, other])
    fit.fit(module(pl, training_step=by_hand), loader(), loader(16))
    (run,) = autotrack.runs()
    assert run.name.startswith("Net-")
    assert run.experiment == "other"
    assert run.by == "lightning"
    found = recorded(run)
    assert [value for _, _, value in found.pop("by_hand")] == [0.5, 1.5, 2.5, 3.5] * 2
    assert found == written(other)


def test_a_second_fit_with_one_logger_is_a_second_run(pl: ModuleType, tracked: Path):
    logger = of(pl, "AutotrackLogger")()
    for _ in range(2):
        trainer(pl, logger=logger).fit(module(pl), loader())
    assert [len(run.history("train_loss_step")) for run in autotrack.runs()] == [8, 8]


def test_a_logger_of_a_fit_that_fails(pl: ModuleType, store: Path):
    def fails(self):
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        trainer(pl, logger=of(pl, "AutotrackLogger")()).fit(module(pl, on_train_epoch_end=fails), loader())
    run = autotrack.get_run("@last")
    assert run.status == "failed"
    assert run.error.type == "ValueError"


def test_checkpoints_of_a_logger_lie_in_its_folder(pl: ModuleType, tracked: Path):
    logger = of(pl, "AutotrackLogger")(save_dir=tracked.parent / "logs")
    fit = trainer(pl, logger=logger, enable_checkpointing=True)
    fit.fit(module(pl), loader(), loader(16))
    run = autotrack.get_run("@last")
    best = Path(fit.checkpoint_callback.best_model_path)
    assert best.parent == tracked.parent / "logs" / "test" / run.id / "checkpoints"
    assert autotrack.get_run("@last").facts["checkpoints"]["best"] == str(best)


def test_a_logger_alone_says_where_checkpoints_lie(pl: ModuleType, store: Path):
    """Without the callback: what Lightning tells its loggers of."""
    logger = of(pl, "AutotrackLogger")(save_dir=store.parent / "logs")
    fit = trainer(pl, logger=logger, enable_checkpointing=True)
    fit.fit(module(pl), loader(), loader(16))
    run = autotrack.get_run("@last")
    assert run.status == "finished"
    assert run.facts["checkpoints"] == {"best": fit.checkpoint_callback.best_model_path}
    assert Path(fit.checkpoint_callback.best_model_path).is_file()


def test_the_logger_pickles(pl: ModuleType, tracked: Path):
    logger = of(pl, "AutotrackLogger")("mine")
    trainer(pl, logger=logger).fit(module(pl), loader())
    assert pickle.loads(pickle.dumps(logger))._run_name == "mine"


# ---- which package is there ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_only_the_package_of_the_older_name_is_installed(script):
    done = script(
        """
        import sys, warnings
        warnings.simplefilter("ignore")
        sys.modules["lightning"] = None  # as where it is not installed
        import autotrack_lightning
        (integration,) = autotrack_lightning.autotrack_integrations()
        integration.enable()
        print(integration.status)
        import pytorch_lightning
        print(integration.status, integration.reason)
        """
    )
    waiting, active = done.stdout.splitlines()
    assert waiting == "waiting for its framework"
    assert active.startswith("active pytorch_lightning 2.")


# ---- which class is meant ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("first", ["lightning.pytorch", "pytorch_lightning"])
def test_the_class_suits_the_package_that_was_imported(first: str, script):
    script(
        f"""
        import sys, warnings
        warnings.simplefilter("ignore")
        import autotrack_lightning
        assert not {{"torch", "lightning", "pytorch_lightning"}} & set(sys.modules)
        import {first} as pl
        from autotrack_lightning import AutotrackCallback, AutotrackLogger
        assert issubclass(AutotrackCallback, pl.Callback)
        assert issubclass(AutotrackLogger, pl.loggers.Logger)
        assert not {{"lightning", "pytorch_lightning"}} - {{"{first}".partition(".")[0]}} & set(sys.modules)
        """
    )


def test_with_both_imported_the_class_suits_either(pl: ModuleType, store: Path):
    import lightning.pytorch
    import pytorch_lightning

    callback = autotrack_lightning.AutotrackCallback()
    assert isinstance(callback, lightning.pytorch.Callback)
    assert isinstance(callback, pytorch_lightning.Callback)
    trainer(pl, callbacks=callback, logger=autotrack_lightning.AutotrackLogger("both")).fit(module(pl), loader())
    assert autotrack.get_run("both").status == "finished"
    assert pickle.loads(pickle.dumps(callback)).__class__ is type(callback)
    with pytest.raises(AttributeError, match="no attribute"):
        _ = autotrack_lightning.Nothing


# ---- other ways to train -------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:(?s).*Jsonargparse")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:jsonargparse")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:lightning.pytorch.cli")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:pytorch_lightning.cli")
def test_lightning_cli(pl: ModuleType, tracked: Path, monkeypatch: pytest.MonkeyPatch):
    import importlib

    pytest.importorskip("jsonargparse")
    cli = importlib.import_module(f"{pl.__name__}.cli").LightningCLI

    class Net(type(module(pl))):
        def train_dataloader(self):
            return loader()

    settings = ["--trainer.max_epochs=1", "--trainer.logger=false", "--trainer.enable_progress_bar=false"]
    monkeypatch.setattr(sys, "argv", ["train.py", "fit", "--model.hidden=5", *settings])
    cli(Net, save_config_callback=None, seed_everything_default=0)
    run = autotrack.get_run("@last")
    assert run.params["hidden"] == 5
    assert len(run.history("train_loss_step")) == 4
    assert "_class_path" not in run.params


@pytest.mark.parametrize("package", ["lightning.fabric", "lightning_fabric"])
def test_a_loop_under_fabric_is_recorded_once_by_the_torch_plugin(package: str, tracked: Path):
    import importlib

    fabric = importlib.import_module(package).Fabric(accelerator="cpu", devices=1)
    torch.manual_seed(0)
    net = torch.nn.Linear(4, 2)
    net, optimizer = fabric.setup(net, torch.optim.SGD(net.parameters(), lr=0.1))
    data = fabric.setup_dataloaders(loader())
    losses = []
    for X, y in data:
        loss = torch.nn.functional.cross_entropy(net(X), y)
        optimizer.zero_grad()
        fabric.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    autotrack.disable()
    (run,) = autotrack.runs(store=tracked)
    assert run.by == "torch"
    assert [point.value for point in run.history("train/loss")] == losses

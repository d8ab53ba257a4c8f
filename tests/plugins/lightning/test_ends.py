"""How a fit ends, and what is on record then."""

import os
import signal
from pathlib import Path
from types import ModuleType

import pytest

import autotrack
from tests.plugins.lightning.conftest import PACKAGES
from tests.plugins.lightning.fits import loader, module, trainer

ROOT = Path(__file__).parents[3]


def test_a_crash_in_the_fifth_epoch_keeps_four(pl: ModuleType, tracked: Path):
    crash = ValueError("boom")

    def fails(self, batch, batch_idx):
        if self.current_epoch == 4 and batch_idx == 2:
            raise crash
        loss = self.loss(batch)
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    with pytest.raises(ValueError, match="boom") as caught:
        trainer(pl, max_epochs=6).fit(module(pl, training_step=fails), loader(), loader(16))
    assert caught.value is crash
    run = autotrack.get_run("@last")
    assert run.status == "failed"
    assert run.error.type == "ValueError"
    assert [point.epoch for point in run.history("train_loss_epoch")] == [0, 1, 2, 3]
    assert [point.epoch for point in run.history("val_loss")] == [0, 1, 2, 3]
    assert [point.step for point in run.history("train_loss_step")] == list(range(18))


def test_a_crash_while_a_checkpoint_is_written_keeps_the_epoch(pl: ModuleType, tracked: Path):
    def fails(self, checkpoint):
        if self.current_epoch == 1:
            raise OSError("disk full")

    fit = trainer(pl, enable_checkpointing=True, callbacks=[pl.callbacks.ModelCheckpoint(monitor="train_loss_epoch")])
    with pytest.raises(OSError, match="disk full"):
        fit.fit(module(pl, on_save_checkpoint=fails), loader())
    assert [point.epoch for point in autotrack.get_run("@last").history("train_loss_epoch")] == [0, 1]


def test_ctrl_c_arrives_as_system_exit_and_the_run_is_interrupted(pl: ModuleType, tracked: Path):
    def stops(self):
        if self.current_epoch == 1:
            raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit):
            trainer(pl).fit(module(pl, on_train_epoch_start=stops), loader())
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning leaves it ignored
    run = autotrack.get_run("@last")
    assert run.status == "interrupted"
    assert [point.epoch for point in run.history("train_loss_epoch")] == [0]
    assert list(run.models) == ["model"]


def test_sigterm(pl: ModuleType, tracked: Path):
    def told_to_end(self, batch, batch_idx):
        if self.global_step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit):
        trainer(pl).fit(module(pl, on_train_batch_start=told_to_end), loader())
    assert signal.getsignal(signal.SIGTERM) is handler
    run = autotrack.get_run("@last")
    assert run.status == "interrupted"
    assert any("SIGTERM" in text for _, text in run.notes)


def test_an_error_in_what_comes_after_the_training(pl: ModuleType, tracked: Path):
    def fails(self):
        raise RuntimeError("at the end")

    with pytest.raises(RuntimeError, match="at the end"):
        trainer(pl).fit(module(pl, on_fit_end=fails), loader())
    assert autotrack.get_run("@last").status == "failed"
    assert not autotrack.in_training()


def test_the_next_fit_after_a_failed_one(pl: ModuleType, tracked: Path):
    def fails(self, batch, batch_idx):
        raise RuntimeError("at once")

    fit = trainer(pl)
    with pytest.raises(RuntimeError, match="at once"):
        fit.fit(module(pl, training_step=fails), loader())
    trainer(pl).fit(module(pl), loader())
    assert [run.status for run in autotrack.runs()] == ["finished", "failed"]
    assert not any(type(one).__name__ == "AutotrackCallback" for one in fit.callbacks)


def test_a_fit_that_never_begins(pl: ModuleType, tracked: Path):
    with pytest.raises(Exception, match="training_step"):
        trainer(pl).fit(pl.LightningModule(), loader())
    assert len(autotrack.runs()) == 0
    assert not autotrack.in_training()


KILLED = """
    import os, signal, sys, warnings
    warnings.simplefilter("ignore")
    import importlib
    pl = importlib.import_module(sys.argv[1])
    from tests.plugins.lightning.fits import loader, module, trainer
    import autotrack

    def step(self, batch, batch_idx):
        if self.global_step == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        loss = self.loss(batch)
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    autotrack.enable()
    trainer(pl).fit(module(pl, training_step=step), loader())
"""


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES)
def test_kill_9_keeps_every_step_that_returned(package: str, script, tmp_path: Path):
    done = script(KILLED, package, check=False, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == -signal.SIGKILL, done.stderr
    run = autotrack.get_run("@last", store=tmp_path / ".autotrack")
    assert run.status == "killed"
    assert [point.step for point in run.history("train_loss_step")] == list(range(6))
    assert [point.epoch for point in run.history("train_loss_epoch")] == [0]

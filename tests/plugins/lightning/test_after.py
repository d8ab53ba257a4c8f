"""Tests after a fit, early stopping, checkpoints, resumed fits."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest
import torch

import autotrack
from tests.plugins.lightning.fits import csv_logger, loader, module, recorded, trainer, written


def test_test_and_validate_go_to_the_run_of_the_fit(pl: ModuleType, tracked: Path):
    logger = csv_logger(pl, tracked.parent)
    fit, net = trainer(pl, logger=logger), module(pl)
    fit.fit(net, loader(), loader(16))
    (tested,) = fit.test(net, loader(16, seed=5), verbose=False)
    (validated,) = fit.validate(net, loader(16, seed=6), verbose=False)
    (run,) = autotrack.runs()
    assert run.status == "finished"
    assert run.metrics["test_loss"] == tested["test_loss"]
    assert run.metrics["val_loss"] == validated["val_loss"]
    assert recorded(run) == written(logger)


def test_another_trainer_tests_the_same_module(pl: ModuleType, tracked: Path):
    net = module(pl)
    trainer(pl).fit(net, loader())
    (first,) = trainer(pl).test(net, loader(16, seed=5), verbose=False)
    (run,) = autotrack.runs()
    assert run.metrics["test_loss"] == first["test_loss"]


def test_a_test_without_a_fit(pl: ModuleType, tracked: Path):
    trainer(pl).test(module(pl), loader(16), verbose=False)
    trainer(pl).predict(module(pl), loader(16))
    assert len(autotrack.runs()) == 0
    with autotrack.start_run("by hand") as run:
        (found,) = trainer(pl).test(module(pl), loader(16), verbose=False)
    assert autotrack.get_run(run.id).metrics["test_loss"] == found["test_loss"]


def test_predict_leaves_the_run_as_it_is(pl: ModuleType, tracked: Path):
    fit, net = trainer(pl), module(pl)
    fit.fit(net, loader())
    before = autotrack.get_run("@last").metrics
    assert len(fit.predict(net, loader(16))) == 2
    (run,) = autotrack.runs()
    assert run.metrics == before


def stopping(pl: ModuleType, **settings):
    return importlib.import_module(f"{pl.__name__}.callbacks").EarlyStopping("val_loss", **settings)


def test_early_stopping(pl: ModuleType, tracked: Path):
    callback = stopping(pl, patience=1, min_delta=10.0)
    trainer(pl, max_epochs=9, callbacks=[callback]).fit(module(pl), loader(), loader(16))
    run = autotrack.get_run("@last")
    settings = {"monitor": "val_loss", "mode": "min", "patience": 1, "min_delta": 10.0}
    assert {key: run.params[f"early_stopping.{key}"] for key in settings} == settings
    assert run.facts["early_stopping"] == {
        "monitor": "val_loss", "stopped_epoch": callback.stopped_epoch, "best_score": callback.best_score.item(),
        "wait_count": 1,
    }  # fmt: skip


def checkpointing(pl: ModuleType, folder: Path, **settings):
    callbacks = importlib.import_module(f"{pl.__name__}.callbacks")
    return callbacks.ModelCheckpoint(folder, **{"monitor": "val_loss", "save_last": True, **settings})


def test_the_best_checkpoint_is_kept_and_can_be_loaded(pl: ModuleType, tracked: Path):
    def gets_worse(self, batch, batch_idx):
        self.log("val_loss", torch.tensor(float(self.current_epoch != 1)))

    callback = checkpointing(pl, tracked.parent / "kept")
    fit = trainer(pl, max_epochs=4, callbacks=[callback], enable_checkpointing=True)
    net = module(pl, validation_step=gets_worse)
    fit.fit(net, loader(), loader(16))
    run = autotrack.get_run("@last")
    assert run.facts["checkpoints"] == {
        "best": callback.best_model_path, "last": callback.last_model_path, "monitor": "val_loss", "score": 0.0,
    }  # fmt: skip
    assert {"checkpoints/last.ckpt", f"checkpoints/{Path(callback.best_model_path).name}"} <= run.artifacts.keys()
    best = torch.load(callback.best_model_path, weights_only=True)["state_dict"]
    with run._open(f"artifacts/checkpoints/{Path(callback.best_model_path).name}") as file:
        assert file.read() == Path(callback.best_model_path).read_bytes()
    kept = state(autotrack.load_model("@last/model-best"))
    assert all(torch.equal(kept[key], best[key]) for key in best)
    last = state(autotrack.load_model("@last/model"))
    assert all(torch.equal(last[key], value) for key, value in net.state_dict().items())
    assert not all(torch.equal(last[key], kept[key]) for key in best)


def state(model):
    """The class of the test's module is nowhere to be imported from: the state dict is given."""
    return model if isinstance(model, dict) else model.state_dict()


@pytest.mark.parametrize(
    ("setting", "text"),
    [("MODEL_MAX_MB", "more than"), ("SESSION_MAX_GB", "one process saves"), ("STORE_MAX_GB", "the store takes")],
)
def test_a_checkpoint_above_a_limit_stays_where_it_is(
    pl: ModuleType, tracked: Path, monkeypatch: pytest.MonkeyPatch, setting: str, text: str
):
    monkeypatch.setenv(f"AUTOTRACK_{setting}", "1e-6")
    autotrack.enable(store=tracked, experiment="test")
    callback = checkpointing(pl, tracked.parent / "kept")
    trainer(pl, callbacks=[callback], enable_checkpointing=True).fit(module(pl), loader(), loader(16))
    run = autotrack.get_run("@last")
    assert not any(name.startswith("checkpoints/") for name in run.artifacts)
    assert any(callback.last_model_path in told and text in told for _, told in run.notes)


def test_no_files_where_none_are_wanted(pl: ModuleType, tracked: Path):
    autotrack.enable(store=tracked, experiment="test", models="never")
    callback = checkpointing(pl, tracked.parent / "kept")
    trainer(pl, callbacks=[callback], enable_checkpointing=True).fit(module(pl), loader(), loader(16))
    run = autotrack.get_run("@last")
    assert not run.models
    assert not any(name.startswith("checkpoints/") for name in run.artifacts)


def test_a_resumed_fit_goes_on_counting_and_names_the_checkpoint(pl: ModuleType, tracked: Path):
    callback = checkpointing(pl, tracked.parent / "kept")
    trainer(pl, callbacks=[callback], enable_checkpointing=True).fit(module(pl), loader(), loader(16))
    logger = csv_logger(pl, tracked.parent)
    again = checkpointing(pl, tracked.parent / "kept")
    fit = trainer(pl, max_epochs=4, logger=logger, callbacks=[again], enable_checkpointing=True)
    fit.fit(module(pl), loader(), loader(16), ckpt_path=callback.last_model_path, weights_only=False)
    run = autotrack.get_run("@last")
    assert run.tags["resumed_from"] == callback.last_model_path
    assert run.facts["resumed"]["step"] == 8
    assert [point.step for point in run.history("train_loss_step")] == list(range(8, 16))
    assert recorded(run) == written(logger)


def test_checkpoints_hold_nothing_of_ours(pl: ModuleType, tracked: Path):
    callback = checkpointing(pl, tracked.parent / "kept")
    trainer(pl, callbacks=[callback], enable_checkpointing=True).fit(module(pl), loader(), loader(16))
    assert b"autotrack" not in Path(callback.last_model_path).read_bytes()

"""What went into a module, as the first batches of its loader had it."""

from pathlib import Path
from types import ModuleType

import torch

import autotrack
from tests.plugins.lightning.fits import loader, module, trainer


def test_the_models_of_a_fit_have_it(pl: ModuleType, tracked: Path):
    checkpoint = pl.callbacks.ModelCheckpoint(monitor="val_loss", dirpath=tracked.parent / "c")
    fit = trainer(pl, callbacks=[checkpoint], enable_checkpointing=True)
    fit.fit(module(pl), loader(), loader(16, seed=1))
    for name in ("model", "model-best"):
        stored = autotrack.get_model(f"@last/{name}")
        assert stored.signature == {"inputs": {"shape": [None, 4], "dtype": "float32"}}
        assert stored.check(torch.zeros(2, 4)) == []
        assert stored.check(torch.zeros(2, 3)) == ["the data has 3 columns, the model was trained on 4"]

"""Small modules and Trainers, for whichever of the two packages."""

import csv
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def loader(rows: int = 32, batch_size: int = 8, seed: int = 0) -> DataLoader:
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(rows, 4, generator=generator)
    return DataLoader(TensorDataset(X, (X.sum(1) > 0).long()), batch_size=batch_size)


def module(pl: ModuleType, **methods: Any) -> Any:
    """A LightningModule; ``methods`` come on top of those that it has."""

    class Net(pl.LightningModule):
        def __init__(self, hidden: int = 4, lr: float = 0.1):
            super().__init__()
            self.save_hyperparameters()
            self.body = nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, 2))

        def loss(self, batch):
            return nn.functional.cross_entropy(self.body(batch[0]), batch[1])

        def training_step(self, batch, batch_idx):
            loss = self.loss(batch)
            self.log("train_loss", loss, on_step=True, on_epoch=True)
            return loss

        def validation_step(self, batch, batch_idx):
            self.log("val_loss", self.loss(batch))

        def test_step(self, batch, batch_idx):
            self.log("test_loss", self.loss(batch))

        def predict_step(self, batch, batch_idx):
            return self.body(batch[0])

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=self.hparams.lr)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
            return {"optimizer": optimizer, "lr_scheduler": scheduler}

    arguments = methods.pop("arguments", {})
    torch.manual_seed(0)
    return type("Net", (Net,), methods)(**arguments)


def trainer(pl: ModuleType, **settings: Any) -> Any:
    return pl.Trainer(
        **{
            "max_epochs": 2,
            "accelerator": "cpu",
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "log_every_n_steps": 1,
            **settings,
        }
    )


def csv_logger(pl: ModuleType, folder: Path) -> Any:
    import importlib

    return importlib.import_module(f"{pl.__name__}.loggers").CSVLogger(folder)


def written(logger: Any) -> dict[str, list[tuple[int, int | None, float]]]:
    """What a CSVLogger wrote: (step, epoch, value) of each metric, in its order; it has no epoch of single batches."""
    found: dict[str, list[tuple[int, int | None, float]]] = {}
    with (Path(logger.log_dir) / "metrics.csv").open() as file:
        for row in csv.DictReader(file):
            for key, text in row.items():
                if text and key not in ("step", "epoch"):
                    found.setdefault(key, []).append(
                        (int(row["step"]), int(row["epoch"]) if row["epoch"] else None, float(text))
                    )
    return found


def recorded(run: Any) -> dict[str, list[tuple[int, int, float]]]:
    """What a run holds, in the same form, without learning rates."""
    return {
        key: [(point.step, point.epoch, point.value) for point in run.history(key)]
        for key in run.metrics
        if not key.startswith("lr")
    }

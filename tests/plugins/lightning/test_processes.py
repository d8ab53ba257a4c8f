"""Several processes: the script relaunched, spawned children, forked children. One run, of rank zero."""

import textwrap
from pathlib import Path

import pytest

import autotrack
from tests.plugins.lightning.conftest import PACKAGES

ROOT = Path(__file__).parents[3]

SCRIPT = """
    import importlib, sys, warnings
    from pathlib import Path
    warnings.simplefilter("ignore")
    import torch
    from torch import nn
    import autotrack
    from torch.utils.data import DataLoader, TensorDataset

    package, strategy, how = sys.argv[1:4]
    pl = importlib.import_module(package)

    class Net(pl.LightningModule):
        def __init__(self, lr=0.1):
            super().__init__()
            self.save_hyperparameters()
            self.body = nn.Linear(4, 2)

        def loss(self, batch):
            return nn.functional.cross_entropy(self.body(batch[0]), batch[1])

        def training_step(self, batch, batch_idx):
            loss = self.loss(batch)
            self.log("train_loss", loss, on_step=True, on_epoch=True, sync_dist=True)
            return loss

        def validation_step(self, batch, batch_idx):
            self.log("val_loss", self.loss(batch), sync_dist=True)

        def test_step(self, batch, batch_idx):
            self.log("test_loss", self.loss(batch), sync_dist=True)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)

    def loader():
        X = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
        return DataLoader(TensorDataset(X, (X.sum(1) > 0).long()), batch_size=4)

    def main():
        callbacks = []
        if how == "enabled":
            autotrack.enable(store="there", experiment="spread")
        else:
            from autotrack_lightning import AutotrackCallback
            callbacks = [AutotrackCallback()]
        torch.manual_seed(0)
        loggers = importlib.import_module(package + ".loggers")
        trainer = pl.Trainer(
            max_epochs=2, accelerator="cpu", devices=2, strategy=strategy, callbacks=callbacks, log_every_n_steps=1,
            logger=loggers.CSVLogger("."), enable_progress_bar=False, enable_model_summary=False,
            num_sanity_val_steps=1,
        )
        net = Net()
        trainer.fit(net, loader(), loader())
        assert not any("Autotrack" in type(one).__name__ for one in trainer.callbacks) or callbacks
        if strategy != "ddp":
            Path("lightning_logs").rename("kept_logs")  # a logger in a new process begins the file anew
        (tested,) = trainer.test(net, loader(), verbose=False)
        if trainer.is_global_zero:
            print("tested", repr(tested["test_loss"]))

    if __name__ == "__main__":
        main()
"""


def csv_of(folder: Path) -> dict[str, list[tuple[int, float]]]:
    import csv

    found: dict[str, list[tuple[int, float]]] = {}
    with next(folder.glob("version_0/metrics.csv")).open() as file:
        for row in csv.DictReader(file):
            for key, text in row.items():
                if text and key not in ("step", "epoch"):
                    found.setdefault(key, []).append((int(row["step"]), float(text)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("how", ["enabled", "by_hand"])
@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn", "ddp_fork"])
@pytest.mark.parametrize("package", PACKAGES)
def test_one_run_of_rank_zero(package: str, strategy: str, how: str, script, tmp_path: Path):
    done = script(textwrap.dedent(SCRIPT), package, strategy, how, timeout=240)
    store = tmp_path / ("there" if how == "enabled" else ".autotrack")
    (run,) = autotrack.runs(store=store)
    assert run.status == "finished"
    assert not run.incomplete
    assert not run.problems
    assert run.experiment == ("spread" if how == "enabled" else "train")
    assert run.params["trainer.devices"] == 2
    assert run.params["lr"] == 0.1
    assert list(run.models) == ["model"]
    theirs = csv_of(tmp_path / ("lightning_logs" if strategy == "ddp" else "kept_logs"))
    assert ("test_loss" in theirs) is (strategy == "ddp")
    tested = next(line for line in done.stdout.splitlines() if line.startswith("tested"))
    assert repr(run.metrics["test_loss"]) == tested.split()[1]
    ours = {key: [(point.step, point.value) for point in run.history(key)] for key in run.metrics if key != "lr"}
    if strategy != "ddp":
        assert len(ours.pop("test_loss")) == 1
    assert ours == theirs

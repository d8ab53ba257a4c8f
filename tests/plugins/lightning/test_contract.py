"""The patch contract, for both packages."""

import pytest

from autotrack.testing.integration_suite import IntegrationSuite

SOURCE = """
    import logging, warnings
    warnings.simplefilter("ignore")
    import {package} as pl
    import torch
    from torch.utils.data import DataLoader, TensorDataset
    for name in ("lightning.pytorch", "pytorch_lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)

    class Net(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.body = torch.nn.Linear(2, 1)

        def training_step(self, batch, batch_idx):
            loss = self.body(batch[0]).square().mean()
            self.log("loss", loss, on_step=True)
            return loss

        def validation_step(self, batch, batch_idx):
            self.log("val_loss", self.body(batch[0]).square().mean())

        def test_step(self, batch, batch_idx):
            self.log("test_loss", self.body(batch[0]).square().mean())

        def predict_step(self, batch, batch_idx):
            return self.body(batch[0])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    def train():
        loader = DataLoader(TensorDataset(torch.ones(4, 2)), batch_size=2)
        torch.manual_seed(0)
        net = Net()
        trainer = pl.Trainer(
            max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, num_sanity_val_steps=0,
        )
        trainer.fit(net, loader, loader)
        trainer.validate(net, loader, verbose=False)
        trainer.test(net, loader, verbose=False)
        predicted = trainer.predict(net, loader)
        return [net.body.weight.tolist(), [one.tolist() for one in predicted]]
"""


def patched(package: str) -> tuple[str, ...]:
    calls = tuple(f"{package}:Trainer.{name}" for name in ("fit", "validate", "test", "predict"))
    connector = f"{package}.trainer.connectors.logger_connector.logger_connector"
    return (*calls, f"{connector}:_LoggerConnector.update_train_step_metrics")


@pytest.mark.slow
class TestLightning(IntegrationSuite):
    integration = "lightning"
    modules = ("lightning.pytorch",)
    patched = patched("lightning.pytorch")
    source = SOURCE.replace("{package}", "lightning.pytorch")


@pytest.mark.slow
class TestPytorchLightning(IntegrationSuite):
    integration = "lightning"
    modules = ("pytorch_lightning",)
    patched = patched("pytorch_lightning")
    source = SOURCE.replace("{package}", "pytorch_lightning")

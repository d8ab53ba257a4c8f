"""What went into the model of a loop and what came out of it, as its loaders and losses had it."""

import json

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import autotrack
from autotrack.backends.housekeeping import housekeeper
from tests.plugins.torch.loops import steps, textbook


def models() -> dict[str, autotrack.StoredModel]:
    autotrack.disable()
    assert housekeeper.wait_idle(60)
    (run,) = autotrack.runs()
    return {name: autotrack.get_model(f"{run.id}/{name}") for name in run.models}


def train(loader, model, take=lambda batch: batch[0]) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for batch in loader:
        optimizer.zero_grad()
        model(take(batch)).float().sum().backward()
        optimizer.step()


def test_a_loop_with_an_evaluation(tracked):
    textbook(2)
    found = models()
    expected = {"inputs": {"shape": [None, 4], "dtype": "float32"}, "outputs": {"shape": [None, 3], "dtype": "float32"}}
    assert {name: stored.signature for name, stored in found.items()} == {"model": expected, "model-best": expected}
    stored = found["model"]
    assert stored.check(torch.zeros(7, 4)) == []
    assert stored.check(torch.zeros(7, 5)) == ["the data has 5 columns, the model was trained on 4"]
    assert stored.check(torch.zeros(4)) == ["the data has 1 dimension, the model was trained on 2"]


def test_images_without_an_evaluation(tracked):
    data = TensorDataset(torch.zeros(6, 3, 8, 8), torch.zeros(6))
    train(DataLoader(data, batch_size=4), nn.Sequential(nn.Flatten(), nn.Linear(192, 1)))
    (stored,) = models().values()
    assert stored.signature == {"inputs": {"shape": [None, 3, 8, 8], "dtype": "float32"}}
    assert stored.check(torch.zeros(1, 1, 8, 8)) == ["the data has 1 entry along axis 1, the model was trained on 3"]


def test_lengths_that_differ_are_left_open(tracked):
    batches = [torch.zeros(2, length, 4) for length in (5, 7, 9)]
    train(DataLoader(batches, batch_size=None), nn.Linear(4, 1), take=lambda batch: batch)
    (stored,) = models().values()
    assert stored.signature["inputs"] == {"shape": [None, None, 4], "dtype": "float32"}
    assert stored.check(torch.zeros(1, 100, 4)) == []


@pytest.mark.filterwarnings("ignore:.*nested tensors:UserWarning")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged], ids=["strided", "jagged"])
def test_nested_tensors_have_no_shape(tracked, layout):
    rows = [torch.zeros(length, 4) for length in (2, 3, 4, 5)]
    loader = DataLoader(rows, batch_size=2, collate_fn=lambda batch: torch.nested.nested_tensor(batch, layout=layout))
    train(loader, nn.Linear(4, 1), take=lambda batch: torch.cat(batch.unbind()))
    (stored,) = models().values()
    assert stored.signature == {}
    (run,) = autotrack.runs()
    assert not run.incomplete
    assert run.history("train/loss_epoch")[0].value is not None


def test_batches_that_are_mappings(tracked):
    rows = [{"x": torch.zeros(4), "id": 3, "mask": torch.ones(2, dtype=torch.bool)}] * 4
    train(DataLoader(rows, batch_size=2), nn.Linear(4, 1), take=lambda batch: batch["x"])
    (stored,) = models().values()
    assert stored.signature["inputs"]["tensors"]["x"] == {"shape": [None, 4], "dtype": "float32"}
    assert stored.check({"x": torch.zeros(3, 4), "mask": torch.zeros(3, 2), "id": torch.zeros(3)}) == []
    assert stored.check({"x": torch.zeros(3, 5), "id": torch.zeros(3)}) == [
        "missing of the mapping: 'mask'", "x: the data has 5 columns, the model was trained on 4",
    ]  # fmt: skip
    assert stored.check(torch.zeros(3, 4)) == [
        "the data is one array, the model was trained on a mapping of 'x', 'id', 'mask'"
    ]


def test_without_a_loader_nothing_is_known_and_that_is_said(tracked):
    model = nn.Linear(4, 3)
    steps(model, torch.optim.SGD(model.parameters(), lr=0.1), 3)
    (stored,) = models().values()
    assert stored.signature == {}
    with pytest.raises(autotrack.ModelError, match="it has no signature"):
        stored.check(torch.zeros(1, 4))


def test_of_several_models_it_is_not_known_which_took_the_batch(tracked):
    one, two = nn.Linear(4, 3), nn.Linear(3, 4)
    optimizers = [torch.optim.SGD(part.parameters(), lr=0.1) for part in (one, two)]
    for (batch,) in DataLoader(TensorDataset(torch.randn(8, 4)), batch_size=4):
        two(one(batch)).square().mean().backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    found = models()
    assert len(found) == 2
    assert [stored.signature for stored in found.values()] == [{}, {}]
    loaded = [stored.load() for stored in found.values()]
    assert sorted(layer.in_features for layer in loaded) == [3, 4]


def test_it_stands_in_the_folder_that_is_exported(tracked, tmp_path):
    data = TensorDataset(torch.randn(12, 4), torch.zeros(12, 2))
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in (loader := DataLoader(data, batch_size=4)):
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
    with torch.no_grad():
        for x, y in DataLoader(loader.dataset, batch_size=4):
            nn.functional.mse_loss(model(x), y)
    models()["model"].export(tmp_path / "out")
    signature = json.loads((tmp_path / "out/MLmodel").read_text())["signature"]
    specs = {side: json.loads(signature[side])[0]["tensor-spec"] for side in ("inputs", "outputs")}
    assert specs == {
        "inputs": {"dtype": "float32", "shape": [-1, 4]}, "outputs": {"dtype": "float32", "shape": [-1, 2]},
    }  # fmt: skip

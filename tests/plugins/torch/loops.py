"""Training loops as people write them; each returns what it computed itself."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self, hidden: int = 8):
        super().__init__()
        self.hidden = hidden
        self.body = nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Dropout(0.1), nn.Linear(hidden, 3))

    def forward(self, x):
        return self.body(x)


def data(rows: int, seed: int = 0) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(rows, 4, generator=generator)
    return TensorDataset(X, (X.sum(1) > 0).long() + (X[:, 0] > 1).long())


def textbook(epochs: int = 3, seed: int = 0, patience: int = 100):
    """Train, validate, scheduler, early stopping."""
    torch.manual_seed(seed)
    train_loader = DataLoader(data(22), batch_size=8, shuffle=True)
    val_loader = DataLoader(data(12, 1), batch_size=8)
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    criterion = nn.CrossEntropyLoss()
    seen = {"losses": [], "val": [], "sizes": [], "model": model, "lr": []}
    best, bad = float("inf"), 0
    for _ in range(epochs):
        model.train()
        for X, y in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(X), y)
            loss.backward()
            optimizer.step()
            seen["losses"].append(loss.item())
            seen["sizes"].append(len(X))
        model.eval()
        total = 0.0
        with torch.no_grad():
            for X, y in val_loader:
                total += criterion(model(X), y).item() * len(X)
        seen["val"].append(total / 12)
        seen["lr"].append(optimizer.param_groups[0]["lr"])
        scheduler.step()
        bad = 0 if seen["val"][-1] < best else bad + 1
        best = min(best, seen["val"][-1])
        if bad >= patience:
            break
    seen["state"] = {key: value.clone() for key, value in model.state_dict().items()}
    return seen


def steps(model, optimizer, count: int = 3, seed: int = 0) -> list[float]:
    """A loop without a DataLoader; the losses."""
    X, y = data(16, seed).tensors
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(X), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def values(run, key: str) -> list[float]:
    return [point.value for point in run.history(key)]

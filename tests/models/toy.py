"""A model format without a framework: no helper process, nothing to import."""

import json
from typing import Any

import autotrack
from autotrack import models


class Toy:
    """A model of one number."""

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def predict(self, data: Any) -> list[float]:
        return [self.slope * row[0] for row in data]


class ToyFormat:
    name = "toy"

    def can_save(self, model):
        return isinstance(model, Toy)

    def cost(self, model):
        return 0.0, 10

    def save(self, model):
        return autotrack.Saved(json.dumps(model.slope).encode(), ".toy", self.name, {"msgspec": "0.1.0"})

    def convert(self, data):
        raise autotrack.ModelError("it is what it should be")

    def untrusted(self, data):
        return ["toy.Strange"] if json.loads(data) < 0 else []

    def load(self, data, trusted):
        return Toy(json.loads(data))

    def export(self, data, file):
        return autotrack.Exported(f"def load(folder='.'):\n    return {json.loads(data)}\n", {})


def log_toy(slope: float, name: str = "model", **params: Any) -> str:
    """A run with a toy model; its id."""
    models.register_format(ToyFormat())
    with autotrack.start_run() as run:
        run.log_params(params)
        run.log_model(Toy(slope), name)
    return run.id

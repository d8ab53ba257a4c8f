"""Until a tracker is ready in a fresh process, by the process's own clock, without the interpreter's start.

``import autotrack; autotrack.enable()`` is compared with what it cannot do without (msgspec, pluggy, the entry
points). The peers are imported and begin as their documentation shows: ``mlflow.sklearn.autolog()`` where
scikit-learn is imported already, ``wandb.init(mode="offline")``, ``SummaryWriter()`` where torch is imported already,
``trackio.init()``. What a peer does with its first record, as MLflow makes its data base, is not in here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from common import Case, Found, Turn, added, bench, emit

PROGRAMS = {
    "nothing": ("", "pass"),
    "needed": (
        "",
        "import importlib.metadata, msgspec, pluggy; list(importlib.metadata.entry_points(group='autotrack'))",
    ),
    "import": ("", "import autotrack"),
    "enable": ("", "import autotrack; autotrack.enable()"),
    "enable after scikit-learn": ("import sklearn.linear_model", "import autotrack; autotrack.enable()"),
    "mlflow": ("import sklearn.linear_model", "import mlflow; mlflow.sklearn.autolog()"),
    "wandb": ("", "import wandb; wandb.init(project='p', mode='offline')"),
    "tensorboard": ("import torch", "from torch.utils.tensorboard import SummaryWriter; SummaryWriter('logs')"),
    "trackio": ("", "import trackio; trackio.init(project='p')"),
}
NEEDS = {
    "enable after scikit-learn": ("scikit-learn",),
    "mlflow": ("mlflow",),
    "wandb": ("wandb",),
    "tensorboard": ("tensorboard", "torch"),
    "trackio": ("trackio",),
}


def measure(name: str, folder: Path) -> Iterator[Turn]:
    """A process that does nothing but this, started from the case's: what is imported there does not count."""
    first, code = PROGRAMS[name]
    timed = f"{first}\nimport time; t = time.perf_counter()\n{code}\nt = time.perf_counter() - t\n"
    timed += "import sys; sys.stderr.write(f'seconds: {t}')"
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled code is cached, as in any installation
    while True:
        found = []
        for _ in range(1 if name in NEEDS else 3):
            done = subprocess.run(
                [sys.executable, "-c", timed],
                cwd=folder, env=environment, check=True, capture_output=True, text=True, timeout=120,
            )  # fmt: skip
            found.append(float(done.stderr.rpartition("seconds: ")[2].split()[0]))
        yield {"seconds": found}


CASES = {name: Case(partial(measure, name), NEEDS.get(name, ())) for name in PROGRAMS}


def report(found: Found) -> None:
    seconds = {name: figures["seconds"] for name, figures in found.items()}
    emit("import: msgspec, pluggy, entry points", added(seconds["needed"], seconds["nothing"]), "ms")
    emit("import: import autotrack alone", added(seconds["import"], seconds["nothing"]), "ms")
    emit("import: added by autotrack.enable()", added(seconds["enable"], seconds["needed"]), "ms", at_most=25.0)
    for name in NEEDS:
        if name in seconds:
            emit(f"import: until ready, {name}", seconds[name], "ms")


if __name__ == "__main__":
    bench(CASES, report, rounds=12, seconds=55)

"""Both packages, one after the other; what they warn of in every small training is nothing that is tested here."""

import importlib
import logging
import warnings
from collections.abc import Iterator
from types import ModuleType

import pytest

PACKAGES = ["lightning.pytorch", "pytorch_lightning"]
QUIET = (
    "ignore:.*does not have many workers",
    "ignore:.*log_every_n_steps",
    "ignore:.*exists and is not empty",
    "ignore:.*but have no `val_dataloader`",
    "ignore:`isinstance.treespec, LeafSpec.`:FutureWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "plugins/lightning" in item.path.as_posix():
            for text in QUIET:
                item.add_marker(pytest.mark.filterwarnings(text))


@pytest.fixture(params=PACKAGES)
def pl(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """``lightning.pytorch`` or ``pytorch_lightning``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module(request.param)
    for name in ("lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.ERROR)
    return module

"""autotrack's plugin for training loops written in plain PyTorch.

Importing it does not import torch.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import autotrack

if TYPE_CHECKING:
    from autotrack_torch.checkpoints import CheckpointFormat
    from autotrack_torch.formats import SafetensorsFormat
    from autotrack_torch.integration import Recorder


class TorchIntegration(autotrack.Integration):
    """Records training loops written in plain PyTorch; what does it is imported with torch."""

    name = "torch"
    modules = ("torch", "torchmetrics.metric", "torch.utils.tensorboard.writer")
    minimum = ("torch", "2.4")

    _recorder: Recorder | None = None

    def install(self, module: ModuleType, patches: autotrack.PatchSet) -> None:
        """Have the recorder patch what has been imported."""
        if self._recorder is None:
            from autotrack_torch.integration import Recorder  # noqa: PLC0415

            self._recorder = Recorder()
        self._recorder.install(module, patches)

    def close(self) -> None:
        """End the loops that are open."""
        if self._recorder is not None:
            self._recorder.close()


@autotrack.hookimpl
def autotrack_integrations() -> list[autotrack.Integration]:
    """Record loops of ``backward()`` and ``optimizer.step()``."""
    return [TorchIntegration()]


@autotrack.hookimpl
def autotrack_model_formats() -> list[SafetensorsFormat | CheckpointFormat]:
    """Keep modules with safetensors, state dicts and checkpoints as files of ``torch.save``."""
    from autotrack_torch.checkpoints import CheckpointFormat  # noqa: PLC0415  enable() does not need it
    from autotrack_torch.formats import SafetensorsFormat  # noqa: PLC0415

    return [SafetensorsFormat(), CheckpointFormat()]

"""autotrack's plugin for training loops written in plain PyTorch.

Importing it does not import torch.
"""

from __future__ import annotations

import autotrack
from autotrack_torch.formats import SafetensorsFormat
from autotrack_torch.integration import TorchIntegration


@autotrack.hookimpl
def autotrack_integrations() -> list[autotrack.Integration]:
    """Record loops of ``backward()`` and ``optimizer.step()``."""
    return [TorchIntegration()]


@autotrack.hookimpl
def autotrack_model_formats() -> list[SafetensorsFormat]:
    """Keep modules with safetensors."""
    return [SafetensorsFormat()]

"""autotrack's plugin for ONNX: models that were exported to it are kept, checked and loaded.

Importing it does not import onnx.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import autotrack

if TYPE_CHECKING:
    from autotrack_onnx.formats import OnnxFormat


@autotrack.hookimpl
def autotrack_model_formats() -> list[OnnxFormat]:
    """Keep models of ONNX."""
    from autotrack_onnx.formats import OnnxFormat  # noqa: PLC0415  enable() does not need it

    return [OnnxFormat()]

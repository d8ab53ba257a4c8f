"""Files of ``torch.save``: state dicts and checkpoints, of tensors and plain values alone.

Only ``torch.load(weights_only=True)`` opens them, which makes no object of a class that a file names. A file with a
pickled module in it is not taken: its state dict is what can be kept.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import io
import re
import sys
import zipfile
from collections import OrderedDict
from typing import Any

import autotrack

__all__ = ["CheckpointFormat"]

_SECONDS_PER_BYTE = 1 / 300e6  # written, and read again to know that it can be
_DEPTH = 3
_FORBIDDEN = re.compile(r"GLOBAL (\S+)")

_LOAD = '''\
"""Load what is in this folder: tensors and plain values, nothing is unpickled. autotrack is not needed."""

from pathlib import Path

import torch


def load(folder=Path(__file__).parent):
    return torch.load(Path(folder) / {file!r}, map_location="cpu", weights_only=True)


if __name__ == "__main__":
    print(list(load()))
'''


class CheckpointFormat:
    """Files of ``torch.save`` that open with ``weights_only=True``."""

    name = "torch"
    suffixes = (".pt", ".pth", ".ckpt")

    def can_save(self, model: Any) -> bool:
        """Whether it is a mapping with tensors in it: a state dict, a checkpoint."""
        tensor = getattr(sys.modules.get("torch"), "Tensor", None)
        return tensor is not None and type(model) in (dict, OrderedDict) and _holds(model, tensor, _DEPTH)

    def cost(self, model: Any) -> tuple[float, int]:
        """Predicted (seconds, bytes) of ``save``, from sizes alone."""
        size = _size(model)
        return size * _SECONDS_PER_BYTE, size

    def save(self, model: Any) -> autotrack.Saved:
        """The mapping as the bytes of a file."""
        buffer = io.BytesIO()
        try:
            sys.modules["torch"].save(model, buffer)
        except Exception as error:  # whatever an object in it raises
            raise autotrack.ModelError(f"torch cannot save it ({type(error).__name__}: {error})") from error
        return self.of_file(buffer.getvalue())

    def convert(self, data: bytes) -> autotrack.Saved:
        """Nothing has to be turned."""
        raise autotrack.ModelError("files of torch.save stay as they are")

    def of_file(self, data: bytes) -> autotrack.Saved:
        """A file that a person made, once it is known to open."""
        content = self.load(data, [])
        cls = f"{type(content).__module__}.{type(content).__name__}"
        return autotrack.Saved(data, ".pt", self.name, {"torch": importlib.metadata.version("torch")}, cls=cls)

    def untrusted(self, data: bytes) -> list[str]:
        """Nothing that a word could change: what is more than tensors and plain values is refused on loading."""
        return []

    def load(self, data: bytes, trusted: list[str]) -> Any:
        """Its tensors, on the CPU, and plain values."""
        _refuse_bomb(data)
        try:
            torch = importlib.import_module("torch")
        except ImportError:
            raise autotrack.ModelError("torch is not installed: pip install torch") from None
        try:
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except Exception as error:
            named = _FORBIDDEN.search(str(error))
            why = f"it names {named[1]}" if named else f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            raise autotrack.ModelError(
                f"torch.load(weights_only=True) does not open the file ({why}). Files of tensors and plain values are "
                "opened: torch.save(model.state_dict(), path), or log_model(model) with the module itself."
            ) from error

    def export(self, data: bytes, file: str) -> autotrack.Exported:
        """The same file; MLflow has no flavor for it."""
        return autotrack.Exported(_LOAD.format(file=file), {})


def _holds(value: Any, tensor: type, depth: int) -> bool:
    if type(value) in (dict, OrderedDict) and depth:
        return any(_holds(item, tensor, depth - 1) for item in value.values())
    return isinstance(value, tensor)


def _size(value: Any) -> int:
    if isinstance(value, (dict, OrderedDict)):
        return sum(map(_size, value.values()))
    return int(value.numel() * value.element_size()) if hasattr(value, "element_size") else 0


def _refuse_bomb(data: bytes) -> None:
    """Raise ModelError where a file is not what torch.save writes: a zip file whose entries are not compressed."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            packed = [entry.filename for entry in file.infolist() if entry.compress_type != zipfile.ZIP_STORED]
            size = sum(entry.file_size for entry in file.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise autotrack.ModelError(
            f"this is no file of torch.save ({error}); one of before torch 1.6 has to be saved anew"
        ) from error
    if packed or size > len(data):
        raise autotrack.ModelError(
            f"the file of {len(data) / 1e6:.3g} MB would unpack to {size / 1e6:.3g} MB, and torch.save packs nothing: "
            "it is not opened"
        )

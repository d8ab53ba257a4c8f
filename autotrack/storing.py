"""The files of a run: what is written beside its records. Between ``Recording`` and ``Capturing``."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from autotrack import models, values
from autotrack.backends.base import RunWriter, StoredFile, safe_path
from autotrack.backends.housekeeping import housekeeper
from autotrack.guard import guarded
from autotrack.recording import Recording
from autotrack.records import Artifact, Model

__all__ = ["Storing"]


class Storing(Recording):
    """Artifacts, models and long texts of a run. See ``run.Run``."""

    def __init__(
        self,
        writer: RunWriter,
        name: str,
        experiment: str,
        child: str = "",
        allowance: models.Allowance | None = None,
        clean: Callable[[str], str] = str,
    ) -> None:
        super().__init__(writer, name, experiment, child, clean)
        self._allowance = allowance or models.Allowance()
        self._saved: Counter[str] = Counter()  # models by name
        self._interim: dict[str, StoredFile] = {}  # models whose training goes on, by name

    def _param(self, key: str, value: Any, files: bool) -> Any:
        """A parameter in JSON types; a text that is too long is kept whole in a file, where there may be files."""
        result = values.to_json(value)
        if type(value) is str and type(result) is dict and "$cut" in result:
            name = "".join(char if char.isascii() and (char.isalnum() or char in "-_.") else "_" for char in key)[:80]
            path = self._folder("params") / f"{name}-{os.urandom(3).hex()}.txt"
            data = value.encode("utf-8", "backslashreplace")
            stored = self._writer.put_file(path, data) if files else None
            return values.cut(value, "" if stored is None else stored.path)
        return result

    def _folder(self, name: str) -> PurePosixPath:
        """Where files of this run lie, below the run that has a folder."""
        return PurePosixPath("children", self._child, name) if self._child else PurePosixPath(name)

    def _store(self, name: PurePosixPath, source: bytes | Path) -> None:
        stored = self._writer.put_file(safe_path(self._folder("artifacts") / name), source)
        if stored is None:
            self.note(f"artifact {str(name)!r} was not stored: the store cannot take it", "warning")
        else:
            self._write([Artifact(self._writer.elapsed(), path=stored.path, size=stored.size, sha256=stored.sha256)])

    def _write_model(
        self, saved: models.Saved, name: str, signature: Mapping[str, Any], sample: Any = None, interim: bool = False
    ) -> None:
        folder = self._folder("models") / name
        self._saved[name] += 1  # a file of its own: the earlier one may just be being turned into its safe form
        stem = name if self._saved[name] == 1 else f"{name}-{self._saved[name]}"
        stored = self._writer.put_file(folder / f"{stem}{saved.suffix}", saved.data)
        if stored is None:
            self.note(f"model {name!r} was not saved: the store cannot take it", "warning")
            return
        record = Model(
            t=self._writer.elapsed(),
            name=name,
            format=saved.format,
            path=stored.path,
            size=stored.size,
            sha256=stored.sha256,
            cls=saved.cls,
            requires=saved.requires,
            becomes=saved.convert_to,
            stays=saved.stays,
            signature={**saved.signature, **signature},
            types=saved.types,
        )
        dropped = self._writer.dropped
        self._write([record])
        if self._writer.dropped == dropped:
            self._replace_model(name, stored if interim else None)
        if self._allowance.spend(stored.size):
            housekeeper.submit(self._allowance.measure_store)
        beside = {"requirements.txt": models.requirements(saved)}
        if sample is not None:
            from autotrack.capture.dataset import first_rows  # noqa: PLC0415  seldom asked for

            beside["input_example.json"] = json.dumps(first_rows(sample)).encode()
        housekeeper.submit(partial(self._store_beside, folder, beside))
        if saved.convert_to:
            models.convert_later(self._writer, record, saved.convert_to)

    def _replace_model(self, name: str, interim: StoredFile | None) -> None:
        """A model was saved: the file of one that was kept while its training went on goes."""
        old = self._interim.pop(name, None)
        folder = getattr(self._writer, "folder", None)  # of a store that has none nothing outlives the process
        if old is not None and isinstance(folder, Path):
            (folder / old.path).unlink(missing_ok=True)
            self._allowance.spent -= old.size
        if interim is not None:
            self._interim[name] = interim

    @guarded("the files beside a model")
    def _store_beside(self, folder: PurePosixPath, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            self._writer.put_file(folder / name, content)

"""A model as it lies in a store: what it is, what it needs, whether data fits it; and loading it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from autotrack import models, plugins, values
from autotrack.backends.stored_files import BESIDE
from autotrack.capture.shapes import describe_inputs
from autotrack.errors import AutotrackError, ModelError, StoreError
from autotrack.models.checks import misfits, package_differences, valid_signature
from autotrack.models.export import export_files
from autotrack.records import Model
from autotrack.texts import printable

__all__ = ["StoredModel"]

_MAX_BESIDE = 16_000_000

_logger = logging.getLogger("autotrack")


class StoredModel:
    """A model in a store, before anything of it is opened. ``autotrack.get_model(ref)`` gives it.

    Attributes:
        ref: The reference that means exactly this one: ``<run>/<model name>`` or ``models:/<name>/<version>``.
        run: Id of the run that it came from.
        format: How it is stored: ``skops``, ``safetensors``, ``pickle``, …
        cls: Full name of its class.
        size: Bytes of its file.
        sha256: Its hash, as it was when it was saved.
        requires: Versions of the packages that it was saved with, by distribution name.
        signature: ``inputs`` and ``outputs``: columns, dtypes, shapes; empty where they are not known.
        stays: Why a pickle was not turned into a safe form; empty otherwise.
        record: All of this as one record.
    """

    def __init__(
        self,
        ref: str,
        words: str,
        record: Model,
        run: str,
        opens: Callable[[str], BinaryIO],
        latest: Callable[[], Model],
        lineage: Callable[[], dict[str, Any]],
        places: Callable[[str], Path] | None = None,
    ) -> None:
        self.ref = ref
        self.run = run
        self._words = words  # for messages
        self._opens = opens
        self._latest = latest
        self._lineage = lineage
        self._places = places
        self._set(record)

    def _set(self, record: Model) -> None:
        record = msgspec.structs.replace(record, signature=valid_signature(record.signature))
        self.record = record
        self.name, self.format, self.cls, self.stays = record.name, record.format, record.cls, record.stays
        self.size, self.sha256 = record.size, record.sha256
        self.requires: dict[str, str] = dict(record.requires)
        self.signature: dict[str, Any] = dict(record.signature)

    def __repr__(self) -> str:
        return f"<StoredModel {self.ref}: {printable(self.cls)}, {self.format}, {self.size:,} bytes>"

    @property
    def lineage(self) -> dict[str, Any]:
        """What its run knew: ``run_name``, ``experiment``, ``params``, ``metrics``, ``data``, ``git``."""
        words = ("run_name", "experiment")
        found = self._lineage()
        return {key: about for key, about in found.items() if isinstance(about, str if key in words else Mapping)}

    @property
    def file_name(self) -> str:
        """Name of its file: ``model.skops``."""
        return self.record.path.rpartition("/")[2]

    def read(self) -> bytes:
        """The file, as it was saved.

        Raises:
            ModelError: It is gone, or another than the one that was saved.
        """
        if self.record.gone:
            raise ModelError(f"{self._words} was deleted {self.record.gone}")
        try:
            data = self._read()
        except FileNotFoundError:
            self._set(self._latest())  # perhaps it was turned into its safe form just now
            try:
                data = self._read()
            except FileNotFoundError:
                raise ModelError(f"the file of {self._words} is gone: {self.record.path}") from None
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise ModelError(
                f"{self.record.path} of {self._words} is not the file that was saved (its sha256 differs): it was "
                "damaged, or somebody changed it. It is not opened; train anew, or bring the file back."
            )
        return data

    def _read(self) -> bytes:
        try:
            with self._opens(self.record.path) as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(0)
                return file.read(min(max(0, self.size), size) + 1)  # one more, for its hash to be another
        except FileNotFoundError:
            raise
        except OSError as error:  # a link in its place, say
            raise ModelError(f"{self.record.path} of {self._words} cannot be read: {error.strerror}") from error

    def place(self) -> Path | None:
        """Where its file lies; None in a store without folders."""
        return None if self._places is None else self._places(self.record.path)

    def beside(self, name: str) -> bytes | None:
        """A file beside the model, ``requirements.txt`` or ``input_example.json``; None where there is none."""
        folder, _, _ = self.record.path.rpartition("/")
        try:
            with self._opens(f"{folder}/{name}" if folder else name) as file:
                content = file.read(_MAX_BESIDE + 1)
        except (OSError, AutotrackError):
            return None
        return content if len(content) <= _MAX_BESIDE else None

    @property
    def input_example(self) -> Any:
        """The first rows of its training data, where they were kept (setting ``input_example``); else None."""
        data = self.beside("input_example.json")
        try:
            return None if data is None else json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"the input example of {self._words} cannot be read: {type(error).__name__}") from error

    def needs(self) -> list[str]:
        """What somebody has to vouch for before it is loaded: names of types, or ``pickle``. Nothing is made for it."""
        _know_formats()
        form = models.known_format(self.format, self._words)
        return ["pickle"] if models.runs_code(form) else form.untrusted(self.read())

    def load(self, trusted: list[str] | bool | None = None) -> Any:
        """The model itself; see ``autotrack.load_model``."""
        data = self.read()
        _know_formats()
        differing = package_differences(self.requires)
        if differing:
            what, saved = printable(self._words), printable(", ".join(differing), 1000)
            _logger.warning(
                "%s was saved with %s: it may fail to load, or predict otherwise. `autotrack models export %s DIR` "
                "writes a requirements.txt that fits.", what, saved, self.ref,
            )  # fmt: skip
        return models.load(data, self.format, trusted, self._words)

    def export(self, folder: str | os.PathLike[str], trusted: list[str] | bool | None = None) -> None:
        """Write a folder that needs no autotrack: the file, load.py, requirements.txt, model.json, MLflow's MLmodel.

        Args:
            folder: Where; it must not be there, or be empty.
            trusted: As for ``autotrack.load_model``: load.py and MLmodel vouch for these to whoever loads the folder.

        Raises:
            ModelNotTrusted: More would have to be trusted; the message says what.
            ModelError: The folder has something in it, or the file is not what was saved.
            StoreError: It cannot be written.
        """
        data = self.read()
        _know_formats()
        models.vouched(data, self.format, trusted, self._words)
        exported = models.known_format(self.format, self._words).export(data, self.file_name)
        found = {name: self.beside(name) for name in BESIDE}
        beside = {name: content for name, content in found.items() if content is not None}
        lineage = {key: values.to_json(value) for key, value in self.lineage.items()}
        facts = {**self.as_json(), "lineage": lineage}
        _write_folder(Path(folder), export_files(data, self.file_name, self.record, exported, facts, beside))

    def check(self, data: Any) -> list[str]:
        """What of some data does not fit what the model was trained on, in words; empty where it fits.

        Looks at shapes, column names and dtypes alone; the model is not loaded, and nothing is predicted.

        Args:
            data: As for ``predict``: a frame, an array, a tensor, a list of rows.

        Raises:
            ModelError: The model's signature, or what the data looks like, is not known.
        """
        expected = self.signature.get("inputs")
        if not isinstance(expected, Mapping) or not expected:
            raise ModelError(f"what {self._words} was trained on is not known: it has no signature")
        given = describe_inputs(data)
        if not given:
            raise ModelError(f"a {type(data).__name__} cannot be checked: give a frame, an array or a list of rows")
        return misfits(expected, given)

    def as_json(self) -> dict[str, Any]:
        """All that is known of it without loading it, in JSON types."""
        facts = msgspec.structs.asdict(self.record)
        return {"ref": self.ref, "run": self.run, **{key: facts[key] for key in facts if key not in ("t", "c")}}


def _know_formats() -> None:
    for form in plugins.model_formats():
        models.register_format(form)


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """All of it or nothing."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ModelError(f"{folder} is there already; name a folder that is new or empty")
    temporary = folder.parent / f".{folder.name}-{os.urandom(4).hex()}.tmp"
    try:
        for name, content in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        temporary.rename(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise StoreError(f"{folder} cannot be written: {error.strerror}") from error

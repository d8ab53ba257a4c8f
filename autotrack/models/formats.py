"""The formats that a model can be saved in. Plugins register theirs."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from pathlib import PurePath
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from autotrack import values
from autotrack.backends.base import safe_path
from autotrack.errors import ArtifactPathError, ModelError, ModelNotTrusted
from autotrack.texts import printable

__all__ = [
    "Exported",
    "ModelFormat",
    "Saved",
    "check_name",
    "format_for",
    "format_of_file",
    "known_format",
    "load",
    "register_format",
    "requirements",
    "runs_code",
    "save",
    "vouched",
]

Trusted = Collection[str] | bool | None


class Saved(NamedTuple):
    """A model as bytes: the file's suffix, its format, the versions it needs by distribution name.

    ``cls`` is the full name of the model's class, where what was saved is of another one. ``convert_to`` names
    the safe format that it should be turned into off the training's way; empty: it stays as it is, and ``stays``
    says why where that matters. ``signature`` is what the file itself says of inputs and outputs. ``types`` names what
    of the file the format's own library does not trust by itself, where that is known. ``pages`` are files for people
    that show the model, by name: what ``convert`` gives becomes artifacts of the run, of ``save`` none is kept.
    """

    data: bytes
    suffix: str
    format: str
    requires: dict[str, str]
    convert_to: str = ""
    stays: str = ""
    cls: str = ""
    signature: Mapping[str, Any] = MappingProxyType({})
    types: list[str] | None = None
    pages: Mapping[str, bytes] = MappingProxyType({})


class Exported(NamedTuple):
    """What a format gives to a folder that needs no autotrack.

    ``code`` is its load.py: a function ``load(folder)``. ``flavors`` are those of MLflow's MLmodel, empty where MLflow
    cannot load it. Where a flavor names ``code`` as its loader module, ``module`` is the name that it has there.
    """

    code: str
    flavors: dict[str, dict[str, Any]]
    module: str = ""


def requirements(saved: Saved) -> bytes:
    """A requirements.txt that pip accepts, for an environment in which the model can be loaded."""
    lines = [f"{name}=={version.partition('+')[0]}" for name, version in sorted(saved.requires.items())]
    if saved.convert_to:
        lines.append(saved.convert_to)  # reads the safe form that the model is turned into
    python = ".".join(map(str, sys.version_info[:2]))
    return "\n".join([f"# Python {python}", *lines, ""]).encode()


class ModelFormat(Protocol):
    """One way to keep models of one framework.

    Beside what stands below a format may have ``suffixes``, a tuple of suffixes of files (``".joblib"``) that
    ``log_model`` takes by their path, with ``of_file(data) -> Saved``, which raises ModelError where it is no such file
    or could not be loaded; and ``runs_code = True``, which says that opening a file runs whatever code is in it: it is
    opened with ``trusted=True`` alone.

    And it may have ``describe(record, file) -> Exported | None``: as ``export``, for a model that is copied to a
    server, with nothing loaded, from what was recorded and the beginning of the file; None where somebody would have
    to vouch for it first.

    Attributes:
        name: The format, as it stands in records.
    """

    name: str

    def can_save(self, model: Any) -> bool:
        """Whether this format is for such an object. Must not import a framework."""
        ...

    def cost(self, model: Any) -> tuple[float, int]:
        """Predicted (seconds, bytes) of ``save``, from sizes alone."""
        ...

    def save(self, model: Any) -> Saved:
        """The model as bytes, quickly: runs on the training's thread."""
        ...

    def convert(self, data: bytes) -> Saved:
        """Turn what ``save`` gave into the safe format; runs in the helper process.

        Raises:
            ModelError: It cannot be turned.
        """
        ...

    def untrusted(self, data: bytes) -> list[str]:
        """Names of the types in a file of this format that are trusted by nobody yet."""
        ...

    def load(self, data: bytes, trusted: list[str]) -> Any:
        """The model. Only types on our shipped list and in ``trusted`` may be made."""
        ...

    def export(self, data: bytes, file: str) -> Exported:
        """How such a file, called ``file``, is loaded where autotrack is not; all its types are vouched for."""
        ...


_formats: dict[str, ModelFormat] = {}


def register_format(form: ModelFormat) -> None:
    """Make a format known. A later one of the same name takes its place."""
    _formats[form.name] = form


def format_for(model: Any) -> ModelFormat:
    """The format that can save a model.

    Raises:
        ModelError: None can.
    """
    for form in _formats.values():
        if form.can_save(model):
            return form
    raise ModelError(
        f"no installed plugin can save a {type(model).__module__}.{type(model).__qualname__}; "
        "save it to a file and give log_model its path, or use log_artifact"
    )


def format_of_file(name: str) -> Any:
    """The format of files whose name ends like this one: the person who gives it says so, not the file.

    Raises:
        ModelError: There is none.
    """
    suffix = PurePath(name).suffix.lower()
    known: dict[str, ModelFormat] = {end: form for form in _formats.values() for end in getattr(form, "suffixes", ())}
    if suffix not in known:
        raise ModelError(
            f"{name!r} is no file that log_model takes; it takes {', '.join(sorted(known))}. "
            "log_artifact keeps any file"
        )
    return known[suffix]


def save(model: Any, form: ModelFormat) -> Saved:
    """A model as bytes, with the name of its class.

    Raises:
        ModelError: It cannot be saved.
    """
    saved = form.save(model)
    return saved if saved.cls else saved._replace(cls=values.type_name(type(model)))


def runs_code(form: ModelFormat) -> bool:
    """Whether opening a file of this format runs whatever code is in it."""
    return bool(getattr(form, "runs_code", False))


def check_name(name: str) -> None:
    """Raise ArtifactPathError where a model's name cannot be the name of a folder."""
    if len(safe_path(name).parts) != 1 or name.startswith("."):
        raise ArtifactPathError(f"{name!r} cannot be a model's name: it must be one part, without a leading dot")


def vouched(data: bytes, form: str, trusted: Trusted, what: str) -> list[str]:
    """The names of types in ``data`` that nobody but the caller vouches for, once he did.

    Args:
        data: Content of a file that the run says is of format ``form``.
        form: Name of the format.
        trusted: Type names that the caller vouches for; True for the whole file, code and all; None for nothing.
        what: The model in words, for messages.

    Raises:
        ModelNotTrusted: More would have to be trusted.
        ModelError: No installed plugin reads this format.
    """
    found = known_format(form, what)
    if runs_code(found):
        if trusted is not True:
            raise ModelNotTrusted(
                f"{what} is a pickle: opening it runs whatever code is in it. If you know where it comes from, "
                "pass trusted=True.",
                ("pickle",),
            )
        return []
    needed = found.untrusted(data)
    missing = [] if trusted is True else [name for name in needed if name not in (trusted or ())]
    if missing:
        raise ModelNotTrusted(
            f"{what} contains types that nobody vouched for: {', '.join(map(printable, missing))}. "
            f"If you trust them, pass trusted={missing!r}.",
            tuple(missing),
        )
    return needed


def known_format(form: str, what: str) -> ModelFormat:
    """A format by its name.

    Raises:
        ModelError: No installed plugin reads it.
    """
    if form not in _formats:
        raise ModelError(
            f"{what} is of format {form!r}, which no installed plugin reads; `autotrack plugins` lists them"
        )
    return _formats[form]


def load(data: bytes, form: str, trusted: Trusted, what: str) -> Any:
    """The model in ``data``; arguments and errors as for ``vouched``."""
    needed = vouched(data, form, trusted, what)
    found = known_format(form, what)
    if not runs_code(found):
        return found.load(data, needed)
    try:
        return found.load(data, needed)
    except (AttributeError, ImportError) as error:
        raise ModelError(
            f"{what} cannot be opened here: {error}. Its class is looked up where it was when the model was saved: "
            "define or import it there first."
        ) from error

"""Settings: argument > environment > ``[tool.autotrack]`` of pyproject.toml > default; and where the store is."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from autotrack.errors import ConfigError

__all__ = [
    "STORE_FOLDER",
    "Settings",
    "default_experiment",
    "find_store",
    "is_installed",
    "is_remote",
    "resolve",
    "split_store",
]

STORE_FOLDER = ".autotrack"

_BOOLEANS = ("training_metrics", "input_example", "announce", "norms", "dask")
_NUMBERS = ("model_max_mb", "session_max_gb", "store_max_gb", "exit_wait")
_LISTS = ("integrations", "redact")
_VARIABLES = ("plugins", "trace_plugins", "strict")  # of the environment only: they are read before any setting
_CHOICES = {"mode": ("on", "offline", "off"), "models": ("auto", "always", "never")}


class Settings(msgspec.Struct, frozen=True):
    """All settings, resolved.

    Attributes:
        store: Folder or URI of the store; empty for the one found from the working folder. With a server's URI the
            runs are recorded in the one found from the working folder, and copied to the server from there. Several
            with commas between: see ``split_store``.
        experiment: Name of the experiment; empty for the default (see ``default_experiment``).
        integrations: Names of the integrations to use; None for all.
        mode: ``on``; ``offline``: nothing is copied to a server; ``off``: every call of autotrack does nothing.
        models: ``auto`` saves models within their budget, ``always``, ``never``.
        training_metrics: Whether metrics on at most 1,000 rows of the training data are computed after a fit.
        input_example: Whether the first rows of the training data are kept beside the model.
        redact: Regular expressions; what they match is taken out of all captured text.
        announce: Whether a person at a terminal or notebook is told once, on stderr, where the runs go.
        model_max_mb: Largest model saved by itself, in megabytes.
        session_max_gb: Gigabytes of models that one process saves by itself.
        store_max_gb: Gigabytes of models that a store holds before no more are saved by themselves.
        norms: Whether norms of gradients and parameters are recorded at each step of a PyTorch loop.
        dask: Whether dask's workers record too, as joblib's own do. They must see the store's folder at its path.
        max_children: Candidates of a search that become child runs, the best ones; None for all.
        exit_wait: Seconds that the end of the process waits until all runs are on the server.
    """

    store: str = ""
    experiment: str = ""
    integrations: tuple[str, ...] | None = None
    mode: Literal["on", "offline", "off"] = "on"
    models: Literal["auto", "always", "never"] = "auto"
    training_metrics: bool = False
    input_example: bool = False
    redact: tuple[str, ...] = ()
    announce: bool = True
    model_max_mb: float = 200.0
    session_max_gb: float = 5.0
    store_max_gb: float = 20.0
    norms: bool = False
    dask: bool = False
    max_children: int | None = None
    exit_wait: float = 10.0


_NAMES = Settings.__struct_fields__


def resolve(**arguments: Any) -> Settings:
    """Settings from the arguments given (None: not given), the environment and pyproject.toml.

    Raises:
        ConfigError: An unknown name or a value that cannot be used; the message names where it stands.
    """
    values: dict[str, Any] = {}
    for source, found in (
        (f"[tool.autotrack] of {_pyproject()}", _from_pyproject()),
        ("the environment", _from_environment()),
        ("the arguments", {name: value for name, value in arguments.items() if value is not None}),
    ):
        for name, value in found.items():
            values[name] = _checked(name, value, source)
    return Settings(**values)


def _checked(name: str, value: Any, source: str) -> Any:
    if name not in _NAMES:
        import difflib  # noqa: PLC0415  only on the way to an error

        near = difflib.get_close_matches(name, _NAMES, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known settings: {', '.join(_NAMES)}"
        raise ConfigError(f"{name!r} in {source} is no setting of autotrack; {hint}")
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise ConfigError(f"{name} in {source} must be one of {', '.join(_CHOICES[name])}, not {value!r}")
        return value
    if name in _LISTS:
        separator = "," if name == "integrations" else "\n"  # a regular expression may hold a comma
        words = value.split(separator) if isinstance(value, str) else value
        if not isinstance(words, (list, tuple)) or not all(isinstance(item, str) for item in words):
            raise ConfigError(f"{name} in {source} must be a list of texts, not {value!r}")
        items = tuple(item.strip() for item in words if item.strip())
        return items if name == "integrations" else _patterns(items, source)
    if name in _BOOLEANS:
        return _boolean(name, value, source)
    if name in _NUMBERS:
        return _number(name, value, source)
    if name == "max_children":
        return _count(name, value, source)
    if name == "store" and isinstance(value, (list, tuple)) and value:
        parts = sorted((_checked(name, one, source) for one in value), key=is_remote)  # the folder comes first
        if len(parts) > 1 and not is_remote(parts[1]):
            raise ConfigError(f"store in {source} has one folder at most, beside servers, not {value!r}")
        return ",".join(parts)
    if not isinstance(value, (str, os.PathLike)):
        raise ConfigError(f"{name} in {source} must be text, not {type(value).__name__}")
    return os.fspath(value)


def _patterns(items: tuple[str, ...], source: str) -> tuple[str, ...]:
    for item in items:
        try:
            re.compile(item)
        except re.error as error:
            raise ConfigError(f"redact in {source}: {item!r} is no regular expression: {error}") from None
    return items


def _number(name: str, value: Any, source: str) -> float:
    try:
        number = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else -1.0
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ConfigError(f"{name} in {source} must be a number from 0 on, not {value!r}")
    return number


def _count(name: str, value: Any, source: str) -> int:
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise ConfigError(f"{name} in {source} must be a whole number from 0 on, not {value!r}")
    return number


def _boolean(name: str, value: Any, source: str) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("1", "true", "yes", "on", "0", "false", "no", "off"):
        return value.lower() in ("1", "true", "yes", "on")
    raise ConfigError(f"{name} in {source} must be true or false, not {value!r}")


def _from_environment() -> Mapping[str, str]:
    found = {}
    for variable, value in os.environ.items():
        if variable.startswith("AUTOTRACK_"):
            name = variable.removeprefix("AUTOTRACK_").lower()
            if name in _NAMES and variable.isupper():
                found[name] = value
            elif name not in _VARIABLES:
                _misspelt(variable, name)
    return {name: value for name, value in found.items() if value}


def _misspelt(variable: str, name: str) -> None:
    """Raise for a variable that is nearly one of ours. Others are left alone: they may be a plugin's, or what
    Kubernetes sets for a service that is called autotrack."""
    import difflib  # noqa: PLC0415  only where there is something odd

    near = difflib.get_close_matches(name, (*_NAMES, *_VARIABLES), 1, 0.7)
    if near:
        raise ConfigError(
            f"{variable} in the environment is no setting of autotrack; did you mean AUTOTRACK_{near[0].upper()}?"
        )


def _parents() -> Iterator[Path]:
    try:
        here = Path.cwd()
    except FileNotFoundError:  # the working folder was deleted
        return
    yield here
    yield from here.parents


def _pyproject() -> Path | None:
    path = next((path for folder in _parents() if (path := folder / "pyproject.toml").is_file()), None)
    return path if path is not None and _is_safe(path) else None  # anybody may put one into /tmp


def _from_pyproject() -> Mapping[str, Any]:
    path = _pyproject()
    if path is None:
        return {}
    try:
        text = path.read_bytes()
        if b"autotrack" not in text:  # most files: spare the parser's import
            return {}
        import tomllib  # noqa: PLC0415

        tool = tomllib.loads(text.decode()).get("tool")
    except (OSError, ValueError) as error:  # no TOML, or no UTF-8
        raise ConfigError(f"{path} cannot be read: {error}") from None
    settings = tool.get("autotrack", {}) if isinstance(tool, dict) else {}
    if not isinstance(settings, dict):
        raise ConfigError(f"[tool.autotrack] of {path} must be a table, not {settings!r}")
    if store := settings.get("store"):
        folder, servers = split_store(_checked("store", store, f"[tool.autotrack] of {path}"))
        if folder and "://" not in folder:  # a relative store means: beside this file
            folder = str(path.parent / folder)
        settings["store"] = ",".join(filter(None, [folder, *servers]))
    return dict(settings)


def find_store(given: str = "") -> Path:
    """Folder of the file store: the one given, else the nearest upward, else at the git root, else here.

    A ``.autotrack`` found upward is taken only when it is the user's own or was made to be shared:
    anybody may put one into /tmp.

    Raises:
        ConfigError: There is no such home folder, or what lies there belongs to another user.
    """
    if given:
        try:
            return Path(given).expanduser().absolute()
        except RuntimeError as error:  # ~somebody, whom the system does not know
            raise ConfigError(f"the store {given!r} cannot be found: {error}") from None
    root = None
    for folder in _parents():
        candidate = folder / STORE_FOLDER
        if candidate.is_dir() and _is_safe(candidate):
            return candidate
        if root is None and (folder / ".git").exists():
            root = folder
    store = (root or next(_parents(), Path())) / STORE_FOLDER
    if store.exists() and not _is_safe(store):
        raise ConfigError(f"{store} belongs to another user; name a store of your own: AUTOTRACK_STORE=DIR")
    return store


def is_remote(store: str) -> bool:
    """Whether a store is a server: a URI of any scheme but ``file`` and ``memory``."""
    scheme, separator, _ = store.partition("://")
    return bool(separator) and "," not in scheme and scheme not in ("file", "memory")


_NEXT = re.compile(r",(?=\s*[A-Za-z][A-Za-z0-9+.-]*://)")


def split_store(store: str) -> tuple[str, list[str]]:
    """(folder, servers) of a store: ``FOLDER,http://A,http://B``; either may be missing.

    Raises:
        ConfigError: It names several folders, or one that does not come first.
    """
    first, *others = (part.strip() for part in _NEXT.split(store))
    folder, servers = ("", [first, *others]) if is_remote(first) else (first, others)
    if any("," in server or not is_remote(server) for server in servers):
        raise ConfigError(
            f"a store is one folder, then servers: FOLDER,http://HOST:PORT; not {store!r}. `autotrack sync --to DIR` "
            "copies runs to another folder"
        )
    return folder, servers


def _is_safe(path: Path) -> bool:
    """Whether a file or folder found upward is the user's own (or root's), or was made to be shared."""
    found = path.stat()
    return not hasattr(os, "getuid") or found.st_uid in (0, os.getuid()) or found.st_mode & 0o2070 == 0o2070


def default_experiment() -> str:
    """The entry script's stem, else the git root's name, else the folder's."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    file = getattr(main, "__file__", None)
    if spec is not None and spec.name != "__main__" and not is_installed(getattr(spec, "origin", None)):
        return str(spec.name).removesuffix(".__main__")
    if file and file != "<stdin>" and not is_installed(file):
        path = Path(file)  # of a zip or a folder that is run, __main__.py is not what it is called
        return path.absolute().parent.stem if path.name == "__main__.py" else path.stem
    folders = list(_parents())
    root = next(
        (folder for folder in folders if (folder / ".git").exists()), folders[0] if folders else Path("default")
    )
    return root.name or "default"


def is_installed(file: str | None) -> bool:
    """Whether a file belongs to a tool (pytest, a Jupyter kernel, a console script) and not to the user."""
    if not file:
        return True
    path = Path(file).absolute()
    # Not all below the prefix is installed: with the system's Python it is /usr, and projects lie in /usr/src.
    tools = [Path(prefix, part) for prefix in (sys.prefix, sys.base_prefix) for part in ("bin", "lib", "lib64")]
    return "site-packages" in path.parts or any(path.is_relative_to(folder) for folder in tools)

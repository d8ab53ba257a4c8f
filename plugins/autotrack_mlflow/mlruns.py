"""Runs in a folder that MLflow's file store wrote (``mlruns``), for the import. Nothing of it is trusted."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from autotrack.errors import ConfigError
from autotrack.remote import ForeignRun
from autotrack_mlflow.foreign import Point, file_problem, logged, status_of

__all__ = ["runs_in"]

_LONGEST = 64 << 20
"""Bytes of a file of values beyond which it is not read."""

_LONGEST_META = 1 << 16
"""Bytes of a ``meta.yaml`` beyond which it is not read; most have less than a thousand."""

_NUMBERS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}


def runs_in(folder: Path) -> Iterator[list[ForeignRun]]:
    """The runs of a folder, an experiment at a time; without those that were deleted.

    Raises:
        ConfigError: It is no such folder, or PyYAML is missing.
    """
    experiments = [path for path in _folders(folder) if (path / "meta.yaml").is_file()]
    if not experiments:
        raise ConfigError(f"{folder} is no folder of MLflow's runs: no folder in it has a meta.yaml")
    try:
        import yaml  # noqa: F401, PLC0415  only where a folder is read
    except ImportError:
        raise ConfigError(f"reading {folder} needs PyYAML: pip install 'autotrack-ml[mlflow]'") from None
    return (_experiment(path) for path in experiments)


def _folders(folder: Path) -> list[Path]:
    """Folders in a folder, links left out, but ``.trash`` and the registry."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [folder / name for name in sorted(names) if name not in (".trash", "models")]


def _experiment(folder: Path) -> list[ForeignRun]:
    meta = _meta(folder)
    name = str(meta.get("name") or folder.name)
    if meta.get("lifecycle_stage", "active") != "active":
        return []
    return [run for path in _folders(folder) if (run := _run(path, name)) is not None]


def _meta(folder: Path) -> dict[str, Any]:
    """What meta.yaml says; empty where it says nothing that can be read."""
    import yaml  # noqa: PLC0415

    try:
        found = yaml.safe_load(_read(folder / "meta.yaml", _LONGEST_META))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}


def _read(path: Path, limit: int = _LONGEST) -> str:
    """A text file; a link counts as none."""
    with _open(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, "is too long", str(path))
    return data.decode("utf-8", "replace")


def _open(path: Path) -> BinaryIO:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileNotFoundError(errno.ENOENT, "is no plain file", str(path))
    return os.fdopen(fd, "rb")


def _run(folder: Path, experiment: str) -> ForeignRun | None:
    meta = _meta(folder)
    if not meta or meta.get("lifecycle_stage", "active") != "active":
        return None
    problems: list[str] = []
    tags = _values(folder / "tags", problems)
    status = meta.get("status")
    status = _NUMBERS.get(status, "") if isinstance(status, int) else str(status)
    start, end = _milliseconds(meta.get("start_time")), meta.get("end_time")
    name = tags.get("mlflow.runName") or meta.get("run_name") or folder.name
    files = list(_files(folder / "metrics"))
    touched = max([start / 1000, *(path.lstat().st_mtime for _, path in files)])
    metrics = [(name, partial(_points, name, path, problems)) for name, path in files]
    return ForeignRun(
        folder.name, tags.get("mlflow.parentRunId", ""), str(name), experiment, start / 1000,
        _milliseconds(end) / 1000 if end else None, status_of(status), touched,
        lambda: logged(start, _values(folder / "params", problems), tags, metrics),
        lambda: _artifacts(folder, str(meta.get("artifact_uri") or ""), problems), problems,
    )  # fmt: skip


def _milliseconds(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 2**53 else 0


def _files(top: Path) -> Iterator[tuple[str, Path]]:
    """Plain files below a folder, by their path in it; links are not followed."""
    for parent, folders, names in os.walk(top):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path.relative_to(top).as_posix(), path


def _values(folder: Path, problems: list[str]) -> dict[str, str]:
    found = {}
    for name, path in _files(folder):
        try:
            found[name] = _read(path)
        except OSError as error:
            problems.append(f"{folder.name}/{name}: {error.strerror}")
    return found


def _points(name: str, path: Path, problems: list[str]) -> list[Point]:
    """The points of a metric: time, value and, where they stand there, step and data set."""
    points = []
    try:
        lines = _read(path).splitlines()
    except OSError as error:
        problems.append(f"metric {name!r}: {error.strerror}")
        return []
    for number, line in enumerate(lines, 1):
        try:
            time, value, *rest = line.split(" ")
            points.append((int(time), float(value), int(rest[0]) if rest else 0))
        except ValueError:
            problems.append(f"metric {name!r}: line {number} makes no sense")
    return sorted(points, key=lambda point: (point[0], point[2]))


def _artifacts(folder: Path, root: str, problems: list[str]) -> Iterator[tuple[str, Callable[[], BinaryIO]]]:
    top = folder / "artifacts"
    if "://" in root and not root.startswith("file://"):
        problems.append(file_problem(root))
        return
    for name, path in _files(top):
        yield name, partial(_open, path)

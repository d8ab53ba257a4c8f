"""``autotrack doctor``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console
from rich.text import Text

from autotrack import config
from autotrack.cli.options import emit, json_option, store_option
from autotrack.cli.plugins import plugin_rows
from autotrack.display import printable

__all__ = ["Finding", "doctor", "examine"]

_ODD_FILE_SYSTEMS = ("nfs", "fuse", "9p", "cifs", "smb", "lustre", "gpfs", "overlay")
_LOW_DISK = 1_000_000_000
_CLOCK_SECONDS = 2.0


class Finding(NamedTuple):
    """One thing that was looked at; ``level`` is ok, note or problem."""

    what: str
    level: str
    text: str


def examine(store: Path) -> list[Finding]:
    """Look at everything that a training would need. Nothing is changed."""
    checks: tuple[Callable[[Path], Finding], ...] = (_python, _store, _file_system, _space, _clock, _git)
    findings = [check(store) for check in checks]
    for row in plugin_rows():
        level = "ok" if row["status"] in ("active", "loaded") else "note"
        level = "problem" if row["status"] in ("import error", "wrong version", "dropped after errors") else level
        name = row["records"] or row["plugin"]
        findings.append(
            Finding(f"plugin {name}", level, f"{row['status']}; {row['why']}" if row["why"] else row["status"])
        )
    return findings


def _python(store: Path) -> Finding:
    return Finding("python", "ok", f"{sys.version.split()[0]}, {sys.executable}")


def _nearest(path: Path) -> Path:
    """The path itself, or the first folder above it that is there."""
    return next((folder for folder in (path, *path.parents) if _is_there(folder)), Path("/"))


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return False


def _store(store: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=_nearest(store / "runs")):
            pass
        runs = len(list((store / "runs").iterdir())) if _is_there(store / "runs") else 0
    except OSError as error:
        return Finding("store", "problem", f"{store} cannot be written: {error.strerror}")
    return Finding("store", "ok", f"{store}, {runs} runs" if _is_there(store) else f"{store}, made by the first run")


def _file_system(store: Path) -> Finding:
    kind = _mounted(_nearest(store))
    if kind.startswith(_ODD_FILE_SYSTEMS):
        text = f"{kind}: fine for records; kill -9 loses nothing, a crash of the file server may cost seconds"
        return Finding("file system", "note", text)
    return Finding("file system", "ok", kind or "unknown")


def _mounted(path: Path) -> str:
    """Type of the file system that a path lies on."""
    best, kind = "", ""
    try:
        for line in Path("/proc/self/mounts").read_text(errors="replace").splitlines():
            words = line.split()
            point = words[1].replace("\\040", " ")
            if path.absolute().is_relative_to(point) and len(point) >= len(best):
                best, kind = point, words[2]
    except OSError:
        pass
    return kind


def _space(store: Path) -> Finding:
    free = shutil.disk_usage(_nearest(store)).free
    if free < _LOW_DISK:
        return Finding("space", "problem", f"{free / 1e6:.0f} MB free: below 1 GB only records are kept, no files")
    return Finding("space", "ok", f"{free / 1e9:.0f} GB free")


def _clock(store: Path) -> Finding:
    try:
        with tempfile.NamedTemporaryFile(dir=_nearest(store)) as probe:
            away = abs(time.time() - Path(probe.name).stat().st_mtime)
    except OSError:
        return Finding("clock", "note", "cannot be compared with the file system's")
    if away > _CLOCK_SECONDS:
        return Finding(
            "clock", "problem", f"{away:.0f} s away from the file system's: runs of several hosts will mix up"
        )
    return Finding("clock", "ok", "agrees with the file system's")


def _git(store: Path) -> Finding:
    try:
        done = subprocess.run(["git", "--version"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return Finding("git", "note", "not found: runs will not know their commit")
    inside = any((folder / ".git").exists() for folder in (Path.cwd(), *Path.cwd().parents))
    text = done.stdout.strip()
    return (
        Finding("git", "ok", text) if inside else Finding("git", "note", f"{text}; {os.getcwd()} is in no repository")
    )


@click.command()
@store_option
@json_option
def doctor(store: str | None, to_json: bool) -> None:
    """Look at the store, the file system, the clock, git and the plugins. Exit code 1 where something is wrong."""
    given = store or config.resolve().store
    findings = examine(config.find_store(config.split_store(given)[0]))
    if to_json:
        emit([finding._asdict() for finding in findings])
    else:
        screen = Console(highlight=False)
        styles = {"ok": "green", "note": "yellow", "problem": "bold red"}
        for finding in findings:
            line = Text(f"{finding.level:8}", style=styles[finding.level])
            screen.print(line.append(f"{finding.what:16} {printable(finding.text)}", style="none"), soft_wrap=True)
    if any(finding.level == "problem" for finding in findings):
        sys.exit(1)

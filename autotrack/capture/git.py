"""The state of the work tree: commit, branch, remote, and all that differs from the commit, as one patch.

A repository may be hostile: its own configuration must not make us run a program. External diffs, text
converters, fsmonitor and hooks are switched off, and so is every filter that the repository itself (not the
user) configures. Submodules are not entered. Every command has a time, every output a size.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["MAX_PATCH", "TIME_LIMIT", "GitState", "git_state"]

TIME_LIMIT = 10.0
"""Seconds for all git commands together."""

MAX_PATCH = 1_000_000
"""Bytes kept of the patch; what is beyond is cut, and said so."""

_MAX_UNTRACKED = 200
_MAX_UNTRACKED_BYTES = 100_000
_QUIET = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "LC_ALL": "C"}
_OFF = {
    "core.fsmonitor": "false",
    "core.hooksPath": os.devnull,
    "core.untrackedCache": "false",
    "core.quotePath": "false",
    "diff.external": "",
    "diff.ignoreSubmodules": "all",
    "submodule.recurse": "false",
}


class GitState(NamedTuple):
    """``facts`` for the record, and the ``patch`` that leads from the commit to the work tree (may be empty)."""

    facts: dict[str, Any]
    patch: str


class _Git:
    """Commands in one folder, within one time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._deadline = time.monotonic() + TIME_LIMIT
        self._config = dict(_OFF)
        self.slow = False

    def run(self, *arguments: str, limit: int = 10_000_000) -> bytes | None:
        """Output of a command, its first ``limit`` bytes; None where it fails or time is up."""
        program = shutil.which("git")  # looking it up itself, subprocess would touch the warnings filters
        if program is None:
            return None
        env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_CONFIG")}
        env.update(_QUIET, GIT_CONFIG_COUNT=str(len(self._config)))
        for index, (key, value) in enumerate(self._config.items()):
            env[f"GIT_CONFIG_KEY_{index}"], env[f"GIT_CONFIG_VALUE_{index}"] = key, value
        try:
            process = subprocess.Popen(
                [program, "--no-pager", *arguments],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env=env,
            )
        except OSError:  # no git here
            return None
        with process:
            output = self._read(process, limit)
            if process.poll() is None and len(output) >= limit:
                process.kill()
                return output
            try:
                code = process.wait(max(0.0, self._deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.slow = True
                process.kill()
                return None
        return output if code == 0 else None

    def _read(self, process: subprocess.Popen[bytes], limit: int) -> bytes:
        """Read without waiting longer than the time that is left."""
        import select  # noqa: PLC0415  only where git is

        assert process.stdout is not None
        pieces, size = [], 0
        while size < limit:
            left = self._deadline - time.monotonic()
            if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                break
            piece = os.read(process.stdout.fileno(), min(1 << 16, limit - size))
            if not piece:
                break
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces)

    def text(self, *arguments: str) -> str | None:
        """Output as one stripped text."""
        output = self.run(*arguments)
        return None if output is None else output.decode(errors="replace").strip()

    def distrust_repository(self) -> None:
        """Switch off the filters and diff drivers that the repository's own configuration names."""
        listed = self.run("config", "--show-scope", "--name-only", "-z", "--get-regexp", r"^(filter|diff)\.")
        words = (listed or b"").decode(errors="surrogateescape").split("\0")
        for scope, key in zip(words[::2], words[1::2], strict=False):
            section, _, rest = key.partition(".")
            driver, dot, variable = rest.rpartition(".")
            if scope in ("local", "worktree") and dot:
                off = "false" if variable in ("required", "cachetextconv", "binary") else ""
                self._config[f"{section}.{driver}.{variable}"] = off


def git_state(folder: Path) -> GitState | None:
    """The work tree that ``folder`` is in; None outside one, without git, or where git refuses the repository."""
    git = _Git(folder)
    top = git.text("rev-parse", "--show-toplevel")
    if not top:
        return None
    git.distrust_repository()
    commit = git.text("rev-parse", "--verify", "--quiet", "HEAD") or None
    facts: dict[str, Any] = {
        "root": top,
        "commit": commit,
        "branch": git.text("symbolic-ref", "--short", "--quiet", "HEAD") or None,  # None: detached
        "remote": git.text("config", "--get", "remote.origin.url") or None,
    }
    status = git.run(
        "status", "--porcelain", "-z", "--untracked-files=normal", "--ignore-submodules=all", limit=1 << 20
    )
    facts["dirty"] = None if status is None else bool(status)
    patch = _patch(git, Path(top), commit) if facts["dirty"] else ""
    if len(patch) >= MAX_PATCH:
        facts["truncated"] = True
    if git.slow:
        facts["timed_out"] = True
    return GitState(facts, patch)


def _patch(git: _Git, top: Path, commit: str | None) -> str:
    """Changes of tracked files, then untracked text files as new ones, in at most ``MAX_PATCH`` characters."""
    safe = ("--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=all", "--no-renames")
    against = commit or git.text("hash-object", "-t", "tree", os.devnull) or ""
    changed = git.run("-C", str(top), "diff", *safe, against, "--", limit=MAX_PATCH) or b""
    parts = [changed.decode(errors="replace")]
    size = len(parts[0])
    names = git.run("-C", str(top), "ls-files", "--others", "--exclude-standard", "-z", limit=1 << 20) or b""
    for name in names.split(b"\0")[:_MAX_UNTRACKED]:
        new = _as_new(top, os.fsdecode(name)) if name and size < MAX_PATCH else ""
        parts.append(new)
        size += len(new)
    return "".join(parts)[:MAX_PATCH]


def _as_new(top: Path, name: str) -> str:
    """An untracked text file as the patch that makes it; empty for anything else."""
    path = top / name
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _MAX_UNTRACKED_BYTES:
            return ""
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return ""
    if not text or "\0" in text:
        return ""
    lines = text.split("\n")
    last = lines.pop()
    body = "".join(f"+{line}\n" for line in lines)
    if last:
        body += f"+{last}\n\\ No newline at end of file\n"
    count = len(lines) + bool(last)
    quoted = name.encode(errors="replace").decode()
    head = f"diff --git a/{quoted} b/{quoted}\nnew file mode 100644\n--- /dev/null\n+++ b/{quoted}\n"
    return f"{head}@@ -0,0 +1,{count} @@\n{body}"
